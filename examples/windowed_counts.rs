//! Counts the records of each key in windows over event time, exactly once.
//!
//! Input: key = user as text, record timestamp = event time; the value is not read. Output: key =
//! `user@window_start_ms`, value = decimal count so far; one record per changed window and batch. With `--hop-ms`
//! windows overlap, and a record is counted in each window that contains it.
//!
//! Runs on Kafka and on the embedded log alike. On Kafka both topics must exist. On the embedded log (`--bootstrap
//! embedded:DIR`) the output is created, but no command creates or fills the input: it must be the output of an
//! earlier program, or be written by one that uses `tidegate::log`.
//!
//! With Kafka running and its commands in the `PATH`, each program in a terminal of its own:
//!
//! ```sh
//! for topic in visits visits-by-window; do kafka-topics.sh --bootstrap-server localhost:9092 --create --if-not-exists --topic $topic --partitions 4; done
//! cargo run --release --example windowed_counts -- --input visits --output visits-by-window --application-id visits
//! kafka-console-producer.sh --bootstrap-server localhost:9092 --topic visits --property parse.key=true --property key.separator=: # user:anything
//! kafka-console-consumer.sh --bootstrap-server localhost:9092 --topic visits-by-window --from-beginning --isolation-level read_committed --property print.key=true
//! ```

use clap::Parser;
use std::{process::ExitCode, time::Duration};
use tidegate::{
    EventWindow, SourceOptions, StreamingContext, Text,
    codec::{AsText, FromRecord, Message},
    config::{Args, Topics},
    program,
    record::RawRecord,
};

#[derive(Parser)]
#[command(about = "Counts the records of each key in windows over event time, exactly once")]
struct Program {
    #[command(flatten)]
    args: Args,
    #[command(flatten)]
    topics: Topics,
    /// Length of a window [default: 10000, or 30000 with --hop-ms]
    #[arg(long)]
    size_ms: Option<u64>,
    /// From the start of a window to the start of the next [default: the length]
    #[arg(long)]
    hop_ms: Option<u64>,
    /// How long after its end a window still accepts records
    #[arg(long, default_value_t = 5_000)]
    lateness_ms: u64,
}

fn main() -> ExitCode {
    let Program { args, topics, size_ms, hop_ms, lateness_ms } = Program::parse();
    let ms = Duration::from_millis;
    let size_ms = size_ms.unwrap_or(if hop_ms.is_some() { 30_000 } else { 10_000 });
    let window = EventWindow::hopping(ms(size_ms), ms(hop_ms.unwrap_or(size_ms))).lateness(ms(lateness_ms));
    program(&args, |args| {
        let ssc = StreamingContext::new(args.config());
        let users = ssc.source::<Message<Text>>(SourceOptions::topic(&topics.input), FromRecord(user));
        let counts = users.count_by_key_and_event_window(window, |message| message.value);
        counts.to_kafka(&topics.output, AsText, AsText);
        ssc.run()
    })
}

/// The user, from the key.
fn user(record: RawRecord<'_>) -> Result<Message<Text>, String> {
    let key = record.key.ok_or("it has no key")?;
    let value = std::str::from_utf8(key).map_err(|e| format!("its key is not text: {e}"))?.into();
    Ok(Message { key: None, value, timestamp_ms: record.timestamp_ms, headers: vec![] })
}
