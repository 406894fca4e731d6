"""The programs in Bytewax, as two processes. At least once, and without snapshots: there is no sink with transactions."""

import os
import signal
import socket
import subprocess
import sys

if "BYTEWAX_WORK" not in os.environ:
    # This file again, as a cluster of two.
    listening = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    addresses = ";".join(f"127.0.0.1:{server.getsockname()[1]}" for server in listening)
    for server in listening:
        server.close()
    here, environment = os.path.dirname(os.path.abspath(__file__)), {**os.environ, "BYTEWAX_WORK": "\n".join(sys.argv[1:])}
    command = [sys.executable, "-m", "bytewax.run", "bytewax_app:flow", "-a", addresses, "-i"]
    processes = [subprocess.Popen([*command, str(number)], cwd=here, env=environment) for number in range(2)]
    signal.signal(signal.SIGTERM, lambda *_: [process.terminate() for process in processes])
    sys.exit(max(process.wait() for process in processes))

import bytewax.operators as op
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource
from bytewax.dataflow import Dataflow
from work import counts_of, slim

o = dict(option.split("=", 1) for option in os.environ["BYTEWAX_WORK"].split("\n"))
flow = Dataflow("bench")
source = KafkaSource([o["bootstrap"]], [o["in"]], batch_size=2000, add_config={"isolation.level": "read_committed"})
rows = op.input("input", flow, source)
if o["app"] == "w0":
    rows = op.map("count", rows, lambda message: KafkaSinkMessage(None, counts_of(message.value.decode()).encode()))
elif o["app"] == "w1":

    def of_event(message):
        found = slim(message.value)
        return None if found is None else KafkaSinkMessage(found[0].encode(), found[1].encode())

    rows = op.filter_map("slim", rows, of_event)
else:
    words = op.flat_map("split", rows, lambda message: [(word, None) for word in message.value.decode().split(" ")])
    counts = op.stateful_map("count", words, lambda count, _: ((count or 0) + 1, (count or 0) + 1))
    rows = op.map("row", counts, lambda pair: KafkaSinkMessage(pair[0].encode(), str(pair[1]).encode()))
op.output("output", rows, KafkaSink([o["bootstrap"]], o["out"]))
