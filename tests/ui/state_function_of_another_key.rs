//! A function for the state of a stream with other keys.

use tidegate::{BatchTime, Config, State, StateSpec, StreamingContext};

fn main() {
    let words = StreamingContext::new(Config::new("app", "memory:")).text("words").map(|w| (w, 1u64));
    let count = |_: BatchTime, _: &String, one: Option<u64>, sum: &mut State<u64>| {
        sum.update(one?);
        one
    };
    words.map_with_state(StateSpec::function(count)).print();
}
