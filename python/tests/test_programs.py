"""Programs that were written for PySpark print here what PySpark printed, with their import lines changed."""

import concurrent.futures
import tempfile
import unittest

import played


class Programs(unittest.TestCase):
    def test_programs_print_what_pyspark_prints(self):
        with concurrent.futures.ThreadPoolExecutor(len(played.STEPS)) as threads:
            names = sorted(path.stem for path in played.GOLDEN.glob("*.txt"))
            running = {name: threads.submit(played.play, name) for name in names}
        self.assertTrue(running)
        for name, result in running.items():
            with self.subTest(program=name):
                recorded = (played.GOLDEN / f"{name}.txt").read_text().split("\n\n", 1)[1]
                self.assertEqual(result.result(), recorded)

    def test_a_program_that_is_killed_goes_on(self):
        with tempfile.TemporaryDirectory() as directory:
            counts, port = [], 0
            for line in ("tide", "tide gate", "tide"):
                program = played.Played("stateful", directory, port=port)
                port = program.port
                try:
                    program.connected()
                    before = program.batches()[-1:]
                    program.client.sendall(line.encode() + b"\n")
                    while program.batches()[-1:] in (before, []) or program.batches()[-1] in counts:
                        program.until(len(program.batches()) + 1)
                    counts.append(program.batches()[-1])
                finally:
                    program.end()  # by SIGKILL
            self.assertEqual(
                counts,
                [
                    ["('gate', 1)", "('tide', 11)"],
                    ["('gate', 2)", "('tide', 12)"],
                    ["('gate', 2)", "('tide', 13)"],
                ],
            )


if __name__ == "__main__":
    unittest.main()
