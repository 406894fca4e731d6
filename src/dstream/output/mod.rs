//! Output operations: without one, a program computes nothing.
//!
//! Owns how rows become records. Knows no producer. Invariant: encoding happens in tasks, writing in the batch's
//! transaction, printing after its commit.

mod files;
mod foreach_batch;
#[cfg(feature = "postgres")]
mod postgres;

use crate::{
    codec::{Encode, Message},
    dstream::DStream,
    error::{Error, Result},
    plan::{Factory, Layout, Operation, Role},
    record::{BatchTime, Data, RawChunkBuilder, Value},
    sink::{
        ConsoleSink, ForeachRdd, Gather, Intake, Outcome, PrintOptions, Rdd, Remember, Remembered, Sink,
        SinkContext, SinkShape, TwoPhaseContext, gathered_print,
    },
};
use std::{cell::RefCell, sync::Arc};

thread_local! {
    static KEY_BYTES: RefCell<Vec<u8>> = const { RefCell::new(vec![]) };
}

impl<T: Value> DStream<T> {
    /// Prints the first ten rows of each batch (behind a window: of each slide), under a header with the batch
    /// time, after the batch has been committed.
    ///
    /// ```
    /// use tidegate::{StreamingContext, testing::Driver};
    /// let mut driver = Driver::new(|ssc: &StreamingContext| ssc.text("words").map(|word| (word, 1)).print());
    /// assert_eq!(driver.batch("words 0 | - | tide\n")?.to_string(), "console | (tide,1)\n");
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    pub fn print(&self) {
        self.print_rows(10);
    }

    /// Same as [`print_rows`](DStream::print_rows), under its name in Spark's Python; with [`PrintOptions`] rows can also
    /// be shown in Python's notation.
    ///
    /// ```
    /// use tidegate::{StreamingContext, testing::Driver};
    /// let mut driver = Driver::new(|ssc: &StreamingContext| ssc.text("words").pprint(1));
    /// assert_eq!(driver.batch("words 0 | - | sea\nwords 0 | - | tide\n")?.to_string(), "console | ...\nconsole | sea\n");
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    pub fn pprint(&self, options: impl Into<PrintOptions>) {
        let options = options.into();
        let emit_schedule = self.emit_schedule();
        let factory: Factory = Arc::new(move |_| Box::new(ConsoleSink::<T>::new(options, emit_schedule)));
        let intake = Intake::Gathered(gathered_print::<T>(options, emit_schedule));
        let role = Role::Sink { factory, topics: vec![], two_phase: None, intake };
        let _: DStream<()> = self.then("print", &self.here(), Layout::Any, role);
    }

    /// Prints the first `rows_max` rows of each batch, then `...` if there are more.
    ///
    /// ```
    /// use tidegate::{StreamingContext, testing::Driver};
    /// let mut driver = Driver::new(|ssc: &StreamingContext| ssc.text("words").print_rows(1));
    /// assert_eq!(driver.batch("words 0 | - | sea\n")?.to_string(), "console | sea\n");
    /// assert_eq!(driver.batch("words 0 | - | sea\nwords 0 | - | tide\n")?.to_string(), "console | ...\nconsole | sea\n");
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    pub fn print_rows(&self, rows_max: usize) {
        self.pprint(rows_max);
    }
}

impl<T: Data> DStream<T> {
    /// Writes rows to a sink, which may be one of your own: see the [three shapes](crate::sink) of sinks and what each
    /// of them guarantees. A mistake in its settings is reported when the program starts.
    ///
    /// ```
    /// use tidegate::{
    ///     StreamingContext, Text,
    ///     sink::{Sink, SinkContext, SinkShape},
    ///     testing::Driver,
    /// };
    ///
    /// /// Lines in a topic of log messages, keyed by the place where they come from.
    /// struct Journal(&'static str);
    ///
    /// impl Sink<Text> for Journal {
    ///     fn shape(self, _: &SinkContext) -> Result<SinkShape<Text>, String> {
    ///         Ok(SinkShape::topic("journal", move |line: &Text, out| {
    ///             out.push_with(-1, Some(self.0.as_bytes()), |value| Ok({ value.extend(line.as_bytes()); true }))
    ///         }))
    ///     }
    /// }
    ///
    /// let mut driver = Driver::new(|ssc: &StreamingContext| ssc.text("lines").to_sink(Journal("harbour")));
    /// assert_eq!(driver.batch("lines 0 | - | high tide\n")?.to_string(), "journal | harbour | high tide\n");
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    pub fn to_sink(&self, sink: impl Sink<T>) {
        self.end_in("to_sink", &self.here(), sink);
    }

