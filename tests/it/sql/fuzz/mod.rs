//! Queries and rows by chance: after every batch, what has left a query adds up to what a batch engine answers over all rows so far, or, of a
//! table whose records say how its rows change, over those that it has.
//!
//! The oracle is DataFusion's own engine, which shares the planner's front with streaming SQL, but neither lowering, operators, state nor
//! formats. A case is a seed: its query, its table and rows, how these are cut into batches, how many threads and state partitions compute them, and
//! where the process dies. `SQL_FUZZ_SEED=n` runs that case alone and shows it; `SQL_FUZZ_CASES=n` runs so many.

mod data;
mod joins;
mod mutants;
mod oracle;
mod query;
mod windows;

pub use self::oracle::{batch_context, shown};
use self::{
    data::Data,
    oracle::{Oracle, normal},
    query::Query,
};
use std::collections::BTreeMap;
use tidegate::{
    StreamingContext,
    config::ExchangeThrough,
    sql::{Script, SourceText},
    testing::{Between, Crash, Driver, Settings},
};

/// Cases of a run, unless `SQL_FUZZ_CASES` says another number.
const CASES: u64 = 200;

/// Numbers by chance (xorshift64*, Vigna, 2016).
pub struct Random(u64);

impl Random {
    pub fn of(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 33) % bound
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn of_these<'a, T: ?Sized>(&mut self, these: &[&'a T]) -> &'a T {
        these[usize::try_from(self.below(these.len() as u64)).unwrap()]
    }
}

/// Why a query is refused that a batch engine answers.
const REFUSALS: [&str; 3] = ["not supported yet", "is never true", "reads no table"];

/// How many times each row is there.
pub type Rows = BTreeMap<String, i64>;

