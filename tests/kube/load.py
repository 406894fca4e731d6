"""A steady load on a word count, and a reader that knows what must come out.

Owns a producer of lines, a reader of committed counts, and the number of times that each word was written. Knows nothing of
Kubernetes. Invariant: a count that a reader sees never falls, never comes twice, and never exceeds what was written.
"""

import json
import threading
import time
from collections import Counter

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

PARTITIONS = 4


def create_topics(bootstrap, *names):
    """Those that are not there."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    there = topics(bootstrap)
    missing = [NewTopic(n, PARTITIONS, 1) for n in names if n not in there]
    for made in (admin.create_topics(missing) if missing else {}).values():
        made.result(30)


def topics(bootstrap):
    return set(AdminClient({"bootstrap.servers": bootstrap}).list_topics(timeout=30).topics)


def assigned(bootstrap, group):
    """Partitions of each member of the group, by instance id."""
    return {m.group_instance_id: len(m.assignment.topic_partitions) for m in members(bootstrap, group)}


def client_ids(bootstrap, group):
    return {m.client_id for m in members(bootstrap, group)}


def members(bootstrap, group):
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 3})  # a client that is not held ends its calls
    return admin.describe_consumer_groups([group])[group].result(30).members


def as_text(message):
    """Word and count, as the example writes them."""
    return message.key().decode(), int(message.value())


def as_json(message):
    """Word and count, as a table of SQL with these columns has them."""
    row = json.loads(message.value())
    assert json.loads(message.key()) == {"word": row["word"]}, (message.key(), message.value())
    return row["word"], row["n"]


class Load:
    def __init__(self, bootstrap, lines, counts, records_per_second, keys, decode=as_text):
        self.bootstrap, self.lines, self.counts, self.decode = bootstrap, lines, counts, decode
        self.pause_seconds, self.keys = 1 / records_per_second, keys
        self.written, self.seen, self.arrivals, self.wrong = Counter(), {}, [], []
        self.feeding, self.ended = threading.Event(), threading.Event()
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=t, daemon=True) for t in (self._feed, self._read)]
        for thread in self.threads:
            thread.start()

    def _feed(self):
        producer = Producer({"bootstrap.servers": self.bootstrap, "linger.ms": 5, "enable.idempotence": True})
        number, due = 0, time.monotonic()
        while not self.ended.is_set():
            if not self.feeding.is_set():
                producer.flush(30)
                time.sleep(0.02)
                due = time.monotonic()
                continue
            line = f"the quick brown fox {number % self.keys}"
            with self.lock:
                self.written.update(line.split(" "))
            producer.produce(self.lines, line)
            producer.poll(0)
            number += 1
            due += self.pause_seconds
            time.sleep(max(0, due - time.monotonic()))
        producer.flush(30)

    def _read(self):
        reader = Consumer({"bootstrap.servers": self.bootstrap, "group.id": "reader", "isolation.level": "read_committed",
                           "enable.auto.commit": False, "fetch.wait.max.ms": 50})
        reader.assign([TopicPartition(self.counts, p, 0) for p in range(PARTITIONS)])
        while not self.ended.is_set():
            for message in reader.consume(500, 0.1):
                if message.error():
                    continue
                word, count = self.decode(message)
                before = self.seen.get(word, 0)
                if count <= before:
                    self.wrong.append(f"{word}: {count} after {before}")
                with self.lock:
                    if count > self.written[word]:
                        self.wrong.append(f"{word}: {count}, but it was written {self.written[word]} times")
                self.seen[word] = count
                self.arrivals.append(time.monotonic())
        reader.close()

    def goes_on_while(self, happening):
        """Feeds, lets it happen, feeds for two seconds more, and demands exact counts. Returns what to print."""
        self.start()
        try:
            time.sleep(1)
            said = happening() or ""
            time.sleep(2)
        except BaseException:
            self.stop()
            raise
        stood = self.stood_still_seconds()
        records = self.exact()
        return f"{said}{', ' if said else ''}results stood still for {stood:.1f} s at most, {records} records exact"

    def burst(self, lines, new_words):
        """Writes so many lines at once, each with words that never were there before. Call `exact` afterwards."""
        producer = Producer({"bootstrap.servers": self.bootstrap, "linger.ms": 20, "enable.idempotence": True})
        for number in range(lines):
            line = " ".join(["the", *(f"new{number * new_words + n:x}" for n in range(new_words))])
            with self.lock:
                self.written.update(line.split(" "))
            while True:
                try:
                    producer.produce(self.lines, line)
                    break
                except BufferError:
                    producer.poll(0.1)
        producer.flush(60)

    def start(self):
        """Feeds, until `exact`; returns when results come."""
        before = len(self.arrivals)
        self.feeding.set()
        end = time.monotonic() + 60
        while len(self.arrivals) == before:
            assert time.monotonic() < end, "no results within 60 s"
            time.sleep(0.05)
        self.since = time.monotonic()

    def stop(self):
        """Ends the feeding."""
        self.feeding.clear()

    def expect_all_again(self):
        """The application begins anew: each count comes once more, from the first. Only while nothing is written."""
        self.seen = {}

    def stood_still_seconds(self):
        """The longest time without a result since `start`, up to now."""
        times = [self.since] + [t for t in list(self.arrivals) if t > self.since] + [time.monotonic()]
        return max(b - a for a, b in zip(times, times[1:]))

    def exact(self, seconds=120):
        """Ends the feeding, and waits until each word has the count that was written. Returns the number of records."""
        self.stop()
        end = time.monotonic() + seconds
        while True:
            assert not self.wrong, f"counts are wrong: {self.wrong[:5]}"
            with self.lock:
                if self.seen == self.written:
                    break
                behind = [(w, self.seen.get(w, 0), n) for w, n in self.written.items() if self.seen.get(w, 0) != n]
            assert time.monotonic() < end, f"counts do not come: (word, seen, written) {behind[:5]}, {len(behind)} in all"
            time.sleep(0.1)
        time.sleep(1)  # what comes too much comes now
        assert not self.wrong and self.seen == self.written, f"counts are wrong: {self.wrong[:5]}"
        return self.written["the"]

    def end(self):
        self.ended.set()
        for thread in self.threads:
            thread.join(30)
