//! Joins with the versions of a table: `FOR SYSTEM_TIME AS OF` the event time of a stream.

#![allow(clippy::too_many_lines, reason = "golden texts")]

use super::{
    fuzz::{Random, Rows, apply},
    mistakes, parsed,
};
use expect_test::{Expect, expect};
use std::{collections::BTreeMap, fmt::Write};
use tidegate::{
    StreamingContext,
    config::ExchangeThrough,
    testing::{Between, Crash, Driver, Settings, run_every_way},
};

/// Orders in currencies, and the rates of these, whose rows may be 5 ms late.
fn script(rate: &str, query: &str) -> String {
    format!(
        "CREATE TABLE orders (id BIGINT, currency BIGINT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '0.005' SECOND)
           WITH ('connector' = 'kafka', 'topic' = 'o', 'format' = 'json', 'scan.watermark.idle-timeout' = '5 s');
         CREATE TABLE rates (code BIGINT, rate BIGINT, {rate}, WATERMARK FOR since AS since - INTERVAL '0.005' SECOND, PRIMARY KEY (code) NOT ENFORCED)
           WITH ('connector' = 'upsert-kafka', 'topic' = 'r', 'format' = 'json', 'scan.watermark.idle-timeout' = '5 s');
         CREATE TABLE out (id BIGINT, rate BIGINT) WITH ('connector' = 'kafka', 'topic' = 'out', 'format' = 'json');
         {query};"
    )
}

const SINCE: &str = "since TIMESTAMP(3)";
const OF_RECORD: &str = "since TIMESTAMP(3) METADATA FROM 'timestamp'";

fn joined(kind: &str, rest: &str) -> String {
    format!(
        "INSERT INTO out SELECT o.id, r.rate FROM orders AS o {kind} rates FOR SYSTEM_TIME AS OF o.ts AS r ON o.currency = r.code {rest}"
    )
}

fn order(id: i64, currency: &str, ts: i64) -> String {
    format!("o {} | - | {{\"id\":{id},\"currency\":{currency},\"ts\":{ts}}}\n", id % 3)
}

fn rate(code: i64, rate: i64, since: i64) -> String {
    format!("r {} | {{\"code\":{code}}} | {{\"rate\":{rate},\"since\":{since}}}\n", code % 3)
}

/// Rows that meet nothing at one time in all partitions of both tables, so that the watermark reaches it, less the delay.
fn all_at(ts: i64) -> String {
    let order = |at| format!("o {at} | - | {{\"id\":0,\"currency\":null,\"ts\":{ts}}}\n");
    (0..3).map(|at| order(at) + &rate(90 + at, 0, ts)).collect()
}

fn gives(script: &str, input: &str, expected: &Expect) {
    let script = parsed(script).unwrap();
    expected.assert_eq(&run_every_way(|ssc: &StreamingContext| ssc.sql(&script), input));
}

/// Rates of two currencies; orders before, between, at and after their changes, and one of an unknown currency.
fn orders() -> String {
    let first =
        rate(1, 10, 10) + &rate(1, 11, 20) + &rate(2, 20, 15) + &order(1, "1", 9) + &order(2, "1", 19);
    let second = order(3, "1", 20) + &order(4, "2", 25) + &order(5, "7", 26) + &order(6, "null", 27);
    // This rate comes behind the order that meets it.
    let third = rate(2, 21, 24) + &all_at(40);
    let fourth = order(7, "1", 36) + &rate(1, 12, 36) + &order(8, "2", 30) + &all_at(50);
    [first, second, third, fourth].join("---\n")
}

