//! Looks at the log from time to time without holding up the loop.
//!
//! Owns one thread. Knows no batch, and not what is looked for. Invariants: there is at most one look at a time, so a log that does not
//! answer is asked nothing more; without a thread the question is asked on the calling thread.

use crate::{
    error::{Error, Result},
    log::Log,
};
use crossbeam_channel::{Receiver, Sender, bounded};
use std::sync::Arc;

/// What is asked.
pub type Asked<T> = Box<dyn FnOnce(&dyn Log) -> Result<T> + Send>;

/// Asks the log for `T`.
pub struct Looks<T> {
    log: Arc<dyn Log>,
    ask: Option<Sender<Asked<T>>>,
    answer: Sender<Result<T>>,
    answers: Receiver<Result<T>>,
    /// A question that is not answered yet; completes "... was not possible".
    what: Option<&'static str>,
}

impl<T: Send + 'static> Looks<T> {
    /// With a thread called `name`; `None` = on the calling thread.
    ///
    /// # Errors
    /// If the system cannot start a thread.
    pub fn new(log: Arc<dyn Log>, name: Option<&str>) -> Result<Self> {
        let (answer, answers) = bounded(1);
        let mut looks = Looks { log, ask: None, answer, answers, what: None };
        let Some(name) = name else { return Ok(looks) };
        let (ask, asked) = bounded::<Asked<T>>(1);
        let (log, tells) = (looks.log.clone(), looks.answer.clone());
        let work = move || asked.iter().for_each(|question| drop(tells.send(question(log.as_ref()))));
        let thread = std::thread::Builder::new().name(name.into());
        thread.spawn(work).map_err(Error::io(format!("starting the thread {name}")))?;
        looks.ask = Some(ask);
        Ok(looks)
    }

    /// Whether a question is not answered yet.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.what.is_some()
    }

    /// Asks, unless a question is not answered yet.
    pub fn ask(&mut self, what: &'static str, question: Asked<T>) {
        if self.is_busy() {
            return;
        }
        self.what = Some(what);
        match &self.ask {
            Some(ask) => drop(ask.try_send(question)),
            None => drop(self.answer.try_send(question(self.log.as_ref()))),
        }
    }

    /// What was found, once it is there. What the log did not answer is told, and looked for another time.
    ///
    /// # Errors
    /// [`Error::Killed`] in a simulated world.
    pub fn found(&mut self) -> Result<Option<T>> {
        let Ok(answer) = self.answers.try_recv() else { return Ok(None) };
        let what = self.what.take().unwrap_or("a look at the log");
        match answer {
            Err(Error::Killed) => Err(Error::Killed),
            Err(e) => {
                tracing::warn!("{what} was not possible: {e}");
                Ok(None)
            }
            Ok(found) => Ok(Some(found)),
        }
    }
}
