//! The state that every answer over HTTP is made of, and the form of an answer.
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

/// What the answers are made of.
pub(super) struct Shared {
    pub metrics: Arc<Metrics>,
    pub status: Arc<Status>,
    pub history: Arc<History>,
    pub now_ms: fn() -> i64,
    /// Counts changes of the history.
    pub changes: watch::Sender<u64>,
    /// Changes when the server ends: for answers that have no end of their own.
    pub closing: watch::Receiver<bool>,
    /// The process is dead when its loop has not turned for this time.
    pub liveness: Duration,
    /// Number of the turn that was seen last, and when.
    pub last_turn: Mutex<(u64, Instant)>,
}

/// An answer of the interface for machines.
pub(super) fn as_json(value: &impl Serialize) -> Response {
    match serde_json::to_string(value) {
        Ok(text) => ([(header::CONTENT_TYPE, "application/json")], text + "\n").into_response(),
        Err(e) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{e}\n")).into_response(),
    }
}

/// The resource is not there, and why.
pub(super) fn not_found(why: &str) -> Response {
    (StatusCode::NOT_FOUND, as_json(&json!({ "error": why }))).into_response()
}
