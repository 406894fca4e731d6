//! Streaming linear and logistic regression by gradient descent over each batch.
//!
//! The descent is that of `MLlib`'s `GradientDescent` (all examples of the batch in each iteration, with a step
//! size that falls with the square root of the iteration):
//! <https://spark.apache.org/docs/3.5.1/mllib-optimization.html>. Knows no operator. Invariant: the weights after a
//! batch are the starting point of the next one.

use super::{Algorithm, LabeledPoint, Trained, dot, misfit, stream::Scoring};
use crate::{dstream::DStream, record::Value};

/// The penalty that keeps weights small.
///
/// ```
/// use tidegate::ml::{Algorithm, LabeledPoint, Regularization, StreamingLinearRegression};
/// let weight = |regularization| {
///     let regression = StreamingLinearRegression::new(vec![0.0]).regularization(regularization);
///     let mut weights = regression.initial();
///     regression.train(&mut weights, &[LabeledPoint { label: 1.0, features: vec![1.0] }]).unwrap();
///     weights[0]
/// };
/// assert!(weight(Regularization::L2(1.0)) < weight(Regularization::None));
/// assert_eq!(weight(Regularization::L1(2.0)), 0.0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Regularization {
    /// No penalty.
    #[default]
    None,
    /// The sum of the absolute weights times this (lasso): drives small weights to zero.
    L1(f64),
    /// Half the sum of the squared weights times this (ridge).
    L2(f64),
}

#[derive(Clone, Debug)]
struct Descent {
    initial: Vec<f64>,
    step_size: f64,
    iterations: u32,
    regularization: Regularization,
    convergence_tolerance: f64,
}

macro_rules! settings {
    () => {
        /// Starts from these weights, one per feature; with an intercept there is one more, the last.
        ///
        /// ```
        /// use tidegate::ml::{Algorithm, StreamingLinearRegression};
        /// let regression = StreamingLinearRegression::new(vec![2.0, 3.0]);
        /// assert_eq!(regression.predict(&regression.initial(), &[1.0, 10.0]), Ok(32.0));
        /// ```
        #[must_use]
        pub fn new(initial_weights: Vec<f64>) -> Self {
            Self {
                descent: Descent {
                    initial: initial_weights,
                    step_size: 0.1,
                    iterations: 50,
                    regularization: Regularization::None,
                    convergence_tolerance: 0.001,
                },
                intercept: false,
            }
        }

        /// Size of the first step of each batch; default 0.1.
        ///
        /// ```
        /// use tidegate::ml::{Algorithm, LabeledPoint, StreamingLinearRegression};
        /// let learned = |regression: StreamingLinearRegression| {
        ///     let mut weights = regression.initial();
        ///     regression.train(&mut weights, &[LabeledPoint { label: 1.0, features: vec![1.0] }]).unwrap();
        ///     weights[0]
        /// };
        /// let once = StreamingLinearRegression::new(vec![0.0]).iterations(1);
        /// assert_eq!(learned(once.clone()), 0.1); // a tenth of the way to 1
        /// assert_eq!(learned(once.step_size(0.5)), 0.5);
        /// ```
        #[must_use]
        pub fn step_size(mut self, step_size: f64) -> Self {
            self.descent.step_size = step_size;
            self
        }

        /// Steps per batch; default 50.
        ///
        /// ```
        /// use tidegate::ml::{Algorithm, LabeledPoint, StreamingLinearRegression};
        /// let learned = |regression: StreamingLinearRegression| {
        ///     let mut weights = regression.initial();
        ///     regression.train(&mut weights, &[LabeledPoint { label: 1.0, features: vec![1.0] }]).unwrap();
        ///     weights[0]
        /// };
        /// let regression = StreamingLinearRegression::new(vec![0.0]).step_size(0.5);
        /// assert_eq!(learned(regression.clone().iterations(1)), 0.5);
        /// assert!((learned(regression.iterations(2)) - 0.68).abs() < 0.01); // the second step is divided by the root of 2
        /// ```
        #[must_use]
        pub fn iterations(mut self, iterations: u32) -> Self {
            self.descent.iterations = iterations;
            self
        }

        /// The penalty that keeps weights small; default none.
        ///
        /// ```
        /// use tidegate::ml::{Algorithm, LabeledPoint, Regularization, StreamingLinearRegression};
        /// let learned = |regression: StreamingLinearRegression| {
        ///     let mut weights = regression.initial();
        ///     regression.train(&mut weights, &[LabeledPoint { label: 1.0, features: vec![1.0] }]).unwrap();
        ///     weights[0]
        /// };
        /// let regression = StreamingLinearRegression::new(vec![1.0]).iterations(1);
        /// assert_eq!(learned(regression.clone()), 1.0); // it fits already
        /// assert_eq!(learned(regression.regularization(Regularization::L2(1.0))), 0.9);
        /// ```
        #[must_use]
        pub fn regularization(mut self, regularization: Regularization) -> Self {
            self.descent.regularization = regularization;
            self
        }

        /// The descent of a batch ends early when a step, from the second on, changes the weights by less than this fraction of
        /// their length; default 0.001.
        ///
        /// ```
        /// use tidegate::ml::{Algorithm, LabeledPoint, StreamingLinearRegression};
        /// let learned = |regression: StreamingLinearRegression| {
        ///     let mut weights = regression.initial();
        ///     regression.train(&mut weights, &[LabeledPoint { label: 1.0, features: vec![1.0] }]).unwrap();
        ///     weights[0]
        /// };
        /// let regression = StreamingLinearRegression::new(vec![0.0]).step_size(0.5);
        /// assert!(learned(regression.clone().convergence_tolerance(0.0)) > 0.99);
        /// let two_steps = learned(regression.clone().iterations(2));
        /// assert_eq!(learned(regression.convergence_tolerance(0.9)), two_steps); // the second changed them by 0.18: good enough
        /// ```
        #[must_use]
        pub fn convergence_tolerance(mut self, tolerance: f64) -> Self {
            self.descent.convergence_tolerance = tolerance;
            self
        }

        /// Also learns a constant, which is the last weight.
        ///
        /// ```
        /// use tidegate::ml::{Algorithm, StreamingLinearRegression};
        /// let line = StreamingLinearRegression::new(vec![2.0, 1.0]).with_intercept(); // y = 2x + 1
        /// assert_eq!(line.predict(&line.initial(), &[3.0]), Ok(7.0));
        /// ```
        #[must_use]
        pub fn with_intercept(mut self) -> Self {
            self.intercept = true;
            self
        }
    };
}

