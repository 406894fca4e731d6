//! Asks the page of a running process.
//!
//! Owns one request over HTTP/1.0, whose answer ends with the connection; without TLS. Knows no answer. Invariant: it never waits for long, and
//! takes no more than some megabytes.

use crate::{
    config::Token,
    error::{Error, Result},
};
use std::{
    io::{Read, Write},
    net::{TcpStream, ToSocketAddrs},
    time::Duration,
};

const PATIENCE: Duration = Duration::from_secs(5);
const ANSWER_BYTES_MAX: u64 = 16 << 20;

/// The body of an answer.
///
/// # Errors
/// If nobody answers there, or not with success.
pub(super) fn get(address: &str, path: &str, token: Option<&Token>) -> Result<String> {
    let unreachable = |why: &str| {
        Error::Config(format!(
            "the page at {address} gives no answer: {why}\n  next: correct --page; a program says its address at its start (--admin-bind), and serves it on its own machine only by default"
        ))
    };
    let io = |e: std::io::Error| unreachable(&e.to_string());
    let mut places = address.to_socket_addrs().map_err(io)?;
    let place = places.next().ok_or_else(|| unreachable("the name has no address"))?;
    let mut socket = TcpStream::connect_timeout(&place, PATIENCE).map_err(io)?;
    socket.set_read_timeout(Some(PATIENCE)).map_err(io)?;
    let shown =
        token.map(|token| format!("Authorization: Bearer {}\r\n", token.reveal())).unwrap_or_default();
    write!(socket, "GET {path} HTTP/1.0\r\nHost: {address}\r\n{shown}Connection: close\r\n\r\n")
        .map_err(io)?;
    let mut answer = vec![];
    socket.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).map_err(io)?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| unreachable("that is no HTTP"))?;
    let status = head.lines().next().unwrap_or_default();
    match status.split(' ').nth(1) {
        Some("200") => Ok(body.to_owned()),
        Some("401") => Err(Error::Config(format!(
            "the page at {address} asks for a token\n  next: --admin-token-file FILE, or TIDEGATE_ADMIN_TOKEN"
        ))),
        _ => Err(unreachable(&format!("{status}: {}", body.trim()))),
    }
}
