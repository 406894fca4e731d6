//! A sink needs a format that knows the type.
use tidegate::{Config, DStream, StreamingContext};

fn main() {
    let ssc = StreamingContext::new(Config::new("app", "memory:"));
    let lines: DStream<tidegate::Text> = ssc.text("lines");
    lines.map(|l| (l, vec![1u64])).to_kafka("out", tidegate::codec::Utf8, tidegate::codec::AsText);
}
