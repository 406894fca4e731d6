//! Batches passed to a function while the program is killed around each of its calls: whenever an id comes again,
//! it comes with the same rows and the same time, so that a table keyed by it has each line once.

use super::{
    Random,
    client::Client,
    outputs::{kill_at, must_equal},
    program::App,
    until,
    words::{Lines, Stream, Truth, count},
};
use crate::subject::bootstrap;
use serde::Deserialize;
use std::{collections::BTreeMap, fs, path::Path};

/// Failpoints, of which the last one kills.
pub const FUNCTION_KILLS: [&str; 11] = [
    "before-drained=kill@1",
    "before-drained=kill@3",
    "before-acknowledged=kill@1",
    "before-acknowledged=kill@2",
    "before-acknowledged=kill@5",
    "after-drained=kill@2",
    "after-offsets=kill-in:2@2",
    "after-commit=kill@2",
    "after-prepare=kill@2",
    "fail-flush=fail@2,before-acknowledged=kill@2",
    "lose-answer=fail@2,before-acknowledged=kill@3",
];
/// How many of them kill between a call and its acknowledgement.
const CALLS_IN_VAIN: usize = 5;

/// A line of the file that the program writes.
#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Call {
    id: i64,
    time: i64,
    rows: Vec<String>,
}

fn calls(path: &Path) -> Vec<Call> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The batches by id, as a table with the key `batch_id` has them.
fn table(calls: &[Call]) -> BTreeMap<i64, Call> {
    let mut table: BTreeMap<i64, Call> = BTreeMap::new();
    for call in calls {
        if let Some(before) = table.get(&call.id) {
            assert_eq!(before, call, "an id came again with something else");
            continue;
        }
        let last = table.last_key_value().map(|(id, _)| *id);
        assert!(last.is_none_or(|last| last < call.id), "{} after {last:?}", call.id);
        table.insert(call.id, call.clone());
    }
    table
}

#[test]
fn an_id_comes_again_with_the_same_rows() {
    let seed = Random::seed();
    eprintln!("foreach_batch: seed {seed}");
    let client = Client::new(&bootstrap());
    let app = App::new("test:foreach_batch", &client);
    let path = app.folder.join("calls");
    let app = app.with("calls", path.to_str().unwrap());
    let stream = Stream::start(Lines::new(&client, &app.input, seed));
    kill_at(&client, &app, &FUNCTION_KILLS);
    let truth = stream.finish();
    let mut run = app.start("");
    app.catch_up(&client, &mut run);
    let wanted = truth.keys().filter(|word| word.starts_with("only-")).count();
    until("all lines are delivered", || {
        run.must_run();
        table(&calls(&path)).values().map(|call| call.rows.len()).sum::<usize>() >= wanted
    });
    run.stop();
    let given = calls(&path);
    let table = table(&given);
    let mut words = Truth::new();
    table.values().flat_map(|call| &call.rows).for_each(|line| count(line, &mut words));
    must_equal(&format!("seed {seed}"), &truth, &words);
    let again = given.len() - table.len();
    assert!(again >= CALLS_IN_VAIN, "{again} calls came again");
    println!(
        "foreach_batch: {} kills, {} batches, {again} delivered again with the same rows, {} words, none lost, none twice",
        FUNCTION_KILLS.len(),
        table.len(),
        words.len()
    );
}
