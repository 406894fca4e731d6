//! Panics in a program's functions: caught, and shown once.
//!
//! The search for the record that makes a function panic runs the same records again and again; only the first panic is
//! worth showing. What a function rejects on purpose is not shown at all. Knows no task and no source. Invariants: the program's own panic hook shows every panic except those
//! of a search; nothing in the process is changed before a first search begins.

use crate::{error::panic_text, host::Rejected};
use std::{
    any::Any,
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook},
    sync::Once,
};

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Why a function of the program did not return: it panicked, or has rejected what it was given; `what` precedes the text of
/// a panic.
pub(crate) fn reason(panic: &(dyn Any + Send), what: &str) -> String {
    match panic.downcast_ref::<Rejected>() {
        Some(Rejected(reason)) => reason.clone(),
        None => format!("{what}: {}", panic_text(panic)),
    }
}

/// Calls `f`, which may panic; `quiet` = the panic is not shown.
pub(crate) fn caught<T>(quiet: bool, f: impl FnOnce() -> T) -> Result<T, Box<dyn Any + Send>> {
    static HOOK: Once = Once::new();
    if !quiet {
        return catch_unwind(AssertUnwindSafe(f));
    }
    HOOK.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |panic| {
            if !QUIET.get() {
                before(panic);
            }
        }));
    });
    QUIET.set(true);
    let result = catch_unwind(AssertUnwindSafe(f));
    QUIET.set(false);
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    };

    #[test]
    fn a_panic_is_shown_unless_a_search_causes_it() {
        let shown = Arc::new(AtomicU32::new(0));
        let (count, mine, others) = (shown.clone(), std::thread::current().id(), take_hook());
        set_hook(Box::new(move |panic| {
            if std::thread::current().id() == mine {
                count.fetch_add(1, Ordering::Relaxed);
            } else {
                others(panic);
            }
        }));
        for (quiet, expected) in [(false, 1), (true, 1), (true, 1), (false, 2)] {
            assert!(caught(quiet, || panic!("on purpose")).is_err());
            assert_eq!(shown.load(Ordering::Relaxed), expected);
        }
        assert!(matches!(caught(true, || 7), Ok(7)));
    }
}
