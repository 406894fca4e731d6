"""A session at a prompt: programs are written, started, looked at, stopped and begun anew in one process."""

import subprocess
import sys
import tempfile
import threading
import time
import unittest

BEGIN = """
import time
from typing import NamedTuple
from tidegate.pyspark import SparkConf, SparkContext
from tidegate.pyspark.streaming import StreamingContext
sc = SparkContext(conf=SparkConf().setMaster("local[2]").setAppName("session").set("tidegate.admin-bind", "off"))
class Sale(NamedTuple):
    item: str
    price: int

def begin(rows, seen):
    ssc = StreamingContext(sc, 0.05)
    ssc.checkpoint(folder)
    totals = ssc.queueStream(rows).map(lambda sale: (sale.item, sale.price)).updateStateByKey(lambda new, old: sum(new) + (old or 0))
    totals.foreachRDD(lambda rdd: seen.append(rdd.collect()))
    return ssc

"""


class Session:
    """An interpreter that reads lines, as a person types them."""

    def __init__(self, command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1)
        self.said = []
        self.asked = 0
        threading.Thread(target=lambda: self.said.extend(self.process.stdout), daemon=True).start()

    def type(self, text):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def ask(self, question, wanted, seconds=60):
        """Asks for a value until it is the wanted one: the program goes on meanwhile."""
        deadline = time.monotonic() + seconds
        while True:
            self.asked += 1
            self.type(f"print('answer {self.asked}:', ({question}))")
            answer = self._answer(f"answer {self.asked}: ")
            if answer == wanted:
                return
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise AssertionError(f"{question} is {answer}, and not {wanted}\n{''.join(self.said)[-3000:]}")
            time.sleep(0.05)

    def _answer(self, mark):
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self.process.poll() is None:
            for line in list(self.said):
                if mark in line:
                    return line.partition(mark)[2].rstrip("\n")
            time.sleep(0.01)
        return None


class Sessions(unittest.TestCase):
    def test_a_session_starts_looks_stops_and_starts_anew(self):
        with tempfile.TemporaryDirectory() as folder:
            session = Session([sys.executable, "-i", "-q", "-B"])
            try:
                session.type(f"folder = {folder!r}" + BEGIN)
                session.type("first, ssc = [], None")
                session.type("ssc = begin([[Sale('tea', 2)], [Sale('tea', 3)]], first)")
                session.ask("StreamingContext.getActive()", "None")
                session.type("ssc.start()")
                session.ask("first[1:2]", "[[('tea', 5)]]")
                session.ask("StreamingContext.getActive() is ssc", "True")
                session.ask("'tidegate' in ssc.metrics() and 'update_state_by_key' in ssc.explain()", "True")
                session.ask("StreamingContext.getActiveOrCreate(folder, lambda: 1) is ssc", "True")
                # A mistake is told, and the program goes on.
                session.type("ssc.queueStream([])")
                session.ask("len(first) > 5", "True")
                self.assertIn("after starting a context is not supported", "".join(session.said))
                session.type("ssc.stop(stopSparkContext=False)")
                session.ask("StreamingContext.getActive()", "None")
                # The SparkContext serves the next program, which goes on with the state of the first.
                session.ask("sc.parallelize([1, 2]).count()", "2")
                session.type("second = []")
                session.type("again = begin([[Sale('tea', 10)]], second)")
                session.type("again.start()")
                session.ask("second[:1]", "[[('tea', 15)]]")
                session.ask("StreamingContext.getActive() is again", "True")
                session.type("again.stop()")
                # And so does another SparkContext.
                session.type("sc = SparkContext('local[2]', 'session')")
                session.type("other = []")
                session.type("third = StreamingContext.getActiveOrCreate(folder, lambda: begin([[Sale('tea', 1)]], other))")
                session.type("third.start()")
                session.ask("other[:1]", "[[('tea', 16)]]")
                # A function that fails ends its program, and not the session.
                session.type("third.stop(stopSparkContext=False)")
                session.type("ssc = StreamingContext(sc, 0.05)")
                session.type("ssc.queueStream([[1]]).map(lambda n: n / 0).pprint()")
                session.type("ssc.start()")
                session.type("ssc.awaitTermination()")
                session.ask("StreamingContext.getActive()", "None")
                self.assertIn("ZeroDivisionError", "".join(session.said))
                session.type("ssc = begin([[Sale('ale', 1)]], [])")
                session.type("ssc.start()")
                session.ask("StreamingContext.getActive() is ssc", "True")
                # The session ends while a program runs.
                session.process.stdin.close()
                self.assertEqual(session.process.wait(60), 0)
            finally:
                session.process.kill()
                session.process.wait()
                session.process.stdout.close()


if __name__ == "__main__":
    unittest.main()
