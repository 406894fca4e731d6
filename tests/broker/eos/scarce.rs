//! Too little of something on the machine: the disk of the state is full, files may not be opened. The program says
//! so, and once there is enough again nothing is lost or counted twice.

use super::{
    Random,
    client::Client,
    program::App,
    until,
    words::{Lines, judge},
};
use crate::subject::bootstrap;

#[test]
fn a_full_disk_ends_the_program_and_is_forgotten_once_there_is_room() {
    let client = Client::new(&bootstrap());
    let app = App::new("kafka_word_count", &client).with("state-partitions", "1");
    // A file that would grow beyond a megabyte does not, as on a disk that is full (in blocks of 512 bytes).
    let app = app.after("trap '' XFSZ; ulimit -f 2048");
    let mut lines = Lines::new(&client, &app.input, Random::seed());
    lines.write(60_000, 4);
    lines.flush();
    let mut run = app.start("");
    assert_eq!(run.exit_code(), 1, "{}", run.text());
    let (text, state) = (run.text(), app.folder.join("state"));
    for part in [state.to_str().unwrap(), "File too large", "next:"] {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
    let app = app.after(":");
    let mut run = app.start("");
    app.catch_up(&client, &mut run);
    run.stop();
    judge("a full disk", &lines.truth, &client.read(&app.output));
    println!("a full disk: told with its path, then {} words counted once", lines.truth.len());
}

#[test]
fn too_few_files_are_named() {
    let client = Client::new(&bootstrap());
    let app = App::new("kafka_word_count", &client).after("ulimit -n 40");
    let mut lines = Lines::new(&client, &app.input, Random::seed());
    lines.write(400, 4);
    lines.flush();
    let mut run = app.start("");
    until("the program says what it lacks", || run.text().contains("Too many open files"));
    // It ends, or goes on trying, depending on what asked for the last file.
    assert!(!run.text().contains("panicked"), "{}", run.text());
    if run.is_running() {
        run.kill();
    } else {
        assert_eq!(run.exit_code(), 1, "{}", run.text());
    }
    // A limit that the program may raise is no limit.
    let app = app.after("ulimit -S -n 40");
    let mut run = app.start("");
    app.catch_up(&client, &mut run);
    run.stop();
    judge("few files", &lines.truth, &client.read(&app.output));
    println!("too few files: named, then {} words counted once", lines.truth.len());
}
