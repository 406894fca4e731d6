"""Models that learn from streams: what they learn and answer, where they are, and PySpark's names for them."""

import array
import importlib
import inspect
import os
import pathlib
import re
import tempfile
import time
import unittest

import numpy as np
from worlds import World, batches_of

import tidegate
from tidegate import _tidegate
from tidegate.pyspark import mllib
from tidegate.pyspark.mllib import classification, clustering, linalg, regression, util
from tidegate.pyspark.mllib.classification import LogisticRegressionModel, StreamingLogisticRegressionWithSGD
from tidegate.pyspark.mllib.clustering import StreamingKMeans, StreamingKMeansModel
from tidegate.pyspark.mllib.linalg import DenseVector, SparseVector, Vectors
from tidegate.pyspark.mllib.regression import LabeledPoint, LinearRegressionModel, StreamingLinearRegressionWithSGD
from tidegate.pyspark.mllib.util import LinearDataGenerator, MLUtils

HERE = pathlib.Path(__file__).parent
GOLDEN = HERE / "golden" / "pyspark-mllib-api.txt"
DOCS = HERE.parent.parent / "docs" / "python.md"


def two_centers():
    return StreamingKMeans(k=2).setInitialCenters([[0.0], [10.0]], [0.0, 0.0])


def ordered(batches):
    return [sorted(rows, key=repr) for rows in batches]


