//! The login of a browser: a form for the token, and a cookie for who has it.
//!
//! Owns the form. Invariants: the token is never part of a URL, where histories and logs of others would keep it; it is not shown again.

use super::rules::Rules;
use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{StatusCode, header},
    response::{Html, IntoResponse, Redirect, Response},
    routing::get,
};
use std::sync::Arc;

pub const PATH: &str = "/login";
/// Three bytes for each character of the longest token, and the rest of the form.
const BODY_BYTES_MAX: usize = 4 << 10;
const POLICY: &str = "default-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
const FIELD: &str = "token";

pub fn routes(rules: Arc<Rules>) -> Router {
    let login = get(ask).post(take).layer(DefaultBodyLimit::max(BODY_BYTES_MAX));
    Router::new().route(PATH, login).with_state(rules)
}

async fn ask() -> Response {
    page(StatusCode::OK, "")
}

async fn take(State(rules): State<Arc<Rules>>, form: Bytes) -> Response {
    let token = field(&form, FIELD);
    match token.and_then(|token| rules.cookie_for(&token)) {
        Some(cookie) => ([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response(),
        None => page(StatusCode::UNAUTHORIZED, "<p class=\"problem\">That is not the token.</p>"),
    }
}

fn page(code: StatusCode, note: &str) -> Response {
    let page = include_str!("../assets/login.html").replace("{{note}}", note);
    (code, [(header::CONTENT_SECURITY_POLICY, POLICY)], Html(page)).into_response()
}

/// A field of a form, as browsers encode it (`application/x-www-form-urlencoded`).
fn field(form: &[u8], wanted: &str) -> Option<String> {
    let form = std::str::from_utf8(form).ok()?;
    let (_, value) =
        form.split('&').filter_map(|pair| pair.split_once('=')).find(|(name, _)| *name == wanted)?;
    let mut bytes = vec![];
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok().map(|text| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_read_as_a_browser_writes_it() {
        let of = |form: &str| field(form.as_bytes(), "token");
        assert_eq!(of("a=b&token=x%2By%26%3D+z+&token=other").as_deref(), Some("x+y&= z"));
        assert_eq!(of("token=").as_deref(), Some(""));
        for none in ["", "token", "toke=x", "token=%", "token=%4", "token=%zz", "token=%ff"] {
            assert_eq!(of(none), None, "{none}");
        }
        assert_eq!(field(b"token=\xff", "token"), None);
    }
}
