//! Streams of the records of topics.
//!
//! Owns the options of a source. Knows no log. Invariant: a source is named after its topics, and so are the
//! durable names derived from it.

use super::{DStream, StreamBuilder};
use crate::{
    codec::{Decode, Utf8},
    plan::{Node, Place, Role},
    record::{Data, Text},
    source::{BadRecordPolicy, SourceSpec, Starting, TopicPattern, decoder},
};
use std::{marker::PhantomData, panic::Location, sync::PoisonError};

/// Which topics a stream reads, where it begins, and how records that cannot be processed are handled.
///
/// ```
/// use tidegate::{BadRecordPolicy, SourceOptions, source::Starting};
/// let clicks = SourceOptions::topic("clicks").on_bad_record(BadRecordPolicy::DeadLetter);
/// let regions = SourceOptions::pattern("clicks-.*").starting(Starting::Timestamp(1_700_000_000_000));
/// ```
#[derive(Clone, Debug)]
pub struct SourceOptions {
    topics: Vec<String>,
    pattern: Option<String>,
    policy: BadRecordPolicy,
    starting: Option<Starting>,
}

impl SourceOptions {
    /// One topic.
    ///
    /// ```
    /// use tidegate::{SourceOptions, StreamingContext, codec::Json, testing::Driver};
    /// let mut driver = Driver::new(|ssc: &StreamingContext| {
    ///     ssc.source::<u32>(SourceOptions::topic("numbers"), Json).map(|n| n * 2).print();
    /// });
    /// assert_eq!(driver.batch("numbers 0 | - | 21\n")?.to_string(), "console | 42\n");
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[must_use]
    pub fn topic(name: impl Into<String>) -> Self {
        Self::topics([name])
    }

    /// Several topics whose records have the same format.
    ///
    /// ```
    /// use tidegate::{SourceOptions, StreamingContext, codec::Utf8, testing::Driver};
    /// let mut driver = Driver::new(|ssc: &StreamingContext| {
    ///     ssc.source::<String>(SourceOptions::topics(["eu", "us"]), Utf8).print();
    /// });
    /// assert_eq!(driver.batch("eu 0 | - | Oslo\nus 0 | - | Reno\n")?.to_string(), "console | Oslo\nconsole | Reno\n");
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[must_use]
    pub fn topics(names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let topics = names.into_iter().map(Into::into).collect();
        SourceOptions { topics, pattern: None, policy: BadRecordPolicy::default(), starting: None }
    }

    /// All topics whose whole name matches a regular expression, including topics that appear while the program
    /// runs: the pattern is evaluated again every [`metadata_refresh`](crate::Config::metadata_refresh), and topics
    /// that are found later are read from their beginning. The application's own topics never match.
    ///
    /// ```
    /// use tidegate::{SourceOptions, StreamingContext, codec::Utf8, log::TopicSpec, testing::Driver};
    /// let mut driver = Driver::new(|ssc: &StreamingContext| {
    ///     ssc.source::<String>(SourceOptions::pattern("clicks-.*"), Utf8).print();
    /// });
    /// let config = Default::default();
    /// driver.log().create(&TopicSpec { name: "clicks-eu".into(), partitions: 3, replication_factor: None, config })?;
    /// assert_eq!(driver.batch("clicks-eu 0 | - | home\n")?.to_string(), "console | home\n");
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[must_use]
    pub fn pattern(pattern: impl Into<String>) -> Self {
        SourceOptions { pattern: Some(pattern.into()), ..Self::topics(None::<String>) }
    }

    /// What to do with records that cannot be decoded, or that make an operator fail.
    ///
    /// ```
    /// use tidegate::{BadRecordPolicy, SourceOptions, StreamingContext, codec::Json, testing::Driver};
    /// let mut driver = Driver::new(|ssc: &StreamingContext| {
    ///     let numbers = SourceOptions::topic("numbers").on_bad_record(BadRecordPolicy::Skip);
    ///     ssc.source::<u32>(numbers, Json).print();
    /// });
    /// assert_eq!(driver.batch("numbers 0 | - | 7\nnumbers 0 | - | seven\n")?.to_string(), "console | 7\n");
    /// assert_eq!(driver.take_bad_records().len(), 1);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[must_use]
    pub fn on_bad_record(mut self, policy: BadRecordPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Where the first start begins; default: as the program is configured. Later starts continue from what was
    /// committed, and topics and partitions that appear later are read from their beginning.
    ///
    /// ```
    /// use tidegate::{SourceOptions, StreamingContext, codec::Utf8, source::Starting, testing::Driver};
    /// let mut driver = Driver::new(|ssc: &StreamingContext| {
    ///     let clicks = SourceOptions::topic("clicks").starting(Starting::Timestamp(1_500));
    ///     ssc.source::<String>(clicks, Utf8).print();
    /// });
    /// let written = driver.batch("clicks 0 | - | old | @1000\nclicks 0 | - | new | @2000\n")?;
    /// assert_eq!(written.to_string(), "console | new\n");
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[must_use]
    pub fn starting(mut self, starting: Starting) -> Self {
        self.starting = Some(starting);
        self
    }
}

impl StreamBuilder {
    /// The lines of a topic, in one stream however often they are asked for.
    pub fn text(&self, topic: &str, at: &'static Location<'static>) -> DStream<Text> {
        let mut texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        let known =
            texts.get(topic).map(|node| DStream { builder: self.clone(), node: *node, rows: PhantomData });
        let stream = known.unwrap_or_else(|| self.source(SourceOptions::topic(topic), Utf8, at));
        texts.insert(topic.to_owned(), stream.node);
        stream
    }

    /// A stream of decoded records; `at` is the location in the user's program.
    pub fn source<T: Data>(
        &self,
        options: SourceOptions,
        decode: impl Decode<T> + 'static,
        at: &'static Location<'static>,
    ) -> DStream<T> {
        let SourceOptions { topics, pattern, policy, starting } = options;
        let mut compiled = None;
        if let Some(text) = &pattern {
            match TopicPattern::new(text) {
                Ok(pattern) => compiled = Some(pattern),
                Err(e) => self.plan().mistakes.push(format!(
                    "{}: the pattern `{text}` is not a regular expression: {e}",
                    Place::from(at)
                )),
            }
        } else if topics.is_empty() {
            self.plan().mistakes.push(format!("{}: a source without a topic", Place::from(at)));
        }
        let path = pattern.unwrap_or_else(|| topics.join("+"));
        let source = SourceSpec {
            topics,
            pattern: compiled,
            decoder: decoder(decode),
            policy,
            format: None,
            starting,
        };
        self.add(Node::new(&self.operation(at), "source", path, Role::Source(source)))
    }
}
