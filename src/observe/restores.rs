//! State partitions of this process that are being restored, as people see them: rows done, rows in all, rate, time left.
//!
//! Owns the numbers, and the lines of the log after that with which a restore begins. Knows no changelog. Invariants: each restore has a
//! line every ten seconds, and when it ends; where many run at once these are summed up.

use crate::runtime::Restoring;
use serde::Serialize;
use std::time::Duration;

/// Between two lines about what is under way, milliseconds.
const TELL_EVERY_MS: i64 = 10_000;
/// More at once than this many are summed up.
const EACH_MAX: usize = 4;

/// How far the restore of a state partition has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Restore {
    /// Which.
    pub partition: u32,
    /// About how many records of the changelog are to be read in all.
    pub records: u64,
    /// How many are read.
    pub records_done: u64,
    /// How many are read per second; `None` = it has not begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub records_per_second: Option<u64>,
    /// How long the rest takes at this rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds_left: Option<u64>,
}

impl Restore {
    /// From what the loop reports.
    #[must_use]
    pub fn of(restoring: &Restoring) -> Self {
        let Restoring { partition, done, total, took } = restoring;
        let rate = rate(*done, *took);
        Restore {
            partition: partition.0,
            records: *total,
            records_done: *done,
            records_per_second: rate,
            seconds_left: rate.map(|rate| total.saturating_sub(*done).div_ceil(rate)),
        }
    }

    /// How many records are still to be read.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.records.saturating_sub(self.records_done)
    }
}

/// Rows per second so far; `None` = there is no telling yet.
fn rate(done: u64, took: Duration) -> Option<u64> {
    let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    (done > 0 && took_ms > 0).then(|| (done.saturating_mul(1000) / took_ms).max(1))
}

/// How many seconds are left of all of these together, if that can be told.
#[must_use]
pub fn seconds_left(restores: &[Restore]) -> Option<u64> {
    let rate: u64 = restores.iter().filter_map(|restore| restore.records_per_second).sum();
    let left: u64 = restores.iter().map(Restore::left).sum();
    (rate > 0).then(|| left.div_ceil(rate))
}

/// What is told of restores, and when.
#[derive(Debug, Default)]
pub(super) struct Told {
    ended: Vec<(Restoring, Restore)>,
    /// The most at once since none was under way.
    most: usize,
    last_ms: i64,
}

impl Told {
    /// One is done.
    pub(super) fn ended(&mut self, restoring: &Restoring) {
        if restoring.total > 0 {
            self.ended.push((restoring.clone(), Restore::of(restoring)));
        }
    }

    /// What the log says now that these are under way.
    pub(super) fn lines(&mut self, restores: &[Restore], now_ms: i64) -> Vec<String> {
        if self.most == 0 {
            self.last_ms = now_ms;
        }
        self.most = self.most.max(restores.len());
        let mut lines = vec![];
        if self.most <= EACH_MAX || restores.is_empty() {
            lines.extend(self.ends());
        }
        if restores.is_empty() {
            self.most = 0;
        } else if now_ms.saturating_sub(self.last_ms) >= TELL_EVERY_MS || now_ms < self.last_ms {
            self.last_ms = now_ms;
            lines.extend(self.goes_on(restores));
        }
        lines
    }

    fn ends(&mut self) -> Vec<String> {
        let ended = std::mem::take(&mut self.ended);
        if self.most <= EACH_MAX {
            let line = |(restoring, restore): &(Restoring, Restore)| {
                format!(
                    "state partition {} is restored: {} rows in {:.1} s",
                    restore.partition,
                    restore.records,
                    restoring.took.as_secs_f64()
                )
            };
            return ended.iter().map(line).collect();
        }
        let records: u64 = ended.iter().map(|(_, restore)| restore.records).sum();
        let line = format!("{} state partitions are restored: {records} rows", ended.len());
        Some(line).filter(|_| !ended.is_empty()).into_iter().collect()
    }

