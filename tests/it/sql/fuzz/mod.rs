//! Queries and rows by chance: after every batch, what has left a query adds up to what a batch engine answers over all rows so far, or, of a
//! table whose records say how its rows change, over those that it has.
//!
//! The oracle is DataFusion's own engine, which shares the planner's front with streaming SQL, but neither lowering, operators, state nor
//! formats. A case is a seed: its query, its table and rows, how these are cut into batches, how many threads and state partitions compute them, and
//! where the process dies. `SQL_FUZZ_SEED=n` runs that case alone and shows it; `SQL_FUZZ_CASES=n` runs so many.

mod data;
mod oracle;
mod query;

use self::{
    data::Data,
    oracle::{Oracle, normal},
    query::Query,
};
use std::collections::BTreeMap;
use tidegate::{
    StreamingContext,
    sql::{Script, SourceText},
    testing::{Crash, Driver, Settings},
};

/// Cases of a run, unless `SQL_FUZZ_CASES` says another number.
const CASES: u64 = 200;

/// Numbers by chance (xorshift64*, Vigna, 2016).
pub struct Random(u64);

impl Random {
    fn of(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Below `bound`.
    fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 33) % bound
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn of_these<'a, T: ?Sized>(&mut self, these: &[&'a T]) -> &'a T {
        these[usize::try_from(self.below(these.len() as u64)).unwrap()]
    }
}

/// Why a query is refused that a batch engine answers.
const REFUSALS: [&str; 3] = ["not supported yet", "is never true", "reads no table"];

/// How many times each row is there.
type Rows = BTreeMap<String, i64>;

/// Adds the changes of a batch: values of Debezium's form in a topic, as the driver shows them.
fn apply(changes: &str, rows: &mut Rows) {
    for line in changes.lines().filter(|line| line.starts_with("out | ")) {
        let value = line.splitn(3, " | ").nth(2).unwrap();
        let change: serde_json::Value = serde_json::from_str(value).unwrap();
        for (field, weight) in [("before", -1), ("after", 1)] {
            if !change[field].is_null() {
                let count = rows.entry(normal(&change[field])).or_default();
                *count += weight;
            }
        }
    }
    rows.retain(|_, count| *count != 0);
}

/// A case, as it is told when it fails.
struct Case {
    seed: u64,
    script: String,
    query: String,
}

/// Runs a case; `false` = streaming SQL refuses its query, and says that it is not there yet.
fn run(seed: u64, shows: bool) -> bool {
    let mut random = Random::of(seed);
    let query = Query::random(&mut random);
    let data = Data::random(&mut random);
    let Some(oracle) = Oracle::of(&query.text) else { return false };
    let script = format!(
        "{}\nCREATE TABLE out ({}) WITH ('connector' = 'kafka', 'topic' = 'out', 'format' = 'debezium-json');\nINSERT INTO out {};\n",
        data.kind.table(),
        oracle.columns(),
        query.text
    );
    let case = Case { seed, script, query: query.text };
    if shows {
        println!("{}\n{data:#?}", case.script);
    }
    let script = match Script::parse(SourceText::new("fuzz.sql", case.script.as_str())) {
        Ok(script) => script,
        Err(e) if REFUSALS.iter().any(|why| e.to_string().contains(why)) => return false,
        Err(e) => panic!("seed {seed}: {e}\n{}", case.script),
    };
    let settings = Settings {
        threads: usize::try_from(random.below(3)).unwrap(),
        state_partitions: 1 + u32::try_from(random.below(4)).unwrap(),
        ..Settings::default()
    };
    let mut driver = Driver::with(settings, move |ssc: &StreamingContext| ssc.sql(&script));
    let mut rows = Rows::new();
    for (number, batch) in data.batches.iter().enumerate() {
        if random.chance(20) {
            driver.crash_at(if random.chance(50) { Crash::BeforeCommit } else { Crash::AfterCommit });
        }
        let written =
            driver.batch(&batch.input).unwrap_or_else(|e| panic!("seed {seed}: {e}\n{}", case.script));
        apply(&written.to_string(), &mut rows);
        let expected = oracle.answer(&case.query, &batch.rows);
        if shows {
            println!("batch {number}:\n{written}");
        }
        assert!(
            rows == expected,
            "seed {} (SQL_FUZZ_SEED={} repeats it), after batch {number}:\n{}\nhas     {rows:?}\nexpected {expected:?}",
            case.seed,
            case.seed,
            case.script,
        );
    }
    true
}

#[test]
fn what_has_left_a_query_is_the_answer_of_a_batch_engine() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    if let Some(seed) = number("SQL_FUZZ_SEED") {
        assert!(run(seed, true), "the query is refused");
        return;
    }
    let first = number("SQL_FUZZ_FIRST").unwrap_or_else(|| {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        since.as_secs() % 1_000_000 * 1_000
    });
    let cases = number("SQL_FUZZ_CASES").unwrap_or(CASES);
    println!("SQL_FUZZ_FIRST={first} SQL_FUZZ_CASES={cases} repeats these cases");
    let answered = (first..first + cases).filter(|seed| run(*seed, false)).count();
    println!("{answered} queries were answered");
    assert!(2 * answered >= usize::try_from(cases).unwrap(), "most queries are refused");
}
