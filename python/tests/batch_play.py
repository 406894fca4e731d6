"""Runs programs over rows that have an end, and takes what they print.

The programs are written for PySpark. What PySpark prints is recorded by ``record/batch.py``; the tests run the same texts with the import lines
changed, and compare.
"""

import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent
PROGRAMS = HERE / "batch"
GOLDEN = HERE / "golden" / "batch"
NAMES = ["sales", "names", "dates", "json_texts"]


def play(name, package="tidegate.pyspark"):
    """What a program prints."""
    with tempfile.TemporaryDirectory() as directory:
        path = pathlib.Path(directory, f"{name}.py")
        path.write_text((PROGRAMS / f"{name}.py").read_text().replace("from pyspark", f"from {package}"))
        files = pathlib.Path(directory, "files")
        files.mkdir()
        environment = {**os.environ, "TIDEGATE_ADMIN_BIND": "off", "TIDEGATE_LOG_LEVEL": "error", "PYTHONIOENCODING": "utf-8", "TZ": "UTC", "PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
        done = subprocess.run([sys.executable, str(path), str(files)], capture_output=True, text=True, env=environment, timeout=400)
        if done.returncode:
            raise AssertionError(f"{name} ended with {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
        return done.stdout
