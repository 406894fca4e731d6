//! The contract of the log, held by the logs of this process.

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
        // Small segments, so that cases pass from one file to the next.
        let options = Options { segment_bytes: 2048, ..Options::default() };
        Subject { log: Embedded::directory(dir.path(), options).unwrap(), keep: Box::new(dir) }
    }

    contract_tests!(subject);
}
