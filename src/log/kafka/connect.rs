//! The first contact with a broker: how far it got, and what to do next.
//!
//! Owns the interpretation of the client library's error texts. Knows no topic. Invariant: success means that a broker
//! answered a metadata request; a failure names the step that failed and what to try next.

use super::{
    client::{QueryContext, serve},
    ffi,
};
use crate::error::{Error, Result, Step};
use rdkafka::{
    consumer::{BaseConsumer, Consumer},
    error::RDKafkaErrorCode as Code,
};
use std::{
    net::{TcpStream, ToSocketAddrs},
    time::{Duration, Instant},
};

/// Errors that waiting cannot cure get this long, in case another of the listed brokers does better.
const GRACE: Duration = Duration::from_secs(2);
const SLICE: Duration = Duration::from_millis(100);
const TCP_TIMEOUT: Duration = Duration::from_secs(1);

/// Waits until a broker answers.
pub(super) fn reach(handle: &BaseConsumer<QueryContext>, target: &str, timeout: Duration) -> Result {
    let started = Instant::now();
    loop {
        let slice = SLICE.min(timeout.saturating_sub(started.elapsed()));
        if ffi::reach(handle.client().native_ptr(), slice) {
            return Ok(());
        }
        // Serves errors and log lines; without a group no records arrive here.
        serve(handle);
        let error = handle.context().last_error();
        let permanent = error.as_ref().is_some_and(|(code, reason)| {
            matches!(step_of(*code, reason), Step::Tls | Step::Sasl | Step::Authorise)
        });
        let patience = if permanent { timeout.min(GRACE) } else { timeout };
        if started.elapsed() >= patience {
            return Err(unreachable(target, error, timeout));
        }
    }
}

fn unreachable(target: &str, error: Option<(Code, String)>, timeout: Duration) -> Error {
    let (step, cause) = match error {
        Some((code, reason)) => (step_of(code, &reason), reason),
        None if answers_tcp(target) => (
            Step::Metadata,
            format!(
                "a TCP connection is made, but there is no answer in Kafka's protocol within {timeout:?}"
            ),
        ),
        None => (Step::Connect, format!("no answer within {timeout:?}")),
    };
    Error::Unreachable { target: target.to_owned(), step, cause, next: next_of(step, target) }
}

/// Whether anything listens at one of the addresses.
fn answers_tcp(target: &str) -> bool {
    let addresses = target.split(',').filter_map(|place| place.trim().to_socket_addrs().ok()).flatten();
    addresses.into_iter().any(|address| TcpStream::connect_timeout(&address, TCP_TIMEOUT).is_ok())
}

fn step_of(code: Code, reason: &str) -> Step {
    match code {
        Code::Resolve => Step::Resolve,
        Code::SSL => Step::Tls,
        Code::Authentication
        | Code::SaslAuthenticationFailed
        | Code::UnsupportedSASLMechanism
        | Code::IllegalSASLState => Step::Sasl,
        Code::ClusterAuthorizationFailed | Code::TopicAuthorizationFailed => Step::Authorise,
        // What a client sees when it speaks plain text to a TLS listener, or no SASL to a listener that requires it.
        _ if reason.contains("security.protocol") || reason.contains("SSL") => Step::Tls,
        _ if reason.starts_with("Connect to") || reason.contains(": Connect to") => Step::Connect,
        _ if reason.contains("Disconnected") => Step::Metadata,
        _ => Step::Connect,
    }
}

fn next_of(step: Step, target: &str) -> String {
    match step {
        Step::Resolve => format!("check the host name in `{target}` (a container's name is known only inside its network)"),
        Step::Connect => {
            format!("check that a broker listens at `{target}` and that no firewall is in the way; does `nc -z` reach it?")
        }
        Step::Tls => "check `security.protocol` (PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL, whichever the listener uses), and for TLS \
                      `ssl.ca.location`"
            .to_owned(),
        Step::Sasl => "check `sasl.mechanism`, `sasl.username` and `sasl.password`, and `security.protocol` (does this listener use SASL?)".to_owned(),
        Step::Authorise => "ask the cluster's administrator for permission".to_owned(),
        Step::Metadata | Step::Request => "check that the address belongs to a Kafka broker and that `security.protocol` matches the listener".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_failed_step_is_found_from_the_library_error() {
        for (code, reason, step) in [
            (
                Code::Resolve,
                "nohost:9092/bootstrap: Failed to resolve 'nohost:9092': Name or service not known",
                Step::Resolve,
            ),
            (
                Code::BrokerTransportFailure,
                "localhost:1/bootstrap: Connect to ipv4#127.0.0.1:1 failed: Connection refused (after 0ms in state CONNECT)",
                Step::Connect,
            ),
            (
                Code::BrokerTransportFailure,
                "b:1/bootstrap: Disconnected while requesting ApiVersion: might be caused by incorrect security.protocol \
                 configuration (connecting to a SSL listener?) or broker version is < 0.10",
                Step::Tls,
            ),
            (Code::SSL, "ssl://b:1/bootstrap: SSL handshake failed: certificate verify failed", Step::Tls),
            (
                Code::Authentication,
                "sasl_ssl://b:1/bootstrap: SASL authentication error: bad password",
                Step::Sasl,
            ),
            (
                Code::BrokerTransportFailure,
                "b:1/bootstrap: Disconnected (after 1ms in state UP)",
                Step::Metadata,
            ),
        ] {
            assert_eq!(step_of(code, reason), step, "{reason}");
            assert!(!next_of(step, "b:1").is_empty());
        }
    }
}
