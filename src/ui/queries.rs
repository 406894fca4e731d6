//! The page of Structured Streaming: the queries of a process, each with its progress and its plan; and the same as JSON.
//!
//! Owns the words of the list, which are Spark's, and the routes. Knows the board of queries only. Invariants: user text is escaped; an
//! unknown number is omitted, never 0.

#![allow(clippy::disallowed_methods, reason = "liveness is about real time, whichever clock the loop uses")]

use super::{
    access::{Caller, readiness},
    openapi,
    page::{POLICY, escaped, files},
    state::{as_json, not_found},
};
use crate::observe::{
    metrics::Metrics,
    queries::{QueryBoard, QueryView, Seen},
    status::Phase,
};
use axum::{
    Extension, Router,
    extract::{Path, State},
    http::{StatusCode, header},
    response::{Html, IntoResponse, Response},
    routing::{MethodRouter, get},
};
use serde::Serialize;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// What responses are made from.
pub(super) struct Queries {
    pub board: QueryBoard,
    pub now_ms: fn() -> i64,
    /// A query counts as dead when its loop has not turned for this long.
    pub liveness: Duration,
    /// By run: the number of the last turn that was seen, and when.
    turns: Mutex<BTreeMap<String, (u64, Instant)>>,
}

type Of = State<Arc<Queries>>;

impl Queries {
    pub fn new(board: QueryBoard, now_ms: fn() -> i64, liveness: Duration) -> Self {
        Queries { board, now_ms, liveness, turns: Mutex::default() }
    }

    fn active(&self) -> Vec<Arc<QueryView>> {
        self.board.all().into_iter().filter(|query| query.seen().ended.is_none()).collect()
    }

    /// Notes which loops have turned.
    pub fn look(&self) {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        let active = self.active();
        turns.retain(|run, _| active.iter().any(|query| query.run_id == *run));
        for query in active {
            let now = query.status.turns();
            let last = turns.entry(query.run_id.clone()).or_insert_with(|| (now, Instant::now()));
            if last.0 != now {
                *last = (now, Instant::now());
            }
        }
    }
}

/// All pages and the JSON of queries, with metrics and health of all of them.
pub(super) fn routes() -> Router<Arc<Queries>> {
    let json = table().into_iter().fold(Router::new(), |router, (path, answer)| router.route(path, answer));
    json.route("/", get(list))
        .route("/queries", get(list))
        .route("/queries/", get(list))
        .route("/queries/{run}", get(query))
        .route("/metrics", get(metrics))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .merge(files())
}

/// The resources by their paths, which the document of OpenAPI has too.
fn table() -> [(&'static str, MethodRouter<Arc<Queries>>); 4] {
    [
        (openapi::PATH, get(openapi::of_queries)),
        ("/api/v1/queries", get(list_json)),
        ("/api/v1/queries/{run}", get(query_json)),
        ("/api/v1/queries/{run}/progress", get(progress_json)),
    ]
}

/// A run of a query in the list.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    id: String,
    run_id: String,
    /// `RUNNING`, `FINISHED` or `FAILED`, as in Spark.
    status: &'static str,
    is_active: bool,
    /// Milliseconds since the epoch.
    start_time: i64,
    /// Milliseconds.
    duration: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    input_rows_per_second: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    processed_rows_per_second: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    latest_batch: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exception: Option<String>,
}

fn listed(query: &QueryView, seen: &Seen, now_ms: i64) -> Listed {
    let mean = |name: &str| {
        let values: Vec<f64> =
            seen.progress.iter().filter_map(|progress| progress.get(name)?.as_f64()).collect();
        #[expect(clippy::cast_precision_loss, reason = "a mean for people")]
        let count = values.len() as f64;
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / count)
    };
    let status = match &seen.ended {
        None => "RUNNING",
        Some((_, None)) => "FINISHED",
        Some((_, Some(_))) => "FAILED",
    };
    Listed {
        name: query.name.clone(),
        id: query.id.clone(),
        run_id: query.run_id.clone(),
        status,
        is_active: seen.ended.is_none(),
        start_time: query.started_ms,
        duration: seen
            .ended
            .as_ref()
            .map_or(now_ms, |(at_ms, _)| *at_ms)
            .saturating_sub(query.started_ms)
            .max(0),
        input_rows_per_second: mean("inputRowsPerSecond"),
        processed_rows_per_second: mean("processedRowsPerSecond"),
        latest_batch: seen.progress.back().and_then(|progress| progress.get("batchId")?.as_u64()),
        exception: seen.ended.as_ref().and_then(|(_, why)| why.clone()),
    }
}

