//! The first contact with a broker: how far it came, and what to do next.
//!
//! Owns the reading of the client library's error texts. Knows no topic. Invariant: success means that a broker answered a
//! metadata request; a failure names the step that failed and the next one to try.

use super::{client::Asking, ffi};
use crate::error::{Error, Result, Step};
use rdkafka::{
    consumer::{BaseConsumer, Consumer},
    error::RDKafkaErrorCode as Code,
};
use std::time::{Duration, Instant};

/// Errors that no waiting heals get this long, in case another of the named brokers does better.
const GRACE: Duration = Duration::from_secs(2);
const SLICE: Duration = Duration::from_millis(100);

/// Waits until a broker answers.
pub(super) fn reach(handle: &BaseConsumer<Asking>, target: &str, timeout: Duration) -> Result {
    let begun = Instant::now();
    loop {
        let slice = SLICE.min(timeout.saturating_sub(begun.elapsed()));
        if ffi::reach(handle.client().native_ptr(), slice) {
            return Ok(());
        }
        // Serves errors and log lines; without a group there are no records.
        while handle.poll(Duration::ZERO).is_some() {}
        let error = handle.context().last_error();
        let hopeless = error.as_ref().is_some_and(|(code, reason)| {
            matches!(step_of(*code, reason), Step::Tls | Step::Sasl | Step::Authorise)
        });
        let patience = if hopeless { timeout.min(GRACE) } else { timeout };
        if begun.elapsed() >= patience {
            return Err(unreachable(target, error, timeout));
        }
    }
}

fn unreachable(target: &str, error: Option<(Code, String)>, timeout: Duration) -> Error {
    let (step, cause) = match error {
        Some((code, reason)) => (step_of(code, &reason), reason),
        None => (Step::Connect, format!("no answer within {timeout:?}")),
    };
    Error::Unreachable { target: target.to_owned(), step, cause, next: next_of(step, target) }
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
        // What a client sees that speaks plain text to a TLS listener, or no SASL to one that wants it.
        _ if reason.contains("security.protocol") || reason.contains("SSL") => Step::Tls,
        _ if reason.starts_with("Connect to") || reason.contains(": Connect to") => Step::Connect,
        _ if reason.contains("Disconnected") => Step::Metadata,
        _ => Step::Connect,
    }
}

fn next_of(step: Step, target: &str) -> String {
    match step {
        Step::Resolve => format!("check the host name in `{target}` (a container's name is known only in its network)"),
        Step::Connect => {
            format!("check that a broker listens at `{target}` and that no firewall is between; does `nc -z` reach it?")
        }
        Step::Tls => "check `security.protocol` (PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL, as the listener has it), and for TLS \
                      `ssl.ca.location`"
            .to_owned(),
        Step::Sasl => "check `sasl.mechanism`, `sasl.username` and `sasl.password`".to_owned(),
        Step::Authorise => "ask the cluster's administrator for the permission".to_owned(),
        Step::Metadata => "check that the address is that of a Kafka broker and `security.protocol` that of the listener".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_step_is_read_from_what_the_library_says() {
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
