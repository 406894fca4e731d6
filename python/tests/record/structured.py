"""Records what PySpark prints for the programs of ``python/tests/structured``. Run with PySpark 3.5, which needs Java:

    python python/tests/record/structured.py [NAME...]

Those that read a topic need a broker (``TIDEGATE_TEST_BOOTSTRAP``), confluent-kafka, and Spark's connector in ``PYSPARK_SUBMIT_ARGS``:
``--packages org.apache.spark:spark-sql-kafka-0-10_2.12:VERSION pyspark-shell``.
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

import pyspark  # noqa: E402

import structured_play  # noqa: E402

for name in sys.argv[1:] or structured_play.STEPS:
    print(name, flush=True)
    env = {"PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
    text = structured_play.play(name, python=sys.executable, package="pyspark", env=env)
    (structured_play.GOLDEN / f"{name}.txt").write_text(f"PySpark {pyspark.__version__}\n\n{text}")
