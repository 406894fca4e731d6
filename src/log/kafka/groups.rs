//! Who is in a consumer group.
//!
//! Owns the client that describes groups. Knows no topic. Invariant: a client that was not answered is not asked again:
//! one that met a broker which was stopped for a while may never find the coordinator of a group again, although
//! everything else is answered (seen in one of two runs with librdkafka 2.12).

use super::{
    classify,
    client::{Owned, QueryContext},
    config::{Settings, config_error},
    ffi,
};
use crate::{
    error::{Failure, Result, Stage},
    log::GroupMember,
};
use rdkafka::{
    consumer::{BaseConsumer, Consumer},
    error::RDKafkaErrorCode as Code,
};
use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// How long one description may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The client that describes groups; there is none before the first question, and after one without an answer.
#[derive(Default)]
pub(super) struct Groups(Mutex<Option<Owned<BaseConsumer<QueryContext>>>>);

impl Groups {
    /// The members of a group; a group that does not exist has none.
    pub(super) fn members(&self, settings: &Settings, group: &str) -> Result<Vec<GroupMember>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let client = kept.take().map_or_else(|| client(settings), Ok)?;
        let found = ffi::describe_group(client.client().native_ptr(), group, TIMEOUT);
        if found.as_ref().err().is_none_or(|e| e.code != Code::OperationTimedOut) {
            *kept = Some(client);
        }
        found.map_err(|e| {
            let f = classify::failure(Stage::Group, &e);
            let message = match e.code {
                Code::GroupAuthorizationFailed => format!(
                    "authorisation failed: {}\n  next: ask for the permission READ on the group `{group}`",
                    f.message
                ),
                _ => format!("describing the group `{group}`: {}", f.message),
            };
            Failure { message, ..f }.into()
        })
    }
}

fn client(settings: &Settings) -> Result<Owned<BaseConsumer<QueryContext>>> {
    let made = settings.watermarks().create_with_context(QueryContext::default()).map_err(config_error)?;
    Ok(Owned::new(made, "group description client"))
}
