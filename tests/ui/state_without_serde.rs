//! A state that cannot be stored.

use tidegate::{Config, StreamingContext};

#[derive(Clone)]
struct Session(u64);

fn main() {
    let words = StreamingContext::new(Config::new("app", "memory:")).text("words").map(|w| (w, 1u64));
    let sessions = words.update_state_by_key(|new, session: Option<Session>| {
        Some(Session(session.map_or(0, |s| s.0) + new.len() as u64))
    });
    sessions.count().print();
}
