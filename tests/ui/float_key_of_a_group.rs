//! A key that is a float.

use tidegate::{Config, StreamingContext};

fn main() {
    let words = StreamingContext::new(Config::new("app", "memory:")).text("words");
    words.key_by(|w| w.len() as f64).group_by_key().print();
}
