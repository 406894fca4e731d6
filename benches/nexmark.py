"""Nexmark: the queries of nexmark/queries/ by tidegate and by Flink SQL, over the same events, alone and through Kafka.

`alone`: the events are in a log in a directory (tidegate) or in files (Flink), and rows are dropped when they are computed. `kafka`: a topic in, a
topic out, exactly once, a commit every second. A run is a process that reads what is there and ends; its CPU is that of the process, as the
operating system counts it at its end.
"""
import json
import os
import shutil
import subprocess
import sys
import time

import machine
from machine import topics

HERE = os.path.dirname(os.path.abspath(__file__))
REPO = os.path.dirname(HERE)
QUERIES = HERE + "/nexmark/queries"
PARTITIONS, THREADS = 4, 2
PER_SECOND = 10_000  # of event time
ALL = [f"q{n}" for n in range(23)]
# What Flink SQL is measured with, and which of them have state.
FLINK = ["q0", "q1", "q2", "q4", "q5", "q7", "q8", "q11", "q18"]
STATELESS = {"q0", "q1", "q2"}
# Over event time that has passed: the end of a bounded input closes windows in Flink, and does not here.
CLOSING = {"q5", "q7", "q8", "q11", "q12"}


class Nexmark:
    """The measurements of one size."""

    def __init__(self, cache, target, events, run_quietly):
        self.cache, self.target, self.events = cache, target, events
        self.dir = f"{cache}/nexmark"
        self.run_quietly = run_quietly
        self.count = 0
        self.digests = {}
        shutil.rmtree(self.dir, ignore_errors=True)
        os.makedirs(self.dir)

    def build(self, with_flink):
        self.run_quietly(["cargo", "build", "--locked", "--release", "--bin", "tidegate"], "cargo")
        command = ["cargo", "build", "--locked", "--release", "--bench", "nexmark", "--message-format", "json"]
        built = subprocess.run(command, cwd=REPO, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        found = [m.get("executable") for m in map(json.loads, built.stdout.splitlines()) if m.get("target", {}).get("kind") == ["bench"]]
        if built.returncode or not found:
            sys.exit("bench: benches/nexmark does not build: " + " ".join(command))
        self.tool_path = found[-1]
        if with_flink:
            self.run_quietly(["mvn", "-q", "-B", "-f", HERE + "/peers/flink/pom.xml", "package", "-Dbench.out=" + machine.JAVA], "maven-flink")

    def tool(self, *arguments):
        return subprocess.run([self.tool_path, *map(str, arguments)], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True).stdout.splitlines()

    # ---- inputs ----

    def prepare(self, with_flink):
        """The same events in a topic of Kafka, in a log in a directory, and in files."""
        of_all = ["--events", self.events, "--per-second", PER_SECOND]
        which = [*of_all, "--partitions", PARTITIONS]
        self.topic = f"bench-nexmark-{self.events}"
        if int(topics(end=self.topic)) != self.events:
            print(f"preloading {self.topic} ...", file=sys.stderr)
            topics(delete=self.topic)
            self.tool("topic", "--bootstrap", machine.BOOTSTRAP, "--topic", self.topic, *which)
        print("writing events into a log and files ...", file=sys.stderr)
        self.tool("topic", "--bootstrap", f"embedded:{self.dir}/log", "--topic", self.topic, *which)
        if with_flink:
            # One for each reader: a reader that opens a second file is behind its own watermark there.
            self.tool("files", "--dir", f"{self.dir}/files", *of_all, "--partitions", THREADS)
        with open(f"{self.dir}/side_input.csv", "w") as side:
            side.writelines(f"{n},{n}\n" for n in range(10_000))

    # ---- runs ----

    def script(self, query, source, sink, upsert_sink, into):
        def text(name):
            with open(f"{QUERIES}/{name}.sql") as file:
                return file.read()

        of_query = text(query)
        sink = upsert_sink if "PRIMARY KEY" in of_query else sink
        whole = text("tables").replace("{source}", source) + "\n" + of_query.replace("{sink}", sink).replace("{side_input}", f"{self.dir}/side_input.csv")
        with open(into, "w") as file:
            file.write(whole)

    def measured(self, command, log, limit_s=600):
        """Runs a program to its end: seconds, CPU seconds, peak resident MB; None if it failed."""
        with open(log, "wb") as out:
            begin = time.time()
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
            machine.started.append(process)
            while True:
                pid, status, usage = os.wait4(process.pid, os.WNOHANG)
                if pid:
                    break
                if time.time() - begin > limit_s:
                    process.kill()
                time.sleep(0.005)
            took = time.time() - begin
            process.returncode = os.waitstatus_to_exitcode(status)
        return None if status else (took, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)

    def run(self, engine, query, way, backend=None):
        self.count += 1
        name = f"bench-run-{engine}-{query}-{way}-{os.getpid()}-{self.count}"
        state, script, log = f"{self.dir}/{name}", f"{self.dir}/{name}.sql", f"{self.cache}/logs/{name}.log"
        os.makedirs(state)
        out = name + "-out"
        if way == "kafka":
            topics(create=f"{out}:{PARTITIONS}")
        source, sink, upsert_sink = self.options(engine, way, out, name)
        self.script(query, source, sink, upsert_sink, script)
        if engine == "tidegate":
            bootstrap = machine.BOOTSTRAP if way == "kafka" else f"embedded:{self.dir}/log"
            command = [f"{self.target}/tidegate", "run", script, "--bootstrap", bootstrap, "--application-id", name, "--state-dir", state, "--available-now",
                       "--batch-interval-ms", "1000", "--threads", str(THREADS), "--state-partitions", str(PARTITIONS), "--starting-offsets", "earliest",
                       "--guarantee", "exactly-once", "--admin-bind", "off"]
        else:
            command = machine.java_command("flink", "peers.FlinkSql", "script=" + script, "state=" + state, "commit=1000", f"threads={THREADS}",
                                           f"backend={backend}", heap="2g")
            # Java 17 hides what Flink's serializers look at.
            opened = [f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in ("java.lang", "java.util", "java.time", "java.net")]
            command[1:1] = opened
        broker = machine.broker_cpu()
        seen = self.measured(command, log)
        result = dict(kind="nexmark", peer=engine, query=query, way=way, backend=backend, events=self.events)
        if seen is None:
            why = refusal(log)
            if engine == "flink" or not why:
                why = f"failed (log: {log})"
                print(f"bench: {engine} {query} {way}: {why}", file=sys.stderr)
            result["refused"] = why
        else:
            took, cpu, rss = seen
            result |= dict(overall=round(self.events / took), cpu_s_per_m=round(cpu / self.events * 1e6, 3), peak_rss_mb=round(rss))
            if way == "kafka":
                result["broker_cpu_s_per_m"] = round((machine.broker_cpu() - broker) / self.events * 1e6, 3)
                found = json.loads(self.tool("digest", "--bootstrap", machine.BOOTSTRAP, "--topic", out)[-1])
                result["rows"] = found["rows"]
                if query not in CLOSING:
                    # The rows of the first engine that ran are those of all others.
                    result["verified"] = self.digests.setdefault(query, found["digest"]) == found["digest"]
            elif engine == "tidegate":
                result["state"] = [json.loads(line) for line in self.tool("state", "--bootstrap", f"embedded:{self.dir}/log", "--application-id", name, "--script", script)]
        if way == "kafka":
            topics(delete=name + "*")
        shutil.rmtree(state, ignore_errors=True)
        return [result]

    def options(self, engine, way, out, name):
        quoted = lambda options: ", ".join(f"'{key}' = '{value}'" for key, value in options.items())
        blackhole = quoted({"connector": "blackhole"})
        if engine == "tidegate":
            source = {"connector": "kafka", "topic": self.topic, "format": "json"}
            to = {"connector": "kafka", "topic": out, "format": "json"}, {"connector": "upsert-kafka", "topic": out, "key.format": "json", "value.format": "json"}
        else:
            source = {"connector": "filesystem", "path": f"file://{self.dir}/files", "format": "json"}
            if way == "kafka":
                source = {"connector": "kafka", "topic": self.topic, "properties.bootstrap.servers": machine.BOOTSTRAP, "properties.group.id": name, "format": "json",
                          "scan.startup.mode": "earliest-offset", "scan.bounded.mode": "latest-offset",
                          # A partition at its end does not hold back the others for half a second each time.
                          "properties.fetch.max.wait.ms": "20", "properties.max.partition.fetch.bytes": "8388608"}
            shared = {"topic": out, "properties.bootstrap.servers": machine.BOOTSTRAP, "sink.delivery-guarantee": "exactly-once",
                      "sink.transactional-id-prefix": name, "properties.transaction.timeout.ms": "600000"}
            to = {"connector": "kafka", "format": "json", **shared}, {"connector": "upsert-kafka", "key.format": "json", "value.format": "json", **shared}
        sink, upsert_sink = (quoted(options) if way == "kafka" else blackhole for options in to)
        return quoted(source), sink, upsert_sink

    def measurements(self, queries, peers):
        for query in queries:
            for way in ("alone", "kafka"):
                if "tidegate" in peers:
                    yield lambda query=query, way=way: self.run("tidegate", query, way)
                if "flink" in peers and query in FLINK:
                    for backend in ["hashmap"] + (["rocksdb"] if query not in STATELESS else []):
                        yield lambda query=query, way=way, backend=backend: self.run("flink", query, way, backend)


def refusal(log):
    """The first line of what tidegate says of a script that it refuses."""
    with open(log, errors="replace") as file:
        return next((line.strip() for line in file if ".sql:" in line), None)


# ---- tables -----------------------------------------------------------------------------------------------------

COLUMNS = [("tidegate", None), ("flink", "hashmap"), ("flink", "rocksdb")]


def tables(results, median):
    """Markdown: CPU and events per second of each query and engine, and what is kept."""
    for way, title in (("alone", "the engine alone"), ("kafka", "through Kafka")):
        print(f"\nNexmark, {title}: CPU seconds per million events (thousands of events per second)\n")
        print("| query | tidegate | Flink SQL, heap state | Flink SQL, RocksDB | Flink / tidegate | same rows |\n|---|---|---|---|---|---|")
        for query in ALL:
            of_query = [r for r in results if (r["query"], r["way"]) == (query, way)]
            if not of_query:
                continue
            if why := next((r["refused"] for r in of_query if r["peer"] == "tidegate" and "refused" in r), None):
                print(f"| {query} | refused: {why.split(': ', 1)[-1]} | | | | |")
                continue
            cells, cpu = [], []
            for peer, backend in COLUMNS:
                runs = [r for r in of_query if (r["peer"], r["backend"]) == (peer, backend) and "overall" in r]
                cpu.append(median([r["cpu_s_per_m"] for r in runs]) if runs else None)
                cells.append(f"{cpu[-1]:.2f} ({median([r['overall'] for r in runs]) / 1000:,.0f})" if runs else "")
            ratios = " / ".join(f"{other / cpu[0]:.1f}" for other in cpu[1:] if other and cpu[0])
            checked = [r["verified"] for r in of_query if "verified" in r]
            compared = len({(r["peer"], r["backend"]) for r in of_query if "verified" in r}) > 1
            same = ("yes" if all(checked) else "NO") if compared else ""
            print(f"| {query} | {' | '.join(cells)} | {ratios} | {same} |")
    print("\nNexmark, what is kept: rows and bytes (of keys and values) of each state at the end\n")
    print("| query | state | rows | bytes | bytes per row | events |\n|---|---|---|---|---|---|")
    for query in ALL:
        run = next((r for r in results if r["query"] == query and r.get("state")), None)
        for kept in sorted(run["state"], key=lambda kept: kept["store"]) if run else []:
            print(f"| {query} | {kept['store']} | {kept['rows']:,} | {kept['bytes']:,} | {kept['bytes'] / max(1, kept['rows']):.0f} | {run['events']:,} |")
