//! What all clients of the Kafka library share: a shutdown that never blocks the owner, log lines, the last error.
//!
//! Owns the threads on which clients are destroyed. Knows no topic and no group. Invariant: dropping a client returns
//! at once; the library's own shutdown, which may wait for a broker, runs on another thread and is reported if it
//! hangs.

use rdkafka::{
    ClientContext,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, ConsumerContext},
    error::{KafkaError, RDKafkaErrorCode as Code},
};
use std::{
    ops::{Deref, DerefMut},
    sync::{
        Mutex, PoisonError,
        mpsc::{self, Receiver},
    },
    thread,
    time::Duration,
};

/// A client that is destroyed on a thread of its own.
pub(super) struct Owned<T: Send + 'static> {
    client: Option<T>,
    what: &'static str,
}

/// How long a shutdown may take before it is reported. It then continues; the process does not wait for it at its end.
const SHUTDOWN_REPORT: Duration = Duration::from_secs(30);

impl<T: Send + 'static> Owned<T> {
    pub(super) fn new(client: T, what: &'static str) -> Self {
        Owned { client: Some(client), what }
    }

    /// Destroys the client; the receiver gets a message when that is done.
    pub(super) fn destroy(mut self) -> Receiver<()> {
        retire(self.client.take().expect("taken only here and in drop"), self.what)
    }
}

impl<T: Send + 'static> Drop for Owned<T> {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            let _ = retire(client, self.what);
        }
    }
}

impl<T: Send + 'static> Deref for Owned<T> {
    type Target = T;
    fn deref(&self) -> &T {
        self.client.as_ref().expect("present until dropped")
    }
}

impl<T: Send + 'static> DerefMut for Owned<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.client.as_mut().expect("present until dropped")
    }
}

fn retire<T: Send + 'static>(client: T, what: &'static str) -> Receiver<()> {
    let (done, watch) = mpsc::channel();
    let (notify, finished) = mpsc::channel();
    let end = move || {
        drop(client);
        let _ = done.send(());
    };
    let watchdog = move || {
        if watch.recv_timeout(SHUTDOWN_REPORT).is_err_and(|e| e == mpsc::RecvTimeoutError::Timeout) {
            tracing::warn!(
                "closing the Kafka {what} takes more than {SHUTDOWN_REPORT:?}; it continues in the background"
            );
            let _ = watch.recv();
        }
        let _ = notify.send(());
    };
    // If no thread can be started, the process is ending anyway; the closure, and with it the client, is then dropped
    // here.
    if thread::Builder::new().name("kafka-close".into()).spawn(end).is_ok() {
        let _ = thread::Builder::new().name("kafka-watch".into()).spawn(watchdog);
    }
    finished
}

/// Forwards a log line of the library. Errors are reported again where they have a consequence.
pub(super) fn log(level: RDKafkaLogLevel, facility: &str, line: &str) {
    use RDKafkaLogLevel as L;
    // A broker that has just begun to coordinate; the client asks again, and whoever waits for it says what lasts.
    let is_starting = line.contains("Coordinator load in progress");
    match level {
        L::Emerg | L::Alert | L::Critical | L::Error | L::Warning if !is_starting => {
            tracing::warn!(target: "kafka", "{facility}: {line}");
        }
        _ => tracing::debug!(target: "kafka", "{facility}: {line}"),
    }
}

/// Log lines and errors that are served at a time.
const SERVED_AT_ONCE: usize = 32;

/// Serves log lines and errors that wait: a call without a wait serves only one of them.
pub(super) fn serve(client: &BaseConsumer<QueryContext>) {
    for _ in 0..SERVED_AT_ONCE {
        let _ = client.poll(Duration::ZERO);
    }
}

/// Context of a client that only sends queries: it remembers the last error, for messages.
#[derive(Debug, Default)]
pub(super) struct QueryContext {
    last: Mutex<Option<(Code, String)>>,
}

impl QueryContext {
    /// The last error that states a cause.
    pub(super) fn last_error(&self) -> Option<(Code, String)> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ClientContext for QueryContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if let Some(code) = error.rdkafka_error_code().filter(|c| *c != Code::AllBrokersDown) {
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((code, reason.to_owned()));
        }
    }
}

impl ConsumerContext for QueryContext {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    struct Slow(mpsc::Sender<()>);
    impl Drop for Slow {
        fn drop(&mut self) {
            thread::sleep(Duration::from_millis(300));
            let _ = self.0.send(());
        }
    }

    #[test]
    fn dropping_returns_at_once_and_the_client_is_still_destroyed() {
        let (notify, finished) = mpsc::channel();
        let started = Instant::now();
        drop(Owned::new(Slow(notify.clone()), "test client"));
        assert!(started.elapsed() < Duration::from_millis(200));
        finished.recv_timeout(Duration::from_secs(5)).unwrap();
        Owned::new(Slow(notify), "test client").destroy().recv_timeout(Duration::from_secs(5)).unwrap();
    }
}
