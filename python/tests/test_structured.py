"""Programs of Structured Streaming print what PySpark printed for the same input."""

import unittest

import structured_play


class Programs(unittest.TestCase):
    def compared(self, name):
        golden = (structured_play.GOLDEN / f"{name}.txt").read_text().split("\n\n", 1)[1]
        self.assertEqual(structured_play.play(name), golden)


for program in set(structured_play.STEPS) - structured_play.OF_KAFKA:  # those are in test_kafka.py
    setattr(Programs, f"test_{program}", lambda self, name=program: self.compared(name))


if __name__ == "__main__":
    unittest.main()
