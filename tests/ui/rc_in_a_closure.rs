//! Closures run on worker threads.
use tidegate::{Config, DStream, StreamingContext};

fn main() {
    let ssc = StreamingContext::new(Config::new("app", "memory:"));
    let lines: DStream<tidegate::Text> = ssc.text("lines");
    let least = std::rc::Rc::new(3);
    lines.map(move |l| l.len() + *least).print();
}
