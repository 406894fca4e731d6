//! The broker under test.

use crate::contract::Subject;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tidegate::log::Log;

const START: &str = "start one with `./dev kafka up` and set TIDEGATE_TEST_BOOTSTRAP=127.0.0.1:9092";

/// The address of the broker.
pub fn bootstrap() -> String {
    std::env::var("TIDEGATE_TEST_BOOTSTRAP")
        .unwrap_or_else(|_| panic!("no Kafka broker to test with: {START}"))
}

/// A log that has reached the broker.
pub fn kafka() -> Arc<dyn Log> {
    let log = tidegate::log::open(&bootstrap(), &BTreeMap::new()).unwrap();
    log.connect(Duration::from_secs(10)).unwrap_or_else(|e| panic!("{e}\n{START}"));
    log
}

/// The subject of the contract.
pub fn subject() -> Subject {
    Subject { log: kafka(), keep: Box::new(()) }
}
