# Creates the models in this folder, and probabilities.csv: what scikit-learn predicts for each row of ../iris.csv.
# Created with scikit-learn 1.9.1, skl2onnx 1.20.0 and onnx 1.23.2, in this folder:
#   python3 -m venv /tmp/venv && /tmp/venv/bin/pip install scikit-learn skl2onnx && /tmp/venv/bin/python make.py
import numpy
from onnx import TensorProto, helper
from skl2onnx import to_onnx
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

irises = numpy.loadtxt("../iris.csv", delimiter=",", dtype=numpy.float32)
x, species = irises[:, :4], irises[:, 4].astype(int)


def save(name, model):
    with open(f"{name}.onnx", "wb") as file:
        file.write(model.SerializeToString())


def classifier(model, example=x[:1], zipmap=False):
    return to_onnx(model, example, options={"zipmap": zipmap}, black_op={"Scaler"}, target_opset=17)


perceptron = MLPClassifier((8,), max_iter=4000, random_state=7).fit(x, species)
logistic = make_pipeline(StandardScaler(), LogisticRegression()).fit(x, species)
forest = RandomForestClassifier(5, max_depth=3, random_state=7).fit(x, species)
answers = numpy.hstack([model.predict_proba(x) for model in [perceptron, logistic, forest]])
numpy.savetxt("probabilities.csv", answers, "%.7f", ",")

save("perceptron", classifier(perceptron))
save("logistic", classifier(logistic))
save("forest", classifier(forest))
fixed = classifier(perceptron)
fixed.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 4
save("fixed_batch", fixed)
save("doubles", classifier(logistic, x[:1].astype(numpy.float64)))
save("zipmap", classifier(logistic, zipmap=True))


def small(name, nodes, inputs, outputs):
    def values(of):
        return [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n, shape in of]

    graph = helper.make_graph(nodes, name, values(inputs), values(outputs))
    save(name, helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))


node = helper.make_node
small("unsupported", [node("Det", ["x"], ["y"], name="area")], [("x", ["rows", 2, 2])], [("y", ["rows"])])
small("two_inputs", [node("Add", ["a", "b"], ["y"])], [("a", ["rows", 2]), ("b", ["rows", 2])], [("y", ["rows", 2])])
small("two_outputs", [node("Exp", ["x"], ["e"]), node("Neg", ["x"], ["n"])], [("x", ["rows", 1, 2])], [("e", ["rows", 1, 2]), ("n", ["rows", 1, 2])])
small("no_rows", [node("ReduceMean", ["x"], ["y"])], [("x", ["rows", 2])], [("y", [1, 1])])
