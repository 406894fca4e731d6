"""Lists the names of PySpark that a program of Structured Streaming uses, with what they take. Run with PySpark:

    python python/tests/record/sql_api.py > python/tests/golden/pyspark-sql-api.txt
"""

import inspect

import pyspark
import pyspark.sql
from pyspark.sql import Column, DataFrame, GroupedData, Row, functions, types
from pyspark.sql.streaming import (
    DataStreamReader,
    DataStreamWriter,
    StreamingQuery,
    StreamingQueryListener,
    StreamingQueryManager,
)

CLASSES = [
    DataStreamReader,
    DataStreamWriter,
    StreamingQuery,
    StreamingQueryManager,
    StreamingQueryListener,
    DataFrame,
    GroupedData,
    Column,
    Row,
    types.StructType,
    types.StructField,
]


def taken(member):
    parameters = inspect.signature(member).parameters.values()
    return [p.name if p.default is p.empty else p.name + "=" for p in parameters if p.name not in ("self", "cls")]


print("PySpark", pyspark.__version__)
for name in sorted(pyspark.sql.__all__):
    print(f"pyspark.sql.{name}")
for name in sorted(types.__all__):
    print(f"types.{name}")
for owner in CLASSES:
    for member in sorted(dir(owner)):
        if member.startswith("_") or member in dir(tuple):
            continue
        # Some members are given by descriptors that need a JVM.
        value = inspect.getattr_static(owner, member)
        value = getattr(owner, member) if isinstance(value, (classmethod, staticmethod)) else value
        value = getattr(owner, member) if inspect.isfunction(value) else value
        name = f"{owner.__name__}.{member}"
        print(f"{name}({', '.join(taken(value))})" if callable(value) else name)
for name, value in sorted(vars(functions).items()):
    if inspect.isfunction(value) and value.__module__ == functions.__name__ and not name.startswith("_"):
        print(f"functions.{name}({', '.join(taken(value))})")