class Learning(unittest.TestCase):
    def test_k_means_answers_with_what_it_knew_before_the_batch(self):
        def answers(rows):
            model = two_centers()
            model.trainOn(rows)
            return model.predictOn(rows)

        self.assertEqual(ordered(batches_of(answers, [[[4.0], [9.0]], [[6.0], [7.0]], [[7.4]]])), [[0, 1], [0, 1], [1]])

    def test_keys_stay_with_their_answers(self):
        def answers(rows):
            model = two_centers()
            model.trainOn(rows.map(lambda pair: pair[1]))
            return model.predictOnValues(rows)

        given = ordered(batches_of(answers, [[("a", Vectors.dense(1.0)), (("b", 2), np.array([9.0]))]]))
        self.assertEqual(given, [[("a", 0), (("b", 2), 1)]])

    def test_vectors_of_all_kinds_are_the_same(self):
        rows = [Vectors.dense(0, 9), Vectors.sparse(2, {1: 9}), np.array([0, 9]), np.array([0.0, 9.0], dtype="f2"), [0, 9], (False, 9.0), [np.float32(0), np.int64(9)]]

        def answers(rows):
            model = StreamingKMeans().setInitialCenters([[0, 0], [0, 10]], [1, 1])
            model.trainOn(rows.filter(lambda _: False))
            return model.predictOn(rows)

        self.assertEqual(batches_of(answers, [rows]), [[1] * len(rows)])

    def test_half_life_and_decay(self):
        model = two_centers().setHalfLife(1.0, "batches")
        self.assertAlmostEqual(model._decayFactor, 0.5)
        last = self.learnt(StreamingKMeans(k=1, decayFactor=0.0).setInitialCenters([[0.0]], [8.0]), [[[4.0], [6.0]]])
        self.assertEqual(last.centers.tolist(), [[5.0]])
        last = self.learnt(StreamingKMeans(k=1, decayFactor=0.5, timeUnit="points").setInitialCenters([[0.0]], [8.0]), [[[4.0], [6.0]]])
        self.assertEqual((last.centers.tolist(), last.clusterWeights), ([[2.5]], [4.0]))

    def learnt(self, model, batches, checkpoint=None, log=None):
        """The model after these batches."""
        beginning = model.latestModel()
        settings = {"bootstrap": log} if log else {}
        with tempfile.TemporaryDirectory() as directory:
            with World(checkpoint=checkpoint or directory, **settings) as world:
                rows = world.ssc.queueStream(batches)
                model.trainOn(rows)
                seen = []
                rows.foreachRDD(lambda rdd: seen.extend(rdd.collect()))
                self.assertIs(model.latestModel(), beginning)
                world.ssc.start()
                deadline = time.monotonic() + 20
                while len(seen) < sum(map(len, batches)) and time.monotonic() < deadline:
                    world.ssc.awaitTerminationOrTimeout(0.02)
                world.ssc.stop()
                return model.latestModel()

    def test_linear_regression_learns_a_line(self):
        points = [LabeledPoint(3 * x, [x]) for x in (-1.0, 0.5, 2.0)]
        model = StreamingLinearRegressionWithSGD(stepSize=0.3, numIterations=200, convergenceTol=1e-9)
        last = self.learnt(model.setInitialWeights([0.0]), [points, points])
        self.assertIsInstance(last, LinearRegressionModel)
        self.assertAlmostEqual(last.weights[0], 3.0, places=5)
        self.assertAlmostEqual(last.predict([2.0]), 6.0, places=4)

    def test_logistic_regression_tells_labels_apart(self):
        points = [LabeledPoint(int(x > 0), Vectors.sparse(2, [1], [x])) for x in (-2.0, -1.0, 1.0, 2.0)]

        def answers(rows):
            model = StreamingLogisticRegressionWithSGD(stepSize=1.0).setInitialWeights([0.0, 0.0])
            model.trainOn(rows)
            return model.predictOn(rows.map(lambda point: point.features))

        self.assertEqual(ordered(batches_of(answers, [points, points])), [[0, 0, 0, 0], [0, 0, 1, 1]])
        last = self.learnt(StreamingLogisticRegressionWithSGD(stepSize=1.0).setInitialWeights([0.0, 0.0]), [points])
        self.assertIsInstance(last, LogisticRegressionModel)
        self.assertEqual((last.predict([0, 2]), last.predict([0, -2])), (1, 0))
        last.clearThreshold()
        self.assertGreater(last.predict([0, 2]), 0.9)

    def test_a_model_goes_on_where_it_was(self):
        with tempfile.TemporaryDirectory() as directory:
            log = f"embedded:{directory}/log"
            model = lambda: StreamingKMeans(k=1).setInitialCenters([[0.0]], [1.0]).named("clusters")
            first = self.learnt(model(), [[[3.0]]], checkpoint=f"{directory}/state", log=log)
            self.assertEqual((first.centers.tolist(), first.clusterWeights), ([[1.5]], [2.0]))
            second = self.learnt(model(), [[[7.5], [1.5]]], checkpoint=f"{directory}/state", log=log)
            self.assertEqual((second.centers.tolist(), second.clusterWeights), ([[3.0]], [4.0]))

    def test_a_row_that_does_not_fit_ends_the_program_with_the_reason(self):
        for row, told in [
            ("tide", "rows that are a vector, and this one is none"),
            ([1.0, 2.0], "a vector of 2 numbers for a model of 1"),
            (Vectors.sparse(10**9, {}), "a vector of 1000000000 numbers for a model of 1"),
            ([None], "a part of it is no number"),
            (np.array([[1.0]]), "an array of 2 dimensions"),
            ([float("nan")], "is NaN"),
            (LabeledPoint(1, [1]), "of another class"),
        ]:
            with World() as world:
                two_centers().trainOn(world.ssc.queueStream([[row]]))
                world.ssc.start()
                with self.assertRaises(tidegate.StreamingError) as caught:
                    world.ssc.awaitTermination(20)
                self.assertIn(told, str(caught.exception))

    def test_regressions_learn_from_labelled_points_only(self):
        for model, row, told in [
            (StreamingLinearRegressionWithSGD(), (1.0, [1.0]), "rows that are a LabeledPoint"),
            (StreamingLogisticRegressionWithSGD(), LabeledPoint(2.0, [1.0]), "must be 0 or 1"),
        ]:
            with World() as world:
                model.setInitialWeights([0.0]).trainOn(world.ssc.queueStream([[row]]))
                world.ssc.start()
                with self.assertRaises(tidegate.StreamingError) as caught:
                    world.ssc.awaitTermination(20)
                self.assertIn(told, str(caught.exception))

    def test_mistakes_are_told_where_they_are_made(self):
        with World() as world:
            rows = world.ssc.queueStream([[[1.0]]])
            with self.assertRaisesRegex(ValueError, "setInitialCenters"):
                StreamingKMeans().trainOn(rows)
            with self.assertRaisesRegex(ValueError, "setInitialWeights"):
                StreamingLinearRegressionWithSGD().predictOn(rows)
            with self.assertRaisesRegex(TypeError, "DStream"):
                two_centers().trainOn([[1.0]])
            with self.assertRaisesRegex(ValueError, "timeUnit"):
                StreamingKMeans(timeUnit="rows")
            with self.assertRaisesRegex(NotImplementedError, "leave it out"):
                StreamingLinearRegressionWithSGD(miniBatchFraction=0.5).setInitialWeights([1]).trainOn(rows)
            model = two_centers()
            model.trainOn(rows)
            with self.assertRaisesRegex(NotImplementedError, "union"):
                model.trainOn(rows)
            with self.assertRaisesRegex(tidegate.ConfigError, "before `trainOn`"):
                model.setRandomCenters(1, 1.0, 1)
            fixed = two_centers()
            fixed.predictOn(rows)
            with self.assertRaisesRegex(NotImplementedError, "before `predictOn`"):
                fixed.trainOn(rows)
        with World() as world:
            StreamingKMeans(decayFactor=2.0).setInitialCenters([[0.0]], [1.0]).trainOn(world.ssc.queueStream([[[1.0]]]))
            with self.assertRaisesRegex(tidegate.ConfigError, "test_models.py.*decay factor 2 is not between 0 and 1"):
                world.ssc.start()

    def test_a_model_that_does_not_learn_answers_too(self):
        build = lambda rows: two_centers().predictOn(rows).union(two_centers().predictOnValues(rows.map(lambda x: ("k", x))).map(lambda pair: pair[1]))
        self.assertEqual([sorted(rows) for rows in batches_of(build, [[[4.0], [9.0]]])], [[0, 0, 1, 1]])

    def test_models_by_themselves(self):
        model = StreamingKMeansModel([[0.0, 0.0], [4.0, 4.0]], [1.0, 1.0])
        self.assertEqual((model.k, model.predict([3, 3]), model.clusterCenters[1]), (2, 1, [4.0, 4.0]))
        with World() as world:
            updated = model.update(world.sc.parallelize([[2.0, 0.0]]), 1.0, "batches")
            self.assertEqual((updated.centers.tolist(), updated.clusterWeights), ([[1.0, 0.0], [4.0, 4.0]], [2.0, 1.0]))
            self.assertEqual(model.predict(world.sc.parallelize([[0, 0], [9, 9]])).collect(), [0, 1])
            with self.assertRaisesRegex(tidegate.ConfigError, "a vector of 1 numbers"):
                model.update(world.sc.parallelize([[2.0]]), 1.0, "batches")
        with self.assertRaisesRegex(NotImplementedError, "clusterWeights"):
            model.save
        self.assertEqual(repr(LinearRegressionModel([1.0, 2.0], 0.5)), "(weights=[1.0,2.0], intercept=0.5)")
        self.assertEqual(LogisticRegressionModel([1000.0], 0, 1, 2).predict([-5]), 0)


