//! Which rows and sessions of a group become one.
//!
//! Owns the merging. Knows no store and no state. Invariants: sessions that touch one another become one, in whatever order their rows
//! came; a session that was there and that no row of the batch belongs to is left alone.

/// A stretch of time of a group: a session that is stored, or a row and the gap behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stretch {
    /// The number of the group.
    pub group: usize,
    /// Where it starts, milliseconds.
    pub start_ms: i64,
    /// Where it ends.
    pub end_ms: i64,
    /// What it is of.
    pub of: Of,
}

/// What a stretch is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Of {
    /// A stored session, by its number.
    Stored(usize),
    /// A row of the batch, by its number.
    Row(usize),
}

/// A session with rows of the batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The number of the group.
    pub group: usize,
    /// Where it starts, milliseconds.
    pub start_ms: i64,
    /// Where it ends.
    pub end_ms: i64,
    /// The stored sessions that are part of it.
    pub stored: Vec<usize>,
    /// The rows of the batch that are part of it.
    pub rows: Vec<usize>,
}

/// The sessions that rows of the batch are part of, by group and start.
pub fn merged(mut stretches: Vec<Stretch>) -> Vec<Session> {
    stretches.sort_unstable();
    let mut sessions: Vec<Session> = vec![];
    for Stretch { group, start_ms, end_ms, of } in stretches {
        let session = match sessions.last_mut() {
            Some(last) if last.group == group && start_ms <= last.end_ms => {
                last.end_ms = last.end_ms.max(end_ms);
                last
            }
            _ => {
                sessions.push(Session { group, start_ms, end_ms, stored: vec![], rows: vec![] });
                let Some(last) = sessions.last_mut() else { continue };
                last
            }
        };
        match of {
            Of::Stored(number) => session.stored.push(number),
            Of::Row(number) => session.rows.push(number),
        }
    }
    sessions.retain(|session| !session.rows.is_empty());
    sessions
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(number: usize, group: usize, time_ms: i64) -> Stretch {
        Stretch { group, start_ms: time_ms, end_ms: time_ms + 10, of: Of::Row(number) }
    }

    fn stored(number: usize, start_ms: i64, end_ms: i64) -> Stretch {
        Stretch { group: 0, start_ms, end_ms, of: Of::Stored(number) }
    }

    #[test]
    fn rows_within_the_gap_are_one_session_and_close_gaps_between_others() {
        let sessions =
            merged(vec![row(0, 0, 25), row(1, 0, 0), row(2, 0, 10), row(3, 1, 12), stored(0, 31, 60)]);
        let session = |group, start_ms, end_ms, stored: &[usize], rows: &[usize]| Session {
            group,
            start_ms,
            end_ms,
            stored: stored.to_vec(),
            rows: rows.to_vec(),
        };
        assert_eq!(
            sessions,
            [session(0, 0, 20, &[], &[1, 2]), session(0, 25, 60, &[0], &[0]), session(1, 12, 22, &[], &[3])]
        );
        let bridged = merged(vec![stored(0, 0, 20), stored(1, 30, 41), row(7, 0, 20), stored(2, 50, 60)]);
        assert_eq!(bridged, [session(0, 0, 41, &[0, 1], &[7])], "a gap of exactly ten is none");
    }
}
