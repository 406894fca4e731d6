//! Updates for the page: what changed since its last update, sent while it is open.
//!
//! Owns the form of the updates and their pace. Knows no HTML. Invariants: a page that missed something gets
//! everything again; a page gets at most a few messages per second, and none while nothing happens.

use super::{
    api::{self, Batch, Receiver, Statistics},
    state::Shared,
};
use crate::observe::{history::BATCHES_MAX, processes::Processes, restores::Restore};
use axum::{
    extract::State,
    http::HeaderMap,
    response::{
        IntoResponse,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::stream;
use serde::Serialize;
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::{sync::watch, time};

/// Minimum time between two messages to a page.
const PACE: Duration = Duration::from_millis(200);
/// How often readiness is checked, as it can change without a batch.
const CHECK_EVERY: Duration = Duration::from_secs(2);

/// What a page is sent.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Update {
    /// Whether to forget the batches known so far.
    reset: bool,
    /// The server's clock, in milliseconds since the epoch.
    now: i64,
    /// What is missing for readiness.
    missing: Vec<String>,
    /// What a reader should know although nothing is missing.
    notice: Option<String>,
    /// The last batch that ended, if it was given up, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    given_up: Option<GivenUp>,
    started_ms: Option<i64>,
    statistics: Statistics,
    receivers: Vec<Receiver>,
    /// The processes that share the state.
    #[serde(skip_serializing_if = "Option::is_none")]
    processes: Option<Processes>,
    /// The state partitions of this process that are being restored.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    restores: Vec<Restore>,
    active: Vec<Batch>,
    /// Batches that have ended since, oldest first, including those that were given up.
    ended: Vec<Batch>,
    #[serde(skip)]
    last: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct GivenUp {
    batch_id: i64,
    reason: String,
}

/// What is new after the batch number `after`; `None` = everything.
pub(super) fn update(shared: &Shared, after: Option<u64>) -> Update {
    let (program, moment, now_ms) = (shared.history.program(), shared.history.moment(), (shared.now_ms)());
    let status = shared.status.snapshot();
    let missed = after.and_then(|after| moment.ended.checked_sub(after));
    let missed = missed.and_then(|n| usize::try_from(n).ok()).filter(|n| *n < BATCHES_MAX);
    let given_up = moment.given_up_last();
    Update {
        reset: missed.is_none(),
        now: now_ms,
        missing: status.missing(),
        notice: status.notice(),
        given_up: given_up
            .map(|(batch, why)| GivenUp { batch_id: batch.batch_time_ms, reason: why.to_owned() }),
        started_ms: moment.started_ms,
        statistics: api::statistics_of(program, &moment, now_ms),
        receivers: api::receivers_of(program, &moment, false),
        processes: status.processes,
        restores: status.restores,
        active: api::active_batches_of(program, &moment, now_ms),
        ended: api::last_batches_of(program, &moment, missed.unwrap_or(BATCHES_MAX)),
        last: moment.ended,
    }
}

struct Listening {
    shared: Arc<Shared>,
    changes: watch::Receiver<u64>,
    closing: watch::Receiver<bool>,
    after: Option<u64>,
    told: Option<(Vec<String>, Option<String>)>,
}

/// Server-sent events; a page that reconnects says by `Last-Event-ID` what it already has.
pub(super) async fn events(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> impl IntoResponse {
    let known = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.split_once('/'));
    let launched = shared.history.program().launched_ms.to_string();
    let after = known.filter(|(start, _)| *start == launched).and_then(|(_, after)| after.parse().ok());
    let (changes, closing) = (shared.changes.subscribe(), shared.closing.clone());
    let listening = Listening { shared, changes, closing, after, told: None };
    let events = stream::unfold(listening, |mut listening| async move {
        listening.next().await.map(|event| (Ok::<_, Infallible>(event), listening))
    });
    Sse::new(events).keep_alive(KeepAlive::default())
}

impl Listening {
    /// The next event; `None` = the server is ending.
    async fn next(&mut self) -> Option<Event> {
        if self.told.is_some() && !self.wait().await {
            return None;
        }
        self.changes.borrow_and_update();
        let update = update(&self.shared, self.after);
        self.after = Some(update.last);
        self.told = Some((update.missing.clone(), update.notice.clone()));
        let id = format!("{}/{}", self.shared.history.program().launched_ms, update.last);
        let text = serde_json::to_string(&update).expect("numbers and text under names");
        Some(Event::default().id(id).data(text))
    }

    /// Waits for a change; `false` = the server is ending.
    async fn wait(&mut self) -> bool {
        time::sleep(PACE).await;
        loop {
            tokio::select! {
                changed = self.changes.changed() => return changed.is_ok(),
                _ = self.closing.changed() => return false,
                () = time::sleep(CHECK_EVERY) => {
                    let status = self.shared.status.snapshot();
                    if self.told != Some((status.missing(), status.notice())) {
                        return true;
                    }
                }
            }
        }
    }
}
