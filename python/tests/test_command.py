"""The command of the package: programs in Python are run and checked, and everything else is what the command does without Python."""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

PROGRAM = """\
import sys
from tidegate.pyspark import SparkContext
from tidegate.pyspark.streaming import StreamingContext

ssc = StreamingContext(SparkContext(), 0.05)
ssc.queueStream([[word] for word in sys.argv[1:]]).pprint()
ssc.start()
ssc.awaitTerminationOrTimeout(1)
"""


class Command(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def said(self, *arguments, program=PROGRAM, name="pipeline.py", **environment):
        (self.folder / name).write_text(program)
        environment = {**os.environ, "TIDEGATE_ADMIN_BIND": "off", "TIDEGATE_STATE_DIR": str(self.folder / "state"), **environment}
        command = [sys.executable, "-m", "tidegate._command", *arguments]
        ended = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=60)
        return ended.returncode, ended.stdout, ended.stderr

    def check(self, program, **environment):
        code, said, told = self.said("check", "--script", "pipeline.py", "--application-id", "a", program=program, **environment)
        return code, said + told

    def test_a_program_runs_with_its_arguments(self):
        code, said, told = self.said("run", "pipeline.py", "tide", "gate")
        self.assertEqual(code, 0, told)
        self.assertIn("\ntide\n", said)
        self.assertIn("\ngate\n", said)

    def test_a_program_without_mistakes_is_checked_with_its_settings(self):
        code, said = self.check(PROGRAM)
        self.assertEqual(code, 0, said)
        self.assertIn("pipeline.py has no mistakes of syntax", said)
        self.assertIn("nothing is in the way", said)
        code, said = self.check(PROGRAM, TIDEGATE_THREADS="many")
        self.assertNotEqual(code, 0, said)
        self.assertIn("many", said)

    def test_it_is_not_run(self):
        code, said = self.check("raise SystemExit(7)\n")
        self.assertEqual(code, 0, said)

    def test_mistakes_have_line_and_next_step(self):
        for program, told in [
            ("x = 1\nprint('tide'\n", ['File "pipeline.py", line 2', "^", "'(' was never closed"]),
            ("return 5\n", ["line 1", "outside function"]),
            ("import os\nimport numpyy.linalg\n", ["pipeline.py:2: `import numpyy.linalg` fails", "No module named 'numpyy'", "pip install"]),
            ("def f():\n    from json import lods, loads\n", ["pipeline.py:2: `from json import lods, loads` fails", "cannot import name 'lods'"]),
            ("from pyspark import SparkContext\n", ["next: write `tidegate.pyspark` in place of `pyspark`"]),
            ("import tidegate.pyspark.steaming\n", ["pipeline.py:1", "next: correct the name; docs/python.md"]),
            ("from tidegate.pyspark import TaskContext\n", ["pipeline.py:1", "next: use `mapPartitionsWithIndex`"]),
            ("from . import other\n", ["pipeline.py:1", "no package"]),
            ("import broken\n", ["pipeline.py:1: `import broken` fails: ZeroDivisionError"]),
        ]:
            (self.folder / "broken.py").write_text("1 / 0\n")
            code, said = self.check(program)
            self.assertEqual(code, 3, said)
            for part in told:
                self.assertIn(part, said)

    def test_several_mistakes_are_told_at_once(self):
        code, said = self.check("import aa_missing\nif True:\n    import bb_missing\n")
        self.assertEqual((code, said.count("error: ")), (3, 2), said)

    def test_what_may_fail_is_left_out(self):
        program = "from typing import TYPE_CHECKING\ntry:\n    import aa_missing\nexcept ImportError:\n    aa_missing = None\nif TYPE_CHECKING:\n    import bb_missing\n"
        code, said = self.check(program)
        self.assertEqual(code, 0, said)

    def test_modules_beside_the_program_are_found(self):
        (self.folder / "beside.py").write_text("tide = 1\n")
        code, said = self.check("from beside import tide\nimport os.path\nfrom os import path\nfrom json import *\n")
        self.assertEqual(code, 0, said)

    def test_a_program_that_is_not_there_is_told(self):
        code, said, told = self.said("check", "--script=missing.py", "--application-id", "a")
        self.assertEqual(code, 3, told)
        self.assertIn("missing.py cannot be read", told)

    def test_json_stays_json(self):
        code, said, told = self.said("check", "--script", "pipeline.py", "--application-id", "a", "--output", "json")
        self.assertEqual((code, said[:1]), (0, "{"), said + told)

    def test_scripts_of_sql_run_as_before(self):
        code, said, told = self.said("run", "answers.sql", program="SHOW TABLES;", name="answers.sql")
        self.assertEqual(code, 0, told)
        code, said, told = self.said("check", "--script", "answers.sql", program="SELECT cuont(*) FROM t;", name="answers.sql")
        self.assertEqual(code, 3, told)


if __name__ == "__main__":
    unittest.main()
