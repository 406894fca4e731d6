//! Counts words that arrive from a TCP server, and shows all counts each second: Spark's first example of Structured Streaming.
//!
//! Start `nc -lk 9999` in one terminal, this program in another (`cargo run --release --example structured_word_count
//! localhost 9999`), and type lines into the first. Keeps everything in memory, unless there is a third argument: the checkpoint
//! directory, from which a later run goes on.

use clap::Parser;
use std::{path::PathBuf, process::ExitCode};
use tidegate::{
    program_in,
    sql::{
        StreamSession, Trigger,
        functions::{explode, split},
    },
};

#[derive(Parser)]
#[command(about = "Counts all words that arrive from a TCP server such as `nc -lk 9999`")]
struct Program {
    /// Where the server runs
    host: String,
    /// Its port
    port: u16,
    /// Where counts are kept
    checkpoint: Option<PathBuf>,
}

fn main() -> ExitCode {
    let Program { host, port, checkpoint } = Program::parse();
    program_in("warn", || {
        let builder = StreamSession::builder("StructuredNetworkWordCount");
        let builder = match checkpoint {
            Some(dir) => builder.checkpoint(dir),
            None => builder,
        };
        let spark = builder.get_or_create()?;
        let lines = spark.read_stream().format("socket").option("host", &host).option("port", port).load()?;
        let words = lines.select([explode(split("value", " ")).alias("word")])?;
        let word_counts = words.group_by(["word"]).count()?;
        let writer = word_counts.write_stream().output_mode("complete").format("console");
        let query = writer.trigger(Trigger::processing_time("1 second")?).start()?;
        query.await_termination()
    })
}
