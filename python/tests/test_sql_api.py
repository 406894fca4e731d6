"""Every name of ``pyspark.sql`` that streams use is here with the same arguments, or says what to write instead; docs/python.md says which."""

import importlib
import inspect
import os
import pathlib
import re
import unittest

from tidegate.pyspark import sql
from tidegate.pyspark.sql import column, dataframe, functions, group, types
from tidegate.pyspark.sql import streaming
from tidegate.pyspark.sql.streaming import readwriter

HERE = pathlib.Path(__file__).parent
GOLDEN = HERE / "golden" / "pyspark-sql-api.txt"
DOCS = HERE.parent.parent / "docs" / "python.md"

OWNERS = {
    "DataStreamReader": (streaming.DataStreamReader, readwriter.MISSING_OF_READER),
    "DataStreamWriter": (streaming.DataStreamWriter, readwriter.MISSING_OF_WRITER),
    "StreamingQuery": (streaming.StreamingQuery, {}),
    "StreamingQueryManager": (streaming.StreamingQueryManager, {}),
    "StreamingQueryListener": (streaming.StreamingQueryListener, {}),
    "DataFrame": (sql.DataFrame, dataframe.MISSING),
    "GroupedData": (sql.GroupedData, group.MISSING),
    "Column": (sql.Column, column.MISSING),
    "Row": (sql.Row, {}),
    "StructType": (types.StructType, {}),
    "StructField": (types.StructField, {}),
}
MODULES = {"pyspark.sql": sql, "types": types}
#: What differs, where it is not refused.
NOTES = {
    "DataStreamReader.csv": "files of a folder, line by line",
    "DataStreamReader.json": "files of a folder, line by line",
    "DataStreamReader.text": "files of a folder, line by line",
    "DataStreamWriter.foreach": "by `foreachBatch`, after the commit",
    "DataStreamWriter.foreachBatch": "after the commit; the same rows come again under the same id, or not at all",
    "DataStreamWriter.trigger": "without `continuous`",
    "StreamingQueryListener.onQueryIdle": "never told: a query without rows makes no batch",
    "DataFrame.cache": "no effect",
    "DataFrame.persist": "no effect",
    "DataFrame.unpersist": "no effect",
    "DataFrame.storageLevel": "no effect",
    "DataFrame.orderBy": "of rows that keep coming with `limit`, or in mode complete",
    "DataFrame.sort": "of rows that keep coming with `limit`, or in mode complete",
    "DataFrame.limit": "of rows that keep coming, of an order",
    "DataFrame.join": "columns that both have are told apart by `alias`",
    "DataFrame.withMetadata": "raises: columns have no metadata",
    "DataFrame.colRegex": "raises: choose names in Python",
    "DataFrame.toJSON": "raises: write `value.format` = `json`",
    "Column.alias": "one name",
    "Column.name": "one name",
}
NOTES["DataFrame.write"] = "of rows that have an end, into files"
#: Methods that give the rows of what has an end.
NOTES.update(
    {
        f"DataFrame.{name}": "of rows that have an end"
        for name in "collect count first foreach foreachPartition head isEmpty show tail take toLocalIterator toPandas".split()
    }
)
#: Methods that only raise.
REFUSED = {"DataFrame.withMetadata", "DataFrame.colRegex", "DataFrame.toJSON"}


def recorded():
    for line in GOLDEN.read_text().splitlines()[1:]:
        name, _, arguments = line.partition("(")
        yield name, arguments.rstrip(")").split(", ") if arguments not in ("", ")") else []


def state_of(name):
    """`yes`, `yes: ...` or `no: ...`."""
    owner, _, member = name.rpartition(".")
    if owner == "functions":
        if member in functions.__all__:
            return "yes"
        return f"no: {functions.MISSING.get(member, functions.OTHERS)}"
    if owner in MODULES:
        if member in MODULES[owner].MISSING:
            return f"no: {MODULES[owner].MISSING[member]}"
        return "yes" if hasattr(MODULES[owner], member) else "unknown"
    kind, missing = OWNERS[owner]
    if member in missing:
        return f"no: {missing[member]}"
    if name in REFUSED:
        return f"no: {NOTES[name][len('raises: '):]}"
    if not hasattr(kind, member):
        return "unknown"
    note = NOTES.get(name)
    return f"yes: {note}" if note else "yes"


