"""What a function raises is told: with the line of the program, as a bad record where there is a record, and never by a hang."""

import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import unittest

from worlds import World, batches_of, written

import tidegate


def inverse(text):
    return 1 / int(text)


class Errors(unittest.TestCase):
    def failure(self, build, rows):
        with self.assertRaises(tidegate.StreamingError) as caught:
            batches_of(build, [rows])
        return str(caught.exception)

    def test_what_a_function_raises_ends_the_program_with_its_traceback(self):
        line = inverse.__code__.co_firstlineno + 1
        for build in (
            lambda s: s.map(inverse),
            lambda s: s.flatMap(lambda x: [inverse(x)]),
            lambda s: s.filter(inverse),
            lambda s: s.map(lambda x: (x, x)).mapValues(inverse),
            lambda s: s.map(lambda x: (1, x)).reduceByKey(lambda a, b: inverse(b)),
            lambda s: s.map(lambda x: (1, x)).updateStateByKey(lambda new, _: [inverse(x) for x in new]),
            lambda s: s.mapPartitions(lambda rows: map(inverse, rows)),
            lambda s: s.transform(lambda rdd: rdd.map(inverse)),
        ):
            told = self.failure(build, ["1", "0", "0"])
            self.assertIn("ZeroDivisionError: division by zero", told)
            self.assertIn(f'{os.path.basename(__file__)}", line {line}, in inverse', told)
            self.assertNotIn("panicked", told)

    def test_an_output_that_raises_ends_the_program(self):
        with World() as world:
            world.ssc.queueStream([[1]]).foreachRDD(lambda rdd: rdd.map(inverse).foreach(lambda x: 1 / 0))
            world.ssc.start()
            with self.assertRaises(tidegate.StreamingError) as caught:
                world.ssc.awaitTermination()
        self.assertIn("ZeroDivisionError", str(caught.exception))
        self.assertIn("foreachRDD", str(caught.exception))

    def test_a_topic_that_is_not_there_is_told_as_such(self):
        with World() as world:
            world.ssc.kafkaStream("nowhere").pprint()
            world.ssc.start()
            with self.assertRaises(tidegate.TopicError) as caught:
                world.ssc.awaitTermination()
        self.assertIn("topic `nowhere`: does not exist", str(caught.exception))

    def test_rows_that_an_operation_cannot_take_are_told(self):
        told = self.failure(lambda s: s.reduceByKey(max), [1])
        self.assertIn("`reduceByKey` takes pairs of a key and a value, and this row is none: 1", told)
        told = self.failure(lambda s: s.reduceByKey(max), [(["a"], 1)])
        self.assertIn("unhashable: list in ['a']", told)
        told = self.failure(lambda s: s.map(lambda x: open), [1])
        self.assertIn("a row cannot hold an object of type builtin_function_or_method", told)
        told = self.failure(lambda s: s.flatMap(lambda x: x), [1])
        self.assertIn("'int' object is not iterable", told)

    def test_a_function_with_a_socket_is_told_and_does_not_hang(self):
        import socket

        with socket.socket() as closed:
            closed.close()
            told = self.failure(lambda s: s.map(lambda x: closed.send(b"x")), [1])
        self.assertIn("OSError", told)
        with socket.socket() as unconnected:
            told = self.failure(lambda s: s.map(lambda x: unconnected), [1])
        self.assertIn("socket", told)

    def test_a_bad_record_is_told_with_its_place_and_the_policies_hold(self):
        with tempfile.TemporaryDirectory() as directory:
            log = f"embedded:{directory}/log"
            written(log, "numbers", [("k", "4"), ("k", "0"), ("k", "2")])

            def run(name, policy):
                got = []
                with World(name, bootstrap=log) as world:
                    numbers = world.ssc.kafkaStream("numbers", onBadRecord=policy, startingOffsets="earliest")
                    numbers.map(inverse).foreachRDD(lambda rdd: got.extend(rdd.collect()))
                    world.ssc.start()
                    deadline = time.time() + 20
                    while len(got) < 2 and time.time() < deadline:
                        if world.ssc.awaitTerminationOrTimeout(0.02):
                            break
                return got

            with self.assertRaises(tidegate.BadRecordError) as caught:
                run("failing", "fail")
            bad = caught.exception
            self.assertEqual((bad.topic, bad.offset), ("numbers", 1))
            self.assertIsInstance(bad.partition, int)
            self.assertIn("ZeroDivisionError: division by zero", bad.reason)
            self.assertIn("in inverse", bad.reason)
            self.assertIn("bad record in numbers-", str(bad))
            self.assertEqual(run("skipping", "skip"), [0.25, 0.5])
            self.assertEqual(run("lettering", "dead-letter"), [0.25, 0.5])
            letters = []
            with World("letters", bootstrap=log) as world:
                world.ssc.kafkaStream("lettering-dlq", part="record", startingOffsets="earliest").foreachRDD(lambda rdd: letters.extend(rdd.collect()))
                world.ssc.start()
                deadline = time.time() + 20
                while not letters and time.time() < deadline:
                    world.ssc.awaitTerminationOrTimeout(0.02)
            (letter,) = letters
            self.assertEqual((letter.key, letter.value), ("k", "0"))
            headers = dict(letter.headers)
            self.assertIn(b"ZeroDivisionError", headers["__tidegate.errors.message"])
            self.assertEqual(headers["__tidegate.errors.offset"], b"1")


