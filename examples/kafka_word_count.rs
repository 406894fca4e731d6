//! Counts words: a topic of text lines in, a topic of counts out, exactly once.
//!
//! Input: value = UTF-8 line, split at single spaces. Output: key = word, value = decimal count over everything read so far; one
//! record per changed word and batch. Runs on Kafka and on the embedded log alike.

use clap::Parser;
use std::process::ExitCode;
use tidegate::{
    StreamingContext,
    codec::{AsText, Utf8},
    config::Args,
    program,
};

#[derive(Parser)]
#[command(about = "Counts the words of a topic, exactly once")]
struct Program {
    #[command(flatten)]
    args: Args,
}

fn main() -> ExitCode {
    let args = Program::parse().args;
    program(&args, |args| {
        let ssc = StreamingContext::new(args.config());
        let words = ssc.text(&args.input).flat_map(|line| line.split(' ')).filter(|word| !word.is_empty());
        let counts = words.map(|word| (word, 1u64)).running_reduce_by_key(|a, b| a + b);
        counts.to_kafka(&args.output, Utf8, AsText);
        ssc.run()
    })
}
