//! Rows by chance, few values of each kind, so that groups and joins meet.

#![allow(clippy::format_push_string, clippy::many_single_char_names, reason = "columns have short names")]

use super::Random;
use std::collections::BTreeMap;

/// What the records of the table say of its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Each is a row that is added.
    Added,
    /// The last record of a key is its row.
    Upsert,
    /// Debezium's changes, by a key.
    DebeziumByKey,
    /// Debezium's changes, as they are.
    Debezium,
}

impl Kind {
    fn random(random: &mut Random) -> Self {
        match random.below(10) {
            0..=4 => Kind::Added,
            5..=7 => Kind::Upsert,
            8 => Kind::DebeziumByKey,
            _ => Kind::Debezium,
        }
    }

    /// The table of a case.
    pub fn table(self, watermark: &str) -> String {
        let (key, connector, format) = match self {
            Kind::Added => ("", "kafka", "json"),
            Kind::Upsert => (", PRIMARY KEY (id) NOT ENFORCED", "upsert-kafka", "json"),
            Kind::DebeziumByKey => (", PRIMARY KEY (id) NOT ENFORCED", "kafka", "debezium-json"),
            Kind::Debezium => ("", "kafka", "debezium-json"),
        };
        format!(
            "CREATE TABLE t (id BIGINT, k BIGINT, s STRING, n INT, d DECIMAL(10, 2), x DOUBLE, b BOOLEAN, ts TIMESTAMP(3){watermark}{key}) \
            WITH ('connector' = '{connector}', 'topic' = 't', 'format' = '{format}');"
        )
    }
}

/// A row; `None` = NULL.
#[derive(Clone, Debug)]
pub struct Row {
    pub id: i64,
    pub k: Option<i64>,
    pub s: Option<&'static str>,
    pub n: Option<i32>,
    /// Hundredths.
    pub d: Option<i64>,
    /// Eighths: sums are exact in any order.
    pub x: Option<i64>,
    pub b: Option<bool>,
    pub ts_ms: Option<i64>,
}

impl Row {
    fn random(id: i64, random: &mut Random) -> Self {
        let mut maybe = |of: &mut dyn FnMut(&mut Random) -> i64| (!random.chance(12)).then(|| of(random));
        let k = maybe(&mut |r| i64::try_from(r.below(5)).unwrap());
        let n = maybe(&mut |r| i64::try_from(r.below(11)).unwrap() - 5);
        let d = maybe(&mut |r| i64::try_from(r.below(2_001)).unwrap() - 1_000);
        let x = maybe(&mut |r| i64::try_from(r.below(81)).unwrap() - 40);
        let b = maybe(&mut |r| i64::try_from(r.below(2)).unwrap());
        let ts_ms = maybe(&mut |r| 1_000 * i64::try_from(r.below(100)).unwrap());
        let s = maybe(&mut |r| i64::try_from(r.below(4)).unwrap());
        Row {
            id,
            k,
            s: s.map(|s| ["", "a", "b", "ab"][usize::try_from(s).unwrap()]),
            n: n.map(|n| i32::try_from(n).unwrap()),
            d,
            x,
            b: b.map(|b| b == 1),
            ts_ms,
        }
    }

    /// Its object of JSON.
    fn json(&self) -> String {
        let Row { id, k, s, n, d, x, b, ts_ms } = self;
        let mut fields = vec![format!("\"id\":{id}")];
        let mut field = |name: &str, value: Option<String>| {
            fields.extend(value.map(|value| format!("\"{name}\":{value}")));
        };
        field("k", k.map(|k| k.to_string()));
        field("s", s.map(|s| format!("\"{s}\"")));
        field("n", n.map(|n| n.to_string()));
        field("d", d.map(decimal));
        field("x", x.map(|x| eighths(x).to_string()));
        field("b", b.map(|b| b.to_string()));
        field("ts", ts_ms.map(|ms| ms.to_string()));
        format!("{{{}}}", fields.join(","))
    }
}

/// Hundredths as a decimal number.
fn decimal(hundredths: i64) -> String {
    let sign = if hundredths < 0 { "-" } else { "" };
    let hundredths = hundredths.abs();
    format!("{sign}{}.{:02}", hundredths / 100, hundredths % 100)
}