/// Predicts a number from a vector with weights that follow the stream.
///
/// ```
/// use tidegate::{
///     DStream,
///     ml::{LabeledPoint, StreamingLinearRegression, Training},
///     testing::outputs,
/// };
/// let line = |examples: DStream<LabeledPoint>| {
///     let regression = StreamingLinearRegression::new(vec![0.0, 0.0]).with_intercept().step_size(0.5);
///     let model = regression.iterations(500).convergence_tolerance(0.0).train_on(&examples);
///     model.models().map(|weights| (weights[0].round(), weights[1].round()))
/// };
/// let point = |x: f64| LabeledPoint { label: 2.0 * x + 1.0, features: vec![x] };
/// assert_eq!(outputs([[point(-1.0), point(0.0), point(1.0)]], line)?, [[(2.0, 1.0)]]); // y = 2x + 1
/// # Ok::<(), tidegate::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct StreamingLinearRegression {
    descent: Descent,
    intercept: bool,
}

/// Predicts the label of a vector, 0 or 1, with weights that follow the stream.
///
/// ```
/// use tidegate::ml::{Algorithm, LabeledPoint, StreamingLogisticRegression};
/// let regression = StreamingLogisticRegression::new(vec![0.0]).step_size(1.0);
/// let mut weights = regression.initial();
/// let examples: Vec<_> = [(-2.0, 0.0), (-1.0, 0.0), (1.0, 1.0), (2.0, 1.0)]
///     .into_iter()
///     .map(|(x, label)| LabeledPoint { label, features: vec![x] })
///     .collect();
/// regression.train(&mut weights, &examples).unwrap();
/// assert_eq!(regression.predict(&weights, &[2.0]), Ok(1.0));
/// assert_eq!(regression.predict(&weights, &[-2.0]), Ok(0.0));
/// assert!(regression.probability(&weights, &[2.0]).unwrap() > 0.9);
/// ```
#[derive(Clone, Debug)]
pub struct StreamingLogisticRegression {
    descent: Descent,
    intercept: bool,
}

impl StreamingLinearRegression {
    settings!();
}

impl StreamingLogisticRegression {
    settings!();

