#!/usr/bin/env python3
"""Measures tidegate against raw librdkafka and Kafka Streams, in one go on one machine and one broker. Run it with `./dev bench`.

./dev bench [throughput|stall|latency|restart|windows|shared|moves|faces|nexmark|python ...] [--quick] [--peers raw,kstreams,tidegate,flink]
            [--work w1,w2,w3t] [--queries q0,q5] [--events-millions N] [--keys N] [--repeat N]

Outputs of throughput, stall and restart are checked against an oracle that recomputes the input. How the numbers are made: benches/README.md.
"""
import argparse
import concurrent.futures
import glob
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time

import in_python
import machine
import nexmark
from machine import Watch, cpu_tree, java, stop, topics

HERE = os.path.dirname(os.path.abspath(__file__))
REPO = os.path.dirname(HERE)
CACHE = os.environ["TIDEGATE_CACHE"] + "/bench"
TARGET = os.environ["CARGO_TARGET_DIR"] + "/release"
PARTITIONS = 4
WORDS_A_LINE = 10
EXAMPLE = {"w1": "filter_project", "w2": "kafka_word_count", "w3t": "windowed_counts", "w3h": "windowed_counts"}
FLAGS = {"w3h": ["--hop-ms", "10000"]}
LATENCY = ["w1", "w2"]
FACES = ["w1", "w2"]  # programs that are scripts, too
FORMS = {"inverse": [], "recomputed": ["--recompute"]}  # of a window over batch times
SLIDE_MS, KEYS = 200, 1000


class Size:
    """Records of each input; `quick` tests the harness, its numbers mean nothing."""

    def __init__(self, quick):
        self.events = 200_000 if quick else 10_000_000
        self.lines = 20_000 if quick else 500_000
        self.latency_s = 10 if quick else 60
        self.windows_s = 5 if quick else 40
        self.moved_keys = [20_000] if quick else [500_000, 5_000_000]
        self.keys = [20_000, 100_000] if quick else [500_000, 5_000_000]
        self.nexmark = 20_000 if quick else 4_000_000
        self.python_events = 20_000 if quick else 1_000_000
        self.python_lines = 2_000 if quick else 200_000
        self.name = "quick" if quick else "full"


def prepare(peers, names, with_sql):
    """Builds what is measured and what measures."""
    print("building ...", file=sys.stderr)
    os.makedirs(CACHE + "/logs", exist_ok=True)
    run_quietly(["mvn", "-q", "-B", "-f", HERE + "/peers/pom.xml", "package", "-Dbench.out=" + machine.JAVA], "maven")
    missing = []
    for name in dict.fromkeys(names):
        if "tidegate" in peers and os.path.exists(f"{REPO}/examples/{name}.rs"):
            run_quietly(["cargo", "build", "--locked", "--release", "--example", name], "cargo")
        elif "tidegate" in peers:
            missing.append(name)
    if missing:
        print(f"no example {', '.join(missing)}: tidegate is skipped", file=sys.stderr)
        peers.remove("tidegate")
    if "raw" in peers:
        build_raw()
    if with_sql:
        run_quietly(["cargo", "build", "--locked", "--release", "--bin", "tidegate"], "cargo")


def run_quietly(command, name):
    log = f"{CACHE}/logs/{name}.log"
    with open(log, "w") as out:
        if subprocess.run(command, cwd=REPO, stdin=subprocess.DEVNULL, stdout=out, stderr=out).returncode:
            sys.exit(f"bench: {' '.join(command[:3])} failed (log: {log})")