def table():
    rows = ["| name in PySpark 3.5 | state |", "|---|---|"]
    rows += [f"| `{name}` | {state_of(name)} |" for name, _ in recorded() if not name.startswith("functions.")]
    names = [name.partition(".")[2] for name, _ in recorded() if name.startswith("functions.")]
    there = [f"`{name}`" for name in names if name in functions.__all__]
    told = {}
    for name in names:
        if name in functions.MISSING:
            told.setdefault(functions.MISSING[name], []).append(f"`{name}`")
    others = [f"`{name}`" for name in names if name not in functions.__all__ and name not in functions.MISSING]
    rows += ["", "Functions:", "", "| functions of PySpark 3.5 | state |", "|---|---|", f"| {', '.join(there)} | yes |"]
    rows += [f"| {', '.join(of)} | no: {instead} |" for instead, of in told.items()]
    rows += [f"| {', '.join(others)} | no: {functions.OTHERS} |"]
    return "\n".join(rows)


class SqlApi(unittest.TestCase):
    def test_every_name_is_here_or_says_what_to_write(self):
        self.assertEqual([name for name, _ in recorded() if state_of(name) == "unknown"], [])

    def test_functions_are_pysparks_and_each_of_the_engine_is_called_by_one(self):
        known = {name.partition(".")[2] for name, _ in recorded() if name.startswith("functions.")}
        # They are of other modules of PySpark.
        self.assertEqual(set(functions.__all__) - known, {"PandasUDFType", "pandas_udf"})
        self.assertEqual(set(functions.MISSING) - known, {"arrow_udf"})
        from tidegate import _tidegate

        text = "".join(path.read_text() for path in pathlib.Path(functions.__file__).parent.glob("*.py"))
        unused = [name for name in _tidegate.function_names() if f'_function("{name}"' not in text and f'_one("{name}"' not in text]
        unused = [name for name in unused if f'_unscaled("{name}"' not in text]
        self.assertEqual(unused, ["greatest", "least", "pow", "regexp_replace"])  # by those of SQL, which take more

    def test_arguments_have_the_names_and_places_of_pyspark(self):
        wrong = []
        for name, arguments in recorded():
            owner, _, member = name.rpartition(".")
            if owner in MODULES or not state_of(name).startswith("yes"):
                continue
            found = getattr(functions if owner == "functions" else OWNERS[owner][0], member)
            if not callable(found):
                continue
            parameters = [p for p in inspect.signature(found).parameters.values() if p.name not in ("self", "cls")]
            got = [p.name if p.default is p.empty else p.name + "=" for p in parameters]
            if parameters and parameters[-1].kind is inspect.Parameter.VAR_KEYWORD and len(arguments) > len(got):
                got, arguments = got[:-1], arguments[: len(got) - 1]  # options of a source, by their names
            if got[: len(arguments)] != arguments:
                wrong.append(f"{name}: {got}, PySpark has {arguments}")
        self.assertEqual(wrong, [])

    def test_what_is_missing_says_what_to_write(self):
        for owner, (kind, missing) in OWNERS.items():
            for member, instead in missing.items():
                with self.assertRaises(NotImplementedError) as caught:
                    getattr(object.__new__(kind), member)
                self.assertIn(instead, str(caught.exception))
        for name, module in MODULES.items():
            for member, instead in module.MISSING.items():
                with self.assertRaises(ImportError) as caught:
                    importlib.import_module(module.__name__).__getattr__(member)
                self.assertIn(instead, str(caught.exception))
        for name in ("udtf", "from_csv", "xxhash64"):
            with self.assertRaises(NotImplementedError) as caught:
                getattr(functions, name)
            self.assertIn("next: ", str(caught.exception))

    def test_the_table_of_the_documentation_is_true(self):
        text = DOCS.read_text()
        found = re.search(r"<!-- names of sql -->\n(.*)\n<!-- end of names of sql -->", text, re.S)
        self.assertIsNotNone(found)
        if "UPDATE_EXPECT" in os.environ:
            DOCS.write_text(text[: found.start(1)] + table() + text[found.end(1) :])
        else:
            self.assertEqual(found.group(1), table())

    def test_what_is_public_is_documented(self):
        bare = [name for name in functions.__all__ if not inspect.getdoc(getattr(functions, name))]
        for owner, (kind, _) in OWNERS.items():
            for member, value in vars(kind).items():
                is_public = not member.startswith("_") and (callable(value) or isinstance(value, property))
                if is_public and not inspect.getdoc(value):
                    bare.append(f"{owner}.{member}")
        self.assertEqual(bare, [])


if __name__ == "__main__":
    unittest.main()
