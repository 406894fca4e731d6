"""Programs on a real Kafka, killed under load: what they count is exact.

``TIDEGATE_TEST_BOOTSTRAP`` names the broker; without it these tests are skipped. ``TIDEGATE_TEST_SEED`` repeats a run.
"""

import collections
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import zlib

import structured_play

try:
    import confluent_kafka
    from confluent_kafka import admin
except ImportError:
    confluent_kafka = None

BOOTSTRAP = os.environ.get("TIDEGATE_TEST_BOOTSTRAP")
PROGRAM = pathlib.Path(__file__).parent / "programs" / "kafka_state.py"
PARTITIONS, KEYS = 4, 300
KILLS = 8
SECONDS = 90
COORDINATOR_MOVES = {"NOT_COORDINATOR", "COORDINATOR_NOT_AVAILABLE", "COORDINATOR_LOAD_IN_PROGRESS"}


class Load:
    """Writes numbered values of random keys until it is told to end, and keeps what each key should have."""

    def __init__(self, topic, seed, per_second=1500):
        self.expected = {}
        self.values = set()
        self._topic, self._random, self._rate = topic, random.Random(seed), per_second
        self._is_ending = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        producer = confluent_kafka.Producer({"bootstrap.servers": BOOTSTRAP, "enable.idempotence": True, "linger.ms": 5})
        number = 0
        while not self._is_ending.wait(0.02):
            for _ in range(self._rate // 50):
                key, value, number = f"key {self._random.randrange(KEYS)}", str(number), number + 1
                producer.produce(self._topic, value, key)
                count, checksum = self.expected.get(key, (0, 0))
                self.expected[key] = count + 1, zlib.crc32(value.encode(), checksum)
                self.values.add(value)
            producer.poll(0)
        self.left = producer.flush(60)

    def end(self):
        self._is_ending.set()
        self._thread.join()
        assert self.left == 0, f"{self.left} records were not written"


class Process:
    """A process of the program."""

    def __init__(self, name, state_dir):
        self.state_dir = pathlib.Path(state_dir)
        self.state_dir.mkdir(exist_ok=True)
        script = self.state_dir.parent / "program.py"
        if not script.exists():  # others may be reading it
            script.write_text(PROGRAM.read_text().replace("from pyspark", "from tidegate.pyspark"))
        self.log = self.state_dir.parent / f"{self.state_dir.name}.log"
        self.began = self.log.stat().st_size if self.log.exists() else 0
        environment = {**os.environ, "TIDEGATE_ADMIN_BIND": "off", "TIDEGATE_LOG_LEVEL": os.environ.get("TIDEGATE_LOG_LEVEL", "warn")}
        with open(self.log, "ab") as log:
            command = [sys.executable, "-B", str(script), BOOTSTRAP, name, str(self.state_dir)]
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)

    def said(self, what):
        """How often it has said something."""
        with open(self.log) as log:
            log.seek(self.began)
            return log.read().count(what)

    def must_run(self):
        if self.process.poll() is not None:
            raise AssertionError(f"a process has ended with {self.process.returncode}\n{self.log.read_text()[-4000:]}")

    def end(self, how):
        """Sends a signal to the process, which must run, and takes its end."""
        self.must_run()
        self.process.send_signal(how)
        code = self.process.wait(60)
        wanted = -signal.SIGKILL if how == signal.SIGKILL else 0
        if code != wanted:
            raise AssertionError(f"{how.name} ended the process with {code} and not {wanted}\n{self.log.read_text()[-4000:]}")


