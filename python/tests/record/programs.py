"""Records what PySpark prints for the programs of ``python/tests/programs``. Run with PySpark 3.5, which needs Java:

    python python/tests/record/programs.py [NAME...]
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

import pyspark  # noqa: E402

import played  # noqa: E402

for name in sys.argv[1:] or played.STEPS:
    print(name, flush=True)
    env = {"PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
    text = played.play(name, python=sys.executable, package="pyspark", env=env, seconds=900)
    (played.GOLDEN / f"{name}.txt").write_text(f"PySpark {pyspark.__version__}\n\n{text}")
