//! Windows by chance: what has left them adds up to what a batch engine answers over the rows that were in time, each with its windows.
//!
//! Which rows are late, when a window closes, which windows a row lies in and which rows are one session is computed here once more, row by
//! row and without any cleverness; the aggregates are DataFusion's. With changes the answer is that of all windows; when windows give
//! their rows as they close, that of the closed ones. A table without a watermark gives the same, and nothing is late.
//! `SQL_FUZZ_WINDOWS_SEED=n` runs one case and shows it.

use super::{Random, Rows, apply, oracle::Oracle};
use datafusion::arrow::{
    array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray},
    datatypes::{DataType, Field, Schema, TimeUnit},
};
use std::{collections::BTreeMap, sync::Arc};
use tidegate::{
    StreamingContext,
    sql::{Script, SourceText},
    testing::{Between, Crash, Driver, Settings},
};

/// Cases of a run, unless `SQL_FUZZ_CASES` says another number.
const CASES: u64 = 150;
/// How late rows may be.
const DELAY_MS: i64 = 2_000;
/// The least time of a row.
const FIRST_MS: i64 = 1_000_000;
const PARTITIONS: u64 = 3;

#[derive(Clone, Debug)]
struct Row {
    partition: u64,
    k: Option<&'static str>,
    n: Option<i64>,
    ts: i64,
}

impl Row {
    fn input(&self) -> String {
        let text = |k: Option<&str>| k.map_or("null".to_owned(), |k| format!("\"{k}\""));
        let number = |n: Option<i64>| n.map_or("null".to_owned(), |n| n.to_string());
        let Row { partition, k, n, ts } = self;
        format!("t {partition} | - | {{\"k\":{},\"n\":{},\"ts\":{ts}}}\n", text(*k), number(*n))
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Tumble(i64),
    Hop(i64, i64),
    Cumulate(i64, i64),
    Session(i64),
}

impl Kind {
    fn random(random: &mut Random) -> Self {
        let steps = i64::try_from(1 + random.below(4)).unwrap();
        let step = 1_000 * i64::try_from(1 + random.below(5)).unwrap();
        match random.below(6) {
            0 => Kind::Tumble(step),
            1 => Kind::Hop(step * steps, step),
            2 => Kind::Cumulate(step * steps, step),
            _ => Kind::Session(step),
        }
    }

    /// As it stands in FROM; sessions are of these columns.
    fn from(self, partition_by: &str) -> String {
        let interval = |ms: i64| format!("INTERVAL '{}' SECOND", ms / 1_000);
        let by =
            if partition_by.is_empty() { String::new() } else { format!(" PARTITION BY {partition_by}") };
        match self {
            Kind::Tumble(size) => format!("TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), {}))", interval(size)),
            Kind::Hop(size, slide) => {
                format!("TABLE(HOP(TABLE t, DESCRIPTOR(ts), {}, {}))", interval(slide), interval(size))
            }
            Kind::Cumulate(size, step) => {
                format!("TABLE(CUMULATE(TABLE t, DESCRIPTOR(ts), {}, {}))", interval(step), interval(size))
            }
            Kind::Session(gap) => format!("TABLE(SESSION(TABLE t{by}, DESCRIPTOR(ts), {}))", interval(gap)),
        }
    }

