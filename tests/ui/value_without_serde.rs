//! A value type of the user that lacks serde.
use tidegate::{Config, DStream, StreamingContext};

#[derive(Clone)]
struct User(String);

fn main() {
    let ssc = StreamingContext::new(Config::new("app", "memory:"));
    let lines: DStream<String> = ssc.source(tidegate::SourceOptions::topic("lines"), tidegate::codec::Utf8);
    lines.map(|l| (l.len(), User(l))).reduce_by_key(|a, _| a).map(|_| 1).print();
}
