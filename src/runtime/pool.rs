//! The worker threads: they work on each item of a list and return the results in its order.
//!
//! Owns the threads. Knows no task. Invariants: items and results keep their order, so what follows does not
//! depend on timing; without threads everything runs on the calling thread, which is how the simulator gets a
//! single order.

use crossbeam_channel::{Sender, unbounded};
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

impl Pool {
    /// `threads` workers; 0 = run everything on the calling thread.
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

    /// How many items are processed at a time.
    #[must_use]
    pub fn width(&self) -> usize {
        self.threads.len().max(1)
    }

    /// Runs `work` on every item and waits. Returns the results in the order of the items.
    ///
    /// # Panics
    /// If the work panicked: the panics of a program's functions are caught where they are called (by tasks,
    /// and around decoders), so this is a bug in the engine.
    pub fn each<T: Send + 'static, R: Send + 'static>(
        &self,
        items: &mut Vec<T>,
        work: impl Fn(&mut T) -> R + Send + Sync + 'static,
    ) -> Vec<R> {
        self.each_beside(items, work, || ()).0
    }

    /// As [`Pool::each`], while the caller does something else (without threads: before it does so).
    pub fn each_beside<T: Send + 'static, R: Send + 'static, S>(
        &self,
        items: &mut Vec<T>,
        work: impl Fn(&mut T) -> R + Send + Sync + 'static,
        beside: impl FnOnce() -> S,
    ) -> (Vec<R>, S) {
        let (done, finished) = unbounded();
        let (count, work) = (items.len(), Arc::new(work));
        for (index, mut item) in std::mem::take(items).into_iter().enumerate() {
            let (done, work) = (done.clone(), work.clone());
            let job = move || {
                let result = catch_unwind(AssertUnwindSafe(|| work(&mut item)));
                // The receiver is gone only if the loop has ended meanwhile.
                let _ = done.send((index, result.map(|r| (item, r))));
            };
            match &self.jobs {
                Some(jobs) => jobs.send(Box::new(job)).expect("workers live as long as the pool"),
                None => job(),
            }
        }
        let besides = beside();
        let mut slots: Vec<Option<(T, R)>> = (0..count).map(|_| None).collect();
        for _ in 0..count {
            let (index, result) = finished.recv().expect("every job answers");
            match result {
                Ok(done) => slots[index] = Some(done),
                Err(panic) => resume_unwind(panic),
            }
        }
        let results;
        (*items, results) = slots.into_iter().map(|slot| slot.expect("every job answers once")).unzip();
        (results, besides)
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
            let mut items: Vec<u64> = (0..100).collect();
            let (results, beside) = pool.each_beside(
                &mut items,
                |n| {
                    *n += 1;
                    *n * 2
                },
                || "meanwhile",
            );
            assert_eq!((items, beside), ((1..=100).collect(), "meanwhile"), "{threads} threads");
            assert_eq!(results, (1..=100).map(|n| 2 * n).collect::<Vec<_>>(), "{threads} threads");
        }
    }

    #[test]
    #[should_panic(expected = "a bug")]
    fn a_panic_reaches_the_caller() {
        Pool::new(1).each(&mut vec![()], |()| panic!("a bug"));
    }
}
