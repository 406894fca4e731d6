"""Learns clusters, a plane and two classes from points, and answers each batch with what it knew before."""

import sys

from pyspark import SparkContext
from pyspark.mllib.classification import StreamingLogisticRegressionWithSGD
from pyspark.mllib.clustering import StreamingKMeans
from pyspark.mllib.linalg import Vectors
from pyspark.mllib.regression import LabeledPoint, StreamingLinearRegressionWithSGD
from pyspark.streaming import StreamingContext

sc = SparkContext("local[2]", "Models")
ssc = StreamingContext(sc, 1)


def parsed(line):
    number, label, x, y = line.split(",")
    return int(number), LabeledPoint(float(label), Vectors.dense(float(x), float(y)))


points = ssc.socketTextStream("localhost", int(sys.argv[1])).map(parsed)
features = points.mapValues(lambda point: point.features)

clusters = StreamingKMeans(k=3, decayFactor=0.5).setRandomCenters(2, 1.0, 42)
clusters.trainOn(features.map(lambda pair: pair[1]))
plane = StreamingLinearRegressionWithSGD(stepSize=0.2, numIterations=25)
plane.setInitialWeights([0.0, 0.0])
plane.trainOn(points.map(lambda pair: LabeledPoint(2 * pair[1].features[0] - pair[1].features[1], pair[1].features)))
classes = StreamingLogisticRegressionWithSGD(stepSize=0.5, regParam=0.01)
classes.setInitialWeights(Vectors.sparse(2, [0], [0.1]))
classes.trainOn(points.map(lambda pair: pair[1]))

answers = clusters.predictOnValues(features).mapValues(lambda cluster: ("cluster", cluster))
answers = answers.union(plane.predictOnValues(features).mapValues(lambda z: ("plane", round(float(z), 6))))
answers = answers.union(classes.predictOnValues(features).mapValues(lambda label: ("class", label)))
answers.pprint(30)
ssc.start()
ssc.awaitTermination()
