//! Reads the ends of partitions without holding up the loop.
//!
//! Owns one thread. Knows no batch. Invariants: an answer is an end as it was after the request was made;
//! requests that come while one is pending are dropped, so nothing piles up; without a thread everything is
//! read on the calling thread.

use crate::{
    error::{Error, Result},
    log::Log,
    record::{Offset, TopicPartition},
};
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use std::sync::Arc;

/// What was read.
pub type Answer = Vec<(TopicPartition, Offset)>;

/// Requests the ends of partitions.
pub struct Ends {
    log: Arc<dyn Log>,
    ask: Option<Sender<Vec<TopicPartition>>>,
    answer: Sender<Answer>,
    answers: Receiver<Answer>,
}

impl Ends {
    /// With a thread called `name`; `None` = on the calling thread.
    ///
    /// # Errors
    /// If the system cannot start a thread.
    pub fn new(log: Arc<dyn Log>, name: Option<&str>) -> Result<Self> {
        let (answer, answers) = unbounded();
        let Some(name) = name else { return Ok(Ends { log, ask: None, answer, answers }) };
        let (ask, asked) = bounded::<Vec<TopicPartition>>(1);
        let (reads, tells) = (log.clone(), answer.clone());
        // Ends once no further request can come; an answer that nobody awaits is no loss.
        let work = move || asked.iter().for_each(|at| drop(tells.send(read(reads.as_ref(), at))));
        let thread = std::thread::Builder::new().name(name.into());
        thread.spawn(work).map_err(Error::io(format!("starting the thread {name}")))?;
        Ok(Ends { log, ask: Some(ask), answer, answers })
    }

    /// Requests these ends; what cannot be read is left out of the answer.
    pub fn ask(&self, at: Vec<TopicPartition>) {
        match &self.ask {
            Some(ask) => drop(ask.try_send(at)),
            None => drop(self.answer.send(read(self.log.as_ref(), at))),
        }
    }

    /// What was read since the last call.
    pub fn answers(&self) -> impl Iterator<Item = (TopicPartition, Offset)> {
        self.answers.try_iter().flatten()
    }
}

fn read(log: &dyn Log, at: Vec<TopicPartition>) -> Answer {
    at.into_iter().filter_map(|at| log.end_offset(&at).ok().map(|end| (at, end))).collect()
}