def build_raw():
    """Compiles raw.c against the very librdkafka that the crate has built."""
    built = {n: sorted(glob.glob(f"{TARGET}/build/{n}-*/out"), key=os.path.getmtime) for n in ("rdkafka-sys", "libz-sys", "zstd-sys", "lz4-sys")}
    built = {n: [d for d in ds if glob.glob(d + "/**/*.a", recursive=True)] for n, ds in built.items()}
    if not all(built.values()):
        run_quietly(["cargo", "build", "--locked", "--release", "--lib"], "cargo")
        return build_raw()
    lib = {n: ds[-1] for n, ds in built.items()}
    include = CACHE + "/include"
    os.makedirs(include, exist_ok=True)
    if os.path.islink(include + "/librdkafka"):
        os.unlink(include + "/librdkafka")
    os.symlink(lib["rdkafka-sys"] + "/src", include + "/librdkafka")
    archives = [lib["rdkafka-sys"] + "/src/librdkafka.a", lib["libz-sys"] + "/lib/libz.a", lib["zstd-sys"] + "/libzstd.a", lib["lz4-sys"] + "/liblz4.a"]
    run_quietly(["cc", "-O2", "-o", CACHE + "/raw", HERE + "/peers/raw/raw.c", "-I" + include, *archives, "-lssl", "-lcrypto", "-lpthread", "-lm", "-ldl"], "cc")


# ---- inputs -----------------------------------------------------------------------------------------------------


def preload(kind, n, partitions=PARTITIONS, used=PARTITIONS):
    """A topic with n generated records in the first `used` partitions; created once per broker."""
    name = f"bench-{kind}-{n}" + ("" if used == partitions == PARTITIONS else f"-{used}-of-{partitions}")
    if int(topics(end=name)) != n:
        print(f"preloading {name} ...", file=sys.stderr)
        topics(delete=name, create=f"{name}:{partitions}")
        java("tools", "peers.Gen", kind=kind, topic=name, n=n, partitions=used)
    return name


def generate(**options):
    """Starts a generator of live traffic."""
    return machine.start(machine.java_command("tools", "peers.Gen", "bootstrap=" + machine.BOOTSTRAP, *(f"{k}={v}" for k, v in options.items())))


# ---- programs under test ----------------------------------------------------------------------------------------


class Run:
    """One program on one input with an output topic, state folders and a log of its own, as one process or several."""

    count = 0

    def __init__(self, peer, app, source, output_config="", example=None, flags=()):
        Run.count += 1
        self.peer, self.app, self.source = peer, app, source
        self.example, self.flags = example or EXAMPLE[app], [*FLAGS.get(app, []), *flags]
        self.id = f"bench-run-{peer}-{app}-{os.getpid()}-{Run.count}"
        self.out = self.id + "-out"
        self.state = f"{CACHE}/state/{self.id}"
        os.makedirs(self.state)
        topics(create=f"{self.out}:{PARTITIONS}{output_config}")
        self.processes = {}

    def command(self, commit_ms, name):
        # An instance id: otherwise it is lost with the state folder, and the session must time out.
        state = f"{self.state}/{name or 'only'}"
        os.makedirs(state, exist_ok=True)
        if self.peer == "kstreams":
            extra = ["c.group.instance.id=" + name, "c.session.timeout.ms=10000"] if name else []
            return machine.java_command("kstreams", "peers.KsApp", "bootstrap=" + machine.BOOTSTRAP, "app=" + self.app, "in=" + self.source,
                                        "out=" + self.out, "id=" + self.id, "state=" + state, "mode=eos", f"commit={commit_ms}", *extra, heap="2g")
        extra = ["--instance-id", name] if name else []
        if self.peer == "sql":
            program = [f"{TARGET}/tidegate", "run", self.script()]
        else:
            program = [f"{TARGET}/examples/{self.example}", "--input", self.source, "--output", self.out]
        return [*program, "--bootstrap", machine.BOOTSTRAP, "--application-id", self.id, "--state-dir", state, "--batch-interval-ms", str(commit_ms), "--threads", "2",
                "--guarantee", "exactly-once", "--starting-offsets", "earliest", "--state-partitions", str(PARTITIONS), *self.flags, *extra]

    def script(self):
        """The program as a script of SQL, on its topics."""
        with open(f"{HERE}/scripts/{self.example}.sql") as file:
            text = file.read().replace("{in}", self.source).replace("{out}", self.out)
        with open(f"{self.state}/{self.example}.sql", "w") as file:
            file.write(text)
        return file.name

    def start(self, commit_ms, name=None):
        log = open(f"{CACHE}/logs/{self.id}.log", "ab")
        self.processes[name] = machine.start(self.command(commit_ms, name), log)
        return time.time()

    def stop(self, name, how):
        stop(self.processes.pop(name), how)

    def cpu(self):
        return sum(cpu_tree(process.pid) for process in self.processes.values())

    def rss_mb(self):
        return max(machine.rss_mb(process.pid) for process in self.processes.values())

    def watch(self):
        return Watch(self.out, self.source, self.id)

    def progress(self, sample, total):
        """The part of the input that is processed and committed. Kafka Streams commits a word count's input when it has been
        re-partitioned, so in that case the re-partition topic counts."""
        if self.peer == "kstreams" and self.app == "w2":
            return sample["inner"] / (total * WORDS_A_LINE)
        return sample["in"] / total

    def end(self, keep=False):
        while self.processes:
            stop(self.processes.popitem()[1])
        if not keep:
            topics(delete=self.id + "*")
            shutil.rmtree(self.state, ignore_errors=True)

    def trouble(self):
        """Why the run cannot continue, if it cannot."""
        codes = [process.poll() for process in self.processes.values()]
        ended = next((code for code in codes if code is not None), None)
        return None if ended is None else f"ended by itself with code {ended} (log: {CACHE}/logs/{self.id}.log)"


