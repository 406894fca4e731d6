"""Runs the tests of the Python package that is installed, or those with a name in them, and ends with the line "N passed, N failed".

``--list`` names them and runs none.
"""

import pathlib
import sys
import unittest


def main() -> int:
    here = pathlib.Path(__file__).parent
    names = [name for name in sys.argv[1:] if name != "--list"]
    suite = unittest.defaultTestLoader.discover(str(here), pattern="test_*.py", top_level_dir=str(here))
    if names:
        tests = [test for test in each(suite) if any(name in test.id() for name in names)]
        suite = unittest.TestSuite(tests)
    if "--list" in sys.argv:
        print("\n".join(test.id() for test in each(suite)))
        return 0
    result = unittest.TextTestRunner(verbosity=1, stream=sys.stderr).run(suite)
    bad = len(result.failures) + len(result.errors) + len(result.unexpectedSuccesses)
    skipped = len(result.skipped)
    print(f"{result.testsRun - bad - skipped} passed, {bad} failed, {skipped} skipped")
    return 1 if bad or not result.testsRun else 0


def each(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from each(test)
        else:
            yield test


if __name__ == "__main__":
    sys.exit(main())
