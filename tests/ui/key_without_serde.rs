//! A key type of the user that lacks serde.
use tidegate::{Config, DStream, StreamingContext};

#[derive(Clone, PartialEq, Eq, Hash)]
struct User(String);

fn main() {
    let ssc = StreamingContext::new(Config::new("app", "memory:"));
    let lines: DStream<String> = ssc.source(tidegate::SourceOptions::topic("lines"), tidegate::codec::Utf8);
    lines.map(|l| (User(l), 1u64)).reduce_by_key(|a, b| a + b).map(|_| 1).print();
}