class Linalg(unittest.TestCase):
    def test_vectors_are_shown_and_read(self):
        for vector, text, shown in [
            (Vectors.dense(1, 2.5), "[1.0,2.5]", "DenseVector([1.0, 2.5])"),
            (Vectors.dense([1e-7, 1 / 3]), "[1e-07,0.3333333333333333]", "DenseVector([0.0, 0.3333])"),
            (Vectors.sparse(4, {3: 5.5, 1: 1}), "(4,[1,3],[1.0,5.5])", "SparseVector(4, {1: 1.0, 3: 5.5})"),
            (Vectors.sparse(2, [], []), "(2,[],[])", "SparseVector(2, {})"),
        ]:
            self.assertEqual((str(vector), repr(vector), Vectors.stringify(vector)), (text, shown, text))
            self.assertEqual(Vectors.parse(text), vector)
        self.assertEqual(Vectors.parse(" ( 100,  [0],  [2])"), Vectors.sparse(100, [(0, 2.0)]))
        self.assertEqual(DenseVector.parse(" [ 0.0,1.0,2.0,  3.0]"), Vectors.dense(range(4)))
        for wrong in ("1.0,2.0", "[1.0", "[a]", "(2,[0])", "(x,[0],[1])"):
            with self.assertRaises(ValueError):
                Vectors.parse(wrong)
        self.assertEqual(str(LabeledPoint(1, (0.5, 2))), "(1.0,[0.5,2.0])")
        self.assertEqual(repr(LabeledPoint(1, [0.5])), "LabeledPoint(1.0, [0.5])")

    def test_arithmetic(self):
        v, u = Vectors.dense(1.0, 2.0), Vectors.dense(3.0, 4.0)
        self.assertEqual([v + u, 2 - v, v / 2, v * u, u / v, u % 2, -v], [Vectors.dense(x) for x in ([4, 6], [1, 0], [0.5, 1], [3, 8], [3, 2], [1, 0], [-1, -2])])
        sparse = Vectors.sparse(2, {1: 2.0})
        self.assertEqual([v.dot(u), sparse.dot(v), v.dot(sparse), v.dot([1, 1])], [11, 4, 4, 3])
        self.assertEqual(v.dot(np.array([[1, 2], [3, 4]])).tolist(), [7, 10])
        self.assertEqual([v.squared_distance(u), sparse.squared_distance(v), Vectors.squared_distance([0], array.array("d", [2]))], [8, 1, 4])
        self.assertEqual([v.norm(1), Vectors.norm([3, 4], 2), sparse.numNonzeros(), len(sparse), sparse[1], sparse[0], sparse[-1]], [3, 5, 1, 2, 2, 0, 2])
        self.assertEqual(v.sum(), 3.0)
        self.assertEqual(Vectors.zeros(2).toArray().tolist(), [0.0, 0.0])
        for wrong in (lambda: v.dot([1]), lambda: v.squared_distance([1])):
            with self.assertRaises(AssertionError):
                wrong()
        for error, wrong in [
            (TypeError, lambda: Vectors.sparse(3, [1, 0], [1, 1])),
            (ValueError, lambda: Vectors.sparse(3, [3], [1])),
            (ValueError, lambda: Vectors.sparse(3, [0], [1, 2])),
            (IndexError, lambda: sparse[2]),
            (TypeError, lambda: LabeledPoint(1, "ab")),
        ]:
            with self.assertRaises(error):
                wrong()

    def test_files_and_points_that_are_made_up(self):
        with World() as world, tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory) / "points.txt"
            path.write_text("(1.0,[0.5,2.0])\n(0,(2,[1],[3.0]))\n")
            points = MLUtils.loadLabeledPoints(world.sc, str(path)).collect()
            self.assertEqual([str(point) for point in points], ["(1.0,[0.5,2.0])", "(0.0,(2,[1],[3.0]))"])
            path.write_text("[1.0]\n")
            self.assertEqual(MLUtils.loadVectors(world.sc, str(path)).collect(), [Vectors.dense(1)])
            path.write_text("1.0,[1.0]\n")
            with self.assertRaisesRegex(ValueError, "label,vector"):
                MLUtils.loadLabeledPoints(world.sc, str(path)).collect()
            self.assertEqual(LinearDataGenerator.generateLinearRDD(world.sc, 5, 3, 0.1).count(), 5)
        points = LinearDataGenerator.generateLinearInput(1.0, [2.0], [5.0], [3.0], 1000, 1, 0.0)
        numbers = np.array([point.features[0] for point in points])
        self.assertTrue(abs(numbers.mean() - 5) < 0.2 and abs(numbers.var() - 3) < 0.3)
        self.assertAlmostEqual(points[0].label, 2 * numbers[0] + 1)
        self.assertEqual([MLUtils.appendBias([2]), MLUtils.appendBias(Vectors.sparse(1, [], []))], [Vectors.dense(2, 1), Vectors.dense(0, 1)])

    def test_equal_vectors_are_equal_whatever_their_form(self):
        dense, sparse = Vectors.dense(0, 2, 0), Vectors.sparse(3, {1: 2.0})
        self.assertEqual(dense, sparse)
        self.assertEqual(hash(dense), hash(sparse))
        self.assertNotEqual(dense, Vectors.dense(0, 2))
        self.assertNotEqual(dense, [0, 2, 0])

    def test_they_are_values(self):
        for value in (Vectors.dense(1, 2), Vectors.sparse(3, {1: 2.0}), LabeledPoint(1, [0.5]), LabeledPoint(0, Vectors.sparse(2, [0], [1]))):
            back = _tidegate.decode(_tidegate.encode(value))
            self.assertEqual((type(back), repr(back)), (type(value), repr(value)))
        self.assertTrue(_tidegate.encode(Vectors.dense(1.0)).hex().startswith("0e29" + b"tidegate.pyspark.mllib.linalg:DenseVector".hex() + "0105" + b"array".hex() + "10"))


