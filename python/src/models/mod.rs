//! Models that learn from one stream and answer another.
//!
//! Owns how a program's settings become an algorithm of `tidegate::ml`, and how its answers become rows. Knows no log; the names of PySpark
//! are in the package. Invariants: learning and answering need no interpreter; the model itself is state of the program.

mod vectors;

use crate::{
    errors::ConfigError,
    stream::{At, Stream, pairs, plain},
    value::Value,
};
use pyo3::prelude::*;
use tidegate::{
    DStream, host,
    ml::{
        Algorithm, KMeansModel, Regularization, StreamingKMeans, StreamingLinearRegression,
        StreamingLogisticRegression, TimeUnit, Trained, Training,
    },
    record::Value as RowValue,
    sink::Latest,
};
use vectors::{point_of, vector_of};

/// Centers, which only k-means has, and weights: of each center, or of each feature.
type Numbers = (Vec<Vec<f64>>, Vec<f64>);

/// A model of any algorithm, in the plan.
trait Learning: Send + Sync {
    fn predict_on(&self, vectors: &DStream<Vec<f64>>) -> DStream<Value>;
    fn predict_on_values(&self, vectors: &DStream<(Value, Vec<f64>)>) -> DStream<(Value, Value)>;
    fn latest(&self) -> Option<Numbers>;
}

struct Learner<A: Algorithm> {
    trained: Trained<A>,
    latest: Latest<A::Model>,
    answer: fn(A::Prediction) -> Value,
    numbers: fn(A::Model) -> Numbers,
}

impl<A: Algorithm<Prediction: RowValue>> Learning for Learner<A> {
    fn predict_on(&self, vectors: &DStream<Vec<f64>>) -> DStream<Value> {
        self.trained.predict_on(vectors).map(self.answer)
    }

    fn predict_on_values(&self, vectors: &DStream<(Value, Vec<f64>)>) -> DStream<(Value, Value)> {
        self.trained.predict_on_values(vectors).map_values(self.answer)
    }

    fn latest(&self) -> Option<Numbers> {
        self.latest.get().map(|(_, model)| (self.numbers)(model))
    }
}

/// A model that learns.
#[pyclass(frozen, module = "tidegate._tidegate")]
pub struct Model {
    learner: Box<dyn Learning>,
    dimensions: usize,
}

/// The model that learns from these examples; its state has this name, if there is one.
fn trained<A: Algorithm<Prediction: RowValue>>(
    algorithm: A,
    examples: &DStream<A::Example>,
    name: Option<&str>,
    answer: fn(A::Prediction) -> Value,
    numbers: fn(A::Model) -> Numbers,
) -> Box<dyn Learning> {
    let trained = algorithm.train_on(examples);
    let trained = match name {
        Some(name) => trained.named(name),
        None => trained,
    };
    let latest = trained.latest();
    Box::new(Learner { trained, latest, answer, numbers })
}

#[expect(clippy::cast_possible_wrap, reason = "a cluster's number is far below 2^63")]
fn cluster(number: usize) -> Value {
    Value::int(number as i64)
}

/// The label, 0 or 1.
fn label(label: f64) -> Value {
    Value::int(i64::from(label > 0.5))
}

fn of_centers(model: KMeansModel) -> Numbers {
    (model.centers, model.weights)
}

fn of_weights(weights: Vec<f64>) -> Numbers {
    (vec![], weights)
}

fn kmeans(centers: Vec<Vec<f64>>, weights: Vec<f64>, decay_factor: f64, unit: &str) -> StreamingKMeans {
    let unit = if unit == "points" { TimeUnit::Points } else { TimeUnit::Batches };
    StreamingKMeans::with_centers(centers, weights).decay_factor(decay_factor, unit)
}

/// Step size, iterations, tolerance of convergence, and factor of the L2 penalty.
type Descent = (f64, u32, f64, f64);

