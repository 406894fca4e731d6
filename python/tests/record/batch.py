"""Records what PySpark prints for the programs of ``python/tests/batch``. Run with PySpark, which needs Java:

    python python/tests/record/batch.py [NAME...]
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

import pyspark  # noqa: E402

import batch_play  # noqa: E402

for name in sys.argv[1:] or batch_play.NAMES:
    text = batch_play.play(name, package="pyspark")
    batch_play.GOLDEN.mkdir(exist_ok=True)
    (batch_play.GOLDEN / f"{name}.txt").write_text(f"PySpark {pyspark.__version__}\n\n{text}")