    fn goes_on(&self, restores: &[Restore]) -> Vec<String> {
        let left = |seconds: Option<u64>| seconds.map_or(String::new(), |s| format!(", about {s} s left"));
        if self.most > EACH_MAX {
            let (done, all) = restores.iter().fold((0, 0), |(d, a), r| (d + r.records_done, a + r.records));
            let left = left(seconds_left(restores));
            return vec![format!(
                "restoring {} state partitions: {done} of {all} rows{left}",
                restores.len()
            )];
        }
        let line = |r: &Restore| {
            let (partition, done, all) = (r.partition, r.records_done, r.records);
            match r.records_per_second {
                Some(rate) => format!(
                    "restoring state partition {partition}: {done} of {all} rows, {rate} rows/s{}",
                    left(r.seconds_left)
                ),
                None => format!("the restore of state partition {partition} waits: {done} of {all} rows"),
            }
        };
        restores.iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Partition;

    fn restoring(partition: u32, done: u64, took_s: u64) -> Restoring {
        Restoring {
            partition: Partition(partition),
            done,
            total: 1_000_000,
            took: Duration::from_secs(took_s),
        }
    }

    fn shown(restoring: &[Restoring]) -> Vec<Restore> {
        restoring.iter().map(Restore::of).collect()
    }

    #[test]
    fn a_restore_has_its_rate_and_the_time_left() {
        let restores = shown(&[restoring(1, 400_000, 2), restoring(2, 0, 0)]);
        assert_eq!((restores[0].records_per_second, restores[0].seconds_left), (Some(200_000), Some(3)));
        assert_eq!((restores[1].records_per_second, restores[1].seconds_left), (None, None));
        assert_eq!(seconds_left(&restores), Some(8), "those that wait are part of it");
        assert_eq!(seconds_left(&restores[1..]), None);
        assert_eq!(
            serde_json::to_string(&restores).unwrap(),
            r#"[{"partition":1,"records":1000000,"recordsDone":400000,"recordsPerSecond":200000,"secondsLeft":3},{"partition":2,"records":1000000,"recordsDone":0}]"#
        );
    }

    #[test]
    fn each_of_a_few_has_its_lines() {
        let mut told = Told::default();
        let mut now_ms = 50_000;
        let mut lines = |restores: &[Restoring], ended: &[Restoring], later_ms: i64| {
            now_ms += later_ms;
            ended.iter().for_each(|restoring| told.ended(restoring));
            told.lines(&shown(restores), now_ms)
        };
        assert!(lines(&[restoring(1, 0, 0), restoring(2, 0, 0)], &[], 0).is_empty());
        assert!(lines(&[restoring(1, 100, 1), restoring(2, 0, 0)], &[], 9_999).is_empty());
        assert_eq!(
            lines(&[restoring(1, 500_000, 10), restoring(2, 0, 0)], &[], 1),
            [
                "restoring state partition 1: 500000 of 1000000 rows, 50000 rows/s, about 10 s left",
                "the restore of state partition 2 waits: 0 of 1000000 rows"
            ]
        );
        assert_eq!(
            lines(&[restoring(2, 0, 0)], &[restoring(1, 1_000_000, 20)], 1_000),
            ["state partition 1 is restored: 1000000 rows in 20.0 s"]
        );
        assert!(lines(&[], &[], 1).is_empty(), "one that is given up is told where that happens");
    }

    #[test]
    fn many_are_summed_up() {
        let mut told = Told::default();
        let all: Vec<Restoring> = (0..6).map(|partition| restoring(partition, 0, 0)).collect();
        assert!(told.lines(&shown(&all), 0).is_empty());
        let ended = restoring(0, 1_000_000, 5);
        told.ended(&ended);
        assert!(told.lines(&shown(&all[1..]), 5_000).is_empty());
        let later: Vec<Restoring> = (1..6).map(|partition| restoring(partition, 500_000, 5)).collect();
        assert_eq!(
            told.lines(&shown(&later), 10_000),
            ["restoring 5 state partitions: 2500000 of 5000000 rows, about 5 s left"]
        );
        later.iter().for_each(|restoring| told.ended(restoring));
        assert_eq!(told.lines(&[], 20_000), ["6 state partitions are restored: 6000000 rows"]);
        assert!(told.lines(&shown(&all[..1]), 30_000).is_empty());
        told.ended(&ended);
        assert_eq!(told.lines(&[], 31_000), ["state partition 0 is restored: 1000000 rows in 5.0 s"]);
    }
}
