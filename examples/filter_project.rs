//! Keeps the expensive ones among JSON events, and some of their fields, exactly once.
//!
//! Input: value = JSON `{"id","user","item","price","ts","page"}`. Output: the events with `price > 50.0` as JSON
//! `{"id","user","price","ts"}`; key and record timestamp are kept.
//!
//! Runs on Kafka and on the embedded log alike. On Kafka both topics must exist. On the embedded log (`--bootstrap
//! embedded:DIR`) the output is created, but no command creates or fills the input: it must be the output of an
//! earlier program, or be written by one that uses `tidegate::log`.
//!
//! With Kafka running and its commands in the `PATH`, each program in a terminal of its own:
//!
//! ```sh
//! for topic in events dear-events; do kafka-topics.sh --bootstrap-server localhost:9092 --create --if-not-exists --topic $topic --partitions 4; done
//! cargo run --release --example filter_project -- --input events --output dear-events --application-id dear
//! kafka-console-producer.sh --bootstrap-server localhost:9092 --topic events # {"id":1,"user":"u","item":"i","price":99.0,"ts":1,"page":"p"}
//! kafka-console-consumer.sh --bootstrap-server localhost:9092 --topic dear-events --from-beginning --isolation-level read_committed --property print.key=true
//! ```

use clap::Parser;
use serde::{Deserialize, Serialize};
use std::process::ExitCode;
use tidegate::{
    BadRecordPolicy, SourceOptions, StreamingContext, Text,
    codec::{Json, Message, Messages},
    config::{Args, Topics},
    program,
};

/// The fields that are read and written; the others are ignored.
#[derive(Clone, Serialize, Deserialize)]
struct Event {
    id: u64,
    user: Text,
    price: f64,
    ts: i64,
}

#[derive(Clone, Copy, Default, clap::ValueEnum)]
enum OnBadRecord {
    #[default]
    Fail,
    Skip,
    DeadLetter,
}

#[derive(Parser)]
#[command(about = "Filters and projects the JSON events of a topic, exactly once")]
struct Program {
    #[command(flatten)]
    args: Args,
    #[command(flatten)]
    topics: Topics,
    /// What to do with a record that is not such an event
    #[arg(long, env = "TIDEGATE_ON_BAD_RECORD", value_enum, default_value_t)]
    on_bad_record: OnBadRecord,
}

fn main() -> ExitCode {
    let Program { args, topics, on_bad_record } = Program::parse();
    program(&args, |args| {
        let policy = match on_bad_record {
            OnBadRecord::Fail => BadRecordPolicy::Fail,
            OnBadRecord::Skip => BadRecordPolicy::Skip,
            OnBadRecord::DeadLetter => BadRecordPolicy::DeadLetter,
        };
        let ssc = StreamingContext::new(args.config());
        let source = SourceOptions::topic(&topics.input).on_bad_record(policy);
        let events = ssc.source::<Message<Event>>(source, Messages(Json));
        events.filter(|event| event.value.price > 50.0).to_kafka(&topics.output, Json);
        ssc.run()
    })
}
