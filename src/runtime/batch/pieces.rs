//! How many records are taken through all stages at a time, once a record has failed behind an exchange.
//!
//! Pure: what happened to pieces in, the size of the next one out. Invariants: a piece is never empty; where records
//! fail pieces are small, so that little is computed again, and elsewhere they grow until they cost nothing.

/// The first piece, and the next one after a failure, has so many records.
const FIRST: usize = 32;
/// No piece has more.
const LAST: usize = 8_192;
/// After so many records without a failure, batches are no longer taken in pieces.
const CLEAN_RECORDS: usize = 100_000;

/// Whether batches are taken in pieces, and how large the next one is.
#[derive(Debug, Default)]
pub struct Pieces {
    /// Most records of the next one; 0 = batches are not taken in pieces.
    records: usize,
    /// Records since the last failure.
    clean: usize,
}

impl Pieces {
    /// From now on batches are taken in pieces.
    pub fn begin(&mut self) {
        *self = Pieces { records: FIRST, clean: 0 };
    }

    /// From now on they are not.
    pub fn end(&mut self) {
        *self = Pieces::default();
    }

    /// Whether batches are taken in pieces.
    #[must_use]
    pub fn are_taken(&self) -> bool {
        self.records > 0
    }

    /// Most records of the next one.
    #[must_use]
    pub fn records(&self) -> usize {
        self.records.max(1)
    }

    /// A piece failed.
    pub fn failed(&mut self) {
        self.begin();
    }

    /// A piece of so many records did not fail.
    pub fn passed(&mut self, records: usize) {
        self.clean = self.clean.saturating_add(records);
        self.records = (self.records * 2).min(LAST);
    }

    /// Whether there was no failure for so long that pieces are no longer worth their time.
    #[must_use]
    pub fn are_over(&self) -> bool {
        self.clean >= CLEAN_RECORDS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_grow_while_nothing_fails_and_end_after_many_records() {
        let mut pieces = Pieces::default();
        assert!(!pieces.are_taken() && !pieces.are_over());
        pieces.begin();
        assert!(pieces.are_taken());
        pieces.passed(32);
        assert_eq!(pieces.records(), 64);
        pieces.failed();
        assert_eq!(pieces.records(), 32);
        (0..20).for_each(|_| pieces.passed(4_000));
        assert_eq!((pieces.records(), pieces.are_over()), (8_192, false));
        (0..5).for_each(|_| pieces.passed(4_000));
        assert!(pieces.are_over() && pieces.are_taken(), "until the batch is committed");
        pieces.end();
        assert!(!pieces.are_taken());
    }
}
