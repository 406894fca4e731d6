//! Windows over event time: what they emit, what is late, what is deleted, across restarts and crashes.

use expect_test::expect;
use proptest::prelude::*;
use std::{collections::BTreeMap, time::Duration};
use tidegate::{
    Config, EventWindow, SourceOptions, StreamingContext,
    codec::{AsText, Message, Messages, Utf8},
    testing::{Crash, Driver, Settings, Written, run_every_way, ways},
};

fn ms(n: i64) -> Duration {
    Duration::from_millis(n.unsigned_abs())
}

fn counts(window: EventWindow) -> impl Fn(&StreamingContext) {
    move |ssc| {
        let words = ssc.source::<Message<String>>(SourceOptions::topic("in"), Messages(Utf8));
        words.count_by_key_and_event_window(window, |m| m.value).to_kafka("out", AsText, AsText);
    }
}

#[test]
fn each_changed_window_emits_its_count_so_far() {
    let input = "\
        in 0 | - | a | @1\n in 0 | - | a | @9\n in 1 | - | b | @5\n in 2 | - | a | @12\n\
        ---\n\
        in 0 | - | a | @10\n in 1 | - | b | @5\n\
        ---\n\
        ---\n\
        in 0 | - | a | @19\n in 1 | - | a | @3\n";
    let written = run_every_way(counts(EventWindow::tumbling(ms(10)).lateness(ms(5))), input);
    expect![[r#"
        out | a@0 | 2 | @9
        out | a@10 | 1 | @12
        out | b@0 | 1 | @5
        ---
        out | a@10 | 2 | @12
        out | b@0 | 2 | @5
        ---
        ---
        out | a@0 | 3 | @9
        out | a@10 | 3 | @19
    "#]]
    .assert_eq(&written);
}

#[test]
fn a_time_belongs_to_each_hopping_window_around_it() {
    let written = run_every_way(
        counts(EventWindow::hopping(ms(30), ms(10))),
        "in 0 | - | a | @25\n in 1 | - | a | @35\n",
    );
    expect![[r#"
        out | a@0 | 1 | @25
        out | a@10 | 2 | @35
        out | a@20 | 2 | @35
        out | a@30 | 1 | @35
    "#]]
    .assert_eq(&written);
}

/// Without the timestamp that a record takes from its input.
fn bare(row: &str) -> String {
    row.split(" | @").next().unwrap_or(row).to_owned()
}

fn shown(written: &Written) -> String {
    written.rows().map(|row| bare(row) + "\n").collect()
}

/// Rows for all partitions at one time, so that the watermark reaches it.
fn all_at(time: i64) -> String {
    (0..3).map(|p| format!("in {p} | - | tick | @{time}\n")).collect::<Vec<_>>().concat()
}

#[test]
fn rows_behind_the_watermark_are_dropped_and_counted_and_the_watermark_survives_everything() {
    let window = EventWindow::tumbling(ms(10)).lateness(ms(5));
    for settings in ways() {
        let mut driver = Driver::with(settings, counts(window));
        let late = |driver: &Driver<'_>| {
            let reports = driver.take_reports();
            reports.iter().filter(|r| r.committed).map(|r| r.counters.late).sum::<usize>()
        };
        // In the batch that moves the watermark, nothing is late yet.
        let first = driver.batch(&(all_at(25) + "in 0 | - | a | @1\n")).unwrap();
        assert!(first.to_string().contains("out | a@0 | 1"), "{first}");
        assert_eq!(late(&driver), 0);
        // 10 + 5 <= 25: the window from 0 is closed, the one from 10 is in its last moment: 20 + 5 <= 25 too.
        let second = driver.batch("in 0 | - | a | @9\nin 1 | - | a | @19\nin 2 | - | a | @20\n").unwrap();
        assert_eq!(shown(&second), "out | a@20 | 1\n", "{settings:?}");
        let dropped = late(&driver);
        if settings.between != tidegate::testing::Between::CrashAfterCommit {
            assert_eq!(dropped, 2, "{settings:?}"); // a process that died reported nothing
        }
        driver.restart_without_state();
        let third = driver.batch("in 1 | - | a | @19\nin 2 | - | a | @21\n").unwrap();
        assert_eq!(shown(&third), "out | a@20 | 2\n", "{settings:?}");
    }
}

#[test]
fn a_partition_without_rows_holds_the_watermark_back() {
    let mut driver = Driver::new(counts(EventWindow::tumbling(ms(10))));
    driver.batch("in 0 | - | a | @100\nin 1 | - | a | @100\n").unwrap();
    assert_eq!(shown(&driver.batch("in 0 | - | b | @1\n").unwrap()), "out | b@0 | 1\n");
    driver.batch("in 2 | - | c | @50\n").unwrap();
    assert_eq!(shown(&driver.batch("in 0 | - | b | @1\n").unwrap()), "");
    assert_eq!(shown(&driver.batch("in 0 | - | b | @50\n").unwrap()), "out | b@50 | 1\n");
}

#[test]
fn a_restarted_idle_program_does_not_commit_forever() {
    let mut driver = Driver::new(counts(EventWindow::tumbling(ms(10))));
    driver.batch(&all_at(5)).unwrap();
    driver.restart();
    for _ in 0..6 {
        driver.batch("").unwrap();
    }
    let committed: Vec<bool> = driver.take_reports().iter().map(|r| r.committed).collect();
    assert_eq!(committed[2..], [false; 5], "{committed:?}");
}

#[test]
fn expired_windows_are_deleted_in_parts_and_leave_tombstones() {
    let settings = Settings { state_partitions: 1, ..Settings::default() };
    let program = |ssc: &StreamingContext| {
        let words = ssc.source::<Message<String>>(SourceOptions::topic("in"), Messages(Utf8));
        let many = words.flat_map(|m| {
            let time = m.timestamp_ms;
            (0..10_000i64).map(move |n| Message { value: n, timestamp_ms: time, ..Message::default() })
        });
        let window = EventWindow::tumbling(ms(10));
        many.count_by_key_and_event_window(window, |m| m.value).map(|_| ((), ())).filter(|_| false).print();
    };
    let mut driver = Driver::with(settings, program);
    let tombstones = |driver: &mut Driver<'_>| {
        let rows = driver.new_rows("app-changelog").unwrap();
        rows.iter().filter(|row| row.ends_with("| -")).count()
    };
    driver.batch(&all_at(5)).unwrap();
    driver.batch(&all_at(15)).unwrap();
    assert_eq!(tombstones(&mut driver), 0);
    // The window from 0 is closed now. There are few new rows, so its 10,000 rows are deleted in parts.
    driver.restart();
    driver.batch("").unwrap();
    assert_eq!(tombstones(&mut driver), 8_192);
    driver.batch("").unwrap();
    assert_eq!(tombstones(&mut driver), 10_000 - 8_192);
    driver.batch("").unwrap();
    assert_eq!(tombstones(&mut driver), 0);
}

#[test]
fn a_window_that_begins_and_closes_within_a_batch_is_emitted_and_not_kept() {
    let settings = Settings { state_partitions: 1, ..Settings::default() };
    let mut driver = Driver::with(settings, counts(EventWindow::tumbling(ms(10))));
    driver.batch("in 0 | - | a | @1\n").unwrap();
    assert_eq!(driver.new_rows("app-changelog").unwrap().len(), 2, "a window, the watermark");
    let given = driver.batch(&(all_at(5) + "in 1 | - | a | @7\nin 1 | - | b | @15\n" + &all_at(35))).unwrap();
    assert_eq!(shown(&given), "out | a@0 | 2\nout | b@10 | 1\nout | tick@0 | 3\nout | tick@30 | 3\n");
    let rows = driver.new_rows("app-changelog").unwrap();
    assert_eq!(rows.len(), 3, "a@0, tick@30, the watermark: {rows:#?}");
    assert_eq!(rows.iter().filter(|row| row.ends_with("| -")).count(), 1, "a@0 is deleted: {rows:#?}");
    driver.restart_without_state();
    assert_eq!(
        shown(&driver.batch("in 2 | - | b | @16\nin 2 | - | tick | @36\n").unwrap()),
        "out | tick@30 | 4\n"
    );
}

#[test]
fn mistakes_are_reported_at_start() {
    let ssc = StreamingContext::new(Config::new("app", "memory:"));
    counts(EventWindow::tumbling(Duration::ZERO))(&ssc);
    counts(EventWindow::hopping(ms(10), Duration::from_micros(1_500)))(&ssc);
    let error = ssc.start().unwrap_err().to_string();
    assert!(
        error.contains("an event window of 0ns every 0ns: its size and hop must be more than zero"),
        "{error}"
    );
    assert!(
        error.contains("an event window of 10ms every 1.5ms: its size, hop and lateness must be whole"),
        "{error}"
    );
}

/// Rows of a batch: partition, key, event time.
type Batch = Vec<(u32, u8, i64)>;

fn batches() -> impl Strategy<Value = Vec<Batch>> {
    let times = (0..60i64, -40..20i64);
    let row = (0..3u32, 0..4u8, times);
    let batches = prop::collection::vec(prop::collection::vec(row, 0..8), 1..12);
    batches.prop_map(|batches| {
        let numbered = batches.into_iter().enumerate();
        numbered
            .map(|(n, rows)| {
                let base = 15 * i64::try_from(n).unwrap();
                rows.into_iter().map(|(p, k, (a, b))| (p, k, (base + a + b).max(0))).collect()
            })
            .collect()
    })
}

/// Counts by window and key; what is late is decided by what all earlier batches have shown.
struct Model {
    window: (i64, i64, i64),
    counts: BTreeMap<(i64, u8), u64>,
    greatest: BTreeMap<u32, i64>,
    late: usize,
}

impl Model {
    fn batch(&mut self, rows: &Batch) -> Vec<String> {
        let (size, hop, lateness) = self.window;
        let watermark = if self.greatest.len() < 3 { None } else { self.greatest.values().min().copied() };
        let mut changed = BTreeMap::new();
        for (partition, key, time) in rows {
            for start in (0..=*time).filter(|start| start % hop == 0 && start + size > *time) {
                if watermark.is_some_and(|w| start + size + lateness <= w) {
                    self.late += 1;
                    continue;
                }
                let count = self.counts.entry((start, *key)).or_default();
                *count += 1;
                changed.insert((start, *key), *count);
            }
            let greatest = self.greatest.entry(*partition).or_default();
            *greatest = (*greatest).max(*time);
        }
        let mut written: Vec<String> =
            changed.iter().map(|((start, key), n)| format!("out | {key}@{start} | {n}")).collect();
        written.sort();
        written
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn windows_agree_with_the_model(
        batches in batches(),
        size in 1..30i64,
        hop in 1..20i64,
        lateness in 0..20i64,
        way in 0..7usize,
        accidents in prop::collection::vec(0..6u8, 12),
    ) {
        let window = EventWindow::hopping(ms(size), ms(hop)).lateness(ms(lateness));
        let mut driver = Driver::with(Settings { ..ways()[way] }, counts(window));
        let mut model =
            Model { window: (size, hop, lateness), counts: BTreeMap::new(), greatest: BTreeMap::new(), late: 0 };
        for (n, rows) in batches.iter().enumerate() {
            match accidents[n] {
                0 => driver.restart_without_state(),
                1 => driver.restart(),
                2 => driver.crash_at(Crash::BeforeCommit),
                3 => driver.crash_at(Crash::AfterCommit),
                _ => {}
            }
            let input: Vec<String> = rows.iter().map(|(p, k, t)| format!("in {p} | - | {k} | @{t}\n")).collect();
            let written: Vec<String> = driver.batch(&input.concat()).unwrap().rows().map(bare).collect();
            prop_assert_eq!(written, model.batch(rows), "batch {}", n);
        }
    }
}
