//! Records that the broker has deleted: of the input before they were read, and of the changelog under a state that is
//! still committed. The program never goes on as if they had not been there.

use super::{
    Random,
    client::Client,
    events,
    program::App,
    until,
    words::{Lines, judge},
};
use crate::subject::bootstrap;

/// The records of partition 2 up to 130 are deleted, of which the program has read 100.
fn truncated(client: &Client, app: &App, lines: &mut Lines) {
    lines.write_events(400);
    lines.flush();
    client.truncate(&app.input, 2, 130);
}

fn is_refused(text: &str, app: &App) {
    for part in [&format!("{}-2", app.input), "next:"] {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
}

#[test]
fn records_that_were_deleted_before_they_were_read_stop_a_program_until_that_is_accepted() {
    let client = Client::new(&bootstrap());
    for is_running in [false, true] {
        let app = App::new("filter_project", &client);
        let mut lines = Lines::new(&client, &app.input, Random::seed());
        lines.write_events(400);
        lines.flush();
        let mut run = app.start("");
        app.catch_up(&client, &mut run);
        if is_running {
            run.signal("STOP");
            until("it has stopped", || run.is_stopped());
        } else {
            run.stop();
            truncated(&client, &app, &mut lines);
            run = app.start("");
        }
        if is_running {
            truncated(&client, &app, &mut lines);
            run.signal("CONT");
        }
        let code = run.exit_code();
        assert!(code == 1 || code == 4, "{}", run.text());
        is_refused(&run.text(), &app);
        let mut run = app.start("");
        assert_ne!(run.exit_code(), 0, "it is refused again");
        is_refused(&run.text(), &app);
        // The next step that it names does help.
        client.set_offsets(&app.id, &app.input, &[(2, 130)]);
        let mut run = app.start("");
        app.catch_up(&client, &mut run);
        run.stop();
        // The events of both rounds have the same numbers.
        let rows = client.read(&app.output);
        let lost = |row: &super::client::Row| {
            let event: serde_json::Value = serde_json::from_str(&row.value).unwrap();
            event["id"].as_u64().unwrap() % 4 == 2
        };
        assert_eq!((rows.len(), rows.iter().filter(|row| lost(row)).count()), (770, 170));
        assert!(!events::violations(400, &rows).is_empty());
        eprintln!("records deleted, the program was running: {is_running}");
    }
    println!(
        "records deleted before they were read: refused, with place and offsets, until the loss is accepted"
    );
}

#[test]
fn records_that_were_deleted_after_they_were_read_are_not_missed() {
    let client = Client::new(&bootstrap());
    let app = App::new("kafka_word_count", &client);
    let mut lines = Lines::new(&client, &app.input, Random::seed());
    lines.write(400, 4);
    lines.flush();
    let mut run = app.start("");
    app.catch_up(&client, &mut run);
    run.stop();
    for partition in 0..4 {
        client.truncate(&app.input, partition, 100);
    }
    let mut run = app.start("");
    lines.write(400, 4);
    lines.flush();
    app.catch_up(&client, &mut run);
    for partition in 0..4 {
        client.truncate(&app.input, partition, 200);
    }
    run.kill();
    app.lose_state();
    let mut run = app.start("");
    lines.write(400, 4);
    lines.flush();
    app.catch_up(&client, &mut run);
    run.stop();
    judge("records deleted after they were read", &lines.truth, &client.read(&app.output));
    println!("records deleted after they were read: not missed, with and without local state");
}

#[test]
fn a_changelog_that_was_deleted_under_committed_state_is_not_taken_for_a_new_one() {
    let client = Client::new(&bootstrap());
    for has_directory in [true, false] {
        let app = App::new("kafka_word_count", &client);
        let mut lines = Lines::new(&client, &app.input, Random::seed());
        lines.write(400, 4);
        lines.flush();
        let mut run = app.start("");
        app.catch_up(&client, &mut run);
        run.stop();
        let before = client.read(&app.output).len();
        let changelog = format!("{}-changelog", app.id);
        client.delete(&changelog);
        client.until_gone(&changelog);
        if !has_directory {
            app.lose_state();
        }
        lines.write(400, 4);
        lines.flush();
        for _ in 0..2 {
            let mut run = app.start("");
            assert_ne!(run.exit_code(), 0, "{}", run.text());
            let text = run.text();
            assert!(text.contains(&changelog) && text.contains("next:"), "{text}");
        }
        assert_eq!(client.read(&app.output).len(), before, "nothing was written");
    }
    println!("a changelog deleted under committed state: refused, with and without local state");
}