def follow(run, watch, begin, until, limit_s):
    """Samples of the run until `until(sample)`; each with seconds since `begin`, CPU seconds and resident MB of its processes."""
    samples, broker = [], machine.broker_cpu()
    for s in watch:
        s |= {"t": s["ms"] / 1000 - begin, "cpu": run.cpu(), "rss": run.rss_mb(), "broker": machine.broker_cpu() - broker}
        samples.append(s)
        if until(s):
            return samples
        why = run.trouble() or (f"not done after {limit_s} s" if s["t"] > limit_s else None)
        if why:
            sys.exit(f"bench: {run.peer} {run.app}: {why}")
    sys.exit("bench: the watcher ended (is the broker up?)")


# ---- what is measured -------------------------------------------------------------------------------------------


def throughput(peer, app, size):
    n = size.lines if app == "w2" else size.events
    source = preload("lines" if app == "w2" else "events", n)
    run = Run(peer, app, source)
    with run.watch() as watch:
        begin = run.start(1000)
        samples = follow(run, watch, begin, lambda s: run.progress(s, n) >= 1, 900)
    run.end(keep=True)
    units = n * (WORDS_A_LINE if app == "w2" else 1)
    last = samples[-1]
    first = next((s["t"] for s in samples if s["out"] > 0), last["t"])  # the input's commit may be seen before its outputs
    low, high = (when(samples, lambda s: run.progress(s, n), f) for f in (0.25, 0.9))
    result = dict(kind="throughput", peer=peer, app=app, units=units, overall=round(units / last["t"]), steady=round(0.65 * units / max(0.1, high - low)),
                  first_output_s=round(first, 2), cpu_s_per_m=round(last["cpu"] / units * 1e6, 3), broker_cpu_s_per_m=round(last["broker"] / units * 1e6, 3),
                  peak_rss_mb=round(max(s["rss"] for s in samples)), out=last["out"], verified=verify(app, run.out, n))
    run.end()
    return result


def when(samples, progress, part):
    """Seconds at which `part` of the input was done, between two samples by interpolation."""
    before = samples[0]
    for s in samples:
        done, earlier = progress(s), progress(before)
        if done >= part:
            return s["t"] if done == earlier else before["t"] + (s["t"] - before["t"]) * (part - earlier) / (done - earlier)
        before = s
    return samples[-1]["t"]


