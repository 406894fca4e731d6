//! A table that another session has locked: the program goes on without its writer, and each line is one row once the
//! table is free.

use super::{
    Random,
    client::Client,
    outputs::must_equal,
    program::App,
    until,
    words::{Lines, Stream, Truth, count},
};
use crate::{postgres::Postgres, subject::bootstrap};

const WAITING: &str = "SELECT count(*)::text FROM pg_stat_activity WHERE wait_event_type = 'Lock'";

#[test]
fn a_locked_table_holds_up_only_its_writer() {
    let seed = Random::seed();
    eprintln!("locked table: seed {seed}");
    let postgres = Postgres::start();
    postgres.run("CREATE TABLE lines (line text); CREATE TABLE counts (word text PRIMARY KEY, n bigint)");
    let client = Client::new(&bootstrap());
    let url = format!("postgres://postgres@127.0.0.1:{}/postgres", postgres.port);
    let app = App::new("output_operations", &client).with("postgres", &url);
    let stream = Stream::start(Lines::new(&client, &app.input, seed));
    let mut run = app.start("");
    app.progress(&client, &mut run);
    let mut other = ::postgres::Client::connect(&postgres.url(""), ::postgres::NoTls).unwrap();
    for round in 0..2 {
        let mut lock = other.transaction().unwrap();
        lock.batch_execute("LOCK TABLE lines IN ACCESS EXCLUSIVE MODE").unwrap();
        until("the writer waits for the lock", || postgres.texts(WAITING) != ["0"]);
        for _ in 0..3 {
            app.progress(&client, &mut run);
        }
        assert_ne!(postgres.texts(WAITING), ["0"], "it still waits");
        if round == 1 {
            // Its session goes on waiting for a while after its death.
            run.kill();
            run = app.start("");
            app.progress(&client, &mut run);
        }
        lock.rollback().unwrap();
        app.progress(&client, &mut run);
    }
    let truth = stream.finish();
    app.catch_up(&client, &mut run);
    let words = || {
        let mut words = Truth::new();
        postgres.texts("SELECT line FROM lines").iter().for_each(|line| count(line, &mut words));
        words
    };
    let lines = |words: &Truth| words.keys().filter(|word| word.starts_with("only-")).count();
    until("all lines are written", || {
        run.must_run();
        lines(&words()) >= lines(&truth)
    });
    run.stop();
    must_equal(&format!("a locked table, seed {seed}"), &truth, &words());
    println!("a locked table: {} words, none lost, none twice", truth.len());
}
