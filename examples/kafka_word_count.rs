//! Counts words: a topic of text lines in, a topic of counts out, exactly once.
//!
//! Input: value = UTF-8 line, split at single spaces. Output: key = word, value = decimal count over everything
//! read so far; one record per changed word and batch. Empty words, as between two spaces, are omitted; Spark's
//! examples count them.
//!
//! Runs on Kafka and on the embedded log alike. On Kafka both topics must exist. On the embedded log (`--bootstrap
//! embedded:DIR`) the output is created, but no command creates or fills the input: it must be the output of an
//! earlier program, or be written by one that uses `tidegate::log`.
//!
//! With Kafka running and its commands in the `PATH`, each program in a terminal of its own:
//!
//! ```sh
//! for topic in lines counts; do kafka-topics.sh --bootstrap-server localhost:9092 --create --if-not-exists --topic $topic --partitions 4; done
//! cargo run --release --example kafka_word_count -- --input lines --output counts --application-id word-count
//! kafka-console-producer.sh --bootstrap-server localhost:9092 --topic lines
//! kafka-console-consumer.sh --bootstrap-server localhost:9092 --topic counts --from-beginning --isolation-level read_committed --property print.key=true
//! ```

use clap::Parser;
use std::process::ExitCode;
use tidegate::{
    StreamingContext,
    codec::{AsText, Utf8},
    config::{Args, Topics},
    program,
};

#[derive(Parser)]
#[command(about = "Counts the words of a topic, exactly once")]
struct Program {
    #[command(flatten)]
    args: Args,
    #[command(flatten)]
    topics: Topics,
}

fn main() -> ExitCode {
    let Program { args, topics } = Program::parse();
    program(&args, |args| {
        let ssc = StreamingContext::new(args.config());
        let words = ssc.text(&topics.input).flat_map(|line| line.split(' ')).filter(|word| !word.is_empty());
        let counts = words.map(|word| (word, 1u64)).running_reduce_by_key(|a, b| a + b).named("counts");
        counts.to_kafka(&topics.output, Utf8, AsText);
        ssc.run()
    })
}
