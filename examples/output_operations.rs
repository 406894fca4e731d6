//! Writes the lines of a topic to files and, if asked, their words to Postgres, each exactly once.
//!
//! Input: value = UTF-8 line. Output: `DIR/batches/lines-TIME/part-*` as text, `DIR/tree/date=.../part-*.json`; with `--postgres` the table
//! `lines (line text)` and the table `counts (word text primary key, n bigint)`.
//!
//! With Kafka running and its commands in the `PATH`, each program in a terminal of its own; `--output` is a flag
//! of all examples that this one does not use:
//!
//! ```sh
//! kafka-topics.sh --bootstrap-server localhost:9092 --create --if-not-exists --topic lines --partitions 4
//! cargo run --release --example output_operations -- --input lines --application-id outputs --dir out
//! kafka-console-producer.sh --bootstrap-server localhost:9092 --topic lines
//! ```
//!
//! For Postgres create the tables, `create table lines (line text); create table counts (word text primary key, n
//! bigint);`, and add `--postgres postgres://user@host/db`.

use clap::Parser;
use std::{path::PathBuf, process::ExitCode};
use tidegate::{FileSink, PostgresSink, StreamingContext, TimeUnit, config::Args, program};

#[derive(Parser)]
#[command(about = "Writes lines to files and to Postgres, exactly once")]
struct Program {
    #[command(flatten)]
    args: Args,
    /// Topic to read
    #[arg(long, env = "TIDEGATE_INPUT")]
    input: String,
    /// Where files are written
    #[arg(long)]
    dir: Option<PathBuf>,
    /// The database for lines and word counts, such as `postgres://user@host/db`
    #[arg(long)]
    postgres: Option<String>,
}

fn main() -> ExitCode {
    let Program { args, input, dir, postgres } = Program::parse();
    program(&args, |args| {
        let ssc = StreamingContext::new(args.config());
        let lines = ssc.text(&input);
        if let Some(dir) = dir {
            lines.save_as_text_files(&dir.join("batches/lines").to_string_lossy(), "");
            let tree = FileSink::json(&dir.join("tree").to_string_lossy()).partition_by(TimeUnit::Day);
            lines.to_files(tree);
        }
        if let Some(url) = postgres {
            lines.to_postgres(PostgresSink::new(&url, "lines").columns(["line"]));
            let words = lines.flat_map(|line| line.split(' ')).map(|word| (word, 1i64));
            let counts = words.running_reduce_by_key(|a, b| a + b);
            counts.to_postgres(PostgresSink::new(&url, "counts").columns(["word", "n"]).upsert(["word"]));
        }
        ssc.run()
    })
}
