"""What the programs compute: the same functions for all engines that call Python for a record."""

import collections
import json
import sys


def options():
    """The arguments `name=value`: app, in, out, id, state, commit (milliseconds) and bootstrap."""
    return dict(argument.split("=", 1) for argument in sys.argv[1:])


def counts_of(line):
    """w0: how often each word of a line occurs in it, as JSON."""
    return json.dumps(collections.Counter(line.split(" ")), separators=(",", ":"))


def slim(value):
    """w1: the user and a smaller JSON of an event that costs more than 50; None = it is left out."""
    event = json.loads(value)
    if event["price"] <= 50.0:
        return None
    return event["user"], json.dumps({name: event[name] for name in ("id", "user", "price", "ts")}, separators=(",", ":"))