class World:
    """Topics of a program with load, and the processes that run."""

    def __init__(self, case):
        self.seed = int(os.environ.get("TIDEGATE_TEST_SEED") or random.randrange(10**6))
        self.random = random.Random(self.seed)
        self.name = f"py-{case}-{os.getpid()}-{self.seed}"
        print(f"{case}: TIDEGATE_TEST_SEED={self.seed}", file=sys.stderr)
        client = admin.AdminClient({"bootstrap.servers": BOOTSTRAP})
        topics = [admin.NewTopic(f"{self.name}-{what}", PARTITIONS, 1) for what in ("in", "states", "seen")]
        for made in client.create_topics(topics).values():
            made.result()
        self.scratch = tempfile.TemporaryDirectory()
        self.running = {}
        self.fired = collections.Counter()
        self.used = set()
        self.load = Load(f"{self.name}-in", self.seed)
        group = {"bootstrap.servers": BOOTSTRAP, "group.id": self.name, "enable.auto.commit": False}
        self.group = confluent_kafka.Consumer(group)
        self.moved_at = 0
        self.states = {}
        self.reader = self.consumer("states")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.running.values():
            process.process.kill()
            process.process.wait()
        self.group.close()
        self.reader.close()
        self.scratch.cleanup()

    def start(self, place):
        self.running[place] = Process(self.name, f"{self.scratch.name}/{place}")
        self.fired["start"] += 1
        self.used.add(place)

    def end(self, place, how, in_transaction=False):
        """Ends a process that has completed a batch, after a random time, or while its transaction is open."""
        process = self.running[place]
        self.until(f"{place} works", lambda: process.said("a batch is complete"))
        time.sleep(self.random.uniform(0, 1.5))
        if in_transaction:
            before = process.said("writes elsewhere")
            self.until(f"{place} writes", lambda: process.said("writes elsewhere") > before)
            time.sleep(self.random.uniform(0, 0.05))
        self.running.pop(place).end(how)
        self.fired[how.name] += 1
        self.moved_at = self.committed()

    def committed(self):
        """Records of the input that the group has committed."""
        partitions = [confluent_kafka.TopicPartition(f"{self.name}-in", p) for p in range(PARTITIONS)]
        deadline = time.monotonic() + SECONDS
        while True:
            try:
                return sum(max(of.offset, 0) for of in self.group.committed(partitions, timeout=30))
            except confluent_kafka.KafkaException as e:
                # The coordinator may be loading, or have moved.
                if e.args[0].name() not in COORDINATOR_MOVES or time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def until(self, what, condition):
        deadline = time.monotonic() + SECONDS
        while not condition():
            for process in self.running.values():
                process.must_run()
            if time.monotonic() > deadline:
                if self.states != self.load.expected:
                    wrong = [key for key in self.load.expected if self.states.get(key) != self.load.expected[key]][:5]
                    what += "; " + ", ".join(f"{key}: {self.states.get(key)}, not {self.load.expected[key]}" for key in wrong)
                logs = "".join(process.log.read_text()[-2000:] for process in self.running.values())
                raise AssertionError(f"{what}: not within {SECONDS} s; {self.committed()} of {len(self.load.values)} committed\n{logs}")
            time.sleep(0.01)

    def moves_on(self):
        """Waits until the group has committed more than at the last fault, so that the next one meets work."""
        self.until("the group commits", lambda: self.committed() > self.moved_at)

    def finish(self):
        """Lets the group come to the end of its input, and each process end."""
        self.load.end()
        self.until("all is committed", lambda: self.committed() >= len(self.load.values))
        # What one process has read, another one may have to count.
        self.until("all is counted", self.has_counted)
        for place in list(self.running):
            self.end(place, signal.SIGTERM)

    def consumer(self, what):
        settings = {"bootstrap.servers": BOOTSTRAP, "group.id": f"{self.name}-reader", "isolation.level": "read_committed"}
        consumer = confluent_kafka.Consumer({**settings, "enable.partition.eof": True, "auto.offset.reset": "earliest"})
        consumer.assign([confluent_kafka.TopicPartition(f"{self.name}-{what}", p, 0) for p in range(PARTITIONS)])
        return consumer

    def has_counted(self):
        """Whether the states are those that there should be; no count may ever fall."""
        for message in self.reader.consume(10_000, 0.2):
            if message.error() is None:
                key, (count, checksum) = message.key().decode(), map(int, message.value().split(b" "))
                assert count >= self.states.get(key, (0, 0))[0], f"the count of {key} falls to {count}, seed {self.seed}"
                self.states[key] = count, checksum
        return self.states == self.load.expected

    def read(self, what):
        """All records of a topic that nobody writes to any more."""
        consumer, left, records = self.consumer(what), set(range(PARTITIONS)), []
        deadline = time.monotonic() + SECONDS
        while left and time.monotonic() < deadline:
            for message in consumer.consume(10_000, 0.5):
                if message.error() is None:
                    records.append((message.key().decode(), message.value().decode()))
                elif message.error().code() == confluent_kafka.KafkaError._PARTITION_EOF:
                    left.discard(message.partition())
                else:
                    raise AssertionError(str(message.error()))
        consumer.close()
        assert not left, f"partitions {left} were not read to their ends"
        return records


