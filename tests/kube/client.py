"""Calls of programs such as helm. Knows no test."""

import os
import subprocess

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


def helm(*arguments, **options):
    return call("helm", *arguments, **options)
