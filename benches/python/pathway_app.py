"""The programs in Pathway, with two threads: its own JSON for w1, a function of Python where lines are split. At least once. It writes its own form, with the
time and the sign of each change, so its output is not compared."""

import os

os.environ.setdefault("PATHWAY_THREADS", "2")

import pathway as pw
from work import counts_of, options

o = options()
kafka = {"bootstrap.servers": o["bootstrap"], "group.id": o["id"], "auto.offset.reset": "earliest", "session.timeout.ms": "6000"}
commit = {"autocommit_duration_ms": int(o["commit"])}
if o["app"] == "w1":

    class Event(pw.Schema):
        # A column cannot be called `id`.
        number: int
        user: str
        price: float
        ts: int

    events = pw.io.kafka.read(kafka, topic=o["in"], format="json", schema=Event, json_field_paths={"number": "/id"}, **commit)
    rows = events.filter(pw.this.price > 50.0)
else:
    lines = pw.io.kafka.read(kafka, topic=o["in"], format="plaintext", **commit)
    if o["app"] == "w0":
        rows = lines.select(counts=pw.apply_with_type(counts_of, str, pw.this.data))
    else:
        words = lines.select(word=pw.apply_with_type(lambda line: tuple(line.split(" ")), tuple[str, ...], pw.this.data)).flatten(pw.this.word)
        rows = words.groupby(pw.this.word).reduce(pw.this.word, n=pw.reducers.count())
pw.io.kafka.write(rows, kafka, topic_name=o["out"], format="json")
pw.run(monitoring_level=pw.MonitoringLevel.NONE)
