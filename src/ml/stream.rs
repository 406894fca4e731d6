//! How training and prediction fit into a plan.
//!
//! Owns the operators and the two exchanges of a model: examples go to one task, and each new model goes to all
//! tasks that predict. Knows no algorithm. Invariants: a batch's examples are learned in the order in which they
//! came; a task that predicts keeps the model in its own state, so a restart does not wait for new examples.

use super::latest::Show;
use crate::{
    codec::value_bytes,
    dstream::DStream,
    error::{Error, Result},
    operator::{Context, EmitSchedule, ExchangeFormat, Operator, Port, Rows, SinglePartition},
    plan::{Factory, Layout, Node, Operation, Role},
    record::{Chunk, Data, Partition, Value},
    sink::{Gather, KeepLatest, Latest, SinkShape},
    state::{Handle, Merge, Placement, Table},
};
use std::sync::Arc;

/// An algorithm that learns from batches.
///
/// ```
/// use tidegate::{
///     DStream,
///     ml::{Algorithm, Training},
///     testing::outputs,
/// };
/// /// Learns the mean of all numbers, and predicts how far others are from it.
/// struct Mean;
/// impl Algorithm for Mean {
///     type Model = (f64, f64); // sum and count
///     type Example = f64;
///     type Prediction = f64;
///     fn initial(&self) -> (f64, f64) {
///         (0.0, 0.0)
///     }
///     fn refuses(&self, example: &f64) -> Option<String> {
///         (!example.is_finite()).then(|| format!("{example} is no number"))
///     }
///     fn train(&self, model: &mut (f64, f64), batch: &[f64]) -> Result<(), String> {
///         *model = (model.0 + batch.iter().sum::<f64>(), model.1 + batch.len() as f64);
///         Ok(())
///     }
///     fn predict(&self, model: &(f64, f64), features: &[f64]) -> Result<f64, String> {
///         Ok(features[0] - model.0 / model.1.max(1.0))
///     }
/// }
/// let far = |numbers: DStream<f64>| Mean.train_on(&numbers).predict_on(&numbers.map(|n| vec![n]));
/// assert_eq!(outputs([vec![2.0, 4.0], vec![5.0]], far)?, [vec![2.0, 4.0], vec![2.0]]);
/// # Ok::<(), tidegate::Error>(())
/// ```
pub trait Algorithm: Send + Sync + 'static {
    /// What it has learned.
    type Model: Value;
    /// What it learns from.
    type Example: Value;
    /// What it predicts.
    type Prediction: Data;

    /// The model before the first example.
    fn initial(&self) -> Self::Model;

    /// Whether the settings make sense; checked when the program is built.
    ///
    /// # Errors
    /// What is wrong with them.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }

    /// Why a model that an earlier run has kept is not one of this algorithm with its settings; `None` = it is. By default every model is.
    fn misfits(&self, model: &Self::Model) -> Option<String> {
        let _ = model;
        None
    }

    /// Why an example cannot be learned from; `None` = it can.
    fn refuses(&self, example: &Self::Example) -> Option<String>;

    /// What a batch without examples does to a model; returns whether the model has changed. By default nothing
    /// changes.
    fn forget(&self, model: &mut Self::Model) -> bool {
        let _ = model;
        false
    }

    /// Learns from the examples of a batch; there is at least one.
    ///
    /// # Errors
    /// If the model can no longer be used.
    fn train(&self, model: &mut Self::Model, batch: &[Self::Example]) -> Result<(), String>;

    /// The prediction for a vector.
    ///
    /// # Errors
    /// If the vector does not fit the model.
    fn predict(&self, model: &Self::Model, features: &[f64]) -> Result<Self::Prediction, String>;
}

