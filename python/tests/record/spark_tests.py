"""Runs PySpark's own tests of streaming against this package, with their import lines changed, and writes which pass into ``docs/python.md``.

They are not in PySpark's package: give the folder ``python`` of Spark's source release.

    python python/tests/record/spark_tests.py SPARK/python [NAME...]

With names, only those tests are run and nothing is written. Fails if a test fails for which there is no reason below, or one passes for which
there is.
"""

import pathlib
import re
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent
DOCS = HERE.parent.parent.parent / "docs" / "python.md"
FILES = {
    "test_context": "streaming/tests",
    "test_dstream": "streaming/tests",
    "test_listener": "streaming/tests",
    "test_streaming_algorithms": "mllib/tests",
}
BEGIN, END = "<!-- tests of pyspark -->\n", "<!-- end of tests of pyspark -->"
SECONDS = 150

#: Why a test does not pass.
JAVA = "all of it passes up to where the test reaches for the Java object behind the context"
QUEUE = "the rows of a batch of a queue are in one partition"
REASONS = {
    "StreamingContextTests.test_get_active": JAVA,
    "StreamingContextTests.test_get_active_or_create": JAVA,
    "BasicOperationTests.test_glom": QUEUE,
    "BasicOperationTests.test_mapPartitions": QUEUE,
    "BasicOperationTests.test_failed_func_with_resetting_failure": "a function that fails ends the program; PySpark loses the batch and goes on",
    "WindowFunctionTests.test_count_by_value_and_window": "the same rows in another order",
    "StreamingListenerTests.test_batch_info_reports": "records of queues are counted here, and outputs have a duration instead of start and end",
    "CheckpointTests.test_transform_function_serializer_failure": "functions are not pickled, so one may use the SparkContext",
    "CheckpointTests.test_get_or_create_and_get_active_or_create": "`getOrCreate` always calls its function",
}
#: Why a test passes at some times only.
SOMETIMES = {
    "WindowFunctionTests.test_reduce_by_key_and_window_with_none_invFunc": "window instants are multiples of the slide since the epoch: it passes if the program begins at one",
}


def changed(text):
    """The text with its import lines changed."""
    text = text.replace("from pyspark.testing.utils import search_jar", "search_jar = None")
    text = text.replace("from pyspark.testing.streamingutils", "from streamingutils")
    return text.replace("from pyspark", "from tidegate.pyspark")


def tests_in(path):
    """The tests of a file, as `Class.test`, but for those that PySpark leaves out itself."""
    owner, before = None, ""
    for line in path.read_text().splitlines():
        if found := re.match(r"class (\w+)", line):
            owner = found[1]
        elif (found := re.match(r"    def (test_\w+)", line)) and "@unittest.skip(" not in before:
            yield f"{owner}.{found[1]}"
        before = line


def run(folder, file, test):
    """Runs one test in a process of its own: what it says at its end, if it fails."""
    with tempfile.TemporaryDirectory() as scratch:
        environment = {"PATH": "/usr/bin:/bin", "TMPDIR": scratch, "TIDEGATE_ADMIN_BIND": "off", "PYTHONWARNINGS": "ignore"}
        command = [sys.executable, "-B", "-m", "unittest", f"{file}.{test}"]
        try:
            done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=SECONDS)
        except subprocess.TimeoutExpired:
            return f"no end within {SECONDS} s"
        return None if done.returncode == 0 else done.stdout + done.stderr


def main():
    python, names = pathlib.Path(sys.argv[1]) / "pyspark", sys.argv[2:]
    wrong, rows = [], []
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for path in [python / "testing" / "streamingutils.py", *(python / where / f"{file}.py" for file, where in FILES.items())]:
            (folder / path.name).write_text(changed(path.read_text()))
        for file in FILES:
            for test in tests_in(folder / f"{file}.py"):
                if names and not any(name in test for name in names):
                    continue
                failure, reason, depends = run(folder, file, test), REASONS.get(test), SOMETIMES.get(test)
                print(test, "passes" if failure is None else "fails", flush=True)
                if failure is not None and (names or (reason or depends) is None):
                    print(failure[-3000:], file=sys.stderr)
                if depends is None and (failure is None) != (reason is None):
                    wrong.append(test)
                state = f"at times: {depends}" if depends else "passes" if reason is None else f"no: {reason}"
                rows.append(f"| `{test}` | {state} |\n")
    if not names and not wrong:
        passed = len(rows) - len(REASONS) - len(SOMETIMES)
        text = f"{passed} of {len(rows)} pass, {len(SOMETIMES)} at times:\n\n| test | state |\n|---|---|\n" + "".join(rows)
        before, rest = DOCS.read_text().split(BEGIN)
        DOCS.write_text(before + BEGIN + text + END + rest.split(END)[1])
    print(f"{len(rows) - len(wrong)} as expected, {len(wrong)} not: {', '.join(wrong)}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