pub fn eighths(x: i64) -> f64 {
    f64::from(i32::try_from(x).unwrap()) / 8.0
}

/// A batch: the lines of the driver that are its input, and the rows that the table has after it.
#[derive(Debug)]
pub struct Batch {
    pub input: String,
    pub rows: Vec<Row>,
}

/// The input of a case.
#[derive(Debug)]
pub struct Data {
    pub kind: Kind,
    pub batches: Vec<Batch>,
}

impl Data {
    pub fn random(random: &mut Random) -> Self {
        let kind = Kind::random(random);
        let mut table = Table { kind, rows: BTreeMap::new(), added: vec![] };
        let batches = (0..=random.below(4)).map(|_| {
            let input = (0..random.below(12)).map(|_| table.record(random)).collect();
            Batch { input, rows: table.added.iter().chain(table.rows.values()).cloned().collect() }
        });
        Data { kind, batches: batches.collect() }
    }
}

/// How late rows of [`Data::in_time`] are at most.
pub const DISORDER_MS: i64 = 5;

impl Data {
    /// Rows that are only added, whose times are in order but for a few milliseconds, and at the end one in each partition that is far
    /// ahead.
    pub fn in_time(random: &mut Random) -> Self {
        let (mut now_ms, mut rows, mut batches) = (20, vec![], vec![]);
        for _ in 0..=random.below(5) {
            let mut input = String::new();
            for id in 0..i64::try_from(random.below(14)).unwrap() {
                let mut row = Row::random(id, random);
                now_ms += i64::try_from(random.below(4)).unwrap();
                let early_ms = i64::try_from(random.below(6)).unwrap().min(DISORDER_MS);
                row.ts_ms = row.ts_ms.map(|_| now_ms - early_ms);
                input += &format!("t {} | - | {}\n", random.below(3), row.json());
                rows.push(row);
            }
            batches.push(Batch { input, rows: rows.clone() });
        }
        let last = Row { id: 0, k: None, s: None, n: None, d: None, x: None, b: None, ts_ms: Some(900) };
        let input = [0, 1, 2].map(|partition| format!("t {partition} | - | {}\n", last.json())).concat();
        rows.extend([last.clone(), last.clone(), last]);
        batches.push(Batch { input, rows });
        Data { kind: Kind::Added, batches }
    }
}

/// The table while records are made for it.
struct Table {
    kind: Kind,
    rows: BTreeMap<i64, Row>,
    added: Vec<Row>,
}

impl Table {
    /// The line of a record, which changes the table.
    fn record(&mut self, random: &mut Random) -> String {
        let id = i64::try_from(random.below(8)).unwrap();
        let row = Row::random(id, random);
        if self.kind == Kind::Added {
            let line = format!("t {} | - | {}\n", random.below(3), row.json());
            self.added.push(row);
            return line;
        }
        // All records of a key are in one partition.
        let partition = id % 3;
        let goes = random.chance(25);
        // A record may say what is already so.
        let row = match self.rows.get(&id) {
            Some(same) if random.chance(15) => same.clone(),
            _ => row,
        };
        let before = if goes { self.rows.remove(&id) } else { self.rows.insert(id, row.clone()) };
        if self.kind == Kind::Upsert {
            let value = if goes { "-".to_owned() } else { row.json() };
            return format!("t {partition} | {{\"id\":{id}}} | {value}\n");
        }
        let (op, after) = match (&before, goes) {
            (None, true) => return String::new(),
            (Some(_), true) => ("d", "null".to_owned()),
            (Some(_), false) => ("u", row.json()),
            (None, false) => (random.of_these(&["c", "r"]), row.json()),
        };
        let is_short = self.kind == Kind::DebeziumByKey && random.chance(50);
        let before = match before {
            Some(_) if is_short && goes => format!("{{\"id\":{id}}}"),
            Some(row) if !is_short => row.json(),
            _ => "null".to_owned(),
        };
        let change = format!("{{\"before\":{before},\"after\":{after},\"op\":\"{op}\"}}");
        let change =
            if random.chance(30) { format!("{{\"schema\":{{}},\"payload\":{change}}}") } else { change };
        let tombstone = if goes { format!("t {partition} | - | -\n") } else { String::new() };
        format!("t {partition} | - | {change}\n{tombstone}")
    }
}
