//! What a sink is made of, whoever wrote it.
//!
//! Owns the trait [`Sink`] and its three shapes. Knows no particular destination and no plan. Invariant:
//! nothing is opened here: writers are created when the program runs, so a program can be built and printed
//! where the destination is not reachable.

use super::{
    gather::{Gather, Intake},
    outbox::{OutboxSpec, OutboxWriter, topic_of},
    topic::{TopicSink, TopicsSink},
    two_phase::{Collect, TwoPhaseContext, TwoPhaseSink, TwoPhaseSpec},
};
use crate::{
    codec::Encode,
    error::Result,
    operator::Operator,
    record::{Data, RawChunkBuilder},
};
use std::{marker::PhantomData, sync::Arc};

/// A destination for rows of type `T`: its settings, to be passed to
/// [`DStream::to_sink`](crate::DStream::to_sink).
///
/// A sink has a durable name, often that of the destination. Where a program may write to one destination
/// twice, let its user choose another name with a method `named`, as the sinks of the crate do: messages
/// refer to it.
pub trait Sink<T> {
    /// The [shape](SinkShape) of the sink. Called once, while the program is built; opens nothing.
    ///
    /// # Errors
    /// What is wrong with the settings. It is reported, with the position in the program, when the program
    /// starts.
    fn shape(self, context: &SinkContext) -> Result<SinkShape<T>, String>;
}

/// What a sink is given about the program.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SinkContext {
    /// The application id: the prefix of the names of internal topics.
    pub application: Arc<str>,
}

impl SinkContext {
    /// The context for a program of an application.
    #[must_use]
    pub fn of(application: impl Into<Arc<str>>) -> Self {
        SinkContext { application: application.into() }
    }
}

type MakeOperator = Arc<dyn Fn() -> Box<dyn Operator> + Send + Sync>;

/// How rows of type `T` leave the program: in one of three ways, each with its guarantee. See the table in
/// [`sink`](super).
pub struct SinkShape<T> {
    /// Creates the operator that takes the rows in a task.
    pub(crate) operator: MakeOperator,
    /// The topics that it may write to.
    pub(crate) topics: Vec<Arc<str>>,
    /// Takes the rows of a batch before the commit.
    pub(crate) two_phase: Option<TwoPhaseSpec>,
    /// Where it takes them.
    pub(crate) intake: Intake,
    /// Takes the rows from an internal topic.
    pub(crate) outbox: Option<OutboxSpec>,
    pub(super) rows: PhantomData<fn(T)>,
}

impl<T: Data> SinkShape<T> {
    /// Rows become records of `topic`, in the transaction of their batch: **exactly once** for readers of committed data.
    ///
    /// `encode` runs in tasks and appends the record of a row; a row that it refuses is handled as a bad
    /// record.
    pub fn topic(
        topic: &str,
        encode: impl Fn(&T, &mut RawChunkBuilder) -> Result + Send + Sync + 'static,
    ) -> Self {
        let (topic, encode): (Arc<str>, _) = (topic.into(), Arc::new(encode));
        let to = topic.clone();
        let operator = move || TopicSink::new(to.clone(), encode.clone());
        SinkShape { topics: vec![topic], ..Self::ending_in(operator) }
    }

    /// Like [`topic`](Self::topic), with a topic for each row: one of `topics`, to which `choose` gives the index, or the
    /// reason why the row belongs to none of them, which makes it a bad record.
    pub(crate) fn topics(
        topics: impl IntoIterator<Item = impl Into<Arc<str>>>,
        choose: impl Fn(&T) -> Result<usize> + Send + Sync + 'static,
        encode: impl Fn(&T, &mut RawChunkBuilder) -> Result + Send + Sync + 'static,
    ) -> Self {
        let topics: Vec<Arc<str>> = topics.into_iter().map(Into::into).collect();
        let (to, choose, encode) = (topics.clone(), Arc::new(choose), Arc::new(encode));
        let operator = move || TopicsSink::new(to.clone(), choose.clone(), encode.clone());
        SinkShape { topics, ..Self::ending_in(operator) }
    }

