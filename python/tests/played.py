"""Plays programs: gives each its input step by step, and takes what it prints, batch by batch.

The programs are written for PySpark. What PySpark prints is recorded by ``record/programs.py``; the tests run the same texts with the import lines
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
PROGRAMS = HERE / "programs"
GOLDEN = HERE / "golden" / "programs"
LINE = "-" * 43
PROBE = "probe"
#: What a program gets, step by step: the next one when the last one was printed. And how many batches with rows it prints in all.
STEPS = {
    "lecture": (["to be or not to be"], 4),
    "network": (["to be or not to be", "that is the question", "it's a tide"], 3),
    "stateful": (["to be or not to be", "tide gate tide", "be"], 3),
    "recoverable": (["a tide", "b b sea a"], 2),
    "joined": (["tide gate tide mud", "gate gate and sea"], 2),
    "queued": ([], 4),
    "inverse": ([], 9),
    "files": (["to be or not to be", "one line\nand another line"], 2),
    "windowed": (["to be or not to be"], 8),
    "models": (
        [
            "1,1,1.0,0.5\n2,0,-1.0,-2.0\n3,1,2.0,1.5",
            "4,0,-1.5,0.5\n5,1,0.5,-0.25\n6,0,-2.0,-2.0\n7,1,3.0,1.0",
            "8,1,1.0,0.5\n9,0,-1.0,-2.0",
            "10,0,0.5,0.5\n11,0,-1.5,-2.5\n12,1,2.5,0.0",
        ],
        4,
    ),
}


class Played:
    """A program that runs."""

    def __init__(self, name, directory, python=sys.executable, package="tidegate.pyspark", env=None, port=0):
        text = (PROGRAMS / f"{name}.py").read_text().replace("from pyspark", f"from {package}")
        self.path = pathlib.Path(directory) / f"{name}.py"
        self.path.write_text(text)
        self.server = socket.create_server(("127.0.0.1", port))
        self.port = self.server.getsockname()[1]
        self.files = pathlib.Path(directory) / "files"
        self.files.mkdir(exist_ok=True)
        arguments = [str(self.port), f"{directory}/checkpoint", f"{directory}/out.txt"] if name != "files" else [str(self.files)]
        environment = {**os.environ, "TIDEGATE_ADMIN_BIND": "off", "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8", **(env or {})}
        self.process = subprocess.Popen(
            [python, str(self.path), *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        )
        self.out, self.err = [], []
        for stream, to in ((self.process.stdout, self.out), (self.process.stderr, self.err)):
            threading.Thread(target=lambda s=stream, t=to: [t.append(text) for text in s], daemon=True).start()

    def connected(self):
        self.server.settimeout(200)
        try:
            self.client = self.server.accept()[0]
        except TimeoutError:
            raise AssertionError(f"{self.path.stem} did not connect\n{''.join(self.err)[-3000:]}") from None

    def batches(self):
        """The rows of each batch that has any, in the order of their texts."""
        text = "".join(self.out)
        blocks = re.split(rf"{LINE}\nTime: [^\n]*\n{LINE}\n", text)[1:]
        if not blocks:
            return [[row] for row in text.splitlines() if row and row != "Counts of a batch"]
        rows = [block.split("\n\n")[0].splitlines() for block in blocks if "\n\n" in block or block == "\n" or block.endswith("\n")]
        rows = [[row for row in of if PROBE not in row] for of in rows]
        return [sorted(of) for of in rows if of and of != [""]]

    def seeks_files(self):
        """Waits until it takes files: those that are there when it begins are skipped."""
        deadline, number = time.monotonic() + 200, 0
        while PROBE not in "".join(self.out):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"{self.path.stem} takes no files\n{''.join(self.err)[-3000:]}")
            self.new_file(f"probe-{number}", PROBE)
            number += 1
            time.sleep(2)

    def new_file(self, name, text):
        hidden = self.files / f".{name}"
        hidden.write_text(text + "\n")
        hidden.rename(self.files / f"{name}.txt")

    def until(self, count, seconds=200):
        deadline = time.monotonic() + seconds
        while len(self.batches()) < count:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"{self.path.stem}: {self.batches()} after {seconds} s\n{''.join(self.err)[-3000:]}")
            time.sleep(0.05)

    def end(self):
        self.process.kill()
        self.process.wait()
        self.server.close()


def play(name, seconds=200, **options):
    """What a program prints: the rows of each batch that has any."""
    steps, count = STEPS[name]
    with tempfile.TemporaryDirectory() as directory:
        played = Played(name, directory, **options)
        try:
            if name not in ("queued", "inverse", "files"):
                played.connected()
                time.sleep(0.5)
            elif name == "files":
                played.seeks_files()
            for number, step in enumerate(steps):
                if name == "stateful":
                    played.until(1)
                seen, last = len(played.batches()), played.batches()[-1:]
                if name == "files":
                    played.new_file(str(number), step)
                else:
                    played.client.sendall(step.encode() + b"\n")
                played.until(seen + 1, seconds)
                while name == "stateful" and played.batches()[-1:] == last:
                    played.until(len(played.batches()) + 1)
            played.until(count, seconds)
            return said(name, played.batches()[:count] if name != "stateful" else distinct(played.batches()))
        finally:
            played.end()


def distinct(batches):
    """Each state once."""
    return [batch for before, batch in zip([None] + batches, batches) if batch != before]


def said(name, batches):
    if name in ("windowed", "inverse"):  # several outputs, whose order among each other is open
        batches = sorted(batches)
    return "".join("".join(f"{row}\n" for row in rows) + "\n" for rows in batches)
