//! A closure outlives the function that builds the stream.
use tidegate::{Config, DStream, StreamingContext};

fn main() {
    let ssc = StreamingContext::new(Config::new("app", "memory:"));
    let lines: DStream<tidegate::Text> = ssc.text("lines");
    let least = 3;
    lines.filter(|l| l.len() > least).print();
}