fn all(queries: &Queries) -> Vec<Listed> {
    let now_ms = (queries.now_ms)();
    queries.board.all().iter().map(|query| listed(query, &query.seen(), now_ms)).collect()
}

async fn list(State(queries): Of) -> Response {
    shell("Streaming Query", &json!({ "queries": all(&queries) }), include_str!("assets/queries.html"))
}

async fn query(State(queries): Of, Path(run): Path<String>) -> Response {
    let body = include_str!("assets/query.html");
    let Some(query) = queries.board.run(&run) else {
        let mut page = shell("Streaming Query Statistics", &json!({}), &body.replace("{{plan}}", ""));
        *page.status_mut() = StatusCode::NOT_FOUND;
        return page;
    };
    let seen = query.seen();
    let data = json!({ "query": listed(&query, &seen, (queries.now_ms)()), "progress": seen.progress });
    shell("Streaming Query Statistics", &data, &body.replace("{{plan}}", &escaped(&query.plan)))
}

fn shell(title: &str, data: &Value, body: &str) -> Response {
    // No `<` in the data, so that no text in it can end the element.
    let data = data.to_string().replace('<', "\\u003c");
    let page = include_str!("assets/queries_shell.html");
    let page = page.replace("{{title}}", title).replace("{{version}}", env!("CARGO_PKG_VERSION"));
    let page = page.replace("{{body}}", body).replace("{{data}}", &data);
    ([(header::CONTENT_SECURITY_POLICY, POLICY), (header::CACHE_CONTROL, "no-store")], Html(page))
        .into_response()
}

async fn list_json(State(queries): Of) -> Response {
    as_json(&all(&queries))
}

async fn query_json(State(queries): Of, Path(run): Path<String>) -> Response {
    match queries.board.run(&run) {
        Some(query) => as_json(&listed(&query, &query.seen(), (queries.now_ms)())),
        None => not_found("no such run of a query"),
    }
}

async fn progress_json(State(queries): Of, Path(run): Path<String>) -> Response {
    match queries.board.run(&run) {
        Some(query) => as_json(&query.seen().progress),
        None => not_found("no such run of a query"),
    }
}

async fn metrics(State(queries): Of) -> impl IntoResponse {
    let active = queries.active();
    let all: Vec<&Metrics> = active.iter().map(|query| query.metrics.as_ref()).collect();
    ([(header::CONTENT_TYPE, Metrics::CONTENT_TYPE)], Metrics::render_all(&all))
}

async fn livez(State(queries): Of) -> impl IntoResponse {
    let turns = queries.turns.lock().unwrap_or_else(PoisonError::into_inner);
    let still = turns.values().map(|(_, at)| at.elapsed()).max().unwrap_or_default();
    if still <= queries.liveness {
        (StatusCode::OK, "ok\n".to_string())
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("the loop of a query has not turned for {} s\n", still.as_secs()),
        )
    }
}

async fn readyz(State(queries): Of, Extension(caller): Extension<Caller>) -> Response {
    let mut missing: Vec<String> = vec![];
    for query in queries.active() {
        let snapshot = query.status.snapshot();
        if matches!(snapshot.phase, Phase::Stopped { .. }) {
            continue; // it is about to be listed as ended
        }
        missing.extend(snapshot.missing().iter().map(|what| format!("{}: {what}", snapshot.application_id)));
    }
    readiness(caller, missing.is_empty(), || json!({ "ready": missing.is_empty(), "missing": missing }))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_document_of_openapi_has_each_resource() {
        let served: std::collections::BTreeSet<String> =
            super::table().into_iter().map(|(path, _)| path.to_owned()).collect();
        assert_eq!(super::openapi::described(true), served);
    }
}
