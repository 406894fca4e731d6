//! Counts the words of the last 30 seconds, every 10 seconds, exactly once.
//!
//! Spark's `reduceByKeyAndWindow(add, subtract, 30, 10)`: counts that enter are added and those that leave are
//! subtracted, so a slide costs only what entered and left. Input: value = UTF-8 line, split at single spaces.
//! Output: key = word, value = decimal count; words that no longer occur are omitted, and so are empty ones, as
//! between two spaces, which Spark's examples count. Windows cover the time of arrival; they survive any restart,
//! as they are state.
//!
//! With Kafka running and its commands in the `PATH`, each program in a terminal of its own:
//!
//! ```sh
//! for topic in lines recent-counts; do kafka-topics.sh --bootstrap-server localhost:9092 --create --if-not-exists --topic $topic --partitions 4; done
//! cargo run --release --example windowed_word_count -- --input lines --output recent-counts --application-id recent-words
//! kafka-console-producer.sh --bootstrap-server localhost:9092 --topic lines
//! ```

use clap::Parser;
use std::{process::ExitCode, time::Duration};
use tidegate::{
    StreamingContext,
    codec::{AsText, Utf8},
    config::{Args, Topics},
    program,
};

#[derive(Parser)]
#[command(about = "Counts the words of the last 30 seconds, every 10 seconds, exactly once")]
struct Program {
    #[command(flatten)]
    args: Args,
    #[command(flatten)]
    topics: Topics,
    /// Length of the window
    #[arg(long, default_value_t = 30_000)]
    window_ms: u64,
    /// How often counts are emitted
    #[arg(long, default_value_t = 10_000)]
    slide_ms: u64,
    /// Recompute each window from its parts, as for a function without an inverse
    #[arg(long)]
    recompute: bool,
}

fn main() -> ExitCode {
    let Program { args, topics, window_ms, slide_ms, recompute } = Program::parse();
    let (window, slide) = (Duration::from_millis(window_ms), Duration::from_millis(slide_ms));
    program(&args, |args| {
        let ssc = StreamingContext::new(args.config());
        let words = ssc.text(&topics.input).flat_map(|line| line.split(' ')).filter(|word| !word.is_empty());
        let ones = words.map(|word| (word, 1u64));
        let counts = if recompute {
            ones.reduce_by_key_and_window(|a, b| a + b, window, slide)
        } else {
            let present = |_: &_, count: &u64| *count > 0;
            ones.reduce_by_key_and_window_filtered(|a, b| a + b, |a, b| a - b, window, slide, present)
        };
        counts.print();
        counts.to_kafka(&topics.output, Utf8, AsText);
        ssc.run()
    })
}
