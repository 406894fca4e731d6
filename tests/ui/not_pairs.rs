//! A keyed operation on rows that are not pairs.
use tidegate::{Config, DStream, StreamingContext};

fn main() {
    let ssc = StreamingContext::new(Config::new("app", "memory:"));
    let lines: DStream<tidegate::Text> = ssc.text("lines");
    let _ = lines.reduce_by_key(|a, b| a + b);
}
