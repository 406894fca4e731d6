"""The command ``tidegate``: what operators run (docs/cli.md), scripts of SQL, and programs in Python (a file that ends in ``.py``)."""

from __future__ import annotations

import signal
import sys
from typing import List, Optional, Tuple

from tidegate import _script, _tidegate


def main() -> int:
    """Runs the command; its exit code."""
    line = sys.argv[1:]
    if len(line) > 1 and line[0] == "run" and _script.is_program(line[1]):
        _script.run(line[1], line[2:])
    if line[:1] == ["check"]:
        file, others = _program_in(line[1:])
        if file is not None:
            return _check(file, others)
    # Ctrl-C ends a command at once: the interpreter does not run meanwhile, and could not.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return _tidegate.command(["tidegate", *line])


def _program_in(flags: List[str]) -> Tuple[Optional[str], List[str]]:
    """The program in Python that is to be checked, if it is one, and the other flags."""
    for at, flag in enumerate(flags):
        name, is_joined, value = flag.partition("=")
        if name == "--script":
            end = at + (1 if is_joined else 2)
            file = value if is_joined else "".join(flags[at + 1 : end])
            return (file, flags[:at] + flags[end:]) if _script.is_program(file) else (None, flags)
    return None, flags


def _check(file: str, flags: List[str]) -> int:
    """Checks the program, then its settings; what is said of the program goes to standard error, so that the answer may be JSON."""
    mistakes = _script.check(file)
    for mistake in mistakes:
        print(f"error: {mistake}", file=sys.stderr)
    if mistakes:
        return 3
    print(f"{file} has no mistakes of syntax, and what it imports is there", file=sys.stderr, flush=True)
    return _tidegate.command(["tidegate", "check", *flags])


if __name__ == "__main__":
    sys.exit(main())