/// Starts training an algorithm; implemented for every [`Algorithm`].
pub trait Training: Algorithm + Sized {
    /// Learns from every batch of `examples`. All examples go to one task, which limits the rate; those of one
    /// batch are held in memory until its end. The model's state is named after the stream, unless it is
    /// [named](Trained::named). An example that does not fit is handled as a bad record of its source.
    ///
    /// ```
    /// use tidegate::{
    ///     DStream,
    ///     ml::{StreamingKMeans, Training},
    ///     testing::outputs,
    /// };
    /// let centers = |points: DStream<Vec<f64>>| {
    ///     let model = StreamingKMeans::with_centers(vec![vec![0.0], vec![10.0]], vec![0.0, 0.0]).train_on(&points);
    ///     model.models().map(|model| model.centers.concat())
    /// };
    /// let written = outputs([vec![vec![1.0], vec![3.0], vec![8.0]], vec![vec![8.0]]], centers)?;
    /// assert_eq!(written, [[vec![2.0, 8.0]], [vec![2.0, 8.0]]]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    fn train_on(self, examples: &DStream<Self::Example>) -> Trained<Self> {
        let (op, algorithm) = (examples.here(), Arc::new(self));
        if let Err(why) = algorithm.check() {
            examples.mistake(format!("{}: {why}", op.place));
        }
        let refuses = algorithm.clone();
        let examples = examples.try_map(move |e| refuses.refuses(&e).map_or(Ok(e), Err));
        let home = SinglePartition::of(&format!("{}.train_on", examples.path()));
        let gathered = examples.gather(home.clone(), &op);
        let (taught, place, emit_schedule) = (algorithm.clone(), home.clone(), examples.emit_schedule());
        let factory: Factory = Arc::new(move |stores: &[usize]| {
            let (algorithm, home, state) = (taught.clone(), place.clone(), Handle::at(stores[0]));
            Box::new(Train { algorithm, home, emit_schedule, state, examples: vec![], held_bytes: 0 })
        });
        let store = |name: &str| vec![Table::<(), Self::Model>::spec(name).placed(Placement::Home)];
        let models = gathered.operation("model", &op, factory, store).kept();
        Trained { algorithm, home, models }
    }
}

impl<A: Algorithm> Training for A {}

/// A model that learns, in the plan.
pub struct Trained<A: Algorithm> {
    algorithm: Arc<A>,
    /// Where it is trained.
    home: SinglePartition,
    models: DStream<A::Model>,
}

/// How a row is scored, and what becomes of the prediction.
pub(super) struct Scoring<A: Algorithm, T, P, U> {
    /// How the algorithm predicts.
    pub(super) ask: fn(&A, &A::Model, &[f64]) -> Result<P, String>,
    /// The features of a row.
    pub(super) features: fn(&T) -> &Vec<f64>,
    /// The row to emit.
    pub(super) answer: fn(T, P) -> U,
}

impl<A: Algorithm, T, P, U> Clone for Scoring<A, T, P, U> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A: Algorithm, T, P, U> Copy for Scoring<A, T, P, U> {}

impl<A: Algorithm> Trained<A> {
    /// The model after each batch that trained it, or in which it decayed.
    ///
    /// ```
    /// use tidegate::{
    ///     DStream,
    ///     ml::{LabeledPoint, StreamingLinearRegression, Training},
    ///     testing::outputs,
    /// };
    /// let weights = |examples: DStream<LabeledPoint>| {
    ///     let regression = StreamingLinearRegression::new(vec![0.0]).step_size(0.5).convergence_tolerance(0.0);
    ///     regression.train_on(&examples).models().map(|weights| weights[0].round())
    /// };
    /// let twice = |x: f64| LabeledPoint { label: 2.0 * x, features: vec![x] };
    /// let written = outputs([vec![twice(1.0), twice(2.0)], vec![]], weights)?;
    /// assert_eq!(written, [vec![2.0], vec![]]); // none for a batch without examples
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[must_use]
    pub fn models(&self) -> DStream<A::Model> {
        self.models.clone()
    }