def stall(peer, partitions, size):
    """One partition has all the input; the others of the topic, if there are any, are empty."""
    n = size.events // 4
    run = Run(peer, "w1", preload("events", n, partitions=partitions, used=1))
    with run.watch() as watch:
        begin = run.start(1000)
        last = follow(run, watch, begin, lambda s: run.progress(s, n) >= 1, 900)[-1]
    run.end(keep=True)
    result = dict(kind="stall", peer=peer, app="w1", partitions=partitions, units=n, overall=round(n / last["t"]),
                  cpu_s_per_m=round(last["cpu"] / n * 1e6, 3), verified=verify("w1", run.out, n))
    run.end()
    return result


def raw(size):
    source = preload("events", size.events)
    out = f"bench-run-raw-{os.getpid()}-{time.time_ns()}"
    topics(create=f"{out}:{PARTITIONS}")
    results = []
    for name, command in (("raw consume", ["consume", machine.BOOTSTRAP, source, str(PARTITIONS)]), ("raw copy", ["copy", machine.BOOTSTRAP, source, str(PARTITIONS), out, "1000", "50"])):
        broker = machine.broker_cpu()
        r = json.loads(subprocess.run([CACHE + "/raw", *command], check=True, stdout=subprocess.PIPE).stdout)
        if r["records"] != size.events:
            sys.exit(f"bench: {name} read {r['records']} of {size.events} records")
        results.append(dict(kind="throughput", peer=name, app="w1", units=size.events, overall=round(r["overall"]), steady=round(r["steady"]),
                            cpu_s_per_m=round(r["cpu_s"] / size.events * 1e6, 3), broker_cpu_s_per_m=round((machine.broker_cpu() - broker) / size.events * 1e6, 3), peak_rss_mb=r["rss_mb"]))
    topics(delete=out)
    return results


def latency(peer, app, size):
    rate = 5000 if app == "w1" else 5000 // WORDS_A_LINE
    source = f"bench-live-{os.getpid()}-{time.time_ns()}"
    topics(create=f"{source}:{PARTITIONS}")
    run = Run(peer, app, source, ":message.timestamp.type=LogAppendTime" if app == "w1" else "")
    skip = 3 if size.name == "quick" else 15
    seconds = size.latency_s + skip
    run.start(100 if peer == "kstreams" else 0)
    time.sleep(8)
    kind = "events" if app == "w1" else "lines"
    n = rate * (seconds + 20)
    generator = generate(kind=kind, topic=source, rate=rate, n=n, **({} if app == "w1" else {"mark": 1}))
    before, begin = run.cpu(), time.time()
    seen = json.loads(java("tools", "peers.Scan", mode="latency", topic=run.out, sec=seconds, skip=skip, by="payload" if app == "w1" else "mark"))
    cores = (run.cpu() - before) / (time.time() - begin)
    stop(generator, signal.SIGKILL)
    if run.trouble() or not seen["n"]:
        sys.exit(f"bench: {peer} {app}: {run.trouble() or 'nothing came out'} (log: {CACHE}/logs/{run.id}.log)")
    run.end()
    topics(delete=source)
    return dict(kind="latency", peer=peer, app=app, rate=rate, seen=seen["n"], visible_ms=seen["visible_ms"], cpu_cores=round(cores, 3))


def warm(peers, apps, size):
    for app in [app for app in LATENCY if app in apps]:
        for peer in peers:
            latency(peer, app, size)
    return []