    /// Start and end of each window of a time; not of sessions.
    fn of(self, ts: i64) -> Vec<(i64, i64)> {
        let all = |size: i64, slide: i64| {
            let starts = (ts - size + 1..=ts).filter(move |start| start.rem_euclid(slide) == 0);
            starts.map(move |start| (start, start + size)).collect()
        };
        match self {
            Kind::Tumble(size) => all(size, size),
            Kind::Hop(size, slide) => all(size, slide),
            Kind::Cumulate(size, step) => {
                let start = ts.div_euclid(size) * size;
                (1..=size / step).map(|n| (start, start + n * step)).filter(|(_, end)| ts < *end).collect()
            }
            Kind::Session(_) => vec![],
        }
    }
}

/// A query in which `FROM` is still to be said.
struct Query {
    kind: Kind,
    has_key: bool,
    text: String,
}

impl Query {
    fn random(random: &mut Random) -> Self {
        let kind = Kind::random(random);
        let has_key = random.chance(70);
        let mut keys = vec!["window_start", "window_end"];
        if random.chance(30) {
            keys.push("window_time");
        }
        if has_key {
            keys.insert(usize::try_from(random.below(keys.len() as u64 + 1)).unwrap(), "k");
        }
        let aggregates = [
            "count(*)",
            "count(n)",
            "sum(n)",
            "min(n)",
            "max(n)",
            "max(k)",
            "count(DISTINCT n)",
            "sum(DISTINCT n)",
            "count(DISTINCT k)",
            "count(*) FILTER (WHERE n > 1)",
            "count(DISTINCT n) FILTER (WHERE n < 3)",
            "array_to_string(array_agg(n ORDER_HERE), ',', '?')",
            "array_to_string(array_agg(DISTINCT n ORDER_HERE), ',', '?')",
            "CAST(string_agg(k, '|') FILTER (WHERE k = 'a') AS VARCHAR)",
            "first_value(n ORDER BY n)",
            "last_value(n ORDER BY n)",
            "median(n)",
            "median(DISTINCT n) FILTER (WHERE n > 1)",
            "percentile_cont(0.75) WITHIN GROUP (ORDER BY n)",
        ];
        let mut list: Vec<String> =
            keys.iter().enumerate().map(|(at, key)| format!("{key} AS g{at}")).collect();
        for at in 0..=random.below(3) {
            list.push(format!("{} AS a{at}", random.of_these(&aggregates)));
        }
        let filter = if matches!(kind, Kind::Session(_)) || random.chance(70) { "" } else { " WHERE n > 0" };
        let having = if random.chance(20) { " HAVING count(*) > 1" } else { "" };
        let text =
            format!("SELECT {} FROM FROM_HERE{filter} GROUP BY {}{having}", list.join(", "), keys.join(", "));
        let text = match random.below(6) {
            // Of each window: how many groups there are, and the greatest value.
            0 => {
                let end = keys.iter().position(|key| *key == "window_end").unwrap();
                format!(
                    "SELECT g{end} AS e, count(*) AS c, max(a0) AS m, count(DISTINCT a0) AS d FROM ({text}) AS inner_rows GROUP BY g{end}"
                )
            }
            _ => text,
        };
        Query { kind, has_key, text }
    }

    fn streaming(&self) -> String {
        let text = self.text.replace("ORDER_HERE", "");
        text.replace("FROM_HERE", &self.kind.from(if self.has_key { "k" } else { "" }))
    }

    fn batch(&self, closed: Option<i64>) -> String {
        let from = closed.map_or("t".to_owned(), |watermark| {
            format!("(SELECT * FROM t WHERE CAST(window_end AS BIGINT) <= {watermark}) AS closed_rows")
        });
        // Ours are in their order.
        self.text.replace("ORDER_HERE", "ORDER BY n").replace("FROM_HERE", &from)
    }
}

/// A row in a window.
type Windowed = (Row, i64, i64);

fn table(rows: &[Windowed]) -> RecordBatch {
    let time = DataType::Timestamp(TimeUnit::Millisecond, None);
    let times = |of: &dyn Fn(&Windowed) -> i64| -> ArrayRef {
        Arc::new(rows.iter().map(|row| Some(of(row))).collect::<TimestampMillisecondArray>())
    };
    let columns: Vec<(&str, DataType, ArrayRef)> = vec![
        ("k", DataType::Utf8, Arc::new(rows.iter().map(|(row, ..)| row.k).collect::<StringArray>())),
        ("n", DataType::Int64, Arc::new(rows.iter().map(|(row, ..)| row.n).collect::<Int64Array>())),
        ("ts", time.clone(), times(&|(row, ..)| row.ts)),
        ("window_start", time.clone(), times(&|(_, start, _)| *start)),
        ("window_end", time.clone(), times(&|(_, _, end)| *end)),
        ("window_time", time, times(&|(_, _, end)| end - 1)),
    ];
    let fields: Vec<Field> =
        columns.iter().map(|(name, of, _)| Field::new(*name, of.clone(), true)).collect();
    RecordBatch::try_new(
        Arc::new(Schema::new(fields)),
        columns.into_iter().map(|(.., column)| column).collect(),
    )
    .unwrap()
}

/// What is known of event time, and the rows that were in time.
#[derive(Default)]
struct Model {
    marks: BTreeMap<u64, i64>,
    watermark: Option<i64>,
    rows: Vec<Windowed>,
    late: usize,
}

impl Model {
    fn is_late(&self, end: i64) -> bool {
        self.watermark.is_some_and(|watermark| end <= watermark)
    }

