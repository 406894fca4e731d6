//! A context from a few settings, for programs without flags.
//!
//! Owns the defaults of such programs: a batch each second, and a log of their own if none is named. Knows no stream.
//! Invariant: every setting ends up in a [`Config`].

use super::StreamingContext;
use crate::config::{Config, Trigger};
use std::{path::PathBuf, time::Duration};

/// Builds a [`StreamingContext`]: see [`StreamingContext::builder`].
#[derive(Clone, Debug)]
#[must_use = "call `build`"]
pub struct ContextBuilder {
    config: Config,
}

impl ContextBuilder {
    pub(super) fn new(name: &str) -> Self {
        let allowed = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
        let id: String = name.chars().map(allowed).collect();
        ContextBuilder { config: Config::new(id, "") }
    }

    /// How often a batch is cut; default: one second.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate::StreamingContext;
    /// let ssc = StreamingContext::builder("app")
    ///     .batch_interval(Duration::from_millis(20))
    ///     .configure(|c| c.admin_bind = None)
    ///     .build();
    /// let (sender, receiver) = std::sync::mpsc::channel();
    /// ssc.rate_stream(1).foreach_rdd(move |_, time| Ok(sender.send(time.0)?));
    /// ssc.start()?;
    /// let (first, second) = (receiver.recv().unwrap(), receiver.recv().unwrap());
    /// assert!(first % 20 == 0 && second % 20 == 0 && first < second); // multiples of the interval
    /// ssc.stop(false);
    /// ssc.await_termination()?;
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    pub fn batch_interval(mut self, interval: Duration) -> Self {
        self.config.trigger = Trigger::Interval(interval);
        self
    }

    /// When a batch is cut, if not at an interval.
    ///
    /// ```
    /// use tidegate::{StreamingContext, config::Trigger, source::Queue};
    /// let queue = Queue::default();
    /// queue.push(vec!['a']);
    /// let ssc = StreamingContext::builder("app").trigger(Trigger::AvailableNow).configure(|c| c.admin_bind = None).build();
    /// ssc.queue_stream(&queue, true).print();
    /// ssc.start()?;
    /// ssc.await_termination()?; // ends by itself
    /// assert!(queue.is_empty());
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    pub fn trigger(mut self, trigger: Trigger) -> Self {
        self.config.trigger = trigger;
        self
    }

    /// Worker threads; default: one per core. Receivers have their own threads.
    ///
    /// ```
    /// use tidegate::{StreamingContext, config::Trigger, source::Queue};
    /// let queue = Queue::default();
    /// queue.push(vec![1, 2]);
    /// let builder = StreamingContext::builder("app").threads(2).trigger(Trigger::AvailableNow);
    /// let ssc = builder.configure(|c| c.admin_bind = None).build();
    /// ssc.queue_stream(&queue, true).reduce(|a: i32, b| a + b).print();
    /// ssc.run()?;
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    pub fn threads(mut self, threads: usize) -> Self {
        self.config.threads = threads;
        self
    }

    /// The log: `host:port` for Kafka, `embedded:DIR` or `memory:`. Default: a log in the checkpoint directory, or in
    /// memory if there is none.
    ///
    /// ```
    /// use tidegate::{StreamingContext, config::Trigger, log};
    /// let dir = tempfile::tempdir().unwrap();
    /// let at = format!("embedded:{}", dir.path().join("log").display());
    /// let builder = StreamingContext::builder("app").log(&at).checkpoint(dir.path().join("state"));
    /// let ssc = builder.trigger(Trigger::AvailableNow).configure(|c| c.admin_bind = None).build();
    /// ssc.queue_stream(&Default::default(), true).map(|n: i32| (n, n)).to_kafka(
    ///     "out",
    ///     tidegate::codec::AsText,
    ///     tidegate::codec::AsText,
    /// );
    /// ssc.run()?;
    /// assert!(log::open(&at, &Default::default())?.describe(&["out"])?[0].is_some()); // the log created the topic
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    pub fn log(mut self, bootstrap: &str) -> Self {
        bootstrap.clone_into(&mut self.config.bootstrap);
        self
    }

    /// Like [`StreamingContext::checkpoint`].
    ///
    /// ```
    /// use tidegate::{StreamingContext, config::Trigger};
    /// let dir = tempfile::tempdir().unwrap();
    /// let builder = StreamingContext::builder("app").checkpoint(dir.path()).trigger(Trigger::AvailableNow);
    /// let ssc = builder.configure(|c| c.admin_bind = None).build();
    /// ssc.queue_stream(&Default::default(), true).map(|n: i32| (n, n)).running_reduce_by_key(|a, b| a + b).print();
    /// ssc.run()?;
    /// assert!(dir.path().join("log").is_dir() && dir.path().join("state").is_dir());
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    pub fn checkpoint(mut self, dir: impl Into<PathBuf>) -> Self {
        self.config.state_dir = Some(dir.into());
        self
    }

    /// Any other setting.
    ///
    /// ```
    /// use tidegate::StreamingContext;
    /// let builder = StreamingContext::builder("app").configure(|config| {
    ///     config.state_memory_bytes = 256 << 20;
    ///     config.admin_bind = None;
    /// });
    /// let ssc = builder.build();
    /// assert!(ssc.admin_address().is_none());
    /// ```
    pub fn configure(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// Builds the context.
    ///
    /// ```
    /// use tidegate::StreamingContext;
    /// let ssc = StreamingContext::builder("app").build();
    /// assert!(!ssc.is_running()); // nothing runs before `start`
    /// ```
    #[must_use]
    pub fn build(self) -> StreamingContext {
        StreamingContext::new(self.config)
    }
}
