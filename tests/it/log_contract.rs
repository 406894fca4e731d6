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