    /// Rows are prepared before the commit of their batch and shown after it: **exactly once**, if [`TwoPhaseSink::finish`] may be repeated.
    ///
    /// `name` is durable: what a dead process prepared is found by it. Two outputs of a program cannot have
    /// the same name. An empty name says that there is nothing to finish: then `recover` is not called, and
    /// nothing is kept in the log.
    pub fn two_phase<S: TwoPhaseSink + 'static>(
        name: &str,
        make: impl Fn(&TwoPhaseContext) -> S + Send + Sync + 'static,
    ) -> Self {
        Self::encoded_two_phase(name, || Collect, make)
    }

    /// Rows become records of an internal topic in the transaction of their batch. A writer takes them from
    /// there, in order, in the process that owns the first partition: **exactly once**, if it stores position
    /// and rows atomically, or if a repeated write changes nothing; otherwise **at least once**.
    ///
    /// The topic is `<application id>-outbox-<name>`, so `name` is durable. It has one partition and keeps
    /// rows for 7 days. `value` encodes rows in tasks, so a row that it refuses is handled as a bad record;
    /// what the destination refuses later stops the program.
    ///
    /// # Errors
    /// If `name` cannot be part of a topic's name.
    pub fn outbox<W: OutboxWriter + 'static>(
        context: &SinkContext,
        name: &str,
        value: impl Encode<T> + 'static,
        make: impl Fn() -> W + Send + Sync + 'static,
    ) -> Result<Self, String> {
        Self::outbox_of("outbox", context, name, value, make)
    }

    /// As [`outbox`](Self::outbox); `kind` is the prefix of the topic's name after the application id.
    pub(super) fn outbox_of<W: OutboxWriter + 'static>(
        kind: &str,
        context: &SinkContext,
        name: &str,
        value: impl Encode<T> + 'static,
        make: impl Fn() -> W + Send + Sync + 'static,
    ) -> Result<Self, String> {
        let topic = topic_of(&context.application, kind, name)?;
        let encode = Arc::new(move |row: &T, out: &mut RawChunkBuilder| {
            out.push_with(-1, None, |bytes| value.encode(row, bytes))
        });
        let to = topic.clone();
        let operator = move || TopicSink::internal(to.clone(), encode.clone());
        let outbox = OutboxSpec {
            name: format!("{kind}-{name}"),
            topic: topic.clone(),
            positions: None,
            make: Arc::new(move || Box::new(make())),
        };
        Ok(SinkShape { topics: vec![topic], outbox: Some(outbox), ..Self::ending_in(operator) })
    }

    /// As [`two_phase`](Self::two_phase), with rows that `operator` has encoded in tasks.
    pub(super) fn encoded_two_phase<O: Operator + 'static, S: TwoPhaseSink + 'static>(
        name: &str,
        operator: impl Fn() -> O + Send + Sync + 'static,
        make: impl Fn(&TwoPhaseContext) -> S + Send + Sync + 'static,
    ) -> Self {
        let make = Arc::new(move |context: &TwoPhaseContext| Box::new(make(context)) as _);
        let two_phase = Some(TwoPhaseSpec { name: name.to_owned(), make, in_shares: false });
        SinkShape { two_phase, ..Self::ending_in(operator) }
    }

    /// The same, where several processes may each prepare a share of a batch.
    pub(super) fn in_shares(mut self) -> Self {
        self.two_phase.iter_mut().for_each(|spec| spec.in_shares = true);
        self
    }

    /// The same, with all rows of a batch in one process, also where several make them.
    pub(crate) fn gathered(self, gather: Gather) -> Self {
        SinkShape { intake: Intake::Gathered(gather), ..self }
    }

    /// The shape of a sink whose settings are wrong: it counts as an output of a program that does not start.
    pub(crate) fn wrong() -> Self {
        Self::ending_in(|| Collect)
    }

    fn ending_in<O: Operator + 'static>(operator: impl Fn() -> O + Send + Sync + 'static) -> Self {
        let operator: MakeOperator = Arc::new(move || Box::new(operator()));
        let (topics, intake) = (vec![], Intake::EachTask);
        SinkShape { operator, topics, two_phase: None, intake, outbox: None, rows: PhantomData }
    }
}
