//! The runtime of another language whose program this process runs, if there is one.
//!
//! Owns what the engine asks of such a runtime, and where a call into a face comes from. Knows no particular language. Invariants: a
//! process has at most one host; without one everything is as if this file did not exist.

use std::{
    cell::RefCell,
    io::{self, Write},
    panic::resume_unwind,
    sync::{Arc, OnceLock},
};

/// What the runtime of another language does for the engine.
pub trait Host: Send + Sync {
    /// Runs the body of a thread that calls functions of the program: the runtime may prepare the thread for such calls, and clean up
    /// behind them.
    fn around(&self, body: &mut (dyn FnMut() + Send));

    /// Shows text of the program's outputs where the program's own text appears.
    fn print(&self, text: &str);
}

static HOST: OnceLock<Box<dyn Host>> = OnceLock::new();

thread_local! {
    static CALLER: RefCell<Option<Line>> = const { RefCell::new(None) };
}

/// Makes `host` the host of this process; `false` = it has one already.
pub fn set(host: impl Host + 'static) -> bool {
    HOST.set(Box::new(host)).is_ok()
}

/// Runs the body of a thread that calls functions of the program.
pub(crate) fn around<T: Send>(body: impl FnOnce() -> T + Send) -> T {
    let Some(host) = HOST.get() else { return body() };
    let (mut body, mut result) = (Some(body), None);
    host.around(&mut || result = body.take().map(|body| body()));
    match result {
        Some(result) => result,
        None => panic!("the host did not run a thread"),
    }
}

/// Shows text on the console of the program.
///
/// # Errors
/// If there is no console any more.
pub(crate) fn print(text: &str) -> io::Result<()> {
    match HOST.get() {
        Some(host) => {
            host.print(text);
            Ok(())
        }
        None => io::stdout().lock().write_all(text.as_bytes()),
    }
}

/// A line of a program in another language.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Line {
    /// The file, as the language names it.
    pub file: Arc<str>,
    /// Counts from 1.
    pub line: u32,
}

/// What `f` adds to a program stands at `line`.
pub fn called_from<T>(line: Line, f: impl FnOnce() -> T) -> T {
    let before = CALLER.replace(Some(line));
    let result = f();
    CALLER.set(before);
    result
}

/// The line that is calling, if it is one of another language.
pub(crate) fn caller() -> Option<Line> {
    CALLER.with_borrow(Clone::clone)
}

/// What a function of the program ends with that rejects a row.
pub(crate) struct Rejected(pub String);

/// Rejects the row that a function of the program was given, from inside a function that cannot return an error. The record behind the
/// row is handled by the policy of its source, as with a panic, but nothing is shown.
pub fn reject(reason: String) -> ! {
    resume_unwind(Box::new(Rejected(reason)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_is_known_while_it_calls() {
        let line = |n| Line { file: "app.py".into(), line: n };
        let seen = called_from(line(7), || (called_from(line(8), caller), caller()));
        assert_eq!(seen, (Some(line(8)), Some(line(7))));
        assert_eq!(caller(), None);
    }

    #[test]
    fn without_a_host_a_body_just_runs() {
        assert_eq!(around(|| 7), 7);
    }
}
