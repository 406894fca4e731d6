"""Values: their bytes are pinned, they come back as they were, and what has none is refused with what to write instead."""

import dataclasses
import datetime
import math
import pathlib
import sys
import threading
import typing
import unittest

import worlds  # noqa: F401
from tidegate import _tidegate

GOLDEN = pathlib.Path(__file__).parent / "golden" / "values.txt"


class Point(typing.NamedTuple):
    x: int
    y: typing.Optional[float] = None


@dataclasses.dataclass(frozen=True)
class User:
    name: str
    tags: typing.List[str] = dataclasses.field(default_factory=list)


VALUES = [
    None,
    False,
    True,
    0,
    1,
    -1,
    63,
    64,
    -65,
    2**31,
    2**63 - 1,
    -(2**63),
    2**63,
    -(2**63) - 1,
    2**127,
    -(2**127),
    10**40,
    0.0,
    -0.0,
    1.5,
    -1e300,
    math.inf,
    math.nan,
    "",
    "to be",
    "Größe \U0001f30a",
    "x" * 200,
    b"",
    b"\x00\xff",
    (),
    (1,),
    ("tide", 1),
    ("a", ("b", (None, True))),
    [],
    [1, "a", [2.5]],
    {},
    {"b": 1, "a": [2]},
    set(),
    {3, 1, 2},
    frozenset({"a"}),
    Point(1),
    Point(2, 0.5),
    User("ann", ["x"]),
    [Point(1), User("bob")],
]


def same(a, b):
    if isinstance(a, float) and math.isnan(a):
        return isinstance(b, float) and math.isnan(b)
    return type(a) is type(b) and a == b and repr(a) == repr(b)


class Values(unittest.TestCase):
    def setUp(self):
        sys.modules["program"] = sys.modules[__name__]
        Point.__module__ = User.__module__ = "program"

    def test_bytes_are_those_of_the_golden_file(self):
        lines = "".join(f"{_tidegate.encode(value).hex()}  {value!r}\n" for value in VALUES)
        if "UPDATE_EXPECT" in __import__("os").environ:
            GOLDEN.write_text(lines)
        self.assertEqual(lines, GOLDEN.read_text())

    def test_golden_bytes_are_read(self):
        for line, value in zip(GOLDEN.read_text().splitlines(), VALUES):
            read = _tidegate.decode(bytes.fromhex(line.split("  ")[0]))
            self.assertTrue(same(value, read), (value, read))

    def test_values_come_back_as_they_were(self):
        for value in VALUES:
            self.assertTrue(same(value, _tidegate.decode(_tidegate.encode(value))), value)

    def test_any_cut_or_longer_bytes_are_refused(self):
        for value in VALUES:
            whole = _tidegate.encode(value)
            for cut in range(len(whole)):
                with self.assertRaises((ValueError, LookupError)):
                    _tidegate.decode(whole[:cut])
            with self.assertRaises(ValueError):
                _tidegate.decode(whole + b"\x00")

    def test_sets_have_one_form(self):
        self.assertEqual(_tidegate.encode({1, 2, 3}), _tidegate.encode({3, 2, 1}))

    def test_what_has_no_form_is_refused_with_what_to_write(self):
        def generator():
            yield 1

        class Local(typing.NamedTuple):
            a: int

        class Text(str):
            pass

        deep = []
        deep.append(deep)
        for value, error, told in [
            (threading.Lock(), TypeError, "lock"),
            (generator(), TypeError, "make a list of it"),
            (datetime.datetime(2024, 1, 1), TypeError, ".isoformat()"),
            (bytearray(b"a"), TypeError, "use `bytes(..)`"),
            (object(), TypeError, "allow-pickle"),
            (Local(1), TypeError, "define the class at the top of its module"),
            (Text("a"), TypeError, "type"),
            ("\ud800", UnicodeEncodeError, "surrogates"),
            (deep, ValueError, "nested more than 100 deep"),
            ([1, [open]], TypeError, "builtin_function_or_method"),
        ]:
            with self.assertRaises(error) as caught:
                _tidegate.encode(value)
            self.assertIn(told, str(caught.exception))

    def test_a_class_that_the_program_has_not_is_refused_and_no_module_is_imported(self):
        bytes_of = _tidegate.encode(Point(1)).replace(b"program:Point", b"antigra:Point")
        with self.assertRaises(LookupError) as caught:
            _tidegate.decode(bytes_of)
        self.assertIn("`antigra.Point`", str(caught.exception))
        self.assertNotIn("antigra", sys.modules)
        for name in (b"program:Golden", b"program:GOLDEN"):
            with self.assertRaises(LookupError):
                _tidegate.decode(b"\x0d" + bytes([len(name)]) + name + b"\x00")

    def test_fields_that_a_class_has_gained_have_defaults_and_lost_ones_are_left_out(self):
        one = b"\x01\x01x\x03\x02"
        self.assertEqual(_tidegate.decode(b"\x0d\x0dprogram:Point" + one), Point(1))
        more = b"\x02\x01x\x03\x02\x01z\x03\x02"
        self.assertEqual(_tidegate.decode(b"\x0d\x0dprogram:Point" + more), Point(1))
        self.assertEqual(_tidegate.decode(b"\x0e\x0cprogram:User\x01\x04name\x06\x01a"), User("a"))
        with self.assertRaises(TypeError) as caught:
            _tidegate.decode(b"\x0e\x0cprogram:User\x00")
        self.assertIn("has no field `name`", str(caught.exception))

    def test_pickle_is_refused_unless_allowed(self):
        with self.assertRaises(TypeError) as caught:
            _tidegate.decode(b"\x0f\x04\x80\x04N.")
        self.assertIn("allow-pickle", str(caught.exception))


if __name__ == "__main__":
    unittest.main()