def restart(peer, keys, kept, size):
    """A word count with `keys` distinct words and live traffic on top; kill -9, restart with the state folder kept or deleted."""
    base, live, rate = keys * 4 // WORDS_A_LINE, 10_000 if size.name == "quick" else 40_000, 500 if size.name == "quick" else 2000
    words = dict(seed=2, vocab=keys, zipf=0)
    source = f"bench-restart-{os.getpid()}-{time.time_ns()}"
    topics(create=f"{source}:{PARTITIONS}")
    java("tools", "peers.Gen", kind="lines", topic=source, n=base, **words)
    run = Run(peer, "w2", source)
    with run.watch() as watch:
        begin = run.start(1000, "bench")
        follow(run, watch, begin, lambda s: run.progress(s, base) >= 1, 900)
        traffic = generate(kind="lines", topic=source, n=live, rate=rate, **{"from": base}, **words)
        killed_at = follow(run, watch, begin, lambda s: run.progress(s, base + live / 10) >= 1, 900)[-1]
    run.stop("bench", signal.SIGKILL)
    with run.watch() as watch:
        written = next(iter(watch))["high"]
    state_mb = int(subprocess.run(["du", "-sm", run.state], check=True, stdout=subprocess.PIPE).stdout.split()[0])
    if not kept:
        shutil.rmtree(run.state)
        os.makedirs(run.state)
    with run.watch() as watch:
        begin = run.start(1000, "bench")
        # Ends of transactions use offsets too: back at work = more is committed than was written before, and their markers.
        back = follow(run, watch, begin, lambda s: s["out"] > written + 4 * PARTITIONS, 600)[-1]
        traffic.wait()
        samples = follow(run, watch, begin, lambda s: run.progress(s, base + live) >= 1, 900)
    run.end(keep=True)
    result = dict(kind="restart", peer=peer, app="w2", keys=keys, state="kept" if kept else "deleted", state_mb=state_mb, open_tail=written - killed_at["out"],
                  back_s=round(back["t"], 2), peak_rss_mb=round(max(s["rss"] for s in samples)), verified=verify("w2", run.out, base + live, **words))
    run.end()
    topics(delete=source)
    return result


def windows(form, panes, size):
    """CPU of a word count in a window of this many slides, once it is full: a fixed set of keys, nearly all of which occur in each slide."""
    rate, warm = 2000, panes * SLIDE_MS / 1000 + 3
    source = f"bench-live-{os.getpid()}-{time.time_ns()}"
    topics(create=f"{source}:{PARTITIONS}")
    flags = ["--slide-ms", str(SLIDE_MS), "--window-ms", str(panes * SLIDE_MS), *FORMS[form]]
    run = Run("tidegate", form, source, example="windowed_word_count", flags=flags)
    generator = generate(kind="lines", topic=source, rate=rate, n=rate * round(warm + size.windows_s + 60), vocab=KEYS, zipf=0)
    with run.watch() as watch:
        begin = run.start(SLIDE_MS)
        first = follow(run, watch, begin, lambda s: s["in"] > rate * warm, 300)[-1]
        last = follow(run, watch, begin, lambda s: s["t"] > first["t"] + size.windows_s, 300)[-1]
        behind = int(topics(end=source)) - last["in"]
    stop(generator, signal.SIGKILL)
    run.end()
    topics(delete=source)
    words, seconds = (last["in"] - first["in"]) * WORDS_A_LINE, last["t"] - first["t"]
    return dict(kind="windows", peer="tidegate", app=form, panes=panes, rate=rate * WORDS_A_LINE, done=round(words / seconds), behind_ms=round(1000 * behind / rate),
                given_per_s=round((last["out"] - first["out"]) / seconds), cpu_s_per_m=round((last["cpu"] - first["cpu"]) / words * 1e6, 3), peak_rss_mb=round(last["rss"]))


def shared(peer, app, processes, size):
    """Throughput and CPU of one process or several that share the state; both are there before the input comes."""
    n = size.lines if app == "w2" else size.events
    kind = "lines" if app == "w2" else "events"
    source = f"bench-live-{os.getpid()}-{time.time_ns()}"
    topics(create=f"{source}:{PARTITIONS}")
    run = Run(peer, app, source)
    for i in range(processes):
        run.start(1000, f"p{i}")
    time.sleep(12)
    before, broker = run.cpu(), machine.broker_cpu()
    generated = json.loads(java("tools", "peers.Gen", kind=kind, topic=source, n=n, partitions=PARTITIONS))
    with run.watch() as watch:
        follow(run, watch, time.time(), quiet(lambda s: run.progress(s, n) >= 1), 900)
    used, broker = run.cpu() - before, machine.broker_cpu() - broker
    between = run.id + ("-exchange" if peer == "tidegate" else "-*-repartition")
    size_of = {name: int(topics(size=name)) for name in (source, between)}
    rss = run.rss_mb()
    run.end(keep=True)
    units = n * (WORDS_A_LINE if app == "w2" else 1)
    result = dict(kind="shared", peer=peer, app=app, processes=processes, units=units, cpu_s_per_m=round(used / units * 1e6, 3),
                  broker_cpu_s_per_m=round(broker / units * 1e6, 3), between_bytes_per_byte=round(size_of[between] / size_of[source], 3), peak_rss_mb=round(rss),
                  input_mb=round(generated["n"] * generated["avg_bytes"] / 1e6), verified=verify(app, run.out, n))
    run.end()
    topics(delete=source)
    return result


