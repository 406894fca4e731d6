//! From a directory to topics and groups: builds the content of memory at an open.
//!
//! Knows no file format. Invariant: after a compaction everything is read again, so memory matches the content of the
//! files.

use super::{
    files::{Directory, Entry, Opening, Options, Segment, Span},
    partition::Place,
    store::State,
};
use crate::error::Result;
use std::{path::Path, sync::Arc};

impl State {
    /// The content of a directory, which is created if it is missing, ready to be appended to.
    pub fn open(path: &Path, options: Options, now_ms: i64) -> Result<State> {
        let mut state = State { default_partitions: options.default_partitions, ..State::default() };
        let mut opening = Opening::lock(path)?;
        state.read(&mut opening)?;
        if opening.pays() {
            opening.compact(&state.rules(), options.segment_bytes, now_ms)?;
            state.forget();
            state.read(&mut opening)?;
        }
        state.files = Some(Directory::append_to(opening, options)?);
        Ok(state)
    }

    fn read(&mut self, opening: &mut Opening) -> Result {
        opening.read(|segment, entry| self.apply(segment, entry))?;
        self.trim_all();
        Ok(())
    }

    /// Applies an entry; returns its bytes if compaction may drop it some day.
    fn apply(&mut self, segment: &Arc<Segment>, entry: Entry) -> u64 {
        match entry {
            Entry::Batch { at, first, last, records } => {
                let place = Place::Disk(Span { segment: segment.clone(), records, first });
                self.insert(&at, first, last, place);
                let may_go = self.is_compacted(&at.topic) || self.retention(&at.topic).is_some();
                if may_go { u64::from(records.len) } else { 0 }
            }
            Entry::Offset(offset) => {
                let bytes = offset.committed.metadata.len() as u64 + 40;
                self.replay(Entry::Offset(offset));
                bytes
            }
            entry => {
                self.replay(entry);
                0
            }
        }
    }
}
