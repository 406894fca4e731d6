//! The queries of Nexmark: each is run, and gives what a batch engine gives, or is refused with its reason.
//!
//! The texts are those of `benches/nexmark/queries/`, which are measured, too; the events are those of its generator. Each query is run
//! over events that are cut into batches by chance, on two state partitions, with crashes. After every batch, what has left the query,
//! added up, is what DataFusion answers to all events so far; of windows that leave when they close, to the closed ones.
//! `NEXMARK_SEED=n` runs the cases of one seed.

mod answers;
#[path = "../../../../benches/nexmark/events.rs"]
mod events;
mod oracle;

use self::{
    answers::answer,
    events::{BASE_MS, Event, Events},
    oracle::Oracle,
};
use super::fuzz::{Random, Rows, apply};
use State::{Refused, Runs};
use expect_test::expect_file;
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};
use tidegate::{
    StreamingContext,
    sql::{Script, SourceText},
    testing::{Crash, Driver, Settings},
};

const EVENTS: u64 = 3_000;
const PER_SECOND: u64 = 50;
const DELAY_MS: i64 = 4_000;
const PARTITIONS: u64 = 3;

/// What becomes of a query.
enum State {
    /// It gives what a batch engine gives.
    Runs,
    /// Because of what is told in `tests/it/golden/nexmark/`.
    Refused,
}

/// The state of each query.
fn state(query: u32) -> State {
    match query {
        6 => Refused,
        _ => Runs,
    }
}

fn text(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/nexmark/queries").join(name);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The script of a query, whose changes go into the topic `out` as they are.
fn script(query: u32) -> Script {
    try_script(query).unwrap_or_else(|e| panic!("query {query}: {e}"))
}

fn try_script(query: u32) -> tidegate::Result<Script> {
    let source = "'connector' = 'kafka', 'topic' = 'nexmark', 'format' = 'json'";
    let sink = "'connector' = 'kafka', 'topic' = 'out', 'format' = 'debezium-json'";
    let of_query = without_key(&text(&format!("q{query}.sql"))).replace("{sink}", sink);
    let of_query = of_query.replace("{side_input}", &side_input().display().to_string());
    let tables = text("tables.sql").replace("{source}", source);
    Script::parse(SourceText::new(format!("q{query}.sql"), tables + "\n" + &of_query))
}

/// The file that query 13 reads.
fn side_input() -> PathBuf {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let rows: Vec<String> = (0..oracle::SIDE_INPUT).map(|n| format!("{n},{n}\n")).collect();
        fs::write(folder.path().join("side_input.csv"), rows.concat()).unwrap();
        folder
    });
    folder.path().join("side_input.csv")
}

/// The declaration without its PRIMARY KEY: changes need none.
fn without_key(text: &str) -> String {
    match (text.find(",\n  PRIMARY KEY"), text.find(" NOT ENFORCED")) {
        (Some(from), Some(to)) => text[..from].to_owned() + &text[to + " NOT ENFORCED".len()..],
        _ => text.to_owned(),
    }
}