PROGRAM = """
import sys, threading, time
from tidegate.pyspark import SparkConf, SparkContext
from tidegate.pyspark.streaming import StreamingContext
ssc = StreamingContext(SparkContext(conf=SparkConf().setAppName("p").set("tidegate.admin-bind", "off")), 0.05)
began = threading.Event()
def work(rdd):
    print("working", flush=True)
    began.set()
    {work}
ssc.queueStream([[1]]).foreachRDD(work)
ssc.start()
{wait}
print("ended", flush=True)
"""


class Ends(unittest.TestCase):
    def program(self, wait="ssc.awaitTermination()", work="pass"):
        text = textwrap.dedent(PROGRAM).format(wait=wait, work=work)
        program = subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(program.kill)
        self.assertEqual(program.stdout.readline(), "working\n")
        return program

    def ended(self, program, within):
        began = time.monotonic()
        ending = threading.Timer(60, program.kill)
        ending.start()
        # `communicate` would lose what the first line was read with.
        out, err = program.stdout.read(), program.stderr.read()
        program.wait()
        ending.cancel()
        self.assertLess(time.monotonic() - began, within, err)
        return out, err

    def test_an_interrupt_ends_a_wait_at_once(self):
        program = self.program()
        program.send_signal(signal.SIGINT)
        out, err = self.ended(program, 15)
        self.assertIn("KeyboardInterrupt", err)
        self.assertNotIn("ended", out)
        self.assertNotIn("panicked", err)

    def test_a_request_to_end_ends_in_order(self):
        program = self.program()
        program.send_signal(signal.SIGTERM)
        out, err = self.ended(program, 15)
        self.assertIn("ended", out)
        self.assertEqual((program.returncode, err), (0, ""))

    def test_a_program_that_does_not_wait_ends(self):
        out, err = self.ended(self.program(wait="began.wait()"), 15)
        self.assertIn("ended", out)
        self.assertEqual(err, "")

    def test_two_interrupts_end_a_function_that_does_not_return(self):
        program = self.program(work="time.sleep(1000)")
        program.send_signal(signal.SIGINT)
        time.sleep(0.5)
        program.send_signal(signal.SIGINT)
        self.ended(program, 15)
        self.assertEqual(program.returncode, 130)

    def test_a_log_that_is_not_there_can_be_interrupted(self):
        text = """
            import sys
            from tidegate.pyspark import SparkConf, SparkContext
            from tidegate.pyspark.streaming import StreamingContext
            conf = SparkConf().setAppName("p").set("tidegate.admin-bind", "off").set("tidegate.bootstrap", "127.0.0.1:1")
            ssc = StreamingContext(SparkContext(conf=conf), 1)
            ssc.checkpoint(sys.argv[1])
            ssc.kafkaStream("t").pprint()
            print("starting", flush=True)
            ssc.start()
        """
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        program = subprocess.Popen([sys.executable, "-c", textwrap.dedent(text), directory.name], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(program.kill)
        self.assertEqual(program.stdout.readline(), "starting\n")
        time.sleep(0.3)
        program.send_signal(signal.SIGINT)
        _, err = self.ended(program, 15)
        self.assertTrue("KeyboardInterrupt" in err or program.returncode == 130, err)


if __name__ == "__main__":
    unittest.main()
