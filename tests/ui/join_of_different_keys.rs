//! Both sides of a join must have the same key type.
use tidegate::{Config, DStream, StreamingContext};

fn main() {
    let ssc = StreamingContext::new(Config::new("app", "memory:"));
    let lines: DStream<String> = ssc.source(tidegate::SourceOptions::topic("lines"), tidegate::codec::Utf8);
    let a = lines.map(|l| (l.len(), 1u64));
    let b = lines.map(|l| (l, 1u64));
    let _ = a.join(&b);
}
