//! The state from which every HTTP response is made, and the form of a response.
//!
//! Owns what the pages share while the server runs. Knows no path and no page.

use crate::observe::{history::History, metrics::Metrics, status::Status};
use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::json;
use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// What responses are made from.
pub(super) struct Shared {
    pub metrics: Arc<Metrics>,
    pub status: Arc<Status>,
    pub history: Arc<History>,
    pub now_ms: fn() -> i64,
    /// Counts changes of the history.
    pub changes: watch::Sender<u64>,
    /// Changes when the server ends: for responses that have no end of their own.
    pub closing: watch::Receiver<bool>,
    /// The process counts as dead when its loop has not turned for this long.
    pub liveness: Duration,
    /// Number of the last turn that was seen, and when it was seen.
    pub last_turn: Mutex<(u64, Instant)>,
}

/// A response of the JSON API.
pub(super) fn as_json(value: &impl Serialize) -> Response {
    match serde_json::to_string(value) {
        Ok(text) => ([(header::CONTENT_TYPE, "application/json")], text + "\n").into_response(),
        Err(e) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{e}\n")).into_response(),
    }
}

/// The response when a resource does not exist, and why.
pub(super) fn not_found(why: &str) -> Response {
    (StatusCode::NOT_FOUND, as_json(&json!({ "error": why }))).into_response()
}