/// The settings of a regression, whose kinds have no type in common.
macro_rules! regression {
    ($kind:ident, $weights:expr, $descent:expr) => {{
        let (step_size, iterations, tolerance, penalty) = $descent;
        let penalty = if penalty == 0.0 { Regularization::None } else { Regularization::L2(penalty) };
        $kind::new($weights)
            .step_size(step_size)
            .iterations(iterations)
            .convergence_tolerance(tolerance)
            .regularization(penalty)
    }};
}

#[pymethods]
impl Model {
    /// K-means from these centers; `unit` is `batches` or `points`.
    #[staticmethod]
    #[pyo3(signature = (examples, centers, weights, decay_factor, unit, name, at))]
    #[expect(clippy::too_many_arguments, reason = "they are the settings of a class of PySpark")]
    fn kmeans(
        examples: PyRef<'_, Stream>,
        centers: Vec<Vec<f64>>,
        weights: Vec<f64>,
        decay_factor: f64,
        unit: &str,
        name: Option<&str>,
        at: At,
    ) -> Model {
        let dimensions = centers.first().map_or(0, Vec::len);
        let algorithm = kmeans(centers, weights, decay_factor, unit);
        let learner = host::called_from(at.line(), || {
            let points = examples.plain().try_map(move |row| vector_of(&row, dimensions));
            trained(algorithm, &points, name, cluster, of_centers)
        });
        Model { learner, dimensions }
    }

    /// A regression from these weights; `kind` is `linear` or `logistic`.
    #[staticmethod]
    #[pyo3(signature = (kind, examples, weights, descent, name, at))]
    fn regression(
        kind: &str,
        examples: PyRef<'_, Stream>,
        weights: Vec<f64>,
        descent: Descent,
        name: Option<&str>,
        at: At,
    ) -> Model {
        let dimensions = weights.len();
        let learner = host::called_from(at.line(), || {
            let points = examples.plain().try_map(move |row| point_of(&row, dimensions));
            if kind == "logistic" {
                let algorithm = regression!(StreamingLogisticRegression, weights, descent);
                trained(algorithm, &points, name, label, of_weights)
            } else {
                let algorithm = regression!(StreamingLinearRegression, weights, descent);
                trained(algorithm, &points, name, Value::float, of_weights)
            }
        });
        Model { learner, dimensions }
    }

    /// The answer for each row.
    fn predict_on(&self, rows: PyRef<'_, Stream>, at: At) -> Stream {
        let dimensions = self.dimensions;
        host::called_from(at.line(), || {
            let vectors = rows.plain().try_map(move |row| vector_of(&row, dimensions));
            plain(self.learner.predict_on(&vectors))
        })
    }

    /// The answer for the value of each pair, with its key.
    fn predict_on_values(&self, rows: PyRef<'_, Stream>, at: At) -> Stream {
        let dimensions = self.dimensions;
        host::called_from(at.line(), || {
            let vectors = rows.pairs("predictOnValues").try_map(move |(key, row): (Value, Value)| {
                vector_of(&row, dimensions).map(|vector| (key, vector))
            });
            pairs(self.learner.predict_on_values(&vectors))
        })
    }

    /// The newest model that this process knows: centers, and weights.
    fn latest(&self, py: Python<'_>) -> Option<Numbers> {
        py.detach(|| self.learner.latest())
    }
}

/// Centers and weights once these points are learned from.
#[pyfunction]
fn updated_centers(
    centers: Vec<Vec<f64>>,
    weights: Vec<f64>,
    points: Vec<Vec<f64>>,
    decay_factor: f64,
    unit: &str,
) -> PyResult<Numbers> {
    let algorithm = kmeans(centers, weights, decay_factor, unit);
    let refuse = |why: String| ConfigError::new_err(format!("k-means cannot learn: {why}"));
    algorithm.check().map_err(refuse)?;
    if let Some(why) = points.iter().find_map(|point| algorithm.refuses(point)) {
        return Err(refuse(why));
    }
    let mut model = algorithm.initial();
    if points.is_empty() {
        algorithm.forget(&mut model);
    } else {
        algorithm.train(&mut model, &points).map_err(refuse)?;
    }
    Ok(of_centers(model))
}

/// Adds them to the module.
pub fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Model>()?;
    module.add_function(wrap_pyfunction!(updated_centers, module)?)
}
