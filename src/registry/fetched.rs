//! What was fetched: for ever what the registry has, for a while what it says it has not.
//!
//! Knows no server. Invariant: what is remembered of ids that do not exist is bounded, whatever ids records have.

#![allow(
    clippy::disallowed_methods,
    reason = "when the registry is asked again depends on the clock; no result does"
)]

use super::names::{Schema, SchemaKey};
use crate::error::Error;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// So long an id that the registry does not know is not asked for again.
const DENIED_FOR: Duration = Duration::from_secs(30);
/// Most ids of which that is remembered.
const DENIED_MAX: usize = 10_000;

#[derive(Default)]
pub(super) struct Fetched {
    schemas: Mutex<BTreeMap<SchemaKey, Arc<Schema>>>,
    denied: Mutex<BTreeMap<SchemaKey, (Instant, Error)>>,
}

fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Fetched {
    /// What is known of this id; `None` = it is to be asked for.
    pub fn get(&self, key: &SchemaKey) -> Option<Result<Arc<Schema>, Error>> {
        if let Some(schema) = locked(&self.schemas).get(key) {
            return Some(Ok(schema.clone()));
        }
        let denied = locked(&self.denied);
        let (until, error) = denied.get(key)?;
        (Instant::now() < *until).then(|| Err(error.clone()))
    }

    pub fn add(&self, key: SchemaKey, schema: Schema) -> Arc<Schema> {
        locked(&self.denied).remove(&key);
        locked(&self.schemas).entry(key).or_insert_with(|| Arc::new(schema)).clone()
    }

    pub fn deny(&self, key: SchemaKey, error: Error) {
        let mut denied = locked(&self.denied);
        if denied.len() >= DENIED_MAX {
            denied.clear();
        }
        denied.insert(key, (Instant::now() + DENIED_FOR, error));
    }
}
