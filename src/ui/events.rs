//! News for the page: what changed since its last news, sent while it is open.
//!
//! Owns the form of the news and their pace. Knows no HTML. Invariants: a page that missed something gets everything anew; a page
//! gets at most a few messages per second, and none while nothing happens.

use super::{
    api::{self, Batch, Receiver, Statistics},
    state::Shared,
};
use crate::observe::history::BATCHES_MAX;
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

/// Between two messages to a page.
const PACE: Duration = Duration::from_millis(200);
/// How often readiness is looked at, which changes without a batch.
const LOOK: Duration = Duration::from_secs(2);

/// What a page is told.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct News {
    /// Forget the batches known so far.
    reset: bool,
    /// By the clock of the server, milliseconds since the epoch.
    now: i64,
    /// What is missing for readiness.
    missing: Vec<String>,
    started_ms: Option<i64>,
    statistics: Statistics,
    receivers: Vec<Receiver>,
    active: Vec<Batch>,
    /// Batches that ended since, oldest first; those that were given up among them.
    ended: Vec<Batch>,
    #[serde(skip)]
    last: u64,
}

/// What is new after the batch number `after`; `None` = everything.
pub(super) fn news(shared: &Shared, after: Option<u64>) -> News {
    let (program, moment, now_ms) = (shared.history.program(), shared.history.moment(), (shared.now_ms)());
    let missed = after.and_then(|after| moment.ended.checked_sub(after));
    let missed = missed.and_then(|n| usize::try_from(n).ok()).filter(|n| *n < BATCHES_MAX);
    News {
        reset: missed.is_none(),
        now: now_ms,
        missing: shared.status.picture().missing(),
        started_ms: moment.started_ms,
        statistics: api::statistics_of(program, &moment, now_ms),
        receivers: api::receivers_of(program, &moment, false),
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
    missing: Option<Vec<String>>,
}

/// Server-sent events; a page that comes back says by `Last-Event-ID` what it has.
pub(super) async fn events(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> impl IntoResponse {
    let known = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.split_once('/'));
    let launched = shared.history.program().launched_ms.to_string();
    let after = known.filter(|(life, _)| *life == launched).and_then(|(_, after)| after.parse().ok());
    let (changes, closing) = (shared.changes.subscribe(), shared.closing.clone());
    let listening = Listening { shared, changes, closing, after, missing: None };
    let events = stream::unfold(listening, |mut listening| async move {
        listening.next().await.map(|event| (Ok::<_, Infallible>(event), listening))
    });
    Sse::new(events).keep_alive(KeepAlive::default())
}

impl Listening {
    /// The next event; `None` = the server ends.
    async fn next(&mut self) -> Option<Event> {
        if self.missing.is_some() && !self.wait().await {
            return None;
        }
        self.changes.borrow_and_update();
        let news = news(&self.shared, self.after);
        self.after = Some(news.last);
        self.missing = Some(news.missing.clone());
        let id = format!("{}/{}", self.shared.history.program().launched_ms, news.last);
        let text = serde_json::to_string(&news).expect("numbers and text under names");
        Some(Event::default().id(id).data(text))
    }

    /// Waits for a change; `false` = the server ends.
    async fn wait(&mut self) -> bool {
        time::sleep(PACE).await;
        loop {
            tokio::select! {
                changed = self.changes.changed() => return changed.is_ok(),
                _ = self.closing.changed() => return false,
                () = time::sleep(LOOK) => {
                    if self.missing.as_ref() != Some(&self.shared.status.picture().missing()) {
                        return true;
                    }
                }
            }
        }
    }
}
