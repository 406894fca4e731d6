//! State hidden in a closure would be lost and differ between tasks.
use tidegate::{Config, DStream, StreamingContext};

fn main() {
    let ssc = StreamingContext::new(Config::new("app", "memory:"));
    let lines: DStream<tidegate::Text> = ssc.text("lines");
    let mut n = 0;
    lines
        .map(move |l| {
            n += 1;
            (n, l)
        })
        .print();
}
