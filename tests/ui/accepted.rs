//! What the other cases get wrong, done right: this one compiles.
use tidegate::{Config, DStream, StreamingContext, Text, codec::{AsText, Utf8}};

fn main() {
    let ssc = StreamingContext::new(Config::new("app", "memory:"));
    let lines: DStream<Text> = ssc.text("lines");
    let least = 3;
    let long = lines.flat_map(|line| line.split(' ')).filter(move |word| word.len() > least);
    let counts = long.map(|word| (word, 1u64)).running_reduce_by_key(|a, b| a + b);
    counts.join(&counts).map(|(word, (n, _))| (word, n)).to_kafka("counts", Utf8, AsText);
}
