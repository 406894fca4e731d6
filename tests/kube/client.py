"""Calls of kubectl and helm, and waiting. Knows no test."""

import json
import os
import subprocess
import time

PROJECT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CHART = os.path.join(PROJECT, "helm", "tidegate")


class Failed(Exception):
    """A command failed: the command and what it said."""


def call(*command, stdin=None, ok=True):
    """Standard output; with ok=False, a pair of the exit code and all output."""
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=400)
    if not ok:
        return done.returncode, done.stdout + done.stderr
    if done.returncode:
        raise Failed(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout


def kubectl(*arguments, **options):
    return call("kubectl", *arguments, **options)


def helm(*arguments, **options):
    return call("helm", *arguments, **options)


def get(namespace, *what):
    return json.loads(kubectl("-n", namespace, "get", *what, "-o", "json"))


def until(what, condition, seconds=120):
    """Waits; returns what the condition gave and how long it took."""
    start = time.monotonic()
    while True:
        try:
            if (given := condition()):
                return given, time.monotonic() - start
            last = given
        except (Failed, KeyError, IndexError) as error:
            last = error
        if time.monotonic() - start > seconds:
            raise AssertionError(f"not within {seconds} s: {what} ({last})")
        time.sleep(0.2)


def ready(namespace, pod):
    status = get(namespace, "pod", pod)
    return "deletionTimestamp" not in status["metadata"] and status["status"]["containerStatuses"][0]["ready"] and status
