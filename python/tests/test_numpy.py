"""Numbers and arrays of numpy as rows, states and what functions return."""

import os
import pathlib
import subprocess
import sys
import unittest

import numpy as np
from worlds import World, batches_of

import tidegate
from tidegate import _tidegate

GOLDEN = pathlib.Path(__file__).parent / "golden" / "arrays.txt"
ARRAYS = [
    np.array([1.5, -2.0]),
    np.array([[1, 2, 3], [4, 5, 6]], dtype="i4"),
    np.array([], dtype="f4"),
    np.array(7, dtype="u1"),
    np.array([True, False]),
    np.array([[-1], [300]], dtype="i2"),
    np.array([2**63], dtype="u8"),
    np.array([-(2**63)], dtype="i8"),
    np.array([0.5, 65504.0], dtype="f2"),
    np.array([1.5], dtype="f4"),
    np.array([-128], dtype="i1"),
    np.array([65535], dtype="u2"),
    np.array([2**32 - 1], dtype="u4"),
    np.empty((0, 3)),
]


def same(a, b):
    return type(b) is np.ndarray and a.dtype == b.dtype and a.shape == b.shape and np.array_equal(a, b)


def parts_of(row):
    return [row] if not isinstance(row, (tuple, list, dict, set)) else [part for inner in (row.items() if isinstance(row, dict) else row) for part in parts_of(inner)]


class Numpy(unittest.TestCase):
    def test_bytes_are_those_of_the_golden_file(self):
        lines = "".join(f"{_tidegate.encode(array).hex()}  {array.dtype.str} {array.tolist()}\n" for array in ARRAYS)
        if "UPDATE_EXPECT" in os.environ:
            GOLDEN.write_text(lines)
        self.assertEqual(lines, GOLDEN.read_text())
        for line, array in zip(lines.splitlines(), ARRAYS):
            self.assertTrue(same(array, _tidegate.decode(bytes.fromhex(line.split("  ")[0]))), line)

    def test_arrays_come_back_and_can_be_written_to(self):
        back = _tidegate.decode(_tidegate.encode(np.arange(4)))
        back += 1
        self.assertEqual(back.tolist(), [1, 2, 3, 4])

    def test_the_order_in_memory_does_not_matter(self):
        whole = np.arange(12, dtype="i8").reshape(3, 4)
        for array in (whole.T, whole[:, ::2], whole.astype(">i8"), np.asfortranarray(whole)):
            self.assertTrue(same(np.ascontiguousarray(array, dtype="<i8"), _tidegate.decode(_tidegate.encode(array))))

    def test_single_numbers_truths_and_texts_are_those_of_python(self):
        for of_numpy, of_python in [
            (np.int64(5), 5),
            (np.uint64(2**64 - 1), 2**64 - 1),
            (np.int8(-1), -1),
            (np.float64(1.5), 1.5),
            (np.float32(0.5), 0.5),
            (np.float16(2.0), 2.0),
            (np.bool_(True), True),
            (np.str_("tide"), "tide"),
            (np.bytes_(b"tide"), b"tide"),
            ((np.int64(1), [np.float64(2.0)]), (1, [2.0])),
            ({np.str_("a"): np.bool_(False)}, {"a": False}),
            ({np.int64(1), np.int64(2)}, {1, 2}),
        ]:
            self.assertEqual(_tidegate.encode(of_numpy), _tidegate.encode(of_python), of_numpy)
            for part in parts_of(_tidegate.decode(_tidegate.encode(of_numpy))):
                self.assertIn(type(part), (int, float, bool, str, bytes))

    def test_what_has_no_form_is_refused_with_what_to_write(self):
        for value, told in [
            (np.longdouble(1), "float(..)"),
            (np.complex128(1j), ".tolist()"),
            (np.datetime64("2024-01-01", "ns"), "str(..)"),
            (np.timedelta64(5, "s"), "str(..)"),
            (np.array([None]), ".tolist()"),
            (np.array(["tide"]), ".tolist()"),
            (np.array([1j]), ".tolist()"),
            (np.array([np.longdouble(1)]), "up to 64 bits"),
            (np.array([(1, 2.0)], dtype="i4,f8"), ".tolist()"),
            (np.ma.masked_array([1], [True]), ".tolist()"),
            (np.array([[1, 2]]).view(np.recarray), ".tolist()"),
        ]:
            with self.assertRaises(TypeError) as caught:
                _tidegate.encode(value)
            self.assertIn(told, str(caught.exception))

    def test_any_cut_or_longer_or_wrong_bytes_are_refused(self):
        for array in ARRAYS:
            whole = _tidegate.encode(array)
            for cut in range(len(whole)):
                with self.assertRaises(ValueError):
                    _tidegate.decode(whole[:cut])
            with self.assertRaises(ValueError):
                _tidegate.decode(whole + b"\x00")
        two = _tidegate.encode(np.array([1.0, 2.0]))
        for wrong in (two.replace(b"<f8", b"<f4"), two.replace(b"<f8", b"|O8"), two.replace(b"<f8\x01\x02", b"<f8\x01\x03")):
            with self.assertRaises(ValueError):
                _tidegate.decode(wrong)
        huge = b"\x10\x03<f8\x02" + b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f" * 2 + b"\x00"
        with self.assertRaises(ValueError):
            _tidegate.decode(huge)

    def test_functions_return_numbers_of_numpy(self):
        given = batches_of(lambda s: s.map(np.sqrt).filter(lambda x: np.bool_(x > 1)).map(lambda x: (np.int64(x), x)).reduceByKey(np.maximum), [[1, 4, 5, 9]])
        self.assertEqual(sorted(given[0]), [(2, np.sqrt(5)), (3, 3.0)])

    def test_arrays_are_taken_and_given_by_partition(self):
        def doubled(rows):
            return np.fromiter(rows, float) * 2

        def squares(rows):
            return np.array([[x, x * x] for x in rows])

        self.assertEqual(batches_of(lambda s: s.mapPartitions(doubled), [[1, 2], [3]]), [[2.0, 4.0], [6.0]])
        given = batches_of(lambda s: s.mapPartitions(squares).map(lambda row: (type(row).__name__, row.tolist())), [[1, 2]])
        self.assertEqual(given, [[("ndarray", [1, 1]), ("ndarray", [2, 4])]])

    def test_a_state_may_be_an_array(self):
        def add(new, state):
            return sum(new) if state is None else state + sum(new)

        pairs = [[("a", 1.0)], [("a", 2.0), ("b", 5.0)]]
        given = batches_of(lambda s: s.mapValues(lambda x: np.array([x, 1])).updateStateByKey(add).mapValues(np.ndarray.tolist), pairs)
        self.assertEqual([sorted(rows) for rows in given], [[("a", [1.0, 1.0])], [("a", [3.0, 2.0]), ("b", [5.0, 1.0])]])

    def test_an_array_is_no_key(self):
        with World() as world:
            world.ssc.queueStream([[1]]).map(lambda x: (np.array([x]), 1)).reduceByKey(max).pprint()
            world.ssc.start()
            with self.assertRaises(tidegate.StreamingError) as caught:
                world.ssc.awaitTermination(20)
            self.assertIn("unhashable: array", str(caught.exception))

    def test_the_package_does_not_import_numpy(self):
        script = "import sys, tidegate, tidegate.streaming; from tidegate import _tidegate; _tidegate.encode([1, 'a']); sys.exit('numpy' in sys.modules)"
        self.assertEqual(subprocess.run([sys.executable, "-c", script]).returncode, 0)


if __name__ == "__main__":
    unittest.main()
