//! The worker threads. Work is given as owned items and comes back in order.
//!
//! Owns the threads. Knows no task. Invariants: results have the order of the items, so what follows does not depend on timing;
//! without threads everything runs on the caller, which is how the simulator gets one order.

use crossbeam_channel::{Receiver, Sender, unbounded};
use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::Arc,
    thread::JoinHandle,
};

type Job = Box<dyn FnOnce() + Send>;

/// A fixed number of worker threads.
pub struct Pool {
    jobs: Option<Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
}

/// Work under way.
pub struct Pending<T, R> {
    count: usize,
    results: Receiver<(usize, std::thread::Result<(T, R)>)>,
}

impl Pool {
    /// `threads` workers; 0 = run everything on the caller.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        if threads == 0 {
            return Pool { jobs: None, threads: vec![] };
        }
        let (jobs, queue) = unbounded::<Job>();
        let spawn = |n| {
            let queue = queue.clone();
            let work = move || queue.iter().for_each(|job: Job| job());
            std::thread::Builder::new()
                .name(format!("worker-{n}"))
                .spawn(work)
                .expect("the system can start a thread")
        };
        Pool { jobs: Some(jobs), threads: (0..threads).map(spawn).collect() }
    }

    /// How many items are worked on at a time.
    #[must_use]
    pub fn width(&self) -> usize {
        self.threads.len().max(1)
    }

    /// Starts `work` on every item and returns at once (without threads: when all is done).
    pub fn start<T: Send + 'static, R: Send + 'static>(
        &self,
        items: Vec<T>,
        work: impl Fn(&mut T) -> R + Send + Sync + 'static,
    ) -> Pending<T, R> {
        let (done, results) = unbounded();
        let (count, work) = (items.len(), Arc::new(work));
        for (index, mut item) in items.into_iter().enumerate() {
            let (done, work) = (done.clone(), work.clone());
            let job = move || {
                let result = catch_unwind(AssertUnwindSafe(|| work(&mut item)));
                // The receiver is gone only if the engine ended meanwhile.
                let _ = done.send((index, result.map(|r| (item, r))));
            };
            match &self.jobs {
                Some(jobs) => jobs.send(Box::new(job)).expect("workers live as long as the pool"),
                None => job(),
            }
        }
        Pending { count, results }
    }

    /// Runs `work` on every item and waits.
    pub fn run<T: Send + 'static, R: Send + 'static>(
        &self,
        items: Vec<T>,
        work: impl Fn(&mut T) -> R + Send + Sync + 'static,
    ) -> Vec<(T, R)> {
        self.start(items, work).wait()
    }
}

impl<T, R> Pending<T, R> {
    /// Waits for all items; each with its result, in the order given.
    ///
    /// # Panics
    /// If the work panicked: the panics of a program's functions are caught where they are called (by tasks, and around decoders), so
    /// this is a bug of the engine.
    #[must_use]
    pub fn wait(self) -> Vec<(T, R)> {
        let mut slots: Vec<Option<(T, R)>> = (0..self.count).map(|_| None).collect();
        for _ in 0..self.count {
            let (index, result) = self.results.recv().expect("every job answers");
            match result {
                Ok(done) => slots[index] = Some(done),
                Err(panic) => resume_unwind(panic),
            }
        }
        slots.into_iter().map(|s| s.expect("every job answers once")).collect()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_keep_the_order_of_the_items() {
        for threads in [0, 1, 3] {
            let pool = Pool::new(threads);
            let results = pool.run((0..100u64).collect(), |n| {
                *n += 1;
                *n * 2
            });
            assert!(
                results.iter().enumerate().all(|(i, (n, r))| *n == i as u64 + 1 && *r == 2 * *n),
                "{threads} threads"
            );
        }
    }

    #[test]
    #[should_panic(expected = "a bug")]
    fn a_panic_reaches_the_caller() {
        Pool::new(1).run(vec![()], |()| panic!("a bug"));
    }
}
