"""The command ``tidegate``: what operators run (docs/cli.md), and scripts of SQL."""

from __future__ import annotations

import signal
import sys

from tidegate import _tidegate


def main() -> int:
    """Runs the command; its exit code."""
    # Ctrl-C ends a command at once: the interpreter does not run meanwhile, and could not.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return _tidegate.command(["tidegate", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
