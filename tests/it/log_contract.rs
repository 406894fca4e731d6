//! The contract of the log, for the logs within this process.

mod memory {
    use crate::contract::Subject;
    use std::sync::Arc;
    use tidegate::log::embedded::{Embedded, Time};

    fn subject() -> Subject {
        Subject { log: Arc::new(Embedded::in_memory(Time::system())), keep: Box::new(()) }
    }

    contract_tests!(subject);
}

mod directory {
    use crate::contract::Subject;
    use tidegate::log::embedded::{Embedded, Options};

    fn subject() -> Subject {
        let dir = tempfile::tempdir().unwrap();
        // Small segments, so that cases cross from one file to the next.
        let options = Options { segment_bytes: 2048, ..Options::default() };
        Subject { log: Embedded::directory(dir.path(), options).unwrap(), keep: Box::new(dir) }
    }

    contract_tests!(subject);
}

mod simulated {
    use crate::contract::Subject;
    use std::{
        sync::Arc,
        time::{Duration, Instant},
    };
    use tidegate::log::{
        GroupSpec,
        embedded::{Embedded, Time},
        sim::{Call, Fate, Fault, SimLog, Verdict},
    };

    /// Nothing goes wrong, in real time.
    struct Calm(Instant);

    impl Fate for Calm {
        fn step(&self, _: Call, _: &[Fault]) -> Verdict {
            Verdict::Go
        }
        fn now(&self) -> Duration {
            self.0.elapsed()
        }
        fn block(&self, timeout: Duration) {
            std::thread::sleep(timeout.min(Duration::from_millis(2)));
        }
        fn later(&self, fault: Fault, _: Box<dyn FnOnce() -> bool + Send>) {
            panic!("{fault:?} was not offered");
        }
        fn kill(&self) {
            panic!("nothing kills");
        }
        fn alive(&self) -> bool {
            true
        }
        fn joined(&self, _: &GroupSpec) {}
    }

    fn subject() -> Subject {
        let inner = Arc::new(Embedded::in_memory(Time::system()));
        inner.write_markers();
        Subject { log: Arc::new(SimLog::new(inner, Arc::new(Calm(Instant::now())))), keep: Box::new(()) }
    }

    contract_tests!(subject);
}