/// Adds the changes of a batch: values of Debezium's form in a topic, or rows that came, as the driver shows them.
pub fn apply(changes: &str, rows: &mut Rows) {
    for line in changes.lines().filter(|line| line.starts_with("out | ")) {
        let value = line.splitn(3, " | ").nth(2).unwrap();
        let value = value.split(" | @").next().unwrap();
        let change: serde_json::Value = serde_json::from_str(value).unwrap();
        if change.get("op").is_none() {
            *rows.entry(normal(&change)).or_default() += 1;
            continue;
        }
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
    /// What streaming SQL is asked, and what the batch engine.
    query: String,
    oracle: String,
    /// Whether the answer is compared after each batch, and not only after the last one.
    compares_each: bool,
}

/// Runs a case; `false` = streaming SQL refuses its query, and says that it is not there yet.
fn run(seed: u64, shows: bool) -> bool {
    let mut random = Random::of(seed);
    let query = Query::random(&mut random);
    let data = Data::random(&mut random);
    let Some(oracle) = Oracle::of(&query.oracle) else { return false };
    let script = format!(
        "{}\nCREATE TABLE out ({}) WITH ('connector' = 'kafka', 'topic' = 'out', 'format' = 'debezium-json');\nINSERT INTO out {};\n",
        data.kind.table(""),
        oracle.columns(),
        query.text
    );
    let case = Case { seed, script, query: query.text, oracle: query.oracle, compares_each: true };
    answers(&mut random, &case, &data, &oracle, shows)
}

/// Runs a case; `false` = streaming SQL refuses its query, and says that it is not there yet.
fn answers(random: &mut Random, case: &Case, data: &Data, oracle: &Oracle, shows: bool) -> bool {
    let seed = case.seed;
    if shows {
        println!("{}\n{data:#?}", case.script);
    }
    let script = match Script::parse(SourceText::new("fuzz.sql", case.script.as_str())) {
        Ok(script) => script,
        Err(e) if REFUSALS.iter().any(|why| e.to_string().contains(why)) => return false,
        Err(e) => panic!("seed {seed}: {e}\n{}", case.script),
    };
    // Only programs with state are shared.
    let has_state = [
        "GROUP BY",
        "JOIN",
        "EXISTS",
        " IN (",
        "count(",
        "sum(",
        "OVER",
        "LIMIT",
        "DISTINCT",
        "UNION SELECT",
        "INTERSECT",
        "EXCEPT",
    ]
    .iter()
    .any(|of| case.query.contains(of));
    let processes = if random.chance(8) && has_state { 2 } else { 1 };
    let settings = Settings {
        threads: usize::try_from(random.below(3)).unwrap(),
        state_partitions: u32::try_from(processes + usize::try_from(random.below(4)).unwrap()).unwrap(),
        processes,
        between: if random.chance(12) { Between::RestartWithoutState } else { Between::GoesOn },
        exchange: if random.chance(12) { ExchangeThrough::Topic } else { ExchangeThrough::Memory },
        ..Settings::default()
    };
    let mut driver = Driver::with(settings, move |ssc: &StreamingContext| ssc.sql(&script));
    let mut rows = Rows::new();
    for (number, batch) in data.batches.iter().enumerate() {
        if settings.processes == 1 && random.chance(20) {
            driver.crash_at(if random.chance(50) { Crash::BeforeCommit } else { Crash::AfterCommit });
        }
        let written = match driver.batch(&batch.input) {
            Ok(written) => written,
            // The optimizer has left out what keeps state.
            Err(e) if e.to_string().contains("several processes do not share this program") => return false,
            Err(e) => panic!("seed {seed}: {e}\n{}", case.script),
        };
        apply(&written.to_string(), &mut rows);
        if shows {
            println!("batch {number}:\n{written}");
        }
        if !case.compares_each && number + 1 < data.batches.len() {
            continue;
        }
        let expected = match oracle.answer(&case.oracle, &batch.rows) {
            Ok(expected) => expected,
            Err(e) => {
                println!("seed {seed}: the batch engine has no answer: {e}");
                return false;
            }
        };
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

/// Runs a join with a bound of time over rows in time: what has left at the end is the answer, whatever has gone from state meanwhile.
fn run_timed(seed: u64, shows: bool) -> bool {
    let mut random = Random::of(seed);
    let query = joins::timed(&mut random);
    let data = Data::in_time(&mut random);
    let oracle = Oracle::of(&query).unwrap_or_else(|| panic!("seed {seed}: {query}"));
    let watermark = format!(", WATERMARK FOR ts AS ts - INTERVAL '0.{:03}' SECOND", data::DISORDER_MS);
    let is_changing = random.chance(25);
    let format = if is_changing { "debezium-json" } else { "json" };
    let script = format!(
        "{}\nCREATE TABLE out ({}) WITH ('connector' = 'kafka', 'topic' = 'out', 'format' = '{format}');\nINSERT INTO out {query}{};\n",
        data.kind.table(&watermark),
        oracle.columns(),
        if is_changing { " EMIT CHANGES" } else { "" },
    );
    let is_inner = query.contains("AS a JOIN");
    let case = Case { seed, script, oracle: query.clone(), query, compares_each: is_changing || is_inner };
    answers(&mut random, &case, &data, &oracle, shows)
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok())
}

fn first_seed() -> u64 {
    number("SQL_FUZZ_FIRST").unwrap_or_else(|| {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        since.as_secs() % 1_000_000 * 1_000
    })
}

#[test]
fn rows_that_have_gone_are_not_missed() {
    if let Some(seed) = number("SQL_FUZZ_TIMED_SEED") {
        assert!(run_timed(seed, true), "the query is refused");
        return;
    }
    let (first, cases) = (first_seed(), number("SQL_FUZZ_CASES").unwrap_or(CASES / 2));
    println!("SQL_FUZZ_FIRST={first} SQL_FUZZ_CASES={cases} repeats these cases");
    (first..first + cases).for_each(|seed| assert!(run_timed(seed, false), "seed {seed} is refused"));
}

#[test]
fn what_has_left_a_query_is_the_answer_of_a_batch_engine() {
    if let Some(seed) = number("SQL_FUZZ_SEED") {
        assert!(run(seed, true), "the query is refused");
        return;
    }
    let first = first_seed();
    let cases = number("SQL_FUZZ_CASES").unwrap_or(CASES);
    println!("SQL_FUZZ_FIRST={first} SQL_FUZZ_CASES={cases} repeats these cases");
    let answered = (first..first + cases).filter(|seed| run(*seed, false)).count();
    println!("{answered} queries were answered");
    assert!(2 * answered >= usize::try_from(cases).unwrap(), "most queries are refused");
}
