//! Pieces of a `String` borrow from it; `Text` yields owned ones.
use tidegate::{Config, DStream, StreamingContext};

fn main() {
    let ssc = StreamingContext::new(Config::new("app", "memory:"));
    let lines: DStream<String> = ssc.source(tidegate::SourceOptions::topic("lines"), tidegate::codec::Utf8);
    lines.flat_map(|line| line.split(' ')).print();
}
