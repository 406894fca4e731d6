//! Receivers in a running program: restarts, blocking ones, and what a graceful end processes.

use super::{collect, context, context_on, new_log, stop};
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
};
use tidegate::{
    observe::listener::{ReceiverInfo, StreamingListener},
    source::{Queue, Receiver, ReceiverContext, ReceiverError, StorageLevel},
};

/// Fails, panics, then stores its number.
struct Unsteady(Arc<AtomicU32>);
impl Receiver<u32> for Unsteady {
    fn receive(&mut self, to: &ReceiverContext<u32>) -> Result<(), ReceiverError> {
        match self.0.fetch_add(1, Ordering::SeqCst) {
            0 => to.restart("the first connection failed"),
            1 => panic!("the second one was worse"),
            n => to.store_all(vec![n]),
        }
    }
}

#[test]
fn a_receiver_that_fails_or_panics_is_restarted() {
    for level in [StorageLevel::Log, StorageLevel::Memory] {
        let (ssc, _) = context("unsteady");
        let runs = Arc::new(AtomicU32::new(0));
        let rows = collect(&ssc.receiver_stream("unsteady", Unsteady(runs.clone()), level));
        ssc.start().unwrap();
        assert_eq!(rows.until(&ssc, 1), [2], "{level:?}");
        stop(&ssc, true);
        assert_eq!(runs.load(Ordering::SeqCst), 3, "it has ended and is not restarted");
    }
}

/// Cannot connect; then connects once `answers` is true, reports an odd line, stores a row and loses the
/// connection; then connects again.
struct Distant {
    runs: Arc<AtomicU32>,
    answers: Arc<AtomicBool>,
}
impl Receiver<u32> for Distant {
    fn receive(&mut self, to: &ReceiverContext<u32>) -> Result<(), ReceiverError> {
        match self.runs.fetch_add(1, Ordering::SeqCst) {
            0 => return to.restart("no route"),
            1 => {
                crate::contract::until("there is an answer", || self.answers.load(Ordering::SeqCst));
                to.connected();
                to.report_error("an odd line");
                to.store(1)?;
                return to.restart("it went away");
            }
            _ => to.connected(),
        }
        crate::contract::until("it is stopped", || to.is_stopped());
        Ok(())
    }
}

/// What was reported of the receiver, in order.
#[derive(Clone, Default)]
struct Reports(Arc<Mutex<Vec<String>>>);
impl Reports {
    fn add(&self, of: &ReceiverInfo) {
        let why = of.last_error.as_ref().map_or("", |e| &e.message);
        self.0.lock().unwrap().push(format!("{} {why}", of.status.name()));
    }
}
impl StreamingListener for Reports {
    fn on_receiver_started(&self, receiver: &ReceiverInfo) {
        self.add(receiver);
    }
    fn on_receiver_error(&self, receiver: &ReceiverInfo) {
        self.add(receiver);
    }
    fn on_receiver_stopped(&self, receiver: &ReceiverInfo) {
        self.add(receiver);
    }
}

#[test]
fn a_receiver_that_failed_is_active_again_only_when_it_is_connected_or_stores() {
    for level in [StorageLevel::Log, StorageLevel::Memory] {
        let ((ssc, _), reports) = (context("distant"), Reports::default());
        let (runs, answers) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicBool::new(false)));
        let distant = Distant { runs: runs.clone(), answers: answers.clone() };
        let rows = collect(&ssc.receiver_stream("distant", distant, level));
        ssc.add_streaming_listener(reports.clone());
        ssc.start().unwrap();
        crate::contract::until("it was restarted", || runs.load(Ordering::SeqCst) == 2);
        assert_eq!(*reports.0.lock().unwrap(), ["ACTIVE ", "ERROR no route"], "{level:?}");
        answers.store(true, Ordering::SeqCst);
        rows.until(&ssc, 1);
        crate::contract::until("it has recovered", || reports.0.lock().unwrap().len() == 7);
        stop(&ssc, true);
        let expected = [
            "ACTIVE ",
            "ERROR no route",
            "ACTIVE no route",
            "ERROR an odd line",
            "ACTIVE an odd line",
            "ERROR it went away",
            "ACTIVE it went away",
            "INACTIVE it went away",
        ];
        assert_eq!(*reports.0.lock().unwrap(), expected, "{level:?}");
    }
}

/// Never checks whether it should stop.
struct Deaf(Arc<AtomicBool>);
impl Receiver<u32> for Deaf {
    fn receive(&mut self, _: &ReceiverContext<u32>) -> Result<(), ReceiverError> {
        self.0.store(true, Ordering::SeqCst);
        loop {
            std::thread::park();
        }
    }
}

#[test]
fn a_receiver_that_blocks_forever_does_not_keep_the_program_from_working_or_ending() {
    let (ssc, _) = context_on(&new_log(), "deaf", |c| c.threads = 1); // a receiver must not take the only worker
    let (queue, blocks) = (Queue::default(), Arc::new(AtomicBool::new(false)));
    let deaf = ssc.receiver_stream("deaf", Deaf(blocks.clone()), StorageLevel::Log);
    let rows = collect(&ssc.queue_stream(&queue, true).union(&deaf));
    ssc.start().unwrap();
    crate::contract::until("the receiver blocks", || blocks.load(Ordering::SeqCst));
    (0..20).for_each(|n| queue.push(vec![n]));
    assert_eq!(rows.until(&ssc, 20), (0..20).collect::<Vec<u32>>());
    stop(&ssc, true);
}