def quiet(condition, for_s=3):
    """True once the condition has held, and nothing was written, for some time."""
    since = {"out": -1, "t": 0}

    def holds(s):
        if s["out"] != since["out"] or not condition(s):
            since.update(out=s["out"], t=s["t"])
        return s["t"] - since["t"] >= for_s

    return holds


MOVES = {  # the processes that are there from the beginning
    "none": ["a"],
    "none, two processes": ["a", "b"],
    "one joins": ["a"],
    "rolling restart of three": ["a", "b", "c"],
    "killed, state kept by the heir": ["a"],
    "killed, no state at the heir": ["a", "b"],
}


def moves(peer, event, keys, size):
    """How long results stand still: the word count has `keys` words and live traffic; each line ends in a word that says when it was
    created, and the time until its count is visible is measured over the event, for all of them."""
    base, rate, commit_ms = keys * 4 // WORDS_A_LINE, 500, 100 if peer == "kstreams" else 0
    words = dict(seed=2, vocab=keys, zipf=0)
    source = f"bench-moves-{os.getpid()}-{time.time_ns()}"
    topics(create=f"{source}:{PARTITIONS}")
    run = Run(peer, "w2", source)
    for name in MOVES[event]:
        run.start(commit_ms, name)
    time.sleep(12)
    java("tools", "peers.Gen", kind="lines", topic=source, n=base, **words)
    with run.watch() as watch:
        follow(run, watch, time.time(), quiet(lambda s: run.progress(s, base) >= 1), 900)
    state_mb = int(subprocess.run(["du", "-sm", run.state], check=True, stdout=subprocess.PIPE).stdout.split()[0])
    restore_s = keys / 50_000
    if event == "killed, state kept by the heir":
        run.start(commit_ms, "b")
        time.sleep(15 + restore_s)
    traffic = generate(kind="lines", topic=source, n=rate * 600, rate=rate, mark=1, **{"from": base}, **words)
    time.sleep(5)
    seconds = round((15 if size.name == "quick" else 45) + restore_s)
    with concurrent.futures.ThreadPoolExecutor() as beside:
        scan = beside.submit(java, "tools", "peers.Scan", mode="latency", topic=run.out, sec=seconds, skip=0, by="mark")
        time.sleep(5)
        if event == "one joins":
            run.start(commit_ms, "b")
        elif event.startswith("killed"):
            run.stop("b", signal.SIGKILL)
        elif event.startswith("rolling"):
            for name in MOVES[event]:
                run.stop(name, signal.SIGTERM)
                run.start(commit_ms, name)
                time.sleep(8)
        seen = json.loads(scan.result())
    stop(traffic, signal.SIGKILL)
    why = run.trouble()
    if why or not seen["n"]:
        sys.exit(f"bench: {peer} moves, {event}: {why or 'nothing came out'} (log: {CACHE}/logs/{run.id}.log)")
    run.end()
    topics(delete=source)
    return dict(kind="moves", peer=peer, app="w2", event=event, keys=keys, state_mb=state_mb, seen=seen["n"], visible_ms=seen["visible_ms"])


