//! How many groups are computed of all their values at a time.
//!
//! Owns that number. Knows no value. Invariants: it is between one and the greatest number of groups in a chunk; it follows what the last
//! groups took in memory, so a piece has about as many bytes whatever the groups have; it decides nothing but where chunks are cut.

use std::cell::Cell;

/// What a piece of groups may take, bytes.
const BYTES: usize = 8 << 20;
/// Groups of the first piece.
const FIRST: usize = 256;

/// How many groups are computed at a time.
pub(in crate::sql::op) struct Pace {
    groups: Cell<usize>,
    most: usize,
}

impl Pace {
    /// At most so many, and at once if nothing is computed of all values.
    pub fn new(most: usize, reads_all_values: bool) -> Self {
        Pace { groups: Cell::new(if reads_all_values { FIRST.min(most) } else { most }), most }
    }

    /// How many groups the next piece has.
    pub fn groups(&self) -> usize {
        self.groups.get()
    }

    /// The last piece took so many bytes.
    pub(super) fn took(&self, bytes: usize) {
        let groups = self.groups.get();
        if bytes > BYTES {
            self.groups.set((groups / 2).max(1));
        } else if bytes < BYTES / 4 {
            self.groups.set((groups * 2).min(self.most));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_has_fewer_groups_if_they_are_large() {
        let pace = Pace::new(1_000, true);
        assert_eq!(pace.groups(), FIRST);
        for _ in 0..20 {
            pace.took(BYTES + 1);
        }
        assert_eq!(pace.groups(), 1);
        pace.took(BYTES / 2);
        assert_eq!(pace.groups(), 1);
        for _ in 0..20 {
            pace.took(0);
        }
        assert_eq!(pace.groups(), 1_000);
        assert_eq!(Pace::new(1_000, false).groups(), 1_000);
    }
}
