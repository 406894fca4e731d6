//! The search for rows that make a stage fail when it closes a time.
//!
//! Pure: trials of some of the rows in, the positions of failing ones out. An operator that fails does not say on which row, so
//! the time is closed again and again with fewer rows, which leaves no trace. Rows of different keys are tried apart from each
//! other; of one key each row is tried with the good ones before it, as far as few fail. Invariants: a row is bad only if a trial
//! fails in which it is the last one; if no rows at all fail, none is bad; once the search has ended, the rows that are left do
//! not fail.

use crate::error::{Error, Result};

/// From so many failing rows of one key on, its rows are tried without those before them: a search must end.
const FAITHFUL_MAX: usize = 16;

/// What a search has found.
#[derive(Debug)]
pub enum Found {
    /// These rows, with how each failed.
    Rows(Vec<(usize, Error)>),
    /// The stage fails without any row.
    WithoutRows(Error),
}

/// Searches among the rows `groups`, which are given as positions, those of one key in one group. `fails` tries some of them, in
/// the order of their positions.
///
/// # Errors
/// Whatever else goes wrong in a trial.
pub fn search(groups: &[Vec<usize>], fails: impl FnMut(&[usize]) -> Result<Option<Error>>) -> Result<Found> {
    let mut search = Search { fails, bad: vec![] };
    let all = sorted(groups);
    if search.fails(&all)?.is_none() {
        return Ok(Found::Rows(vec![]));
    }
    if let Some(error) = search.fails(&[])? {
        return Ok(Found::WithoutRows(error));
    }
    search.groups(groups, true)?;
    search.rest(&all)?;
    search.bad.sort_by_key(|(row, _)| *row);
    Ok(Found::Rows(search.bad))
}

struct Search<F> {
    fails: F,
    bad: Vec<(usize, Error)>,
}

impl<F: FnMut(&[usize]) -> Result<Option<Error>>> Search<F> {
    fn fails(&mut self, rows: &[usize]) -> Result<Option<Error>> {
        (self.fails)(rows)
    }

    /// Groups that fail are found by halves; `is_suspect` = together they do, most probably. Returns whether one did.
    fn groups(&mut self, groups: &[Vec<usize>], is_suspect: bool) -> Result<bool> {
        if let [group] = groups {
            let found = self.bad.len();
            self.rows(group, &mut vec![], 0, false)?;
            return Ok(self.bad.len() > found);
        }
        if groups.is_empty() || (!is_suspect && self.fails(&sorted(groups))?.is_none()) {
            return Ok(false);
        }
        let (first, second) = groups.split_at(groups.len() / 2);
        let in_first = self.groups(first, false)?;
        Ok(self.groups(second, !in_first)? || in_first)
    }

    /// Rows of one key that fail, after the `good` ones before them.
    fn rows(
        &mut self,
        rows: &[usize],
        good: &mut Vec<usize>,
        mut found: usize,
        is_suspect: bool,
    ) -> Result<usize> {
        if !is_suspect || rows.len() == 1 {
            let from = if found < FAITHFUL_MAX { 0 } else { good.len() };
            let tried: Vec<usize> = good[from..].iter().chain(rows).copied().collect();
            match (self.fails(&tried)?, rows) {
                (None, _) => {
                    good.extend(rows);
                    return Ok(found);
                }
                (Some(error), [row]) => {
                    self.bad.push((*row, error));
                    return Ok(found + 1);
                }
                (Some(_), _) => {}
            }
        }
        let (first, second) = rows.split_at(rows.len() / 2);
        let before = found;
        found = self.rows(first, good, found, false)?;
        self.rows(second, good, found, found == before)
    }

