//! Rows by chance, few values of each kind, so that groups and joins meet.

#![allow(clippy::many_single_char_names, reason = "columns have short names")]

use super::Random;

/// The table of all cases.
pub const TABLE: &str = "CREATE TABLE t (k BIGINT, s STRING, n INT, d DECIMAL(10, 2), x DOUBLE, b BOOLEAN, ts TIMESTAMP(3)) \
    WITH ('connector' = 'kafka', 'topic' = 't', 'format' = 'json');";

/// A row; `None` = NULL.
#[derive(Clone, Debug)]
pub struct Row {
    pub partition: u64,
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
    fn random(random: &mut Random) -> Self {
        let mut maybe = |of: &mut dyn FnMut(&mut Random) -> i64| (!random.chance(12)).then(|| of(random));
        let k = maybe(&mut |r| i64::try_from(r.below(5)).unwrap());
        let n = maybe(&mut |r| i64::try_from(r.below(11)).unwrap() - 5);
        let d = maybe(&mut |r| i64::try_from(r.below(2_001)).unwrap() - 1_000);
        let x = maybe(&mut |r| i64::try_from(r.below(81)).unwrap() - 40);
        let b = maybe(&mut |r| i64::try_from(r.below(2)).unwrap());
        let ts_ms = maybe(&mut |r| 1_000 * i64::try_from(r.below(100)).unwrap());
        let s = maybe(&mut |r| i64::try_from(r.below(4)).unwrap());
        Row {
            partition: random.below(3),
            k,
            s: s.map(|s| ["", "a", "b", "ab"][usize::try_from(s).unwrap()]),
            n: n.map(|n| i32::try_from(n).unwrap()),
            d,
            x,
            b: b.map(|b| b == 1),
            ts_ms,
        }
    }

    /// The line of the driver that writes it.
    pub fn input(&self) -> String {
        let Row { partition, k, s, n, d, x, b, ts_ms } = self;
        let mut fields = vec![];
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
        format!("t {partition} | - | {{{}}}\n", fields.join(","))
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

/// The input of a case.
#[derive(Debug)]
pub struct Data {
    pub batches: Vec<Vec<Row>>,
}

impl Data {
    pub fn random(random: &mut Random) -> Self {
        let batches = 1 + random.below(4);
        let batch = |random: &mut Random| {
            let rows = random.below(12);
            (0..rows).map(|_| Row::random(random)).collect()
        };
        Data { batches: (0..batches).map(|_| batch(random)).collect() }
    }
}