def verify(app, topic, n, **options):
    found = json.loads(java("tools", "peers.Scan", heap="4g", mode="verify", what=app, topic=topic, n=n, **options))
    if not found["ok"]:
        print(f"bench: WRONG OUTPUT in {topic}: {found}", file=sys.stderr)
    return found["ok"]


# ---- the whole --------------------------------------------------------------------------------------------------


def measurements(args, peers, size):
    engines = [p for p in peers if p in ("kstreams", "tidegate")]
    if "throughput" in args.what:
        if "raw" in peers:
            yield lambda: raw(size)
        for app in args.work:
            for peer in engines:
                yield lambda peer=peer, app=app: [throughput(peer, app, size)]
    if "faces" in args.what:
        for app in [app for app in args.work if app in FACES]:
            for peer in ("tidegate", "sql"):
                yield lambda peer=peer, app=app: [throughput(peer, app, size) | dict(kind="faces")]
    if "nexmark" in args.what:
        yield from args.nexmark.measurements(args.queries, peers)
    if "python" in args.what:
        yield from args.python.measurements(args.python_peers, args.python_work)
    if "stall" in args.what:
        for partitions in (1, PARTITIONS):
            for peer in engines:
                yield lambda peer=peer, partitions=partitions: [stall(peer, partitions, size)]
    if "latency" in args.what:
        # While the broker's JVM has not compiled its code yet, the first program to run has ten times the tail latency.
        yield lambda: warm(engines, args.work, size)
        for app in [app for app in LATENCY if app in args.work]:
            for peer in engines:
                yield lambda peer=peer, app=app: [latency(peer, app, size)]
    if "restart" in args.what:
        for keys in size.keys:
            for kept in (True, False):
                for peer in engines:
                    yield lambda peer=peer, keys=keys, kept=kept: [restart(peer, keys, kept, size)]
    if "shared" in args.what:
        for app in [app for app in args.work if app != "w1"]:  # which has no state
            for processes in (1, 2):
                for peer in engines:
                    yield lambda peer=peer, app=app, processes=processes: [shared(peer, app, processes, size)]
    if "moves" in args.what:
        for keys in size.moved_keys:
            for event in [event for event in MOVES if event.startswith(args.events or "")]:
                for peer in engines:
                    yield lambda peer=peer, event=event, keys=keys: [moves(peer, event, keys, size)]
    if "windows" in args.what and "tidegate" in peers:
        for panes in (10, 100):
            for form in FORMS:
                yield lambda form=form, panes=panes: [windows(form, panes, size)]


COLUMNS = {
    "throughput": ["app", "peer", "units", "steady", "overall", "first_output_s", "cpu_s_per_m", "broker_cpu_s_per_m", "peak_rss_mb", "verified"],
    "stall": ["partitions", "peer", "units", "overall", "cpu_s_per_m", "verified"],
    "latency": ["app", "peer", "rate", "p50", "p90", "p99", "p999", "max", "cpu_cores", "seen"],
    "restart": ["keys", "state", "peer", "back_s", "state_mb", "peak_rss_mb", "verified"],
    "shared": ["app", "processes", "peer", "units", "cpu_s_per_m", "broker_cpu_s_per_m", "between_bytes_per_byte", "peak_rss_mb", "verified"],
    "moves": ["event", "keys", "peer", "p50", "p99", "max", "state_mb", "seen"],
    "faces": ["app", "peer", "units", "steady", "overall", "cpu_s_per_m", "broker_cpu_s_per_m", "peak_rss_mb", "verified"],
    "nexmark": [],
    "python": ["app", "peer", "guarantee", "units", "overall", "cpu_s_per_m", "broker_cpu_s_per_m", "peak_rss_mb", "verified"],
    "windows": ["app", "panes", "rate", "done", "behind_ms", "given_per_s", "cpu_s_per_m", "peak_rss_mb"],
}


