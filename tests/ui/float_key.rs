//! A float cannot be a key.
use tidegate::{Config, DStream, StreamingContext};

fn main() {
    let ssc = StreamingContext::new(Config::new("app", "memory:"));
    let lines: DStream<tidegate::Text> = ssc.text("lines");
    lines.map(|l| (l.len() as f64, 1u64)).reduce_by_key(|a, b| a + b).print();
}
