//! The streaming page: shells that contain the current numbers, filled and kept up to date by one script.
//!
//! Owns the HTML and the files that go with it, all embedded in the program, so that the page works without
//! internet access. Knows the history and its JSON. Invariants: user text is escaped; nothing is loaded from
//! elsewhere (enforced by a Content-Security-Policy).

use super::{api, events, state::Shared};
use axum::{
    Router,
    extract::{Path, State},
    http::{StatusCode, header},
    response::{Html, IntoResponse, Response},
    routing::get,
};
use serde_json::json;
use std::sync::Arc;

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
pub(super) const POLICY: &str =
    "default-src 'self'; frame-ancestors 'self'; base-uri 'none'; form-action 'none'";
/// A wave; the colour suits light and dark.
const ICON: &str = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 32 32\"><path d=\"M2 20c5 0 5-8 10-8s5 8 10 8 5-8 8-8\" \
fill=\"none\" stroke=\"#0a7ea4\" stroke-width=\"4\" stroke-linecap=\"round\"/></svg>";

/// The pages and their files.
pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/", get(streaming))
        .route("/streaming", get(streaming))
        .route("/streaming/", get(streaming))
        .route("/streaming/batch/{batch}", get(batch))
        .merge(files())
}

/// The files of all pages.
pub(super) fn files<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let file = |kind, text: &'static str| get(move || async move { ([(header::CONTENT_TYPE, kind)], text) });
    Router::new()
        .route("/static/page.js", file(JAVASCRIPT, include_str!("assets/page.js")))
        .route("/static/queries.js", file(JAVASCRIPT, include_str!("assets/queries.js")))
        .route("/static/words.js", file(JAVASCRIPT, include_str!("assets/words.js")))
        .route("/static/charts.js", file(JAVASCRIPT, include_str!("assets/charts.js")))
        .route("/static/page.css", file(STYLE, include_str!("assets/page.css")))
        .route("/static/uplot.js", file(JAVASCRIPT, include_str!("assets/uplot.min.js")))
        .route("/static/uplot.css", file(STYLE, include_str!("assets/uplot.min.css")))
        .route(
            "/static/uplot.LICENSE",
            file("text/plain; charset=utf-8", include_str!("assets/uplot.LICENSE")),
        )
        .route("/favicon.ico", file("image/svg+xml", ICON))
}

async fn streaming(State(shared): State<Arc<Shared>>) -> Response {
    let program = shared.history.program();
    let mut data = json!(events::update(&shared, None));
    data["program"] = json!({
        "id": program.application_id,
        "streams": program.streams.iter().map(|s| json!({ "id": s.id, "name": &*s.name })).collect::<Vec<_>>(),
        "intervalMs": api::interval_ms(program),
        "settings": &program.settings,
    });
    let body = include_str!("assets/streaming.html").replace("{{topology}}", &escaped(&program.topology));
    shell(&shared, "Streaming Statistics", &data, &body)
}

async fn batch(State(shared): State<Arc<Shared>>, Path(id): Path<String>) -> Response {
    let (program, moment) = (shared.history.program(), shared.history.moment());
    let mut data = json!({ "program": { "id": program.application_id }, "asked": id });
    let known = id.parse().ok().and_then(|ms| moment.batch(ms));
    if let Some((batch, active)) = known {
        data["batch"] = json!(api::batch_of(program, batch, active, true));
        data["operations"] = json!(api::operations_of(batch));
    }
    let mut page = shell(&shared, "Details of batch", &data, include_str!("assets/batch.html"));
    if known.is_none() {
        *page.status_mut() = StatusCode::NOT_FOUND;
    }
    page
}

fn shell(shared: &Shared, title: &str, data: &serde_json::Value, body: &str) -> Response {
    let snapshot = shared.status.snapshot();
    // No `<` in the data, so that no text in it can end the element.
    let data = data.to_string().replace('<', "\\u003c");
    let page = include_str!("assets/shell.html");
    let page = page.replace("{{title}}", title).replace("{{version}}", env!("CARGO_PKG_VERSION"));
    let mut page = page.replace("{{body}}", body);
    for (name, text) in [
        ("{{application}}", &snapshot.application_id),
        ("{{instance}}", &snapshot.instance),
        ("{{log}}", &snapshot.log),
    ] {
        page = page.replace(name, &escaped(text));
    }
    let page = page.replace("{{data}}", &data);
    ([(header::CONTENT_SECURITY_POLICY, POLICY), (header::CACHE_CONTROL, "no-store")], Html(page))
        .into_response()
}

pub(super) fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
    text.replace('{', "&#123;") // so that it cannot look like a placeholder of a shell
}
