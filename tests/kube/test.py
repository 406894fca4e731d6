"""Runs the tests of chart and cluster, and prints a line for each, with its time.

  test.py [--offline] [NAME...]    tests whose names contain one of these; those of one release build on one another

Ends with "N passed, N failed"; the exit code is 1 if any failed.
"""

import os
import sys
import time
import traceback

import chart
import guide
import scenarios
import scripts
from client import kubectl


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


def main(arguments):
    offline = "--offline" in arguments
    names = [a for a in arguments if not a.startswith("--")]
    chosen = lambda tests: [t for t in tests if not names or any(n in t.__name__ for n in names)]
    results = [run(t) for t in chosen(chart.OFFLINE)]
    if not offline:
        for module in (chart, scenarios, scripts, guide):
            if tests := chosen(module.TESTS):
                module.set_up()
                for test in tests:
                    results.append(run(test))
                    if not results[-1] and module is not chart:
                        print(kubectl("-n", module.SPACE, "get", "pods,pvc", "-o", "wide", ok=False)[1])
                        print(kubectl("-n", module.SPACE, "get", "events", "--sort-by=.lastTimestamp", ok=False)[1][-3000:])
                        print(kubectl("-n", module.SPACE, "logs", "--selector", "app.kubernetes.io/name=tidegate", "--prefix", "--tail=20", ok=False)[1], flush=True)
    failed = results.count(False)
    print(f"{len(results) - failed} passed, {failed} failed")
    return 1 if failed or not results else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