def table(kind, results):
    """A Markdown table; repeated runs are shown by their median."""
    if kind == "nexmark":
        return nexmark.tables(results, statistics.median)
    columns, groups = COLUMNS[kind], {}
    for r in results:
        r = r | r.get("visible_ms", {})
        groups.setdefault(tuple(r.get(c) for c in ("app", "panes", "partitions", "processes", "event", "keys", "state", "peer")), []).append(r)
    print(f"\n{kind} ({'ms until a read_committed reader has it' if kind in ('latency', 'moves') else 'medians'})\n")
    print("| " + " | ".join(columns) + " |\n|" + "---|" * len(columns))
    for runs in groups.values():
        print("| " + " | ".join(cell([r.get(c) for r in runs]) for c in columns) + " |")


def cell(values):
    if any(v is None for v in values):
        return "-"
    if isinstance(values[0], bool):
        return "yes" if all(values) else "NO"
    if isinstance(values[0], str):
        return values[0]
    return f"{statistics.median(values):,.10g}"


def main():
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__.split("\n")[0])
    parser.add_argument("what", nargs="*", choices=[*COLUMNS, []], help="throughput, stall, latency, restart, windows, shared, moves, faces, nexmark, python; nothing = all but python")
    parser.add_argument("--quick", action="store_true", help="small sizes: tests the harness, measures nothing")
    parser.add_argument("--peers", default="raw,kstreams,flink," + ",".join(in_python.PACKAGES))
    parser.add_argument("--work", help="which programs, of " + ", ".join(EXAMPLE) + "; of python, of " + ", ".join(in_python.APPS))
    parser.add_argument("--events", help="moves: only those that begin with this")
    parser.add_argument("--keys", type=int, help="moves: only with so many keys")
    parser.add_argument("--queries", default=",".join(nexmark.ALL), help="nexmark: only these")
    parser.add_argument("--events-millions", type=float, help="nexmark: another number of events")
    parser.add_argument("--repeat", type=int, default=1)
    args = parser.parse_args()
    args.what = args.what or [kind for kind in COLUMNS if kind != "python"]
    peers, size = args.peers.split(","), Size(args.quick)
    args.python_peers = [peer for peer in peers if peer in in_python.PACKAGES]
    args.python_work = (args.work or ",".join(in_python.APPS)).split(",")
    args.work = (args.work or "w1,w2,w3t").split(",")
    size.moved_keys = [args.keys] if args.keys else size.moved_keys
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: stopped"))
    args.queries = args.queries.split(",")
    examples = [EXAMPLE[app] for app in args.work] if set(args.what) - {"windows", "nexmark", "python"} else []
    if set(args.what) <= {"faces", "nexmark", "python"}:
        peers = [peer for peer in peers if peer in ("tidegate", "flink")]
    prepare(peers, examples + (["windowed_word_count"] if "windows" in args.what else []), "faces" in args.what)
    if "nexmark" in args.what:
        events = round(args.events_millions * 1e6) if args.events_millions else size.nexmark
        args.nexmark = nexmark.Nexmark(CACHE, TARGET, events, run_quietly)
        args.nexmark.build("flink" in peers)
    if "python" in args.what:
        args.python = in_python.Python(CACHE, size, run_quietly, preload, verify)
        args.python.prepare(args.python_peers)
    shutil.rmtree(CACHE + "/state", ignore_errors=True)
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=REPO, stdout=subprocess.PIPE, text=True).stdout.strip()
    results = []
    with machine.broker():
        if "nexmark" in args.what:
            args.nexmark.prepare("flink" in peers)
        for _ in range(args.repeat):
            for measure in measurements(args, peers, size):
                idle = machine.idle_percent()
                for r in measure():
                    r |= dict(size=size.name, at=time.strftime("%Y-%m-%dT%H:%M:%S"), commit=commit, idle_before_percent=idle)
                    results.append(r)
                    print(json.dumps(r), file=sys.stderr)
                    with open(CACHE + "/results.jsonl", "a") as out:
                        out.write(json.dumps(r) + "\n")
    for kind in args.what:
        if found := [r for r in results if r["kind"] == kind]:
            table(kind, found)
    sys.exit(any(r.get("verified") is False for r in results))


if __name__ == "__main__":
    main()
