//! Counts the words of a topic with DataFrames, and writes the new count of each word that changed to another topic, exactly once.
//!
//! `cargo run --release --example structured_kafka_word_count -- --bootstrap broker:9092 --input lines --output counts --checkpoint state`.
//! Keys of the output are `{"word":"tea"}`, values `{"word":"tea","count":3}`.

use clap::Parser;
use std::{path::PathBuf, process::ExitCode};
use tidegate::{
    program_in,
    sql::{
        StreamSession, Trigger,
        functions::{col, explode, split},
    },
};

#[derive(Parser)]
#[command(about = "Counts the words of a topic with DataFrames")]
struct Program {
    /// The log: host:port of Kafka, embedded:DIR or memory:
    #[arg(long, default_value = "127.0.0.1:9092")]
    bootstrap: String,
    /// Topic with lines of text
    #[arg(long, default_value = "lines")]
    input: String,
    /// Topic for counts
    #[arg(long, default_value = "counts")]
    output: String,
    /// Where the counts are kept
    #[arg(long, default_value = "state")]
    checkpoint: PathBuf,
    /// End once everything is processed that was there at the start
    #[arg(long)]
    available_now: bool,
}

fn main() -> ExitCode {
    let program = Program::parse();
    program_in("info", || word_count(&program))
}

fn word_count(program: &Program) -> tidegate::Result {
    let Program { bootstrap, input, output, checkpoint, available_now } = program;
    let spark = StreamSession::builder("structured word count")
        .log(bootstrap)
        .checkpoint(checkpoint)
        .get_or_create()?;
    let records = spark.read_stream().format("kafka").option("subscribe", input);
    let records = records.option("startingOffsets", "earliest").load()?;
    let words = records.select([explode(split(col("value").cast("STRING"), " ")).alias("word")])?;
    let counts = words.filter(col("word").neq(""))?.group_by(["word"]).count()?;
    let trigger = if *available_now { Trigger::AvailableNow } else { Trigger::processing_time("1 second")? };
    let writer = counts.write_stream().format("kafka").option("topic", output).option("value.format", "json");
    let query = writer.output_mode("update").query_name("counts").trigger(trigger).start()?;
    query.await_termination()
}
