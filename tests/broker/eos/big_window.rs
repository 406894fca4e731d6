//! A window of ten times its memory budget: filled, emitted at slides, killed, lost, restored, and correct to the
//! last word.
//!
//! What is bounded is the resident memory of the whole process, as in `big_state`: besides the budget it contains a
//! portion of input, the client's queues, and what enters the window within one slide. So each portion is emitted
//! before the next one is written; the window itself, keys twice (panes and running values), is on disk, and is
//! read from there at each slide.

use super::{
    big_state::{bytes_below, word, write},
    client::Client,
    program::{App, Run},
    until,
};
use crate::{contract::unique, subject::bootstrap};
use rdkafka::Message;

const BUDGET_BYTES: u64 = 16 << 20;
const RESIDENT_BYTES_MAX: u64 = 320 << 20;
/// While the changelog is read, the client's queues come on top.
const RESTORING_BYTES_MAX: u64 = 352 << 20;
const PORTION: u64 = 25_000;
const WORDS: u64 = 200_000;

/// Waits for a window that is emitted from now on.
fn await_window(client: &Client, app: &App, run: &mut Run) {
    let before = client.ends(&app.output);
    until("a window is emitted", || {
        run.must_run();
        client.ends(&app.output) > before
    });
    client.until_decided(&app.output);
}

fn is_bounded(run: &Run, what: &str, bytes_max: u64) {
    let peak = run.peak_resident_bytes();
    println!("big_window: {what}: at most {} MiB resident", peak >> 20);
    assert!(peak < bytes_max, "{what}: {} MiB resident", peak >> 20);
}

#[test]
fn a_window_of_ten_times_the_memory_is_emitted_killed_and_restored() {
    let client = Client::new(&bootstrap());
    let mut app = App::new("windowed_word_count", &client)
        .with("window-ms", "3600000")
        .with("slide-ms", "3000")
        .with("state-memory-bytes", &BUDGET_BYTES.to_string())
        .with("transaction-timeout-ms", "60000");
    app.output = unique("eos-given");
    client.create(&app.output, 1);
    let mut run = app.start("");
    for first in (0..WORDS).step_by(usize::try_from(PORTION).unwrap()) {
        write(&client, &app.input, WORDS, first..first + PORTION);
        app.catch_up(&client, &mut run);
        await_window(&client, &app, &mut run);
        is_bounded(&run, &format!("{} words", first + PORTION), RESIDENT_BYTES_MAX);
    }
    run.kill();
    let on_disk = bytes_below(&app.folder.join("state"));
    println!("big_window: {} MiB of state on disk", on_disk >> 20);
    assert!(on_disk >= 10 * BUDGET_BYTES, "{on_disk} bytes are too few for a test");

    let mut run = app.start("");
    await_window(&client, &app, &mut run);
    is_bounded(&run, "after a kill", RESIDENT_BYTES_MAX);
    run.kill();
    app.lose_state();
    let mut run = app.start("");
    await_window(&client, &app, &mut run);
    is_bounded(&run, "after a restore", RESTORING_BYTES_MAX);
    run.stop();

    // The rows of an instant are those of one transaction.
    let (mut last, mut instants, mut next) = (vec![], 0, None);
    client.visit(&app.output, |record| {
        let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap().to_vec()).unwrap();
        let (key, count) = (text(record.key()), text(record.payload()));
        let number: u64 = key[..7].parse().unwrap();
        assert_eq!((key, &*count), (word(number), "1"));
        if next.replace(record.offset() + 1) != Some(record.offset()) {
            instants += 1;
            last.clear();
        }
        last.push(number);
    });
    last.sort_unstable();
    assert!(last.iter().copied().eq(0..WORDS), "the last window has {} of {WORDS} words", last.len());
    println!("big_window: {instants} windows, the last one of {WORDS} words");
}