/// Stores as fast as it can, and counts the rows that were accepted from it.
struct Eager(Arc<AtomicU64>);
impl Receiver<u64> for Eager {
    fn receive(&mut self, to: &ReceiverContext<u64>) -> Result<(), ReceiverError> {
        while !to.is_stopped() {
            to.store(self.0.load(Ordering::SeqCst))?;
            self.0.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    }
}

#[test]
fn a_graceful_end_processes_everything_that_receivers_stored() {
    for level in [StorageLevel::Log, StorageLevel::Memory] {
        let ((ssc, _), stored) = (context("eager"), Arc::new(AtomicU64::new(0)));
        let rows = collect(&ssc.receiver_stream("eager", Eager(stored.clone()), level));
        ssc.start().unwrap();
        rows.until(&ssc, 10);
        stop(&ssc, true);
        let stored = stored.load(Ordering::SeqCst);
        assert!(rows.get().into_iter().eq(0..stored), "{level:?}: {} of {stored}", rows.get().len());
    }
}

#[test]
fn a_restarted_context_continues_with_the_stored_rows() {
    let (bootstrap, stored) = (new_log(), Arc::new(AtomicU64::new(0)));
    let (first, _) = context_on(&bootstrap, "again", |_| {});
    let before = collect(&first.receiver_stream("eager", Eager(stored.clone()), StorageLevel::Log));
    first.start().unwrap();
    before.until(&first, 10);
    stop(&first, false);
    let (second, _) = context_on(&bootstrap, "again", |_| {});
    let after = collect(&second.receiver_stream("eager", Eager(stored.clone()), StorageLevel::Log));
    second.start().unwrap();
    after.until(&second, 10);
    stop(&second, true);
    let (mut all, stored) = (before.get(), stored.load(Ordering::SeqCst));
    all.extend(after.get());
    assert!(all.into_iter().eq(0..stored), "over the two runs each row once, in order");
}

/// Stores rows of which one is larger than a record may be.
struct TooLarge {
    answers: Arc<Mutex<Vec<Result<(), String>>>>,
}
impl Receiver<String> for TooLarge {
    fn receive(&mut self, to: &ReceiverContext<String>) -> Result<(), ReceiverError> {
        let large = || "z".repeat(1_200_000);
        to.store_many(vec!["before".into(), large(), "after".into()])?;
        for rows in [vec!["first".to_owned(), large()], vec!["second".to_owned()]] {
            let answer = to.store_all(rows).map_err(|e| e.to_string());
            self.answers.lock().unwrap().push(answer);
        }
        crate::contract::until("it is stopped", || to.is_stopped());
        Ok(())
    }
}

#[test]
fn a_row_that_is_too_large_for_the_log_holds_up_nothing() {
    let ((ssc, _), reports) = (context("large"), Reports::default());
    let answers: Arc<Mutex<Vec<Result<(), String>>>> = Arc::default();
    let receiver = TooLarge { answers: answers.clone() };
    let rows = collect(&ssc.receiver_stream("large", receiver, StorageLevel::Log));
    ssc.add_streaming_listener(reports.clone());
    ssc.start().unwrap();
    assert_eq!(rows.until(&ssc, 4), ["before", "after", "first", "second"]);
    stop(&ssc, true);
    let answers = answers.lock().unwrap();
    assert!(answers.len() == 2 && answers[1].is_ok(), "{answers:?}");
    let why = answers[0].as_ref().unwrap_err();
    assert!(why.contains("a record of") && why.contains("bytes"), "{why}");
    let reports = reports.0.lock().unwrap();
    assert_eq!(
        reports.iter().filter(|told| told.starts_with("ERROR a row was left out")).count(),
        2,
        "{reports:?}"
    );
    assert!(reports.last().unwrap().starts_with("INACTIVE"), "{reports:?}");
}

#[test]
fn a_line_that_is_too_long_for_a_record_is_cut_and_the_next_ones_are_received() {
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    for level in [StorageLevel::Log, StorageLevel::Memory] {
        let (ssc, _) = context("long");
        let rows = collect(&ssc.socket_text_stream_at("127.0.0.1", port, level));
        ssc.start().unwrap();
        let mut connection = server.accept().unwrap().0;
        let long = "é".repeat(1_200_000);
        std::io::Write::write_all(&mut connection, format!("before\n{long}\nafter\n").as_bytes()).unwrap();
        crate::contract::until("the line behind it is there", || {
            rows.get().iter().any(|row| &**row == "after")
        });
        let rows = rows.get();
        assert!(rows.len() == 5 && &*rows[0] == "before", "{level:?}: {} rows", rows.len());
        assert_eq!(rows[1..4].iter().map(|row| &**row).collect::<String>(), long);
        stop(&ssc, true);
    }
}