    /// The probability that the label is 1.
    ///
    /// ```
    /// use tidegate::ml::StreamingLogisticRegression;
    /// let regression = StreamingLogisticRegression::new(vec![0.0]);
    /// assert_eq!(regression.probability(&vec![3.0], &[0.0]), Ok(0.5)); // on the border between both labels
    /// assert!(regression.probability(&vec![3.0], &[1.0]).unwrap() > 0.95);
    /// ```
    ///
    /// # Errors
    /// If the vector does not fit the model.
    #[expect(clippy::ptr_arg, reason = "as `Algorithm::predict` takes it")]
    pub fn probability(&self, weights: &Vec<f64>, features: &[f64]) -> Result<f64, String> {
        let misfit = misfit(features, self.descent.features(self.intercept));
        misfit.map_or_else(|| Ok(sigmoid(margin(weights, features, self.intercept))), Err)
    }
}

impl Trained<StreamingLogisticRegression> {
    /// The probability of label 1 for each vector, using the model as it was before the batch;
    /// [`predict_on`](Self::predict_on) returns the label.
    ///
    /// ```
    /// use tidegate::{
    ///     DStream,
    ///     ml::{LabeledPoint, StreamingLogisticRegression, Training},
    ///     testing::outputs,
    /// };
    /// let percents = |examples: DStream<LabeledPoint>| {
    ///     let model = StreamingLogisticRegression::new(vec![3f64.ln()]).train_on(&examples);
    ///     model.predict_probability_on(&examples.map(|example| example.features)).map(|p| (p * 100.0).round())
    /// };
    /// let example = |x| LabeledPoint { label: 1.0, features: vec![x] };
    /// assert_eq!(outputs([[example(0.0), example(1.0)]], percents)?, [[50.0, 75.0]]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn predict_probability_on(&self, vectors: &DStream<Vec<f64>>) -> DStream<f64> {
        let scoring =
            Scoring { ask: StreamingLogisticRegression::probability, features: |v| v, answer: |_, p| p };
        self.predict("predict_probability_on", vectors, &vectors.here(), scoring)
    }

    /// Like [`predict_probability_on`](Self::predict_probability_on), for the values of pairs; keys are kept with
    /// the results.
    ///
    /// ```
    /// use tidegate::{
    ///     DStream,
    ///     ml::{LabeledPoint, StreamingLogisticRegression, Training},
    ///     testing::outputs,
    /// };
    /// let percents = |examples: DStream<(char, f64)>| {
    ///     let points = examples.map_values(|x| LabeledPoint { label: 1.0, features: vec![x] });
    ///     let model = StreamingLogisticRegression::new(vec![3f64.ln()]).train_on(&points.values());
    ///     model.predict_probability_on_values(&points.map_values(|p| p.features)).map_values(|p| (p * 100.0).round())
    /// };
    /// assert_eq!(outputs([[('a', 0.0), ('b', 1.0)]], percents)?, [[('a', 50.0), ('b', 75.0)]]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn predict_probability_on_values<K: Value>(
        &self,
        pairs: &DStream<(K, Vec<f64>)>,
    ) -> DStream<(K, f64)> {
        let ask = StreamingLogisticRegression::probability;
        let scoring = Scoring { ask, features: |(_, v)| v, answer: |(k, _), p| (k, p) };
        self.predict("predict_probability_on_values", pairs, &pairs.here(), scoring)
    }
}

impl Descent {
    /// `slope` returns the derivative of an example's loss with respect to its margin (weights times features),
    /// given margin and label.
    #[expect(clippy::cast_precision_loss, reason = "numbers of examples are far below 2^53")]
    fn train(
        &self,
        weights: &mut [f64],
        batch: &[LabeledPoint],
        intercept: bool,
        slope: impl Fn(f64, f64) -> f64,
    ) -> Result<(), String> {
        for iteration in 1..=self.iterations {
            let mut gradient = vec![0.0; weights.len()];
            for LabeledPoint { label, features } in batch {
                let slope = slope(margin(weights, features, intercept), *label);
                let inputs = features.iter().chain(intercept.then_some(&1.0));
                gradient.iter_mut().zip(inputs).for_each(|(g, x)| *g += slope * x);
            }
            let step = self.step_size / f64::from(iteration).sqrt();
            let before = weights.to_vec();
            for (w, g) in weights.iter_mut().zip(&gradient) {
                *w = self.regularization.step(*w, step, g / batch.len() as f64);
            }
            if weights.iter().any(|w| !w.is_finite()) {
                return Err(format!(
                    "the weights diverged in iteration {iteration}: choose a smaller step size than {}, or scale the features",
                    self.step_size
                ));
            }
            let moved = weights.iter().zip(&before).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt();
            if iteration > 1 && moved < self.convergence_tolerance * dot(weights, weights).sqrt().max(1.0) {
                break;
            }
        }
        Ok(())
    }

