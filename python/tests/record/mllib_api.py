"""Lists the names of PySpark's models that learn from streams, with what they take. Run with PySpark and numpy:

    python python/tests/record/mllib_api.py > python/tests/golden/pyspark-mllib-api.txt
"""

import inspect

import pyspark
import pyspark.mllib
from pyspark.mllib import classification, clustering, linalg, regression, util

CLASSES = [
    clustering.StreamingKMeans,
    clustering.StreamingKMeansModel,
    regression.StreamingLinearRegressionWithSGD,
    regression.LinearRegressionModel,
    regression.LabeledPoint,
    classification.StreamingLogisticRegressionWithSGD,
    classification.LogisticRegressionModel,
    linalg.DenseVector,
    linalg.SparseVector,
    linalg.Vectors,
    util.MLUtils,
    util.LinearDataGenerator,
]


def taken(member):
    parameters = inspect.signature(member).parameters.values()
    return [p.name if p.default is p.empty else p.name + "=" for p in parameters if p.name not in ("self", "cls") and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]


print("PySpark", pyspark.__version__)
for module in (pyspark.mllib, classification, clustering, linalg, regression, util):
    own = [name for name, value in vars(module).items() if inspect.isclass(value) and value.__module__ == module.__name__]
    for name in sorted(getattr(module, "__all__", own)):
        print(f"{module.__name__}.{name}")
for owner in CLASSES:
    name = owner.__name__
    print(f"{name}({', '.join(taken(owner.__init__))})")
    for member in sorted(dir(owner)):
        value = getattr(owner, member, None)
        if member.startswith("_") or inspect.isclass(value):
            continue
        print(f"{name}.{member}({', '.join(taken(value))})" if callable(value) else f"{name}.{member}")
