//! A context from a few settings, for programs without flags.
//!
//! Owns the defaults of such programs: a batch each second, and a log of their own where none is named. Knows no stream. Invariant: every
//! setting ends in a [`Config`].

use super::StreamingContext;
use crate::config::{Config, Trigger};
use std::{path::PathBuf, time::Duration};

/// Makes a [`StreamingContext`]: see [`StreamingContext::builder`].
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

    /// How often a batch is cut; default one second.
    pub fn batch_interval(mut self, interval: Duration) -> Self {
        self.config.trigger = Trigger::Interval(interval);
        self
    }

    /// When a batch is cut, if not at an interval.
    pub fn trigger(mut self, trigger: Trigger) -> Self {
        self.config.trigger = trigger;
        self
    }

    /// Worker threads; default one per core. Receivers have threads of their own.
    pub fn threads(mut self, threads: usize) -> Self {
        self.config.threads = threads;
        self
    }

    /// The log: `host:port` of Kafka, `embedded:DIR` or `memory:`. Default: a log in the checkpoint directory, or in memory if there is
    /// none.
    pub fn log(mut self, bootstrap: &str) -> Self {
        bootstrap.clone_into(&mut self.config.bootstrap);
        self
    }

    /// As [`StreamingContext::checkpoint`].
    pub fn checkpoint(mut self, dir: impl Into<PathBuf>) -> Self {
        self.config.state_dir = Some(dir.into());
        self
    }

    /// Any other setting.
    pub fn configure(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// The context.
    #[must_use]
    pub fn build(self) -> StreamingContext {
        StreamingContext::new(self.config)
    }
}
