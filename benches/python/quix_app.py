"""The programs in Quix Streams, as two processes: exactly once, with state in RocksDB."""

import os
import signal
import subprocess
import sys

if "QUIX_PART" not in os.environ:
    # This file again, as two members of a group.
    processes = [subprocess.Popen([sys.executable, *sys.argv], env={**os.environ, "QUIX_PART": str(number)}) for number in range(2)]
    signal.signal(signal.SIGTERM, lambda *_: [process.terminate() for process in processes])
    sys.exit(max(process.wait() for process in processes))

from quixstreams import Application
from work import counts_of, options

o = options()
app = Application(
    broker_address=o["bootstrap"],
    consumer_group=o["id"],
    auto_offset_reset="earliest",
    state_dir=f"{o['state']}/{os.environ['QUIX_PART']}",
    commit_interval=int(o["commit"]) / 1000,
    loglevel="WARNING",
    processing_guarantee="exactly-once",
)
kind = "json" if o["app"] == "w1" else "str"
rows = app.dataframe(app.topic(o["in"], value_deserializer=kind, key_deserializer="bytes"))
result = app.topic(o["out"], value_serializer=kind, key_serializer="str" if o["app"] == "w2" else "bytes")
if o["app"] == "w0":
    rows = rows.apply(counts_of)
elif o["app"] == "w1":
    rows = rows.filter(lambda event: event["price"] > 50.0)
    rows = rows.apply(lambda event: {name: event[name] for name in ("id", "user", "price", "ts")})
else:

    def count(_, state):
        total = state.get("n", 0) + 1
        state.set("n", total)
        return str(total)

    words = rows.apply(lambda line: line.split(" "), expand=True)
    of_word = dict(key_serializer="str", key_deserializer="str", value_serializer="str", value_deserializer="str")
    rows = words.group_by(lambda word: word, name="word", **of_word).apply(count, stateful=True)
rows.to_topic(result)
app.run()
