//! The worker threads: they work on each item of a list and return the results in its order.
//!
//! Owns the threads. Knows no task. Invariants: items and results keep their order, so what follows does not
//! depend on timing; whoever waits for the workers is called again and again meanwhile, and may leave them
//! alone; without threads everything runs on the calling thread, which is how the simulator gets a single
//! order.

use crate::{error::Result, host};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

/// How often whoever waits is called.
const ATTEND_EVERY: Duration = Duration::from_millis(50);

type Job = Box<dyn FnOnce() + Send>;

/// Called again and again while something is waited for, with the time that has been waited; an error gives it up.
pub type Attend<'a> = &'a mut dyn FnMut(Duration) -> Result;

/// A fixed number of worker threads.
pub struct Pool {
    jobs: Option<Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
    is_left_alone: Arc<AtomicBool>,
}

impl Pool {
    /// `threads` workers with this name; 0 = run everything on the calling thread.
    #[must_use]
    pub fn new(name: &str, threads: usize) -> Self {
        let is_left_alone = Arc::default();
        if threads == 0 {
            return Pool { jobs: None, threads: vec![], is_left_alone };
        }
        let (jobs, queue) = unbounded::<Job>();
        let spawn = |n| {
            let queue = queue.clone();
            let work = move || host::around(|| queue.iter().for_each(|job: Job| job()));
            std::thread::Builder::new()
                .name(format!("{name}-{n}"))
                .spawn(work)
                .expect("the system can start a thread")
        };
        Pool { jobs: Some(jobs), threads: (0..threads).map(spawn).collect(), is_left_alone }
    }

    /// Starts `work` on every item, which are gone until they are [waited for](Working::wait); without
    /// threads it is done when this returns.
    ///
    /// # Panics
    /// Never here, but in the wait, if the work panicked: the panics of a program's functions are caught where they
    /// are called (by tasks, and around decoders), so that is a bug in the engine.
    pub fn start<T: Send + 'static, R: Send + 'static>(
        &self,
        items: &mut Vec<T>,
        work: impl Fn(&mut T) -> R + Send + Sync + 'static,
    ) -> Working<T, R> {
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
        Working { finished, count, is_left_alone: self.is_left_alone.clone() }
    }
}

impl Drop for Pool {
    /// Waits for the workers, unless somebody has left them alone: then one of them may never end.
    fn drop(&mut self) {
        self.jobs = None;
        if self.is_left_alone.load(Ordering::Acquire) {
            return;
        }
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// What the workers do with a list of items.
#[must_use = "the items are gone until they are waited for"]
pub struct Working<T, R> {
    finished: Receiver<(usize, std::thread::Result<(T, R)>)>,
    count: usize,
    is_left_alone: Arc<AtomicBool>,
}

impl<T, R> Working<T, R> {
    /// Waits until all is done, puts the items back and returns the results, both in their order. Meanwhile
    /// `attend` is called every 50 ms with the time that has been waited.
    ///
    /// # Errors
    /// What `attend` fails with: then the workers are left alone with the items, which never come back.
    ///
    /// # Panics
    /// If the work panicked.
    pub fn wait(self, items: &mut Vec<T>, attend: Attend<'_>) -> Result<Vec<R>> {
        let mut slots: Vec<Option<(T, R)>> = (0..self.count).map(|_| None).collect();
        let (mut left, mut waited) = (self.count, Duration::ZERO);
        while left > 0 {
            match self.finished.recv_timeout(ATTEND_EVERY) {
                Ok((index, Ok(done))) => {
                    slots[index] = Some(done);
                    left -= 1;
                }
                Ok((_, Err(panic))) => resume_unwind(panic),
                Err(RecvTimeoutError::Disconnected) => panic!("every job answers"),
                Err(RecvTimeoutError::Timeout) => {
                    waited += ATTEND_EVERY;
                    if let Err(e) = attend(waited) {
                        self.is_left_alone.store(true, Ordering::Release);
                        return Err(e);
                    }
                }
            }
        }
        let results;
        (*items, results) = slots.into_iter().map(|slot| slot.expect("every job answers once")).unzip();
        Ok(results)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    fn wait<T, R>(working: Working<T, R>, items: &mut Vec<T>) -> Vec<R> {
        working.wait(items, &mut |_| Ok(())).unwrap()
    }

    #[test]
    fn results_keep_the_order_of_the_items() {
        for threads in [0, 1, 3] {
            let pool = Pool::new("worker", threads);
            let mut items: Vec<u64> = (0..100).collect();
            let working = pool.start(&mut items, |n| {
                *n += 1;
                *n * 2
            });
            let results = wait(working, &mut items);
            assert_eq!(items, (1..=100).collect::<Vec<_>>(), "{threads} threads");
            assert_eq!(results, (1..=100).map(|n| 2 * n).collect::<Vec<_>>(), "{threads} threads");
        }
    }

    #[test]
    #[should_panic(expected = "a bug")]
    fn a_panic_reaches_the_caller() {
        let mut items = vec![()];
        let working = Pool::new("worker", 1).start(&mut items, |()| panic!("a bug"));
        let _: Vec<()> = wait(working, &mut items);
    }

    #[test]
    fn who_waits_is_called_meanwhile_and_may_leave_work_alone_that_does_not_end() {
        let (end, ended) = unbounded::<()>();
        let pool = Pool::new("worker", 1);
        let mut items = vec![1, 2];
        let working = pool.start(&mut items, move |n| {
            let _ = ended.recv();
            *n
        });
        let mut calls = 0;
        let left = working.wait(&mut items, &mut |_| {
            calls += 1;
            if calls < 3 { Ok(()) } else { Err(Error::Killed) }
        });
        assert!(matches!(left, Err(Error::Killed)));
        assert!(items.is_empty(), "they never come back");
        drop(pool); // does not wait
        drop(end);
    }
}