    /// Gives the model's state a name that survives changes of the program.
    ///
    /// ```
    /// use tidegate::{
    ///     StreamingContext,
    ///     ml::{StreamingKMeans, Training, parse_vector},
    /// };
    /// let ssc = StreamingContext::builder("app").build();
    /// let points = ssc.text("points").try_map(|line| parse_vector(&line));
    /// let model = StreamingKMeans::with_random_centers(3, 2, 0.0, 42).train_on(&points).named("clusters");
    /// model.models().print();
    /// assert!(ssc.topology().to_string().contains("clusters"));
    /// ```
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        Trained { models: self.models.named(name), ..self }
    }

    /// The newest model for the program itself and, under the name of its state, for everyone at
    /// `/api/v1/applications/<id>/models`: [name](Self::named) it first. It is available from the first batch after
    /// a start; where several processes share the state, in one of them.
    ///
    /// ```
    /// use tidegate::{StreamingContext, config::Trigger, source::Queue};
    /// use tidegate::ml::{StreamingKMeans, Training};
    /// let (queue, trigger) = (Queue::<Vec<f64>>::default(), Trigger::AvailableNow);
    /// let app = StreamingContext::builder("app").log("memory:latest").trigger(trigger);
    /// let ssc = app.configure(|c| c.admin_bind = None).build();
    /// let kmeans = StreamingKMeans::with_centers(vec![vec![0.0], vec![10.0]], vec![0.0, 0.0]);
    /// let latest = kmeans.train_on(&ssc.queue_stream(&queue, true)).latest();
    /// queue.push(vec![vec![1.0], vec![3.0], vec![8.0]]);
    /// ssc.start()?;
    /// ssc.await_termination()?;
    /// let (_, model) = latest.get().expect("a batch was committed");
    /// assert_eq!(model.centers, [[2.0], [8.0]]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn latest(&self) -> Latest<A::Model> {
        let (op, latest) = (self.models.here(), Latest::default());
        let (algorithm, home) = (self.algorithm.clone(), self.home.clone());
        let factory: Factory = Arc::new(move |stores: &[usize]| {
            let (home, initial, state) = (home.clone(), algorithm.initial(), Handle::at(stores[0]));
            Box::new(Show { home, initial, state, shown: false })
        });
        let store = |name: &str| vec![Table::<(), A::Model>::spec(name).placed(Placement::Home)];
        let shown: DStream<A::Model> = self.models.operation("latest", &op, factory, store);
        let kept = latest.clone();
        let shape = SinkShape::two_phase("", move |_| KeepLatest::new(kept.clone()));
        shown.end("latest", &op, shape.gathered(Gather::rows::<A::Model>()));
        self.models.view(latest.view(self.models.path().as_ref()));
        latest
    }

    /// The prediction for each vector, using the model as it was before the batch. Every task that predicts has its
    /// own copy of the model.
    ///
    /// ```
    /// use tidegate::{
    ///     DStream,
    ///     ml::{StreamingKMeans, Training},
    ///     testing::outputs,
    /// };
    /// let clusters = |points: DStream<Vec<f64>>| {
    ///     let model = StreamingKMeans::with_centers(vec![vec![0.0], vec![10.0]], vec![0.0, 0.0]).train_on(&points);
    ///     model.predict_on(&points)
    /// };
    /// let written = outputs([vec![vec![4.0], vec![9.0]], vec![vec![6.0], vec![7.0]]], clusters)?;
    /// assert_eq!(written, [[0, 1], [0, 1]]); // the centers are 0 and 10 at first, then 4 and 9
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn predict_on(&self, vectors: &DStream<Vec<f64>>) -> DStream<A::Prediction> {
        let scoring = Scoring { ask: A::predict, features: |v| v, answer: |_, p| p };
        self.predict("predict_on", vectors, &vectors.here(), scoring)
    }

    /// Like [`predict_on`](Self::predict_on), for the values of pairs; keys are kept with the predictions.
    ///
    /// ```
    /// use tidegate::{
    ///     DStream,
    ///     ml::{StreamingKMeans, Training},
    ///     testing::outputs,
    /// };
    /// let clusters = |points: DStream<(char, Vec<f64>)>| {
    ///     let centers = vec![vec![0.0], vec![10.0]];
    ///     let model = StreamingKMeans::with_centers(centers, vec![0.0, 0.0]).train_on(&points.values());
    ///     model.predict_on_values(&points)
    /// };
    /// assert_eq!(outputs([[('a', vec![9.0]), ('b', vec![1.0])]], clusters)?, [[('a', 1), ('b', 0)]]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn predict_on_values<K: Value>(&self, pairs: &DStream<(K, Vec<f64>)>) -> DStream<(K, A::Prediction)> {
        let scoring = Scoring { ask: A::predict, features: |(_, v)| v, answer: |(k, _), p| (k, p) };
        self.predict("predict_on_values", pairs, &pairs.here(), scoring)
    }

    pub(super) fn predict<T: Value, P: Data, U: Data>(
        &self,
        kind: &'static str,
        rows: &DStream<T>,
        op: &Operation,
        scoring: Scoring<A, T, P, U>,
    ) -> DStream<U> {
        let all: Factory = Arc::new(|_| Box::new(ToAll));
        let format: Arc<dyn ExchangeFormat> = Arc::new(Rows::<A::Model>::default());
        let models = self.models.placed(kind, op, Layout::Any, all, format.clone());
        let rows = rows.in_state_partitions(op);
        let algorithm = self.algorithm.clone();
        let factory: Factory = Arc::new(move |stores: &[usize]| {
            let (algorithm, state) = (algorithm.clone(), Handle::at(stores[0]));
            Box::new(Predict { algorithm, state, scoring, model: None, next: None })
        });
        let path = format!("{}.{kind}({})", models.path(), rows.path());
        let stores = vec![Table::<(), A::Model>::spec(path.clone()).placed(Placement::Each(Merge::Same))];
        let node = Node::new(op, kind, path, Role::Operator(factory)).keeping(stores);
        let formats: [Arc<dyn ExchangeFormat>; 2] = [Arc::new(Rows::<T>::default()), format];
        models.add(node.reading([rows.node(), models.node()]).in_formats(formats))
    }
}

