//! Rows that cannot move to the one task that sees the whole batch.

use tidegate::{Config, StreamingContext};

#[derive(Clone)]
struct Row(usize);

fn main() {
    let rows = StreamingContext::new(Config::new("app", "memory:")).text("words").map(|w| Row(w.len()));
    rows.transform(|rows, _| rows).map(|row| row.0).print();
}
