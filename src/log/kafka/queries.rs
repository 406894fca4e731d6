//! The client that asks brokers: for the ends of partitions, for topics, and for the members of groups.
//!
//! Owns that client and its replacement. Knows no answer. Invariant: a client that got no answer is not asked for ever.
//! librdkafka remembers who leads a partition and who coordinates a group, and after such a broker stood still or died a
//! client may not find the next one any more, while a new one finds it at once (seen with librdkafka 2.12).

use super::{
    client::{Owned, QueryContext},
    config::{Settings, config_error},
};
use crate::error::Result;
use rdkafka::consumer::BaseConsumer;
use std::sync::{Arc, Mutex, PoisonError};

/// A client that only sends queries.
pub(super) type QueryClient = Owned<BaseConsumer<QueryContext>>;

/// The client that is asked now.
pub(super) struct Queries {
    settings: Settings,
    client: Mutex<Arc<QueryClient>>,
}

impl Queries {
    pub(super) fn new(settings: &Settings) -> Result<Queries> {
        let client = Mutex::new(Arc::new(client(settings)?));
        Ok(Queries { settings: settings.clone(), client })
    }

    /// The client to ask.
    pub(super) fn client(&self) -> Arc<QueryClient> {
        Arc::clone(&self.client.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// `failed` got no answer: the next question goes to a new client.
    pub(super) fn replace(&self, failed: &Arc<QueryClient>) {
        let mut kept = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&kept, failed) {
            return; // somebody else was faster
        }
        match client(&self.settings) {
            Ok(new) => *kept = Arc::new(new),
            Err(e) => tracing::warn!("the client that asks brokers is not replaced: {e}"),
        }
    }
}

/// A new one, which knows nothing yet.
pub(super) fn client(settings: &Settings) -> Result<QueryClient> {
    let client = settings.watermarks().create_with_context(QueryContext::default()).map_err(config_error)?;
    Ok(Owned::new(client, "client for queries"))
}

/// The client that asks what a group has committed, without being in it: that of the group that was asked about last.
pub(super) struct GroupQueries {
    settings: Settings,
    client: Mutex<Option<(String, Arc<QueryClient>)>>,
}

impl GroupQueries {
    pub(super) fn new(settings: &Settings) -> GroupQueries {
        GroupQueries { settings: settings.clone(), client: Mutex::new(None) }
    }

    /// The client to ask about this group.
    pub(super) fn client(&self, group: &str) -> Result<Arc<QueryClient>> {
        let mut kept = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((name, client)) = &*kept
            && name == group
        {
            return Ok(Arc::clone(client));
        }
        let config = self.settings.offsets(group);
        let client = config.create_with_context(QueryContext::default()).map_err(config_error)?;
        let client = Arc::new(Owned::new(client, "client for offsets"));
        *kept = Some((group.to_owned(), Arc::clone(&client)));
        Ok(client)
    }

    /// A question got no answer: the next one goes to a new client.
    pub(super) fn forget(&self) {
        *self.client.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