OWNERS = {
    "StreamingKMeans": (clustering.StreamingKMeans, {}),
    "StreamingKMeansModel": (clustering.StreamingKMeansModel, clustering.MISSING_OF_MODEL),
    "StreamingLinearRegressionWithSGD": (regression.StreamingLinearRegressionWithSGD, {}),
    "LinearRegressionModel": (regression.LinearRegressionModel, regression.MISSING_OF_MODEL),
    "LabeledPoint": (regression.LabeledPoint, {}),
    "StreamingLogisticRegressionWithSGD": (classification.StreamingLogisticRegressionWithSGD, {}),
    "LogisticRegressionModel": (classification.LogisticRegressionModel, regression.MISSING_OF_MODEL),
    "DenseVector": (linalg.DenseVector, {}),
    "SparseVector": (linalg.SparseVector, {}),
    "Vectors": (linalg.Vectors, {}),
    "MLUtils": (util.MLUtils, util.MISSING_OF_UTILS),
    "LinearDataGenerator": (util.LinearDataGenerator, {}),
}
MODULES = {"pyspark.mllib": mllib} | {f"pyspark.mllib.{module.__name__.rpartition('.')[2]}": module for module in (classification, clustering, linalg, regression, util)}
REFUSED = {
    "DenseVector.asML": "there is no `pyspark.ml`: use `toArray()`",
    "SparseVector.asML": "there is no `pyspark.ml`: use `toArray()`",
    "Vectors.fromML": "there is no `pyspark.ml`: use `Vectors.dense(..)`",
}
NOTES = {
    "LinearDataGenerator.generateLinearInput": "with other random numbers",
    "LinearDataGenerator.generateLinearRDD": "with other random numbers",
    "StreamingKMeans.trainOn": "one stream",
    "StreamingLinearRegressionWithSGD.trainOn": "one stream",
    "StreamingLogisticRegressionWithSGD.trainOn": "one stream",
    "StreamingKMeans.predictOn": "after `trainOn`",
    "StreamingLinearRegressionWithSGD.predictOn": "after `trainOn`",
    "StreamingLogisticRegressionWithSGD.predictOn": "after `trainOn`",
    "StreamingKMeans.predictOnValues": "after `trainOn`",
    "StreamingLinearRegressionWithSGD.predictOnValues": "after `trainOn`",
    "StreamingLogisticRegressionWithSGD.predictOnValues": "after `trainOn`",
}