    /// Takes a batch; whether the table has a watermark.
    fn take(&mut self, query: &Query, batch: &[Row], has_watermark: bool) {
        if let Kind::Session(gap) = query.kind {
            self.sessions(gap, batch, query.has_key);
        } else {
            for row in batch {
                for (start, end) in query.kind.of(row.ts) {
                    if self.is_late(end) {
                        self.late += 1;
                    } else {
                        self.rows.push((row.clone(), start, end));
                    }
                }
            }
        }
        for row in batch {
            let mark = self.marks.entry(row.partition).or_insert(row.ts);
            *mark = row.ts.max(*mark);
        }
        if has_watermark && self.marks.len() == usize::try_from(PARTITIONS).unwrap() {
            self.watermark = self.watermark.max(self.marks.values().min().map(|mark| mark - DELAY_MS));
        }
    }

    /// Each row of the batch joins what it touches, until nothing touches any more.
    fn sessions(&mut self, gap: i64, batch: &[Row], has_key: bool) {
        let group = |row: &Row| if has_key { row.k } else { None };
        let (closed, open): (Vec<Windowed>, Vec<Windowed>) =
            std::mem::take(&mut self.rows).into_iter().partition(|(_, _, end)| self.is_late(*end));
        let mut rows = open;
        rows.extend(batch.iter().map(|row| (row.clone(), row.ts, row.ts + gap)));
        loop {
            let before = rows.clone();
            for (row, start, end) in &mut rows {
                for (other, from, to) in before.iter().filter(|(other, ..)| group(other) == group(row)) {
                    let _ = other;
                    if *from <= *end && *start <= *to {
                        (*start, *end) = ((*start).min(*from), (*end).max(*to));
                    }
                }
            }
            let spans = |rows: &[Windowed]| rows.iter().map(|(_, from, to)| (*from, *to)).collect::<Vec<_>>();
            if spans(&rows) == spans(&before) {
                break;
            }
        }
        let count = rows.len();
        rows.retain(|(_, _, end)| !self.is_late(*end));
        self.late += count - rows.len();
        self.rows = closed;
        self.rows.extend(rows);
    }
}

fn rows(random: &mut Random) -> Vec<Vec<Row>> {
    let disorder = [0, 2_000, 8_000][usize::try_from(random.below(3)).unwrap()];
    let mut now = FIRST_MS;
    let mut batch = |random: &mut Random| {
        let mut rows = vec![];
        for _ in 0..random.below(10) {
            now += 500 * i64::try_from(random.below(8)).unwrap();
            let back = i64::try_from(random.below(u64::try_from(disorder).unwrap() + 1)).unwrap();
            rows.push(Row {
                partition: random.below(PARTITIONS),
                k: [Some("a"), Some("b"), None][usize::try_from(random.below(3)).unwrap()],
                n: (!random.chance(15)).then(|| i64::try_from(random.below(6)).unwrap()),
                ts: (now - back) / 500 * 500,
            });
        }
        if random.chance(40) {
            rows.extend((0..PARTITIONS).map(|partition| Row { partition, k: Some("a"), n: None, ts: now }));
        }
        rows
    };
    (0..=random.below(6)).map(|_| batch(random)).collect()
}

fn run(seed: u64, shows: bool) {
    let mut random = Random::of(seed);
    let query = Query::random(&mut random);
    let batches = rows(&mut random);
    let has_watermark = random.chance(80);
    let is_final = has_watermark && random.chance(50);
    let watermark = if has_watermark { ", WATERMARK FOR ts AS ts - INTERVAL '2' SECOND" } else { "" };
    let oracle = Oracle::over(table(&[]), &query.batch(None)).expect("a batch engine answers");
    let emit = if is_final { "" } else { " EMIT CHANGES" };
    let text = format!(
        "CREATE TABLE t (k STRING, n BIGINT, ts TIMESTAMP(3){watermark}) WITH ('connector' = 'kafka', 'topic' = 't', 'format' = 'json', 'scan.watermark.idle-timeout' = '100 h');\nCREATE TABLE out ({}) WITH ('connector' = 'kafka', 'topic' = 'out', 'format' = 'debezium-json');\nINSERT INTO out {}{emit};\n",
        oracle.columns(),
        query.streaming(),
    );
    if shows {
        println!("{text}\n{batches:#?}");
    }
    let script = Script::parse(SourceText::new("fuzz.sql", text.as_str()));
    let script = script.unwrap_or_else(|e| panic!("seed {seed}: {e}\n{text}"));
    let settings = Settings {
        threads: usize::try_from(random.below(3)).unwrap(),
        state_partitions: 1 + u32::try_from(random.below(4)).unwrap(),
        between: match random.below(5) {
            0 => Between::Restart,
            1 => Between::RestartWithoutState,
            _ => Between::GoesOn,
        },
        ..Settings::default()
    };
    let mut driver = Driver::with(settings, move |ssc: &StreamingContext| ssc.sql(&script));
    driver.set_now_ms(100_000_000);
    let (mut has, mut model, mut crashes) = (Rows::new(), Model::default(), false);
    for (number, batch) in batches.iter().enumerate() {
        if random.chance(20) {
            crashes = true;
            driver.crash_at(if random.chance(50) { Crash::BeforeCommit } else { Crash::AfterCommit });
        }
        let input: String = batch.iter().map(Row::input).collect();
        let written = driver.batch(&input).unwrap_or_else(|e| panic!("seed {seed}: {e}\n{text}"));
        // Without the timestamps of records.
        let rows = |line: &str| line.split(" | @").next().unwrap().to_owned() + "\n";
        apply(&written.to_string().lines().map(rows).collect::<String>(), &mut has);
        model.take(&query, batch, has_watermark);
        if shows {
            println!("batch {number}, watermark {:?}:\n{written}", model.watermark);
        }
        let closed = is_final.then(|| model.watermark.unwrap_or(-1));
        let expected = oracle.answer_over(&query.batch(closed), table(&model.rows)).unwrap();
        assert!(
            has == expected,
            "seed {seed} (SQL_FUZZ_WINDOWS_SEED={seed} repeats it), after batch {number}:\n{text}\nhas      {has:?}\nexpected {expected:?}",
        );
    }
    let late: usize =
        driver.take_reports().iter().filter(|report| report.committed).map(|r| r.counters.late).sum();
    let is_counted =
        !crashes && settings.between == Between::GoesOn && query.text.contains("FROM FROM_HERE GROUP");
    assert!(!is_counted || late == model.late, "seed {seed}: {late} rows were late, expected {}", model.late);
}

#[test]
fn what_has_left_windows_is_the_answer_of_a_batch_engine_over_rows_in_time() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    if let Some(seed) = number("SQL_FUZZ_WINDOWS_SEED") {
        run(seed, true);
        return;
    }
    let first = number("SQL_FUZZ_FIRST").unwrap_or_else(|| {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        since.as_secs() % 1_000_000 * 1_000
    });
    let cases = number("SQL_FUZZ_CASES").unwrap_or(CASES);
    println!("SQL_FUZZ_FIRST={first} SQL_FUZZ_CASES={cases} repeats these cases");
    (first..first + cases).for_each(|seed| run(seed, false));
}
