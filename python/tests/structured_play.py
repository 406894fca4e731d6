"""Plays programs of Structured Streaming: gives each its input step by step, and takes the tables that it prints.

The programs are written for PySpark. What PySpark prints is recorded by ``record/structured.py``; the tests run the same texts with the import lines
changed, and compare.
"""

import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).parent
PROGRAMS = HERE / "structured"
GOLDEN = HERE / "golden" / "structured"
LINE = "-" * 43
#: The arguments of a program behind the port, and what it gets, step by step: the next one when a table with rows was printed for the last one.
STEPS = {
    "network": ([], ["to be or not to be", "that is the question", "it's a tide"]),
    "windowed": (["3650", "1825"], ["to be or not", "to be"]),
    "sessions": (
        [],
        [
            "2026-01-01 00:00:00,ann\n2026-01-01 00:00:05,ann\n2026-01-01 00:00:20,bob\n2026-01-01 00:00:21,ann",
            "2026-01-01 00:01:00,cid\n2026-01-01 00:00:57,bob",
            "2026-01-01 00:02:00,dan",
        ],
    ),
    "devices": (
        [],
        [
            '{"device":"a","celsius":21.5,"n":3}\n{"device":"b","celsius":18.0,"n":30}\n{"device":"c","celsius":33.25,"n":12}',
            '{"device":"a","celsius":24,"n":4}\n{"device":"c","celsius":null,"n":1}\n{"device":"c","celsius":20.1,"n":99}',
        ],
    ),
    "batches": ([], ["tide\ngate\na word that is longer than twenty", "sea\nocean"]),
    "functions": ([], ["tide\ngate", "a\nthe sea and the tide"]),
    "kafka_words": ([], ["to be or not to be", "that is the question"]),
}
#: Programs that read a topic of the broker ``TIDEGATE_TEST_BOOTSTRAP``.
OF_KAFKA = {"kafka_words"}
#: Programs of which a step may come in several batches: the rows of all tables are compared.
SPREAD = {"sessions", "batches", "functions"}


class Topic:
    """A topic of its own, of one partition."""

    def __init__(self, name):
        import confluent_kafka
        from confluent_kafka import admin

        self.servers = os.environ["TIDEGATE_TEST_BOOTSTRAP"]
        self.name = f"{name}-{os.getpid()}-{time.time_ns()}"
        client = admin.AdminClient({"bootstrap.servers": self.servers})
        client.create_topics([admin.NewTopic(self.name, 1, 1)])[self.name].result(60)
        self._producer = confluent_kafka.Producer({"bootstrap.servers": self.servers})

    def write(self, text):
        self._producer.produce(self.name, text)
        assert self._producer.flush(60) == 0, "the record was not written"


class Played:
    """A program that runs."""

    def __init__(self, name, directory, python=sys.executable, package="tidegate.pyspark", env=None):
        text = (PROGRAMS / f"{name}.py").read_text().replace("from pyspark", f"from {package}")
        self.path = pathlib.Path(directory) / f"{name}.py"
        self.path.write_text(text)
        self.server = socket.create_server(("127.0.0.1", 0))
        self.files = pathlib.Path(directory) / "files"
        self.files.mkdir(exist_ok=True)
        source = [str(self.files)] if name == "devices" else [str(self.server.getsockname()[1])]
        if name in OF_KAFKA:
            self.topic = Topic(name)
            source = [self.topic.servers, self.topic.name]
        environment = {**os.environ, "TIDEGATE_ADMIN_BIND": "off", "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8", "TZ": "UTC", **(env or {})}
        self.process = subprocess.Popen(
            [python, str(self.path), *source, *STEPS[name][0]], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        )
        self.out, self.err = [], []
        self.threads = [
            threading.Thread(target=lambda s=stream, t=to: [t.append(text) for text in s], daemon=True)
            for stream, to in ((self.process.stdout, self.out), (self.process.stderr, self.err))
        ]
        for thread in self.threads:
            thread.start()

    def connected(self):
        self.server.settimeout(400)
        try:
            self.client = self.server.accept()[0]
        except TimeoutError:
            raise AssertionError(f"{self.path.stem} did not connect\n{''.join(self.err)[-3000:]}") from None

    def tables(self):
        """The tables with rows, each as its lines."""
        blocks = re.split(r"\n\n", "".join(self.out))[: None if self.process.poll() is not None else -1]
        tables = [[line for line in block.splitlines() if line.startswith(("|", "+"))] for block in blocks]
        return [table for table in tables if len(table) > 4]

    def until(self, count, seconds=400):
        deadline = time.monotonic() + seconds
        while len(self.tables()) < count:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"{self.path.stem}: {self.tables()} after {seconds} s\n{''.join(self.err)[-3000:]}")
            time.sleep(0.05)

    def end(self):
        self.process.kill()
        self.process.wait()
        self.server.close()


def play(name, **options):
    """What a program prints: its tables with rows; where rows have no order, in the order of their texts."""
    with tempfile.TemporaryDirectory() as directory:
        played = Played(name, directory, **options)
        try:
            if name != "devices" and name not in OF_KAFKA:
                played.connected()
                time.sleep(0.5)
            for number, step in enumerate(STEPS[name][1]):
                seen = len(played.tables())
                if name == "devices":
                    hidden = played.files / f".{number}"
                    hidden.write_text(step + "\n")
                    hidden.rename(played.files / f"{number}.json")
                elif name in OF_KAFKA:
                    played.topic.write(step)
                else:
                    played.client.sendall(step.encode() + b"\n")
                if name == "sessions" and number == 0:
                    time.sleep(5)  # nothing is shown yet, and the watermark must have passed
                    continue
                played.until(seen + 1)
            if name in SPREAD:
                time.sleep(3)
            return said(name, played.tables())
        finally:
            played.end()


def said(name, tables):
    if name in SPREAD:
        rows = sorted(line for table in tables for line in table[3:-1])
        return "\n".join([re.sub(" +", " ", line) for line in [tables[0][1], *rows]]) + "\n"
    has_order = name in ("windowed", "devices")
    return "".join("\n".join(table[:3] + (table[3:-1] if has_order else sorted(table[3:-1])) + table[-1:]) + "\n\n" for table in tables)