    /// Calls `f` with the rows of each batch (behind a window: of each slide), even an empty one, and the time of
    /// the batch, on the program's loop, before the batch is committed: **at least once**. After a crash the rows
    /// come again, in a batch with another time; anything that must be exact belongs in a topic, files or Postgres.
    /// `f` gives nothing, or a `Result` whose error is boxed, so that `?` works in it; an error or a panic stops the
    /// program, and the batch is not committed.
    ///
    /// ```
    /// use std::sync::{Arc, Mutex};
    /// use tidegate::{StreamingContext, testing::Driver};
    /// let (counts, sum) = (Arc::new(Mutex::new(vec![])), Arc::new(Mutex::new(0)));
    /// let mut driver = Driver::new(|ssc: &StreamingContext| {
    ///     let (counts, sum, numbers) = (counts.clone(), sum.clone(), ssc.text("numbers"));
    ///     numbers.foreach_rdd(move |rdd, time| counts.lock().unwrap().push((time.0, rdd.count())));
    ///     numbers.foreach_rdd(move |rdd, _| {
    ///         for number in rdd {
    ///             *sum.lock().unwrap() += number.parse::<i64>()?; // an error would stop the program
    ///         }
    ///         Ok(())
    ///     });
    /// });
    /// driver.batch("numbers 0 | - | 7\nnumbers 0 | - | 8\n")?;
    /// driver.batch("")?;
    /// assert_eq!((&counts.lock().unwrap()[..], *sum.lock().unwrap()), (&[(1_000, 2), (2_000, 0)][..], 15));
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    pub fn foreach_rdd<R: Outcome>(&self, f: impl Fn(Rdd<T>, BatchTime) -> R + Send + Sync + 'static)
    where
        T: Value,
    {
        let op = self.here();
        self.end("foreach_rdd", &op, self.calling(f, &op).gathered(Gather::rows::<T>()));
    }

    /// Keeps the rows of past batches in memory for the program itself, for as long as
    /// [`StreamingContext::remember`](crate::StreamingContext::remember) says. They become available once their
    /// batch has been committed.
    ///
    /// ```
    /// use tidegate::{BatchTime, StreamingContext, config::Trigger, source::Queue};
    /// let (queue, trigger) = (Queue::default(), Trigger::AvailableNow);
    /// let ssc = StreamingContext::builder("app").trigger(trigger).configure(|c| c.admin_bind = None).build();
    /// let seen = ssc.queue_stream(&queue, true).map(|n: u32| n * 2).remembered();
    /// queue.push(vec![1, 2]);
    /// ssc.start()?;
    /// ssc.await_termination()?;
    /// let batches = seen.slice(BatchTime(0), BatchTime(i64::MAX));
    /// assert_eq!(batches.into_iter().map(|(_, rows)| rows).collect::<Vec<_>>(), [[2, 4]]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn remembered(&self) -> Remembered<T>
    where
        T: Value,
    {
        let remembered = Remembered::default();
        let kept = remembered.clone();
        let slide = self.builder.plan().slide_of(self.node);
        let remember = move |context: &TwoPhaseContext| {
            Remember::<T>::new(kept.clone(), context.remember, slide.or(context.interval))
        };
        let shape = SinkShape::two_phase("", remember).gathered(Gather::rows::<T>());
        self.end("remembered", &self.here(), shape);
        remembered
    }

    /// Ends the stream in a sink, by the operation `kind`.
    pub(crate) fn end_in(&self, kind: &'static str, op: &Operation, sink: impl Sink<T>) {
        let shape = sink.shape(&SinkContext::of(self.builder.application())).unwrap_or_else(|why| {
            self.builder.plan().mistakes.push(format!("{}: `{kind}`: {why}", op.place));
            SinkShape::wrong()
        });
        self.end(kind, op, shape);
    }

    /// What calls `f`, which the program passes where `op` stands, with the rows of each batch.
    fn calling<R: Outcome>(
        &self,
        f: impl Fn(Rdd<T>, BatchTime) -> R + Send + Sync + 'static,
        op: &Operation,
    ) -> SinkShape<T> {
        let (f, emit_schedule) = (Arc::new(f), self.emit_schedule());
        let at: Arc<str> = op.place.to_string().into();
        SinkShape::two_phase("", move |_| ForeachRdd::<T, R, _>::new(f.clone(), emit_schedule, at.clone()))
    }

    /// As [`foreach_rdd`](DStream::foreach_rdd), of a program that runs in one process: its rows are never bytes.
    #[track_caller]
    pub(crate) fn foreach_rdd_here<R: Outcome>(
        &self,
        f: impl Fn(Rdd<T>, BatchTime) -> R + Send + Sync + 'static,
    ) {
        let op = self.here();
        self.end("foreach_rdd", &op, self.calling(f, &op));
    }

    pub(crate) fn end(&self, kind: &'static str, op: &Operation, shape: SinkShape<T>) {
        let SinkShape { operator, topics, two_phase, intake, outbox, .. } = shape;
        if let Some(outbox) = outbox {
            let mut plan = self.builder.plan();
            // Where there is a second step too, the plan sees that its name is taken.
            if two_phase.is_none() && plan.outboxes.iter().any(|other| other.name == outbox.name) {
                let name = outbox.name.split_once('-').map_or(outbox.name.as_str(), |(_, name)| name);
                let what = format!(
                    "{}: `{name}` is written to twice\n  help: name one of the outputs: `.named(\"...\")`",
                    op.place
                );
                plan.mistakes.push(what);
            }
            plan.outboxes.push(outbox);
        }
        let factory: Factory = Arc::new(move |_| operator());
        let _: DStream<()> =
            self.then(kind, op, Layout::Any, Role::Sink { factory, topics, two_phase, intake });
    }

    /// Writes each row as the value of a record without a key; the log spreads such records over its partitions.
    ///
    /// ```
    /// use tidegate::{StreamingContext, codec::Utf8, testing::Driver};
    /// let mut driver = Driver::new(|ssc: &StreamingContext| {
    ///     ssc.text("lines").filter(|line| line.contains("error")).to_kafka_values("errors", Utf8);
    /// });
    /// let written = driver.batch("lines 0 | - | an error\nlines 0 | - | all is well\n")?;
    /// assert_eq!(written.to_string(), "errors | - | an error\n");
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    pub fn to_kafka_values(&self, topic: &str, value: impl Encode<T> + 'static) {
        let encode = move |row: &T, out: &mut RawChunkBuilder| {
            out.push_with(-1, None, |bytes| value.encode(row, bytes))
        };
        self.end("to_kafka_values", &self.here(), SinkShape::topic(topic, encode));
    }

    fn to_topic(
        &self,
        topic: &str,
        op: &Operation,
        encode: impl Fn(&T, &mut RawChunkBuilder) -> Result + Send + Sync + 'static,
    ) {
        self.end("to_kafka", op, SinkShape::topic(topic, encode));
    }
}

impl<K: Data, V: Data> DStream<(K, V)> {
    /// Writes each pair as a record with key and value; the partition is derived from the key as Java clients do.
    ///
    /// ```
    /// use tidegate::{
    ///     StreamingContext,
    ///     codec::{AsText, Utf8},
    ///     testing::Driver,
    /// };
    /// let mut driver = Driver::new(|ssc: &StreamingContext| {
    ///     let words = ssc.text("lines").flat_map(|line| line.split(' '));
    ///     words.map(|word| (word, 1u64)).reduce_by_key(|a, b| a + b).to_kafka("counts", Utf8, AsText);
    /// });
    /// let written = driver.batch("lines 0 | - | to be or not to be\n")?; // topic | key | value
    /// assert_eq!(written.to_string(), "counts | be | 2\ncounts | not | 1\ncounts | or | 1\ncounts | to | 2\n");
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    pub fn to_kafka(&self, topic: &str, key: impl Encode<K> + 'static, value: impl Encode<V> + 'static) {
        self.to_topic(topic, &self.here(), record_of(key, value));
    }

