"""Programs in Python: tidegate beside PySpark, Bytewax, Pathway and Quix Streams, on the same topics.

Each engine has an environment of its own, with the versions that stand here; tidegate's has the wheel. A run is over when its output has not grown for some
seconds; its end, and its CPU, are those of the last growth, because not every engine commits what it has read in the group.
"""
import glob
import json
import os
import shutil
import subprocess
import sys
import time

import machine
from machine import Watch, cpu_tree, stop, topics

HERE = os.path.dirname(os.path.abspath(__file__))
APPS = ["w0", "w1", "w2"]
PARTITIONS, WORDS_A_LINE, COMMIT_MS = 4, 10, 1000
# How long the output stands still at the end of a run, and how long it may take to begin.
QUIET_S, BEGIN_S = 8, 90
# What each engine's environment has. The programs are python/ENGINE_app.py.
PACKAGES = {
    "tidegate": [],
    "pyspark": ["pyspark==4.1.1"],
    "bytewax": ["bytewax==0.21.1", "confluent-kafka==2.16.1"],
    "pathway": ["pathway==0.33.0"],
    "quix": ["quixstreams==3.28.1"],
}
SPARK_JARS = [
    "org.apache.spark:spark-sql-kafka-0-10_2.13:4.1.1",
    "org.apache.spark:spark-token-provider-kafka-0-10_2.13:4.1.1",
    "org.apache.kafka:kafka-clients:4.1.0",
    "org.apache.commons:commons-pool2:2.12.1",
]
EXACTLY_ONCE = {"tidegate", "quix"}
# Pathway writes changes in its own form.
UNVERIFIED = {"pathway"}


class Python:
    """The measurements of one size. `preload` makes an input, and `verify` compares an output with what was to come out."""

    def __init__(self, cache, size, run_quietly, preload, verify):
        self.cache, self.size, self.run_quietly, self.preload, self.verify = cache, size, run_quietly, preload, verify
        self.count = 0

    # ---- environments ----

    def prepare(self, peers):
        for peer in peers:
            packages = self.wheel() if peer == "tidegate" else PACKAGES[peer]
            done, wanted = f"{self.venv(peer)}/packages", "\n".join(packages)
            if peer != "tidegate" and os.path.exists(done) and open(done).read() == wanted:
                continue
            print(f"installing {peer} ...", file=sys.stderr)
            shutil.rmtree(self.venv(peer), ignore_errors=True)
            self.run_quietly([sys.executable, "-m", "venv", self.venv(peer)], f"venv-{peer}")
            self.run_quietly([f"{self.venv(peer)}/bin/pip", "install", "--quiet", *packages], f"pip-{peer}")
            with open(done, "w") as file:
                file.write(wanted)
        jars = f"{self.cache}/spark-jars"
        if "pyspark" in peers and len(glob.glob(jars + "/*.jar")) < len(SPARK_JARS):
            for artifact in SPARK_JARS:
                copy = ["mvn", "-q", "-B", "dependency:copy", f"-Dartifact={artifact}", f"-DoutputDirectory={jars}"]
                self.run_quietly(copy, "maven-spark")

    def venv(self, peer):
        return f"{self.cache}/python-{peer}"

    def wheel(self):
        """That of TIDEGATE_PROGRAMS, if it is set; otherwise it is built."""
        folder = os.environ.get("TIDEGATE_PROGRAMS")
        if not folder:
            self.run_quietly([machine.DEV, "wheel"], "wheel")
            folder = os.environ["TIDEGATE_CACHE"] + "/wheels"
        found = glob.glob(folder + "/*.whl")
        return found[:1] or sys.exit(f"bench: {folder} has no wheel")

    # ---- runs ----

    def measurements(self, peers, apps):
        for app in [app for app in APPS if app in apps]:
            for peer in peers:
                yield lambda peer=peer, app=app: [self.run(peer, app)]

    def run(self, peer, app):
        n = self.size.python_events if app == "w1" else self.size.python_lines
        source = self.preload("events" if app == "w1" else "lines", n)
        self.count += 1
        name = f"bench-run-{peer}-python-{app}-{os.getpid()}-{self.count}"
        out, state = name + "-out", f"{self.cache}/state/{name}"
        os.makedirs(state)
        topics(create=f"{out}:{PARTITIONS}")
        units = n * (1 if app == "w1" else WORDS_A_LINE)
        result = dict(kind="python", peer=peer, app=app, units=units, guarantee="exactly once" if peer in EXACTLY_ONCE else "at least once")
        arguments = dict(app=app, out=out, id=name, state=state, commit=COMMIT_MS, bootstrap=machine.BOOTSTRAP) | {"in": source}
        command = [f"{self.venv(peer)}/bin/python", f"{HERE}/python/{peer}_app.py", *(f"{key}={value}" for key, value in arguments.items())]
        log = f"{self.cache}/logs/{name}.log"
        with Watch(out, source) as watch, open(log, "ab") as written:
            broker, begin = machine.broker_cpu(), time.time()
            process = machine.start(command, written, {"SPARK_JARS": f"{self.cache}/spark-jars"})
            last = self.follow(watch, process, begin, broker)
        stop(process)
        if not last["out"]:
            print(f"bench: {peer} {app}: {last['why']} (log: {log})", file=sys.stderr)
            result["refused"] = last["why"]
        else:
            result |= dict(overall=round(units / last["t"]), cpu_s_per_m=round(last["cpu"] / units * 1e6, 2),
                           broker_cpu_s_per_m=round(last["broker"] / units * 1e6, 2), peak_rss_mb=round(last["rss"]), out=last["out"])
            if peer not in UNVERIFIED:
                result["verified"] = self.verify(app, out, n)
        topics(delete=name + "*")
        shutil.rmtree(state, ignore_errors=True)
        return result

    def follow(self, watch, process, begin, broker):
        """The moment of the last growth of the output: seconds, CPU of the program and of the broker, peak memory of the program."""
        last = dict(out=0, t=0.0, why="nothing came out")
        for sample in watch:
            t = sample["ms"] / 1000 - begin
            rss = machine.rss_mb(process.pid)
            if sample["out"] > last["out"]:
                last = dict(out=sample["out"], t=t, cpu=cpu_tree(process.pid), broker=machine.broker_cpu() - broker, rss=rss)
            elif last["out"]:
                last["rss"] = max(last["rss"], rss)
            if process.poll() is not None:
                return last | dict(why=f"ended by itself with code {process.returncode}")
            if t - last["t"] > (QUIET_S if last["out"] else BEGIN_S):
                return last
        sys.exit("bench: the watcher ended (is the broker up?)")