@unittest.skipUnless(BOOTSTRAP and confluent_kafka, "needs a broker (TIDEGATE_TEST_BOOTSTRAP) and confluent-kafka")
class Kafka(unittest.TestCase):
    def judge(self, world):
        """Compares with the oracle: each record was seen once, and each state is that of all values in their order."""
        seen = [value.split(" ") for _, value in world.read("seen")]
        numbers = collections.Counter(number for number, _ in seen)
        self.assertEqual(numbers, collections.Counter(world.load.values), f"seed {world.seed}")
        self.assertTrue(world.has_counted(), f"seed {world.seed}")  # also after the end
        elsewhere = (pathlib.Path(world.scratch.name) / "elsewhere.txt").read_text().split()
        self.assertEqual(set(elsewhere), world.load.values, f"seed {world.seed}")
        repeated, pids = len(elsewhere) - len(seen), {pid for _, pid in seen}
        facts = f"{len(seen)} records of {len(world.states)} keys, {len(pids)} processes, {repeated} records of batches that a kill ended before the commit"
        print(f"{world.name}: {facts}; {dict(world.fired)}", file=sys.stderr)
        return pids, repeated

    def test_structured_programs_print_what_pyspark_printed(self):
        for name in structured_play.OF_KAFKA:
            golden = (structured_play.GOLDEN / f"{name}.txt").read_text().split("\n\n", 1)[1]
            self.assertEqual(structured_play.play(name), golden)

    def test_a_process_that_is_killed_again_and_again_counts_exactly(self):
        with World("killed") as world:
            world.start("one")
            for kill in range(KILLS):
                world.moves_on()
                world.end("one", signal.SIGKILL, in_transaction=kill % 2 == 1)
                world.start("one")
            world.moves_on()
            world.finish()
            pids, repeated = self.judge(world)
        self.assertEqual(world.fired[signal.SIGKILL.name], KILLS)
        self.assertGreaterEqual(len(pids), KILLS + 1)
        self.assertGreater(repeated, 0)

    def test_two_processes_share_the_work_while_one_is_killed(self):
        self.shared("two", ["one", "two"], 8)

    def test_three_processes_start_stop_and_are_killed(self):
        self.shared("three", ["one", "two", "three"], 12)

    def shared(self, case, places, faults):
        with World(case) as world:
            for place in places:
                world.start(place)
            for number in range(faults):
                world.moves_on()
                absent = [place for place in places if place not in world.running]
                if absent and (len(world.running) == 1 or world.random.random() < 0.5):
                    world.start(world.random.choice(absent))
                else:
                    how = signal.SIGKILL if number % 2 == 0 else signal.SIGTERM
                    world.end(world.random.choice(sorted(world.running)), how)
                if not world.running:
                    world.start(places[0])
            for place in places:
                if place not in world.running:
                    world.start(place)
            world.moves_on()
            world.finish()
            pids, _ = self.judge(world)
        self.assertGreaterEqual(world.fired[signal.SIGKILL.name], 2)
        self.assertGreaterEqual(len(pids), len(places))


if __name__ == "__main__":
    unittest.main()
