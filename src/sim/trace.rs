//! What happened in a world: always as a hash, as text on request, and how often each fault fired.
//!
//! Invariant: the hash covers every call, every fault and every virtual time, in order.

use crate::log::sim::{Call, Fault, Verdict};
use std::{collections::BTreeMap, fmt::Write};
use xxhash_rust::xxh3::Xxh3;

pub(super) struct Trace {
    hash: Xxh3,
    keep: bool,
    pub lines: Vec<String>,
    pub fired: BTreeMap<Fault, u64>,
    pub calls: u64,
    line: String,
}

impl Trace {
    pub fn new(keep: bool) -> Self {
        let (hash, line) = (Xxh3::new(), String::new());
        Trace { hash, keep, lines: vec![], fired: BTreeMap::new(), calls: 0, line }
    }

    pub fn call(&mut self, now_us: u64, who: &str, call: Call, verdict: Verdict) {
        self.calls += 1;
        self.put(format_args!("{now_us} {who} {call:?} {verdict:?}"));
    }

    pub fn late(&mut self, now_us: u64, fault: Fault, effect: bool) {
        if effect && fault == Fault::StaleCommit {
            self.fired(fault);
        }
        self.put(format_args!("{now_us} late {fault:?}: {effect}"));
    }

    pub fn note(&mut self, now_us: u64, what: &str) {
        self.put(format_args!("{now_us} {what}"));
    }

    pub fn fired(&mut self, fault: Fault) {
        *self.fired.entry(fault).or_default() += 1;
    }

    pub fn digest(&self) -> u64 {
        self.hash.digest()
    }

    fn put(&mut self, line: std::fmt::Arguments<'_>) {
        self.line.clear();
        self.line.write_fmt(line).expect("writing to a string does not fail");
        self.line.push('\n');
        self.hash.update(self.line.as_bytes());
        if self.keep {
            self.lines.push(self.line.trim_end().to_owned());
        }
    }
}
