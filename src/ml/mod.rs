//! Models that learn from a stream while they score another: streaming k-means, linear and logistic regression; and, with the cargo
//! feature `onnx`, models that were trained elsewhere.
//! Owns the algorithms and their place in a plan. Knows no log and no thread. Invariants: a model is keyed state,
//! so it is committed with the batch that trained it, survives restarts, and is trained by each batch exactly once;
//! the predictions of a batch use the model as it was before that batch.

mod kmeans;
mod latest;
#[cfg(feature = "onnx")]
mod onnx;
mod point;
mod regression;
mod stream;

pub use kmeans::{KMeansModel, StreamingKMeans, TimeUnit};
#[cfg(feature = "onnx")]
pub use onnx::OnnxModel;
pub use point::{LabeledPoint, parse_vector};
pub use regression::{Regularization, StreamingLinearRegression, StreamingLogisticRegression};
pub use stream::{Algorithm, Trained, Training};

/// The examples of the guide, included so that they are compiled.
#[cfg(doctest)]
#[doc = include_str!("../../docs/ml.md")]
struct Guide;

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Why a vector does not fit a model of `dimensions`; `None` = it does.
fn misfit(features: &[f64], dimensions: usize) -> Option<String> {
    if features.len() != dimensions {
        return Some(format!("a vector of {} numbers for a model of {dimensions}", features.len()));
    }
    let odd = features.iter().position(|x| !x.is_finite())?;
    Some(format!("number {odd} of the vector is {}", features[odd]))
}
