//! Every request goes through here first, and every answer last.
//!
//! Owns which paths are open to everybody, the refusals, and the headers that tell browsers what they may do with an answer. Invariants:
//! nothing changes anything, so nothing but GET, HEAD and the login is taken; probes are answered without a token; a path that is not
//! named here needs it.

use super::{
    login,
    rules::{Caller, Certified, Rules},
};
use crate::ui::state::as_json;
use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Redirect, Response},
};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

/// What a browser without a token needs to log in, and what Kubernetes asks. No answer of these says more than whether the process works.
const OPEN: [&str; 3] = ["/livez", "/readyz", "/favicon.ico"];
const FILES: &str = "/static/";
const METRICS: &str = "/metrics";
/// For answers that are no pages.
const NOTHING: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
/// How browsers treat answers; what an answer says itself goes before it.
const TOLD: [(HeaderName, HeaderValue); 6] = [
    (header::CONTENT_SECURITY_POLICY, NOTHING),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("SAMEORIGIN")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
];

#[derive(Clone)]
struct Guard {
    rules: Arc<Rules>,
    answer_time: Duration,
}

/// The routes behind the rules; `answer_time`: how long an answer may take to begin.
pub fn guarded(router: Router, rules: Rules, answer_time: Duration) -> Router {
    let rules = Arc::new(rules);
    let router = if rules.has_token() { router.merge(login::routes(rules.clone())) } else { router };
    router.layer(from_fn_with_state(Guard { rules, answer_time }, guard))
}

async fn guard(State(guard): State<Guard>, mut request: Request, next: Next) -> Response {
    let mut answer = match refusal(&guard.rules, &mut request) {
        Some(refusal) => refusal,
        None => match tokio::time::timeout(guard.answer_time, next.run(request)).await {
            Ok(answer) => answer,
            Err(_) => refused(StatusCode::REQUEST_TIMEOUT, "the request did not come to its end in time"),
        },
    };
    for (name, value) in TOLD {
        answer.headers_mut().entry(name).or_insert(value);
    }
    answer
}

/// Why a request is not answered; otherwise notes who the caller is.
fn refusal(rules: &Rules, request: &mut Request) -> Option<Response> {
    let (method, path) = (request.method(), request.uri().path());
    let is_login = rules.has_token() && path == login::PATH;
    if !rules.answers_to(request.headers()) {
        let why = "this server answers under `localhost` and addresses only: under any other name, pages of others could read it. To use a name, set a token (--admin-token-file), or --admin-insecure";
        return Some(refused(StatusCode::MISDIRECTED_REQUEST, why));
    }
    if !(method == Method::GET || method == Method::HEAD || is_login && method == Method::POST) {
        let allowed = if is_login { "GET, HEAD, POST" } else { "GET, HEAD" };
        let why = "nothing can be changed here";
        return Some(
            ([(header::ALLOW, allowed)], refused(StatusCode::METHOD_NOT_ALLOWED, why)).into_response(),
        );
    }
    let certified = request.extensions().get().copied().unwrap_or(Certified(false));
    let caller = rules.caller(request.headers(), certified);
    let is_open = OPEN.contains(&path)
        || path.starts_with(FILES)
        || is_login
        || path == METRICS && rules.has_open_metrics();
    if !caller.is_known && !is_open {
        return Some(unknown(rules, path, request.headers()));
    }
    request.extensions_mut().insert(caller);
    None
}

/// A browser is sent to the login; a program is told what is missing.
fn unknown(rules: &Rules, path: &str, headers: &HeaderMap) -> Response {
    let accepts_pages = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|kinds| kinds.contains("text/html"));
    if rules.has_token() && accepts_pages && !path.starts_with("/api/") {
        return Redirect::to(login::PATH).into_response();
    }
    let why = match (rules.has_token(), rules.has_certificates()) {
        (true, false) => "show the token: Authorization: Bearer ..",
        (true, true) => "show the token (Authorization: Bearer ..), or a certificate",
        _ => "show a certificate",
    };
    let challenge = [(header::WWW_AUTHENTICATE, "Bearer realm=\"tidegate\"")];
    (challenge, refused(StatusCode::UNAUTHORIZED, why)).into_response()
}

/// The answer to a probe; why a process is not ready is for those who may read everything.
pub fn readiness(caller: Caller, is_ready: bool, whole: impl FnOnce() -> Value) -> Response {
    let code = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = if caller.is_known { whole() } else { json!({ "ready": is_ready }) };
    (code, as_json(&body)).into_response()
}

fn refused(code: StatusCode, why: &str) -> Response {
    (code, as_json(&json!({ "error": why }))).into_response()
}
