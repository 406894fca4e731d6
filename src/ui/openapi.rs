//! What the JSON interface is, as a document of OpenAPI: one for a program, one for queries.
//!
//! Owns the documents. Knows no answer: tests compare both. Invariant: what is described here is kept from one version to the next.

use axum::{
    http::header,
    response::{IntoResponse, Response},
};

pub(super) const PATH: &str = "/api/v1/openapi.json";
const OF_PROGRAM: &str = include_str!("assets/openapi.json");
const OF_QUERIES: &str = include_str!("assets/openapi_queries.json");

pub(super) async fn of_program() -> Response {
    document(OF_PROGRAM)
}

pub(super) async fn of_queries() -> Response {
    document(OF_QUERIES)
}

fn document(text: &str) -> Response {
    let text = text.replace("{{version}}", env!("CARGO_PKG_VERSION"));
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}

/// The paths that a document describes.
#[cfg(test)]
pub(super) fn described(is_of_queries: bool) -> std::collections::BTreeSet<String> {
    let text = if is_of_queries { OF_QUERIES } else { OF_PROGRAM };
    let document: serde_json::Value = serde_json::from_str(text).unwrap();
    document["paths"].as_object().unwrap().keys().cloned().collect()
}