    /// Rows that fail only together with rows of other keys: the last one of the least beginning that fails, again and again.
    fn rest(&mut self, all: &[usize]) -> Result {
        let mut left: Vec<usize> = all.to_vec();
        let mut bad: Vec<usize> = self.bad.iter().map(|(row, _)| *row).collect();
        bad.sort_unstable();
        left.retain(|row| bad.binary_search(row).is_err());
        while let Some(mut error) = self.fails(&left)? {
            let (mut passes, mut fails) = (0, left.len());
            while fails - passes > 1 {
                let middle = passes.midpoint(fails);
                match self.fails(&left[..middle])? {
                    Some(e) => (fails, error) = (middle, e),
                    None => passes = middle,
                }
            }
            let row = left.remove(passes);
            self.bad.push((row, error));
        }
        Ok(())
    }
}

fn sorted(groups: &[Vec<usize>]) -> Vec<usize> {
    let mut rows: Vec<usize> = groups.iter().flatten().copied().collect();
    rows.sort_unstable();
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Searches among `rows` rows of `keys` keys; returns what was found, and how many rows were tried in all.
    fn found(rows: usize, keys: usize, fails: impl Fn(&[usize]) -> bool) -> (Option<Vec<usize>>, usize) {
        let mut tried = 0;
        let groups: Vec<Vec<usize>> = (0..keys).map(|key| (key..rows).step_by(keys).collect()).collect();
        let found = search(&groups, |positions| {
            assert!(positions.is_sorted(), "in their order: {positions:?}");
            tried += positions.len();
            Ok(fails(positions).then(|| Error::State(format!("{:?}", positions.last()))))
        });
        let rows = match found.unwrap() {
            Found::Rows(rows) => rows,
            Found::WithoutRows(_) => return (None, tried),
        };
        let last = |(row, error): &(usize, Error)| error.to_string() == format!("state: Some({row})");
        assert!(rows.iter().all(last), "each fails as the last one: {rows:?}");
        (Some(rows.into_iter().map(|(row, _)| row).collect()), tried)
    }

    #[test]
    fn failing_rows_are_found_and_no_others() {
        let bad: [&[usize]; 6] =
            [&[], &[0], &[999], &[17, 18, 19, 500], &[3, 103, 203, 303, 993], &[999, 998]];
        for bad in bad {
            for keys in [1, 2, 100, 1_000] {
                let (rows, tried) = found(1_000, keys, |rows| rows.iter().any(|row| bad.contains(row)));
                assert_eq!(rows, Some(bad.iter().copied().collect::<BTreeSet<_>>().into_iter().collect()));
                assert!(tried <= 4_000 + 12_000 * bad.len(), "{tried} rows tried, {keys} keys, {bad:?}");
            }
        }
    }

    #[test]
    fn many_failing_rows_do_not_take_for_ever() {
        for keys in [1, 10, 10_000] {
            let (rows, tried) = found(100_000, keys, |rows| rows.iter().any(|row| row % 10 == 3));
            assert_eq!(rows.map(|rows| rows.len()), Some(10_000));
            assert!(tried < 8_000_000, "{tried} rows tried for 10,000 of 100,000, {keys} keys");
        }
    }

    #[test]
    fn what_fails_without_rows_blames_none() {
        assert_eq!(found(10, 3, |_| true).0, None);
        assert_eq!(found(0, 1, |_| true).0, None);
        assert_eq!(found(10, 3, |_| false).0, Some(vec![]));
    }

    #[test]
    fn a_row_that_needs_those_of_its_key_before_it_is_not_bad() {
        // Even rows are of one key. Of it the first must come before all others; row 6 is bad.
        let fails = |rows: &[usize]| {
            let mut even = rows.iter().filter(|row| *row % 2 == 0);
            even.clone().any(|row| *row == 6) || even.next().is_some_and(|first| *first != 0)
        };
        assert_eq!(found(40, 2, fails).0, Some(vec![6]));
    }

    #[test]
    fn rows_of_different_keys_that_fail_only_together_are_found_last() {
        let both = |rows: &[usize]| rows.contains(&2) && rows.contains(&5) || rows.contains(&8);
        assert_eq!(found(10, 10, both).0, Some(vec![5, 8]), "the later one of the two");
    }
}
