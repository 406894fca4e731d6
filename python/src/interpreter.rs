//! The interpreter as the host of the engine.
//!
//! Owns what a thread of the engine is to the interpreter. Knows no stream. Invariants: a thread that calls functions keeps its state in the
//! interpreter from its beginning to its end, which makes a call cost tens of nanoseconds, and not microseconds; it holds the interpreter
//! only during calls.

use pyo3::{intern, prelude::*};
use std::cell::Cell;
use tidegate::host::Host;

thread_local! {
    static IS_ENGINE: Cell<bool> = const { Cell::new(false) };
}

/// Whether this is a thread of the engine, which must not wait for its own end.
pub fn is_thread_of_the_engine() -> bool {
    IS_ENGINE.get()
}

/// Runs `f` on a thread of the engine that the host was not asked to prepare.
pub fn as_engine<T>(f: impl FnOnce() -> T) -> T {
    let before = IS_ENGINE.replace(true);
    let result = f();
    IS_ENGINE.set(before);
    result
}

pub struct Interpreter;

impl Host for Interpreter {
    fn around(&self, body: &mut (dyn FnMut() + Send)) {
        IS_ENGINE.set(true);
        // The state of the thread is made by the outer call, and stays while the inner one has let go of the interpreter.
        Python::attach(|py| py.detach(body));
    }

    fn print(&self, text: &str) {
        let shown = Python::attach(|py| -> PyResult<()> {
            let stdout = py.import(intern!(py, "sys"))?.getattr(intern!(py, "stdout"))?;
            if stdout.is_none() {
                return Ok(());
            }
            stdout.call_method1(intern!(py, "write"), (text,))?;
            stdout.call_method0(intern!(py, "flush")).map(drop)
        });
        drop(shown); // a console that is gone is nothing that a program ends for
    }
}