#[test]
fn a_row_meets_the_version_that_was_valid_at_its_time() {
    gives(
        &script(SINCE, &joined("JOIN", "")),
        &orders(),
        &expect![[r#"
        ---
        ---
        out | - | {"id":2,"rate":10} | @19
        out | - | {"id":3,"rate":11} | @20
        out | - | {"id":4,"rate":21} | @25
        ---
        out | - | {"id":7,"rate":12} | @36
    "#]],
    );
    gives(
        &script(SINCE, &joined("LEFT JOIN", "AND o.id <> 3")),
        &orders(),
        &expect![[r#"
        ---
        ---
        out | - | {"id":1,"rate":null} | @9
        out | - | {"id":2,"rate":10} | @19
        out | - | {"id":3,"rate":null} | @20
        out | - | {"id":4,"rate":21} | @25
        out | - | {"id":5,"rate":null} | @26
        out | - | {"id":6,"rate":null} | @27
        ---
        out | - | {"id":0,"rate":null} | @40
        out | - | {"id":0,"rate":null} | @40
        out | - | {"id":0,"rate":null} | @40
        out | - | {"id":7,"rate":12} | @36
    "#]],
    );
}

#[test]
fn conditions_decide_after_the_version_has_been_found() {
    gives(
        &script(SINCE, &joined("LEFT JOIN", "AND r.rate < 11")),
        &orders(),
        &expect![[r#"
        ---
        ---
        out | - | {"id":1,"rate":null} | @9
        out | - | {"id":2,"rate":10} | @19
        out | - | {"id":3,"rate":null} | @20
        out | - | {"id":4,"rate":null} | @25
        out | - | {"id":5,"rate":null} | @26
        out | - | {"id":6,"rate":null} | @27
        ---
        out | - | {"id":0,"rate":null} | @40
        out | - | {"id":0,"rate":null} | @40
        out | - | {"id":0,"rate":null} | @40
        out | - | {"id":7,"rate":null} | @36
    "#]],
    );
    gives(
        &script(SINCE, &joined("JOIN", "WHERE r.rate > 10 AND r.rate + o.id <> 25")),
        &orders(),
        &expect![[r#"
        ---
        ---
        out | - | {"id":3,"rate":11} | @20
        ---
        out | - | {"id":7,"rate":12} | @36
    "#]],
    );
    gives(
        &script(SINCE, &joined("LEFT JOIN", "WHERE r.rate IS NULL")),
        &orders(),
        &expect![[r#"
        ---
        ---
        out | - | {"id":1,"rate":null} | @9
        out | - | {"id":5,"rate":null} | @26
        out | - | {"id":6,"rate":null} | @27
        ---
        out | - | {"id":0,"rate":null} | @40
        out | - | {"id":0,"rate":null} | @40
        out | - | {"id":0,"rate":null} | @40
    "#]],
    );
}

/// A null value has no time of its own, unless the time is that of the record.
#[test]
fn a_row_that_is_deleted_is_valid_no_more() {
    let query = joined("LEFT JOIN", "");
    let deleted = rate(1, 10, 10)
        + &rate(1, 11, 20)
        + "r 1 | {\"code\":1} | -\n"
        + &order(1, "1", 15)
        + &order(2, "1", 25)
        + &all_at(40);
    gives(
        &script(SINCE, &query),
        &deleted,
        &expect![[r#"
        out | - | {"id":1,"rate":10} | @15
        out | - | {"id":2,"rate":null} | @25
    "#]],
    );
    let of_record = |since: i64, value: &str| format!("r 1 | {{\"code\":1}} | {value} | @{since}\n");
    let ticks = (0..3)
        .map(|at| format!("o {at} | - | {{\"id\":0,\"currency\":null,\"ts\":40}}\nr {at} | {{\"code\":9{at}}} | {{\"rate\":0}} | @40\n"))
        .collect::<Vec<_>>().concat();
    let deleted = of_record(10, "{\"rate\":10}") + &of_record(20, "-") + &of_record(30, "{\"rate\":12}");
    let orders: String = [5, 15, 25, 31].iter().map(|ts| order(*ts, "1", *ts)).collect();
    gives(
        &script(OF_RECORD, &query),
        &(deleted + &orders + &ticks),
        &expect![[r#"
        out | - | {"id":15,"rate":10} | @15
        out | - | {"id":25,"rate":null} | @25
        out | - | {"id":31,"rate":12} | @31
        out | - | {"id":5,"rate":null} | @5
    "#]],
    );
}

#[test]
fn what_comes_too_late_is_left_out_or_counts_for_what_has_not_left() {
    let first = rate(1, 10, 10) + &all_at(45);
    // The watermark is 40: the order at 39 is late; the rate since 30 is not what was valid at 20, but is at 40.
    let second = order(1, "1", 39) + &order(2, "1", 40) + &rate(1, 11, 30) + &all_at(60);
    // Hidden by the one since 30.
    let third = rate(1, 12, 29) + &order(3, "1", 56) + &all_at(70);
    gives(
        &script(SINCE, &joined("JOIN", "")),
        &[first, second, third].join("---\n"),
        &expect![[r#"
        ---
        out | - | {"id":2,"rate":11} | @40
        ---
        out | - | {"id":3,"rate":11} | @56
    "#]],
    );
}

#[test]
fn windows_may_follow() {
    let query = "INSERT INTO out SELECT count(*), sum(rate) FROM TABLE(TUMBLE((
            SELECT r.rate, o.ts FROM orders AS o LEFT JOIN rates FOR SYSTEM_TIME AS OF o.ts AS r ON o.currency = r.code
        ), DESCRIPTOR(ts), INTERVAL '0.01' SECOND)) GROUP BY window_start, window_end";
    let input = rate(1, 10, 10)
        + &order(1, "1", 12)
        + &order(2, "1", 18)
        + &order(4, "1", 21)
        + &rate(1, 11, 15)
        + "---\n"
        + &all_at(36);
    gives(
        &script(SINCE, query),
        &input,
        &expect![[r#"
        ---
        out | - | {"id":1,"rate":11} | @29
        out | - | {"id":2,"rate":21} | @19
    "#]],
    );
}

#[test]
fn a_table_is_read_once_for_its_versions_and_as_it_is() {
    let query = "INSERT INTO out SELECT o.id, r.rate FROM orders AS o JOIN rates FOR SYSTEM_TIME AS OF o.ts AS r ON o.currency = r.code;
        CREATE TABLE now (code BIGINT, rate BIGINT, PRIMARY KEY (code) NOT ENFORCED) WITH ('connector' = 'upsert-kafka', 'topic' = 'now', 'format' = 'json');
        INSERT INTO now SELECT code, rate FROM rates WHERE code < 90";
    let input = rate(1, 10, 10) + &rate(1, 11, 20) + &order(1, "1", 15) + &all_at(40);
    gives(
        &script(SINCE, query),
        &input,
        &expect![[r#"
        now | {"code":1} | {"code":1,"rate":11}
        out | - | {"id":1,"rate":10} | @15
    "#]],
    );
    let explained = script(SINCE, query) + "\nEXPLAIN STREAM " + &joined("LEFT JOIN", "AND r.rate > 1") + ";";
    let parsed = parsed(&explained).unwrap();
    expect![[r#"
        stream plan:
          Sink out: id, rate (append)
            AsOf out.as-of: rows of the first input stay, currency = code where rate > 1, since as of ts
                rows: only added, event time ts
                a row leaves when the watermark of both inputs passes ts, also without a version
                state: rows of the first input, kept until the watermark passes ts
                state: versions of the second input per (code), kept until the watermark passes since of the next one
              Calc: id, currency, ts
                  rows: only added, event time ts
                Source orders: id, currency, ts
                    rows: only added, event time ts
                    watermark: ts - 5 ms, of the slowest partition
              Calc: code, rate, since
                  rows: change
                Versions rates: code, rate, since
                    rows: change
                    watermark: since - 5 ms, of the slowest partition"#]].assert_eq(&parsed.answers().join("\n"));
    expect![[r#"
        topology:
          stage 0, one task per source partition
             0  source r
             1  watermark  <- 0
             2  source o
             3  watermark  <- 2
             4  select  <- 3
             5  select  <- 1
             6  key (out.as-of.exchange-0)  <- 4
             7  key (out.as-of.exchange-1)  <- 5
            10  key (rates.rows.exchange)  <- 1
          stage 1, one task per state partition
             8  as-of  <- 6, 7  [store out.as-of.waiting: row-index key(time, length, currency i64, row) -> [weight, #1 id i64, #2 currency i64, #3 ts ts_ms]]  [store out.as-of.versions: row-index key(length, code i64; since) -> [is there, #1 code i64, #2 rate i64, #3 since ts_ms]]  [store out.as-of.passing: row-index key(time, code i64) -> nothing]  [store out.as-of.mark: table u8 -> {time:{upstreams:map(str,{time_ms:i64?,idle:bool}),watermark:i64?,idle_since:(i64,i64)?},newest_end_ms:i64?,deleted_to_ms:i64?}]
             9  insert out  <- 8
            11  upsert  <- 10  [store rates.rows: rows key(code i64) -> #2 rate i64, #3 since ts_ms]
            12  filter  <- 11
            13  insert now  <- 12
    "#]].assert_eq(&format!("topology:\n{}", parsed.topology()));
}

/// Debezium's records of a table with a key are versions as well.
#[test]
fn changes_of_a_database_are_versions() {
    let query = script(SINCE, &joined("LEFT JOIN", "")).replace(
        "'connector' = 'upsert-kafka', 'topic' = 'r', 'format' = 'json'",
        "'connector' = 'kafka', 'topic' = 'r', 'format' = 'debezium-json'",
    );
    let row = |rate: i64, since: i64| format!("{{\"code\":1,\"rate\":{rate},\"since\":{since}}}");
    let changes = format!(
        "r 1 | - | {{\"before\":null,\"after\":{a},\"op\":\"c\"}}\nr 1 | - | {{\"before\":{a},\"after\":{b},\"op\":\"u\"}}\n",
        a = row(10, 10),
        b = row(11, 20)
    );
    let ticks = (0..3)
        .map(|at| format!("o {at} | - | {{\"id\":0,\"currency\":null,\"ts\":40}}\nr {at} | - | {{\"before\":null,\"after\":{{\"code\":9{at},\"rate\":0,\"since\":40}},\"op\":\"c\"}}\n"))
        .collect::<Vec<_>>().concat();
    let orders = order(1, "1", 9) + &order(2, "1", 19) + &order(3, "1", 20);
    gives(
        &query,
        &(changes + &orders + &ticks),
        &expect![[r#"
        out | - | {"id":1,"rate":null} | @9
        out | - | {"id":2,"rate":10} | @19
        out | - | {"id":3,"rate":11} | @20
    "#]],
    );
}

#[test]
fn what_such_a_join_cannot_be_is_refused() {
    let mut told = String::new();
    for query in [
        joined("RIGHT JOIN", ""),
        joined("JOIN", "").replace("o.currency = r.code", "o.currency = r.rate"),
        joined("JOIN", "").replace("OF o.ts", "OF o.id"),
        joined("JOIN", "").replace("OF o.ts", "OF PROCTIME()"),
        joined("JOIN", "").replace("FROM orders", "FROM (SELECT *, PROCTIME() AS at FROM orders)").replace("OF o.ts", "OF o.at"),
        joined("JOIN", "").replace("FROM orders", "FROM rates").replace("o.id", "o.code").replace("o.ts", "o.since").replace("o.currency", "o.rate"),
        joined("JOIN", "").replace(" JOIN rates", " JOIN orders"),
        joined("JOIN", "").replace("ON o.currency = r.code", "USING (id)"),
        "CREATE VIEW v AS SELECT code, rate FROM rates; ".to_owned() + &joined("JOIN", "").replace(" JOIN rates", " JOIN v"),
        "CREATE TABLE plain (code BIGINT, rate BIGINT, PRIMARY KEY (code) NOT ENFORCED) WITH ('connector' = 'upsert-kafka', 'topic' = 'p', 'format' = 'json'); ".to_owned()
            + &joined("JOIN", "").replace(" JOIN rates", " JOIN plain"),
        joined("JOIN", "").replace("r.rate FROM", "random() FROM").replace("o.currency = r.code", "o.currency = r.code AND random() < r.rate"),
        joined("JOIN", "").replace("o.ts AS", "o.tss AS"),
    ] {
        told += &mistakes(&script(SINCE, &query));
        told += "\n\n";
    }
    expect![[r#"
        q.sql:6:74: FOR SYSTEM_TIME AS OF in this kind of join
          6 |          INSERT INTO out SELECT o.id, r.rate FROM orders AS o RIGHT JOIN rates FOR SYSTEM_TIME AS OF o.ts AS r ON o.currency = r.code ;
            |                                                                          ^^^^^
          each row looks at a table once, and leaves with what it finds there, or with nothing
          next: write JOIN or LEFT JOIN

        q.sql:6:68: nothing of the stream equals `code`, which is part of the key of table `rates`
          6 |          INSERT INTO out SELECT o.id, r.rate FROM orders AS o JOIN rates FOR SYSTEM_TIME AS OF o.ts AS r ON o.currency = r.rate ;
            |                                                                    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          versions are known by the whole key, as it is declared
          next: add a condition such as stream.id = rates.code; if its type differs, cast the other side

        q.sql:6:68: FOR SYSTEM_TIME AS OF `id`, which is not the event time of the stream
          6 |          INSERT INTO out SELECT o.id, r.rate FROM orders AS o JOIN rates FOR SYSTEM_TIME AS OF o.id AS r ON o.currency = r.code ;
            |                                                                    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          rows wait until all versions up to their time have come, and only the watermark says when
          next: write the column of the first table that its WATERMARK is declared for

        q.sql:6:68: table `rates` as of the time of the clock
          6 |          INSERT INTO out SELECT o.id, r.rate FROM orders AS o JOIN rates FOR SYSTEM_TIME AS OF PROCTIME() AS r ON o.currency = r.code ;
            |                                                                    ^^^^^
          which row is there when another one comes is a matter of chance, and would be another one after a restart
          next: write FOR SYSTEM_TIME AS OF the column of event time; or leave it out: the answer then follows the table as it changes

        q.sql:6:102: table `rates` as of the time of the clock
          6 |          INSERT INTO out SELECT o.id, r.rate FROM (SELECT *, PROCTIME() AS at FROM orders) AS o JOIN rates FOR SYSTEM_TIME AS OF o.at AS r ON o.currency = r.code ;
            |                                                                                                      ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          which row is there when another one comes is a matter of chance, and would be another one after a restart
          next: write FOR SYSTEM_TIME AS OF the column of event time; or leave it out: the answer then follows the table as it changes

        q.sql:6:69: FOR SYSTEM_TIME AS OF `since`, which is not the event time of the stream
          6 |          INSERT INTO out SELECT o.code, r.rate FROM rates AS o JOIN rates FOR SYSTEM_TIME AS OF o.since AS r ON o.rate = r.code ;
            |                                                                     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          rows wait until all versions up to their time have come, and only the watermark says when
          next: write the column of the first table that its WATERMARK is declared for

        q.sql:6:68: table `orders` has no versions, so none is valid at a time
          6 |          INSERT INTO out SELECT o.id, r.rate FROM orders AS o JOIN orders FOR SYSTEM_TIME AS OF o.ts AS r ON o.currency = r.code ;
            |                                                                    ^^^^^^
          its rows do not say which row they take the place of
          next: declare PRIMARY KEY (..) NOT ENFORCED WITH ('connector' = 'upsert-kafka', ..), and WATERMARK FOR a column that says since when a row is valid

        q.sql:6:68: FOR SYSTEM_TIME AS OF with USING
          6 |          INSERT INTO out SELECT o.id, r.rate FROM orders AS o JOIN rates FOR SYSTEM_TIME AS OF o.ts AS r USING (id) ;
            |                                                                    ^^^^^
          next: write the condition with ON

        q.sql:6:115: FOR SYSTEM_TIME AS OF behind the view `v`
          6 |          CREATE VIEW v AS SELECT code, rate FROM rates; INSERT INTO out SELECT o.id, r.rate FROM orders AS o JOIN v FOR SYSTEM_TIME AS OF o.ts AS r ON o.currency = r.code ;
            |                                                                                                                   ^
          only tables say since when each of their rows is valid
          next: name the table that the view reads; conditions of the view can stand in WHERE

        q.sql:6:218: table `plain` does not say since when a row is valid
          6 |          CREATE TABLE plain (code BIGINT, rate BIGINT, PRIMARY KEY (code) NOT ENFORCED) WITH ('connector' = 'upsert-kafka', 'topic' = 'p', 'format' = 'json'); INSERT INTO out SELECT o.id, r.rate FROM orders AS o JOIN plain FOR SYSTEM_TIME AS OF o.ts AS r ON o.currency = r.code ;
            |                                                                                                                                                                                                                          ^^^^^
          it has no WATERMARK, so nothing says either when all versions up to a time have come
          next: add WATERMARK FOR valid_from AS valid_from to the table; a join without FOR SYSTEM_TIME AS OF takes its rows as they change

        q.sql:6:39: column `rate` of table `out` is BIGINT, and the query gives DOUBLE
          6 |          INSERT INTO out SELECT o.id, random() FROM orders AS o JOIN rates FOR SYSTEM_TIME AS OF o.ts AS r ON o.currency = r.code AND random() < r.rate ;
            |                                       ^^^^^^
          next: convert it: CAST(.. AS BIGINT)

        q.sql:6:96: there is no column `tss` in `o`
          6 |          INSERT INTO out SELECT o.id, r.rate FROM orders AS o JOIN rates FOR SYSTEM_TIME AS OF o.tss AS r ON o.currency = r.code ;
            |                                                                                                ^^^^^
          next: did you mean `ts`?

    "#]].assert_eq(&told);
}

/// What such a join is, in few words.
#[derive(Default)]
struct Model {
    /// Of each currency the rates by the time since when they are valid; `None` = there is none.
    rates: BTreeMap<i64, BTreeMap<i64, Option<i64>>>,
    /// Number, currency and time.
    waiting: Vec<(i64, Option<i64>, i64)>,
    newest: [Option<i64>; 6],
    watermark: Option<i64>,
}

impl Model {
    fn saw(&mut self, partition: usize, ts: i64) {
        self.newest[partition] = self.newest[partition].max(Some(ts));
    }

    /// The batch ends: what leaves.
    fn end(&mut self, keeps_all: bool) -> Rows {
        let watermark = self.newest.iter().copied().min().unwrap().map(|newest| newest - 5);
        self.watermark = self.watermark.max(watermark);
        let Some(watermark) = self.watermark else { return Rows::new() };
        let mut rows = Rows::new();
        for (id, currency, ts) in std::mem::take(&mut self.waiting) {
            if ts >= watermark {
                self.waiting.push((id, currency, ts));
                continue;
            }
            let rates = currency.and_then(|currency| self.rates.get(&currency));
            let rate = rates.and_then(|rates| rates.range(..=ts).next_back()).and_then(|(_, rate)| *rate);
            if rate.is_some() || keeps_all {
                let rate = rate.map_or("null".to_owned(), |rate| rate.to_string());
                let row = format!("out | - | {{\"id\":{id},\"rate\":{rate}}}");
                let mut one = Rows::new();
                apply(&row, &mut one);
                for (row, count) in one {
                    *rows.entry(row).or_default() += count;
                }
            }
        }
        for rates in self.rates.values_mut() {
            if let Some((newest, rate)) = rates.range(..=watermark).next_back().map(|(ts, rate)| (*ts, *rate))
            {
                rates.retain(|ts, _| *ts > newest || *ts == newest && rate.is_some());
            }
        }
        rows
    }
}

/// Orders and rates by chance, cut into batches, with crashes, restores, threads and two processes.
fn run(seed: u64) {
    let mut random = Random::of(seed);
    let keeps_all = random.chance(50);
    let query =
        script(SINCE, &joined(if keeps_all { "LEFT JOIN" } else { "JOIN" }, "")).replace("'5 s'", "'1 h'");
    let script = parsed(&query).unwrap();
    let processes = if random.chance(20) { 2 } else { 1 };
    let settings = Settings {
        threads: usize::try_from(random.below(3)).unwrap(),
        state_partitions: u32::try_from(processes).unwrap() + u32::try_from(random.below(3)).unwrap(),
        processes,
        between: if random.chance(15) { Between::RestartWithoutState } else { Between::GoesOn },
        exchange: if random.chance(15) { ExchangeThrough::Topic } else { ExchangeThrough::Memory },
        ..Settings::default()
    };
    let mut driver = Driver::with(settings, move |ssc: &StreamingContext| ssc.sql(&script));
    let (mut model, mut left) = (Model::default(), 0);
    let span = 5 + i64::try_from(random.below(40)).unwrap();
    for batch in 0..12 {
        let at = batch * 10;
        let around = |random: &mut Random| {
            (at - span / 2 + i64::try_from(random.below(u64::try_from(span).unwrap())).unwrap()).max(0)
        };
        let mut input = String::new();
        for _ in 0..random.below(25) {
            let ts = around(&mut random);
            let currency = i64::try_from(random.below(5)).unwrap();
            if random.chance(50) {
                let partition = random.below(3);
                let (id, currency) = (
                    i64::try_from(random.below(50)).unwrap(),
                    Some(currency).filter(|currency| *currency < 4),
                );
                let shown = currency.map_or("null".to_owned(), |currency| currency.to_string());
                let _ =
                    writeln!(input, "o {partition} | - | {{\"id\":{id},\"currency\":{shown},\"ts\":{ts}}}");
                if model.watermark.is_none_or(|watermark| ts >= watermark) {
                    model.waiting.push((id, currency, ts));
                }
                model.saw(usize::try_from(partition).unwrap(), ts);
                continue;
            }
            // All records of a key are in one partition.
            let partition = currency % 3;
            let rates = model.rates.entry(currency).or_default();
            if random.chance(15) {
                let _ = writeln!(input, "r {partition} | {{\"code\":{currency}}} | -");
                if let Some(last) = rates.last_key_value().map(|(last, _)| *last) {
                    rates.insert(last, None);
                }
                continue;
            }
            let rate = i64::try_from(random.below(1_000)).unwrap();
            let _ = writeln!(
                input,
                "r {partition} | {{\"code\":{currency}}} | {{\"rate\":{rate},\"since\":{ts}}}"
            );
            rates.insert(ts, Some(rate));
            model.saw(3 + usize::try_from(partition).unwrap(), ts);
        }
        if processes == 1 && random.chance(20) {
            driver.crash_at(if random.chance(50) { Crash::BeforeCommit } else { Crash::AfterCommit });
        }
        let written = driver.batch(&input).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        let mut rows = Rows::new();
        apply(&written.to_string(), &mut rows);
        let expected = model.end(keeps_all);
        left += expected.len();
        assert_eq!(rows, expected, "AS_OF_SEED={seed}, batch {batch}\n{input}");
    }
    assert!(left > 0 || !keeps_all, "seed {seed}");
}

#[test]
fn rows_and_versions_by_chance() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match number("AS_OF_SEED") {
        Some(seed) => run(seed),
        None => (0..number("AS_OF_CASES").unwrap_or(60)).for_each(run),
    }
}