    /// Like [`to_kafka`](DStream::to_kafka), with the topic chosen for each pair by `f` among `topics`, which are checked
    /// when the program starts. A pair for which `f` gives another topic is a bad record.
    ///
    /// ```
    /// use tidegate::{StreamingContext, codec::{AsText, Utf8}, testing::Driver};
    /// let mut driver = Driver::new(|ssc: &StreamingContext| {
    ///     let lengths = ssc.text("words").map(|word| { let n = word.len(); (word, n) });
    ///     lengths.to_kafka_by(["short", "long"], |(_, n)| if *n < 4 { "short" } else { "long" }, Utf8, AsText);
    /// });
    /// let written = driver.batch("words 0 | - | sea\nwords 0 | - | harbour\n")?;
    /// assert_eq!(written.to_string(), "long | harbour | 7\nshort | sea | 3\n");
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    pub fn to_kafka_by<S: AsRef<str>>(
        &self,
        topics: impl IntoIterator<Item = impl Into<String>>,
        f: impl Fn(&(K, V)) -> S + Send + Sync + 'static,
        key: impl Encode<K> + 'static,
        value: impl Encode<V> + 'static,
    ) {
        let topics: Vec<String> = topics.into_iter().map(Into::into).collect();
        let op = self.here();
        if topics.is_empty() {
            self.builder.plan().mistakes.push(format!("{}: `to_kafka_by` without a topic", op.place));
        }
        let names = topics.clone();
        let choose = move |pair: &(K, V)| {
            let chosen = f(pair);
            let chosen = chosen.as_ref();
            names.iter().position(|name| name == chosen).ok_or_else(|| {
                let names = names.join("`, `");
                Error::Row(format!(
                    "the topic `{chosen}` is none of those that this output may write to: `{names}`"
                ))
            })
        };
        self.end("to_kafka_by", &op, SinkShape::topics(topics, choose, record_of(key, value)));
    }
}

/// Writes a pair as a record with key and value.
fn record_of<K, V>(
    key: impl Encode<K> + 'static,
    value: impl Encode<V> + 'static,
) -> impl Fn(&(K, V), &mut RawChunkBuilder) -> Result + Send + Sync + 'static {
    move |(k, v): &(K, V), out: &mut RawChunkBuilder| {
        KEY_BYTES.with_borrow_mut(|bytes| {
            bytes.clear();
            let some = key.encode(k, bytes)?;
            out.push_with(-1, some.then_some(bytes.as_slice()), |arena| value.encode(v, arena))
        })
    }
}

impl<T: Data> DStream<Message<T>> {
    /// Writes each message as a record with its own key, timestamp and headers.
    ///
    /// ```
    /// use tidegate::{
    ///     SourceOptions, StreamingContext, Text,
    ///     codec::{Message, Messages, Utf8},
    ///     testing::Driver,
    /// };
    /// let mut driver = Driver::new(|ssc: &StreamingContext| {
    ///     let words = ssc.source::<Message<Text>>(SourceOptions::topic("words"), Messages(Utf8));
    ///     words.map(|word| Message { value: word.value.to_uppercase().into(), ..word }).to_kafka("loud", Utf8);
    /// });
    /// let written = driver.batch("words 0 | k | tide | @1000 | trace=7\n")?;
    /// assert_eq!(written.to_string(), "loud | k | TIDE | @1000 | trace=7\n");
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    pub fn to_kafka(&self, topic: &str, value: impl Encode<T> + 'static) {
        self.to_topic(topic, &self.here(), move |message, out| message.push(&value, out));
    }
}