def recorded():
    for line in GOLDEN.read_text().splitlines()[1:]:
        name, _, arguments = line.partition("(")
        yield name, arguments.rstrip(")").split(", ") if arguments not in ("", ")") else []


def state_of(name):
    """`yes`, `yes: ...` or `no: ...`."""
    owner, _, member = name.rpartition(".")
    if owner in MODULES:
        if member in MODULES[owner].MISSING:
            return f"no: {MODULES[owner].MISSING[member]}"
        return "yes" if member in MODULES[owner].__all__ else "unknown"
    if name in OWNERS:
        return "yes"
    kind, missing = OWNERS[owner]
    if member in missing or name in REFUSED:
        return f"no: {missing.get(member) or REFUSED[name]}"
    if not hasattr(kind, member):
        return "unknown"
    return f"yes: {NOTES[name]}" if name in NOTES else "yes"


def table():
    return "\n".join(["| name in PySpark 3.5 | state |", "|---|---|"] + [f"| `{name}` | {state_of(name)} |" for name, _ in recorded()])


class Api(unittest.TestCase):
    def test_every_name_is_here_or_says_what_to_write(self):
        self.assertEqual([name for name, _ in recorded() if state_of(name) == "unknown"], [])

    def test_arguments_have_the_names_and_places_of_pyspark(self):
        wrong = []
        for name, arguments in recorded():
            owner, _, member = name.rpartition(".")
            if owner in MODULES or state_of(name).startswith("no"):
                continue
            found = OWNERS[name][0].__init__ if name in OWNERS else getattr(OWNERS[owner][0], member)
            if not callable(found):
                continue
            parameters = [p for p in inspect.signature(found).parameters.values() if p.name != "self" and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
            got = [p.name if p.default is p.empty else p.name + "=" for p in parameters]
            if got[: len(arguments)] != arguments:
                wrong.append(f"{name}: {got}, PySpark has {arguments}")
        self.assertEqual(wrong, [])

    def test_what_is_missing_says_what_to_write(self):
        for name, module in MODULES.items():
            for member, instead in module.MISSING.items():
                with self.assertRaises(ImportError) as caught:
                    importlib.import_module(module.__name__).__getattr__(member)
                self.assertIn(instead, str(caught.exception))
        for owner, (kind, missing) in OWNERS.items():
            for member, instead in missing.items():
                with self.assertRaises(NotImplementedError) as caught:
                    getattr(kind if kind is util.MLUtils else object.__new__(kind), member)
                self.assertIn(instead, str(caught.exception))

    def test_the_table_of_the_documentation_is_true(self):
        text = DOCS.read_text()
        found = re.search(r"<!-- names of mllib -->\n(.*)\n<!-- end of names of mllib -->", text, re.S)
        self.assertIsNotNone(found)
        if "UPDATE_EXPECT" in os.environ:
            DOCS.write_text(text[: found.start(1)] + table() + text[found.end(1) :])
        else:
            self.assertEqual(found.group(1), table())

    def test_what_is_public_is_documented(self):
        bare = [
            f"{owner}.{member}"
            for owner, (kind, _) in OWNERS.items()
            for member, value in vars(kind).items()
            if not member.startswith("_") and (callable(value) or isinstance(value, (property, staticmethod))) and not inspect.getdoc(value)
        ]
        self.assertEqual(bare, [])

    def test_the_examples_of_the_documentation_run(self):
        blocks = [block for block in re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.S) if "ssc" in block]
        learns, = (block for block in blocks if "StreamingKMeans" in block)
        answers, = (block for block in blocks if "classifier" in block)

        class Classifier:
            def predict(self, numbers):
                return numbers.sum(axis=1)

        program = {"classifier": Classifier()}
        with World() as world:
            exec(learns, {"ssc": world.ssc})
            exec(answers, program | {"ssc": world.ssc})
            self.assertIn("clusters", world.ssc.explain())
        exec(answers[: answers.index("ssc.")], program)
        given = batches_of(lambda rows: rows.mapPartitions(program["answers"]), [["1,2", "3,4"], []], count=1)
        self.assertEqual(given, [[("1,2", 3.0), ("3,4", 7.0)]])


if __name__ == "__main__":
    unittest.main()
