//! Who may read what: what a caller has to show, and whether this one does.
//!
//! Owns the rules of one server, the way a browser logs in, and the headers that every answer carries. Knows no socket and no page.
//! Invariants: what is shown is compared in constant time; a token is kept as its hash only; no answer repeats what a caller has shown.

mod guard;
mod login;
mod rules;

pub(super) use guard::{guarded, readiness};
pub(super) use rules::{Caller, Certified, Rules};
