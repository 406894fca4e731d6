//! Where to read next: the value of `--to`.
//!
//! Owns its spelling. Invariant: an offset that is not stored is refused, by name of its partition.

use crate::{
    cli::application::Place,
    error::{Error, Result, listed},
    log::Log,
    record::{Offset, TopicPartition},
};
use chrono::DateTime;
use std::{collections::BTreeMap, str::FromStr};

/// Where to read next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// At the first record that is stored.
    Earliest,
    /// After the last one.
    Latest,
    /// At the first record that is not older than this time, milliseconds since the epoch.
    Time(i64),
    /// At these offsets, by `topic-partition`; other partitions stay where they are.
    Offsets(BTreeMap<String, u64>),
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "earliest" => return Ok(Target::Earliest),
            "latest" => return Ok(Target::Latest),
            _ => {}
        }
        if let Ok(time) = DateTime::parse_from_rfc3339(text) {
            return Ok(Target::Time(time.timestamp_millis()));
        }
        let mut offsets = BTreeMap::new();
        for one in text.split(',') {
            let wrong = || {
                format!(
                    "`{one}` is not a place: `earliest`, `latest`, a time with its zone such as 2026-11-29T16:00:00Z, or TOPIC-PARTITION=OFFSET[,..]"
                )
            };
            let (at, offset) = one.split_once('=').ok_or_else(wrong)?;
            let (_, partition) = at.rsplit_once('-').ok_or_else(wrong)?;
            let offset: u64 = offset.parse().map_err(|_| wrong())?;
            partition.parse::<u32>().map_err(|_| wrong())?;
            if offsets.insert(at.to_owned(), offset).is_some() {
                return Err(format!("`{at}` is named twice"));
            }
        }
        Ok(Target::Offsets(offsets))
    }
}

impl Target {
    /// The offset for each input partition that moves.
    ///
    /// # Errors
    /// If a partition is not one of these, or does not have the offset; if there is none.
    pub(super) fn offsets(&self, log: &dyn Log, inputs: &[Place]) -> Result<Vec<(TopicPartition, Offset)>> {
        if inputs.is_empty() {
            let what = "the application reads no topic that exists, so there is no offset to reset";
            return Err(Error::Config(what.into()));
        }
        if let Target::Offsets(wanted) = self {
            return named(wanted, inputs);
        }
        let of = |place: &Place| {
            let offset = match self {
                Target::Latest => place.end,
                Target::Time(ms) => log.offset_at(&place.at, *ms)?,
                _ => place.start,
            };
            Ok((place.at.clone(), offset))
        };
        inputs.iter().map(of).collect()
    }
}

fn named(wanted: &BTreeMap<String, u64>, inputs: &[Place]) -> Result<Vec<(TopicPartition, Offset)>> {
    let of = |(at, offset): (&String, &u64)| {
        let Some(place) = inputs.iter().find(|place| place.at.to_string() == *at) else {
            let there: Vec<String> = inputs.iter().map(|place| place.at.to_string()).collect();
            return Err(Error::Config(format!(
                "`{at}` is not an input partition of this application\n  next: choose among {}",
                listed(&there)
            )));
        };
        let offset = Offset(*offset);
        if !(place.start..=place.end).contains(&offset) {
            return Err(Error::Config(format!(
                "{at} has offsets {} to {}, not {offset}\n  next: choose one of them",
                place.start, place.end
            )));
        }
        Ok((place.at.clone(), offset))
    };
    wanted.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read() {
        let read = |text: &str| text.parse::<Target>();
        assert_eq!(read("earliest"), Ok(Target::Earliest));
        assert_eq!(read("1970-01-01T00:00:01+00:00"), Ok(Target::Time(1_000)));
        let offsets = [("a-b-0".to_owned(), 7), ("c-11".to_owned(), 0)];
        assert_eq!(read("a-b-0=7,c-11=0"), Ok(Target::Offsets(offsets.into())));
        for wrong in ["", "now", "2026-11-29", "a=7", "a-0", "a-0=x", "a-b=7"] {
            assert!(read(wrong).unwrap_err().contains("is not a place"), "{wrong}");
        }
        assert!(read("a-0=1,a-0=2").unwrap_err().contains("named twice"));
    }
}