    fn misfits(&self, weights: &[f64]) -> Option<String> {
        let (kept, asked) = (weights.len(), self.initial.len());
        (kept != asked).then(|| format!("has {kept} weights, and the program asks for {asked}"))
    }

    fn check(&self) -> Result<(), String> {
        if self.initial.is_empty() {
            return Err("a regression needs a weight".into());
        }
        let positive = |x: f64| x.is_finite() && x > 0.0;
        if !positive(self.step_size) {
            return Err(format!("the step size {} is not a positive number", self.step_size));
        }
        match self.regularization {
            Regularization::L1(r) | Regularization::L2(r) if !(r.is_finite() && r >= 0.0) => {
                Err(format!("the regularization {r} is negative or not a number"))
            }
            _ => misfit(&self.initial, self.initial.len()).map_or(Ok(()), Err),
        }
    }

    fn features(&self, intercept: bool) -> usize {
        self.initial.len() - usize::from(intercept)
    }
}

impl Regularization {
    /// One step of one weight against its gradient.
    fn step(self, weight: f64, step: f64, gradient: f64) -> f64 {
        match self {
            Regularization::None => weight - step * gradient,
            Regularization::L2(r) => weight * (1.0 - step * r) - step * gradient,
            Regularization::L1(r) => {
                let moved = weight - step * gradient;
                moved.signum() * (moved.abs() - step * r).max(0.0)
            }
        }
    }
}

fn margin(weights: &[f64], features: &[f64], intercept: bool) -> f64 {
    let constant = if intercept { weights[weights.len() - 1] } else { 0.0 };
    dot(weights, features) + constant
}

fn sigmoid(margin: f64) -> f64 {
    1.0 / (1.0 + (-margin).exp())
}

impl Algorithm for StreamingLinearRegression {
    type Model = Vec<f64>;
    type Example = LabeledPoint;
    type Prediction = f64;

    fn initial(&self) -> Vec<f64> {
        self.descent.initial.clone()
    }
    fn check(&self) -> Result<(), String> {
        self.descent.check()
    }
    fn misfits(&self, weights: &Vec<f64>) -> Option<String> {
        self.descent.misfits(weights)
    }
    fn refuses(&self, example: &LabeledPoint) -> Option<String> {
        let label = (!example.label.is_finite()).then(|| format!("the label {}", example.label));
        label.or_else(|| misfit(&example.features, self.descent.features(self.intercept)))
    }
    fn train(&self, weights: &mut Vec<f64>, batch: &[LabeledPoint]) -> Result<(), String> {
        self.descent.train(weights, batch, self.intercept, |margin, label| margin - label)
    }
    fn predict(&self, weights: &Vec<f64>, features: &[f64]) -> Result<f64, String> {
        let misfit = misfit(features, self.descent.features(self.intercept));
        misfit.map_or_else(|| Ok(margin(weights, features, self.intercept)), Err)
    }
}

impl Algorithm for StreamingLogisticRegression {
    type Model = Vec<f64>;
    type Example = LabeledPoint;
    type Prediction = f64;

    fn initial(&self) -> Vec<f64> {
        self.descent.initial.clone()
    }
    fn check(&self) -> Result<(), String> {
        self.descent.check()
    }
    fn misfits(&self, weights: &Vec<f64>) -> Option<String> {
        self.descent.misfits(weights)
    }
    #[expect(clippy::float_cmp, reason = "labels are exactly 0 or 1")]
    fn refuses(&self, example: &LabeledPoint) -> Option<String> {
        let odd = example.label != 0.0 && example.label != 1.0;
        let label = odd.then(|| format!("the label {} (it must be 0 or 1)", example.label));
        label.or_else(|| misfit(&example.features, self.descent.features(self.intercept)))
    }
    fn train(&self, weights: &mut Vec<f64>, batch: &[LabeledPoint]) -> Result<(), String> {
        self.descent.train(weights, batch, self.intercept, |margin, label| sigmoid(margin) - label)
    }
    /// The label: 1 if its probability is above one half.
    fn predict(&self, weights: &Vec<f64>, features: &[f64]) -> Result<f64, String> {
        self.probability(weights, features).map(|p| f64::from(u8::from(p > 0.5)))
    }
}
