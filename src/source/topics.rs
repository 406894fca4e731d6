//! Which topics a source reads, and where it begins.
//!
//! Owns the choice by name and by pattern. Knows no log. Invariant: a pattern matches whole names, and never names
//! that begin with two underscores, which Kafka reserves for itself.

use crate::{
    config::StartingOffsets,
    record::{Offset, TopicPartition},
};
use std::collections::BTreeMap;

/// Where a source begins if the program has never run before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Starting {
    /// At the first record that still exists.
    Earliest,
    /// After the last record.
    Latest,
    /// At the first record of each partition that is not older than this, in milliseconds since the epoch; after
    /// the last record if there is none.
    Timestamp(i64),
    /// At these offsets; partitions that are not listed begin as the program is configured.
    Offsets(BTreeMap<TopicPartition, Offset>),
}

impl From<StartingOffsets> for Starting {
    fn from(of_program: StartingOffsets) -> Self {
        match of_program {
            StartingOffsets::Earliest => Starting::Earliest,
            StartingOffsets::Latest => Starting::Latest,
        }
    }
}

/// A pattern for topic names, as a regular expression.
#[derive(Clone, Debug)]
pub struct TopicPattern {
    text: String,
    expression: regex::Regex,
}

impl TopicPattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(text: &str) -> Result<Self, String> {
        let whole = regex::Regex::new(&format!("^(?:{text})$")).map_err(|e| e.to_string())?;
        Ok(TopicPattern { text: text.to_owned(), expression: whole })
    }

    /// The pattern as the user wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it matches this topic.
    #[must_use]
    pub fn matches(&self, topic: &str) -> bool {
        !topic.starts_with("__") && self.expression.is_match(topic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_whole_names() {
        let pattern = TopicPattern::new("clicks-.*|views").unwrap();
        let names = ["clicks-eu", "clicks-", "views", "old-clicks-eu", "views-eu", "__clicks-x"];
        assert_eq!(names.map(|n| pattern.matches(n)), [true, true, true, false, false, false]);
        assert!(!TopicPattern::new(".*").unwrap().matches("__consumer_offsets"));
        assert!(TopicPattern::new("clicks-(").unwrap_err().contains("unclosed group"));
    }
}