/// Runs a query over the events of a seed.
fn run(query: u32, seed: u64) {
    let script = script(query);
    let mut random = Random::of(seed ^ u64::from(query) << 32);
    let events = Events {
        seed,
        per_second: PER_SECOND,
        out_of_order_group: [1, 40][usize::try_from(seed % 2).unwrap()],
    };
    let threads = usize::try_from(random.below(3)).unwrap();
    let settings = Settings { threads, state_partitions: 2, ..Settings::default() };
    let mut driver = Driver::with(settings, move |ssc: &StreamingContext| ssc.sql(&script));
    driver.set_now_ms(BASE_MS + 3_600_000);
    let mut oracle = Oracle::new();
    let mut rows = Rows::new();
    let mut newest = [i64::MIN; 3];
    let mut read = 0;
    while read < EVENTS {
        let until = (read + 1 + random.below(EVENTS / 3)).min(EVENTS);
        let mut input = String::new();
        let now_ms = driver.now_ms() + 1_000;
        for n in read..until {
            let event = events.event(n);
            let partition = n % PARTITIONS;
            input.extend(["nexmark ", &partition.to_string(), " | - | "]);
            event.write_json(&mut input);
            input.push('\n');
            let newest = &mut newest[usize::try_from(partition).unwrap()];
            *newest = event.time_ms().max(*newest);
            oracle.add(event, now_ms);
        }
        read = until;
        if random.chance(25) {
            driver.crash_at(if random.chance(50) { Crash::BeforeCommit } else { Crash::AfterCommit });
        }
        let written =
            driver.batch_at(now_ms, &input).unwrap_or_else(|e| panic!("query {query}, seed {seed}: {e}"));
        apply(&written.to_string(), &mut rows);
        let watermark_ms = newest.into_iter().min().unwrap().saturating_sub(DELAY_MS);
        let time = |ms: i64| format!("arrow_cast({ms}, 'Timestamp(Millisecond, None)')");
        let answer =
            answer(query).replace("{watermark}", &time(watermark_ms)).replace("{now}", &time(now_ms));
        let expected = oracle.answer(&answer);
        assert_eq!(
            rows.len(),
            expected.len(),
            "query {query}, NEXMARK_SEED={seed}, after {read} events: the number of rows"
        );
        for ((row, count), (other, times)) in rows.iter().zip(&expected) {
            assert_eq!(
                (row, count),
                (other, times),
                "query {query}, NEXMARK_SEED={seed}, after {read} events"
            );
        }
    }
    assert!(!rows.is_empty() || query == 12, "query {query} gave nothing");
}

fn check(query: u32) {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/it/golden/nexmark/q{query}.txt"));
    let is_refused = matches!(state(query), Refused);
    assert_eq!(golden.exists(), is_refused, "golden texts are those of refusals: {}", golden.display());
    match state(query) {
        Runs => match std::env::var("NEXMARK_SEED").ok().and_then(|seed| seed.parse().ok()) {
            Some(seed) => run(query, seed),
            None => (1..=2).for_each(|seed| run(query, seed)),
        },
        Refused => {
            let Err(error) = try_script(query) else {
                panic!("query {query} is planned now: say so in the table, and delete its golden text")
            };
            expect_file![golden].assert_eq(&format!("{error}\n"));
        }
    }
}

macro_rules! queries {
    ($($name:ident = $query:literal)*) => {
        $(#[test]
        fn $name() {
            check($query);
        })*
    };
}

queries! {
    q0 = 0 q1 = 1 q2 = 2 q3 = 3 q4 = 4 q5 = 5 q6 = 6 q7 = 7 q8 = 8 q9 = 9 q10 = 10 q11 = 11
    q12 = 12 q13 = 13 q14 = 14 q15 = 15 q16 = 16 q17 = 17 q18 = 18 q19 = 19 q20 = 20 q21 = 21 q22 = 22
}

#[test]
fn events_follow_from_their_seed_and_number() {
    let events = |seed, out_of_order_group| Events { seed, per_second: 1_000, out_of_order_group };
    let (in_order, others, mixed) = (events(1, 1), events(2, 1), events(1, 40));
    let json = |event: &Event| {
        let mut json = String::new();
        event.write_json(&mut json);
        serde_json::from_str::<serde_json::Value>(&json).unwrap()
    };
    let mut counts = [0; 3];
    let mut seen = BTreeSet::new();
    for n in 0..2_000 {
        let event = in_order.event(n);
        assert_eq!(event, in_order.event(n));
        assert_ne!(event, others.event(n));
        assert_eq!(event.time_ms(), BASE_MS + i64::try_from(n).unwrap());
        let record = json(&event);
        let kind = usize::try_from(record["event_type"].as_u64().unwrap()).unwrap();
        counts[kind] += 1;
        for (at, field) in ["person", "auction", "bid"].into_iter().enumerate() {
            assert_eq!(record[field].is_object(), at == kind, "{record}");
        }
        let late = mixed.event(n).time_ms() - event.time_ms();
        assert!(late.abs() < 40, "{late}");
        seen.insert(mixed.event(n).time_ms());
    }
    assert_eq!(counts, [40, 120, 1_840]);
    assert_eq!(seen.len(), 2_000, "each event comes once");
    let ids = |n| json(&in_order.event(n));
    assert_eq!(ids(50)["person"]["id"], 1_001);
    assert_eq!([ids(51)["auction"]["id"].clone(), ids(53)["auction"]["id"].clone()], [1_003, 1_005]);
}
