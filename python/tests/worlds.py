"""What the tests share: a program over a queue that runs to its end, and what it gave."""

import os
import tempfile
import time

from tidegate.pyspark import SparkConf, SparkContext
from tidegate.pyspark.streaming import StreamingContext, StreamingListener

INTERVAL = 0.05


class World:
    """A context with short batches, without a page."""

    def __init__(self, name="test", interval=INTERVAL, checkpoint=None, **settings):
        conf = SparkConf().setAppName(name).setMaster("local[2]").set("tidegate.admin-bind", "off")
        conf.set("tidegate.log-level", os.environ.get("TIDEGATE_LOG_LEVEL", "error"))
        for key, value in settings.items():
            conf.set("tidegate." + key.replace("_", "-"), value)
        self.sc = SparkContext(conf=conf)
        self.ssc = StreamingContext(self.sc, interval)
        log = settings.get("bootstrap", "")
        if log.startswith("embedded:") and not checkpoint:
            checkpoint = log[len("embedded:") :] + "-state"
        if checkpoint:
            self.ssc.checkpoint(checkpoint)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.ssc.stop()
        self.sc.stop()


def batches_of(build, *inputs, interval=INTERVAL, count=None, checkpoint=None):
    """The rows of each batch, from the first that has any on, of the stream that `build` makes of streams of these lists of batches."""
    got = []
    wanted = count or max(len(batches) for batches in inputs)
    with tempfile.TemporaryDirectory() as directory:
        with World(interval=interval, checkpoint=checkpoint or directory) as world:
            streams = [world.ssc.queueStream(batches) for batches in inputs]
            build(*streams).foreachRDD(lambda rdd: got.append(rdd.collect()))
            world.ssc.start()
            deadline = time.monotonic() + 30
            while len(got) < wanted and time.monotonic() < deadline:
                if world.ssc.awaitTerminationOrTimeout(0.01):
                    break
    return got[:wanted]


def written(log, topic, rows):
    """Writes rows to a topic, by a program of its own."""
    with World("writer", bootstrap=log) as world:
        world.ssc.queueStream([rows]).repartition(1).toKafka(topic)
        world.ssc.addStreamingListener(Written(rows))
        world.ssc.start()
        deadline = time.time() + 20
        while rows and time.time() < deadline:
            world.ssc.awaitTerminationOrTimeout(0.02)


class Written(StreamingListener):
    """Takes the rows away once they are committed."""

    def __init__(self, rows):
        self.rows = rows

    def onBatchCompleted(self, batchCompleted):
        if batchCompleted.batchInfo().numRecords():
            self.rows.clear()