/// The model to go on with.
fn kept_or_initial<A: Algorithm>(algorithm: &A, kept: Option<A::Model>) -> Result<A::Model> {
    let Some(model) = kept else { return Ok(algorithm.initial()) };
    match algorithm.misfits(&model) {
        None => Ok(model),
        Some(why) => Err(Error::Config(format!(
            "the model in the state {why}: the program that learned it had other settings\n  next: go back to them; or give the model another name (`named`) and start once with --accept-state-changes: it then learns anew"
        ))),
    }
}

/// Sends everything to every state partition.
struct ToAll;

impl Operator for ToAll {
    fn process(&mut self, _: Port, input: Chunk, cx: &mut Context<'_>) -> Result {
        for partition in 0..cx.out.partitions {
            cx.out.to_partition(Partition(partition), input.clone());
        }
        Ok(())
    }
}

struct Train<A: Algorithm> {
    algorithm: Arc<A>,
    home: SinglePartition,
    emit_schedule: EmitSchedule,
    state: Handle<Table<(), A::Model>>,
    examples: Vec<A::Example>,
    held_bytes: usize,
}

impl<A: Algorithm> Operator for Train<A> {
    fn process(&mut self, _: Port, input: Chunk, _: &mut Context<'_>) -> Result {
        let examples = input.take::<Vec<A::Example>>();
        self.held_bytes += examples.iter().map(|e| size_of::<A::Example>() + value_bytes(e)).sum::<usize>();
        self.examples.extend(examples);
        Ok(())
    }

    fn end_batch(&mut self, cx: &mut Context<'_>) -> Result {
        let examples = std::mem::take(&mut self.examples);
        self.held_bytes = 0;
        let is_due = self.emit_schedule.is_due(!examples.is_empty(), cx.batch.time);
        if !is_due || examples.is_empty() && !self.home.is_here(cx) {
            return Ok(());
        }
        let known = cx.stores.open(self.state).get(&())?;
        let mut model = kept_or_initial(&*self.algorithm, known)?;
        if examples.is_empty() {
            if !self.algorithm.forget(&mut model) {
                return Ok(());
            }
        } else {
            self.algorithm.train(&mut model, &examples).map_err(Error::Row)?;
        }
        cx.stores.open(self.state).entry(())?.set(model.clone());
        cx.out.rows(vec![model]);
        Ok(())
    }

    fn held_bytes(&self) -> usize {
        self.held_bytes
    }
}

struct Predict<A: Algorithm, T, P, U> {
    algorithm: Arc<A>,
    state: Handle<Table<(), A::Model>>,
    scoring: Scoring<A, T, P, U>,
    /// The model for this batch, once it was needed.
    model: Option<A::Model>,
    /// The model for the next batch.
    next: Option<A::Model>,
}

impl<A: Algorithm, T: Data, P: Data, U: Data> Operator for Predict<A, T, P, U> {
    fn process(&mut self, port: Port, input: Chunk, cx: &mut Context<'_>) -> Result {
        if port == Port(1) {
            self.next = input.take::<Vec<A::Model>>().pop();
            return Ok(());
        }
        let model = match self.model.take() {
            Some(model) => model,
            None => kept_or_initial(&*self.algorithm, cx.stores.open(self.state).get(&())?)?,
        };
        let Scoring { ask, features, answer } = self.scoring;
        let answer = |row: T| {
            let prediction = ask(&self.algorithm, &model, features(&row)).map_err(Error::Row)?;
            Ok(answer(row, prediction))
        };
        let (rows, stamps) = input.take_stamped::<Vec<T>>();
        let rows: Result<Vec<U>> = rows.into_iter().map(answer).collect();
        self.model = Some(model);
        cx.out.chunk(Chunk::rows(rows?).stamped(stamps));
        Ok(())
    }

    fn end_batch(&mut self, cx: &mut Context<'_>) -> Result {
        self.model = None;
        if let Some(next) = self.next.take() {
            cx.stores.open(self.state).entry(())?.set(next);
        }
        Ok(())
    }
}
