"""Runs the tests of the chart, and prints a line for each, with its time.

  test.py [NAME...]    tests whose names contain one of these

Ends with "N passed, N failed"; the exit code is 1 if any failed.
"""

import os
import sys
import time
import traceback

import chart


def run(test):
    start = time.monotonic()
    try:
        said = test()
    except Exception as error:  # a failure of any kind is a failed test
        last = traceback.extract_tb(error.__traceback__)[-1]
        print(f"FAILED {test.__name__} ({time.monotonic() - start:.1f} s): {error or type(error).__name__} ({os.path.basename(last.filename)}:{last.lineno})", flush=True)
        return False
    print(f"ok     {test.__name__} ({time.monotonic() - start:.1f} s){': ' + said if said else ''}", flush=True)
    return True


def main(names):
    results = [run(t) for t in chart.TESTS if not names or any(n in t.__name__ for n in names)]
    failed = results.count(False)
    print(f"{len(results) - failed} passed, {failed} failed")
    return 1 if failed or not results else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
