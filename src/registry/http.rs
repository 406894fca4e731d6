//! Requests to the servers of a registry.
//!
//! Owns connections, the order in which servers are asked, and when they are asked again. Knows no schema. Invariants: a request
//! asks each server at most once; after one that none has answered, requests fail at once, without asking, until the pause is over,
//! which doubles each time.

#![allow(
    clippy::disallowed_methods,
    reason = "how long a server is left alone depends on the clock; no result does"
)]

use super::{
    reply::Refusal,
    settings::{Auth, RegistryConfig},
};
use crate::error::{Error, Result, Step};
use base64::{Engine, engine::general_purpose::STANDARD};
use std::{
    fs,
    path::Path,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use ureq::{
    Agent, Timeout,
    tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, TlsProvider, parse_pem},
};

/// The pause after the first request that no server has answered, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));
/// What waiting cannot cure gets this long at a start, as with Kafka.
const GRACE: Duration = Duration::from_secs(2);
/// Most bytes of an answer.
const ANSWER_MAX: u64 = 32 << 20;
/// How much of an answer that is none of the protocol is shown.
const SHOWN_MAX: usize = 200;
const PKCS8: &[u8] = b"-----BEGIN PRIVATE KEY-----";
const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// One call, without the server.
pub(super) struct Request {
    path: String,
    body: Option<String>,
    what: String,
}

impl Request {
    /// `what` completes "... was refused".
    pub fn get(path: String, what: String) -> Self {
        Request { path, body: None, what }
    }

    pub fn post(path: String, body: String, what: String) -> Self {
        Request { path, body: Some(body), what }
    }
}

/// What a server answered.
pub(super) struct Answer {
    pub url: String,
    pub what: String,
    pub status: u16,
    pub body: String,
}

pub(super) struct Http {
    agent: Agent,
    urls: Vec<String>,
    authorization: Option<String>,
    /// The server that answered last.
    good: AtomicUsize,
    silence: Mutex<Option<Silence>>,
}

/// No server answers.
struct Silence {
    error: Error,
    pause: Duration,
    until: Instant,
}

impl Http {
    pub fn new(config: &RegistryConfig) -> Result<Http> {
        if config.urls.is_empty() {
            return Err(Error::Config(
                "the schema registry has no URL\n  next: give one, such as http://127.0.0.1:8081".into(),
            ));
        }
        config.urls.iter().try_for_each(|url| checked(url))?;
        let agent = Agent::config_builder()
            .tls_config(tls(config)?)
            .http_status_as_error(false)
            .proxy(None)
            .timeout_global(Some(config.request_timeout))
            .user_agent(concat!("tidegate/", env!("CARGO_PKG_VERSION")))
            .accept(MEDIA_TYPE)
            .build();
        let authorization = match &config.auth {
            Auth::None => None,
            Auth::Basic { user, password } => {
                Some(format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
            }
            Auth::Bearer(token) => Some(format!("Bearer {token}")),
        };
        Ok(Http {
            agent: Agent::new_with_config(agent),
            urls: config.urls.clone(),
            authorization,
            good: AtomicUsize::new(0),
            silence: Mutex::new(None),
        })
    }

    /// Asks for what every registry has, again and again.
    pub fn wait_until_it_answers(&self, timeout: Duration) -> Result {
        let begun = Instant::now();
        loop {
            let request = Request::get("/schemas/types".into(), "the first request".into());
            let error = match self.call(&request) {
                Ok(answer) => return answer.parsed::<Vec<String>>().map(drop),
                Err(error) => error,
            };
            let patience = match &error {
                Error::Unreachable { step: Step::Tls, .. } => timeout.min(GRACE),
                Error::Unreachable { .. } => timeout,
                _ => Duration::ZERO,
            };
            if begun.elapsed() >= patience {
                return Err(error);
            }
            thread::sleep(self.pause_left().min(patience.saturating_sub(begun.elapsed())));
        }
    }

    /// The server that answered last.
    #[cfg(feature = "sql")]
    pub fn answering(&self) -> &str {
        &self.urls[self.good.load(Ordering::Relaxed)]
    }

    fn silence(&self) -> MutexGuard<'_, Option<Silence>> {
        self.silence.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pause_left(&self) -> Duration {
        self.silence().as_ref().map_or(Duration::ZERO, |s| s.until.saturating_duration_since(Instant::now()))
    }

    /// Asks the servers in turn, beginning with the one that answered last.
    ///
    /// # Errors
    /// [`Error::Registry`] if one refuses the request; [`Error::Unreachable`] if none answers.
    pub fn call(&self, request: &Request) -> Result<Answer> {
        if !self.pause_left().is_zero()
            && let Some(silence) = &*self.silence()
        {
            return Err(silence.error.clone());
        }
        let (good, mut failures) = (self.good.load(Ordering::Relaxed), vec![]);
        for index in (0..self.urls.len()).map(|n| (good + n) % self.urls.len()) {
            match self.ask(&self.urls[index], request) {
                Ok(answer) if answer.status < 300 => {
                    self.answered(index);
                    return Ok(answer);
                }
                Ok(answer) if is_passing(answer.status) => failures.push((
                    Step::Request,
                    format!("{}: HTTP status {}: {}", answer.url, answer.status, shown(&answer.body)),
                )),
                Ok(answer) => {
                    let error = refused(answer);
                    // Who we are does not change, and what is not of a registry may pass: not asked at each record.
                    if matches!(
                        error,
                        Error::Registry { status: 401 | 403, .. } | Error::Registry { code: 0, .. }
                    ) {
                        self.fell_silent(&error);
                    } else {
                        self.answered(index);
                    }
                    return Err(error);
                }
                Err(failure) => failures.push(failure),
            }
        }
        let error = self.unreachable(&failures);
        self.fell_silent(&error);
        Err(error)
    }

    fn answered(&self, index: usize) {
        self.good.store(index, Ordering::Relaxed);
        if self.silence().take().is_some() {
            tracing::info!("the schema registry {} answers again", self.urls[index]);
        }
    }

    fn fell_silent(&self, error: &Error) {
        let mut silence = self.silence();
        if silence.as_ref().is_some_and(|known| known.until > Instant::now()) {
            return; // another request was on its way meanwhile, and has found that out
        }
        let (first, longest) = PAUSES;
        let pause = silence.as_ref().map_or(first, |before| (before.pause * 2).min(longest));
        tracing::warn!(retry_in_ms = pause.as_millis(), "{error}");
        *silence = Some(Silence { error: error.clone(), pause, until: Instant::now() + pause });
    }

    fn ask(&self, url: &str, request: &Request) -> Result<Answer, (Step, String)> {
        let place = format!("{url}{}", request.path);
        let sent = match &request.body {
            None => {
                let get = self.agent.get(&place);
                let get =
                    self.authorization.iter().fold(get, |get, value| get.header("Authorization", value));
                get.call()
            }
            Some(body) => {
                let post = self.agent.post(&place).header("Content-Type", MEDIA_TYPE);
                let post =
                    self.authorization.iter().fold(post, |post, value| post.header("Authorization", value));
                post.send(body)
            }
        };
        let failed = |e: ureq::Error| (step_of(&e), format!("{url}: {}", text_of(&e)));
        let mut answer = sent.map_err(failed)?;
        let status = answer.status().as_u16();
        let body = answer.body_mut().with_config().limit(ANSWER_MAX).read_to_string().map_err(failed)?;
        Ok(Answer { url: url.into(), what: request.what.clone(), status, body })
    }

    fn unreachable(&self, failures: &[(Step, String)]) -> Error {
        let step = failures.first().map_or(Step::Connect, |(step, _)| *step);
        let cause = failures.iter().map(|(_, cause)| cause.as_str()).collect::<Vec<_>>().join("; ");
        let next = match step {
            Step::Resolve => {
                "check the host name of the schema registry (a container's name is known only inside its network)"
            }
            Step::Tls => {
                "check `https`, the file of authorities and the client's certificate; does the certificate name this host?"
            }
            Step::Request => "look into the log of the schema registry; is it `https` that it speaks?",
            _ => "check that a schema registry listens at this URL and that no firewall is in the way",
        };
        Error::Unreachable {
            target: format!("the schema registry {}", self.urls.join(", ")),
            step,
            cause,
            next: next.into(),
        }
    }
}

/// Whether another server, or the same one later, may give another answer.
fn is_passing(status: u16) -> bool {
    status >= 500 || matches!(status, 300..=399 | 408 | 429)
}

fn refused(answer: Answer) -> Error {
    let refusal = serde_json::from_str::<Refusal>(&answer.body).unwrap_or_default();
    let is_of_a_registry = refusal.error_code > 0;
    let message = if refusal.message.is_empty() { shown(&answer.body) } else { refusal.message };
    let next = match answer.status {
        401 => "check user name and password, or the token",
        403 => "ask the registry's administrator for permission on this subject",
        404 if is_of_a_registry => {
            "check the subject, its strategy, and whether its writer registers schemas in this registry"
        }
        404 => {
            "check the URL: it ends where `/schemas` and `/subjects` begin (for Apicurio in `/apis/ccompat/v7`)"
        }
        409 => {
            "change the schema so that it is compatible (a new field needs a default), or the level of compatibility of the subject"
        }
        422 => "correct the schema",
        _ => "look into the log of the schema registry",
    };
    let (url, what, status) = (answer.url, answer.what, answer.status);
    Error::Registry { url, what, status, code: refusal.error_code, message, next: next.into() }
}

/// The beginning of an answer, on one line.
fn shown(body: &str) -> String {
    let line: String = body.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}..", &line[..end]),
        None if line.is_empty() => "no reason is given".into(),
        None => line,
    }
}

fn step_of(error: &ureq::Error) -> Step {
    use ureq::Error as E;
    match error {
        E::HostNotFound | E::Timeout(Timeout::Resolve) => Step::Resolve,
        E::Tls(_) | E::NativeTls(_) | E::Pem(_) | E::Der(_) | E::TlsRequired => Step::Tls,
        E::ConnectionFailed | E::Timeout(Timeout::Connect) => Step::Connect,
        E::Io(e) if e.kind() == std::io::ErrorKind::ConnectionRefused => Step::Connect,
        _ => Step::Request,
    }
}

fn text_of(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Io(e) => e.to_string(),
        ureq::Error::NativeTls(e) => e.to_string(),
        ureq::Error::Timeout(what) => format!("no answer in time ({what})"),
        other => other.to_string(),
    }
}

/// # Errors
/// If a URL is of another kind, or has a password.
fn checked(url: &str) -> Result {
    let Some((scheme, rest)) = url.split_once("://").filter(|(scheme, _)| ["http", "https"].contains(scheme))
    else {
        return Err(Error::Config(format!(
            "`{url}` is not the URL of a schema registry\n  next: begin it with http:// or https://"
        )));
    };
    let host = rest.split('/').next().unwrap_or_default();
    if host.contains('@') {
        let host = host.rsplit('@').next().unwrap_or_default();
        return Err(Error::Config(format!(
            "the URL {scheme}://..@{host} of the schema registry has a user name\n  next: use `basic_auth` instead, so that it is not shown with the URL"
        )));
    }
    if host.is_empty() {
        return Err(Error::Config(format!("the URL `{url}` of the schema registry has no host")));
    }
    Ok(())
}

/// # Errors
/// If a file cannot be read or holds something else.
fn tls(config: &RegistryConfig) -> Result<TlsConfig> {
    let mut tls =
        TlsConfig::builder().provider(TlsProvider::NativeTls).root_certs(RootCerts::PlatformVerifier);
    if let Some(path) = &config.ca_file {
        let authorities = certificates("the file of authorities", path)?;
        tls = tls.root_certs(RootCerts::new_with_certs(&authorities));
    }
    if let Some((certificate, key)) = &config.client {
        let chain = certificates("the client's certificate", certificate)?;
        tls = tls.client_cert(Some(ClientCert::new_with_certs(&chain, private_key(key)?)));
    }
    Ok(tls.build())
}

fn pem(what: &str, path: &Path) -> Result<Vec<u8>> {
    fs::read(path)
        .map_err(Error::io(format!("{what} {} of the schema registry cannot be read", path.display())))
}

fn certificates(what: &str, path: &Path) -> Result<Vec<Certificate<'static>>> {
    let pem = pem(what, path)?;
    let certificates = parse_pem(&pem).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    });
    let certificates: Vec<_> = certificates.collect();
    if certificates.is_empty() {
        return Err(Error::Config(format!(
            "{what} {} of the schema registry has no certificate\n  next: it must be PEM, with `BEGIN CERTIFICATE`",
            path.display()
        )));
    }
    Ok(certificates)
}

fn private_key(path: &Path) -> Result<PrivateKey<'static>> {
    let pem = pem("the client's key", path)?;
    // Other forms are not taken by what makes the connection.
    let is_pkcs8 = pem.windows(PKCS8.len()).any(|part| part == PKCS8);
    let mut keys = parse_pem(&pem).filter_map(|item| match item {
        Ok(PemItem::PrivateKey(key)) if is_pkcs8 => Some(key),
        _ => None,
    });
    keys.next().ok_or_else(|| {
        Error::Config(format!(
            "the client's key {} of the schema registry is no key in PKCS#8 without a passphrase\n  next: openssl pkcs8 -topk8 -nocrypt -in {} -out client.key",
            path.display(),
            path.display()
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_cannot_work_are_refused_without_showing_a_password() {
        let refused = |config: &RegistryConfig| Http::new(config).err().unwrap().to_string();
        assert!(refused(&RegistryConfig::new(" , ")).contains("has no URL"));
        assert!(refused(&RegistryConfig::new("registry:8081")).contains("begin it with http://"));
        assert!(refused(&RegistryConfig::new("http:///path")).contains("has no host"));
        let told = refused(&RegistryConfig::new("https://me:secret@host/path"));
        assert!(told.contains("https://..@host") && !told.contains("secret"), "{told}");
        let dir = tempfile::tempdir().unwrap();
        let (missing, empty) = (dir.path().join("missing.pem"), dir.path().join("empty.pem"));
        fs::write(&empty, "nothing").unwrap();
        let config = RegistryConfig::new("https://host");
        assert!(refused(&config.clone().ca_file(&missing)).contains("missing.pem"));
        assert!(refused(&config.clone().ca_file(&empty)).contains("has no certificate"));
        assert!(refused(&config.client_certificate(&empty, &empty)).contains("has no certificate"));
    }

    #[test]
    fn a_refusal_says_what_the_registry_says_and_what_to_do() {
        let answer = |status, body: &str| Answer {
            url: "http://r".into(),
            what: "registering a schema under subject `s`".into(),
            status,
            body: body.into(),
        };
        let told =
            refused(answer(409, r#"{"error_code":40901,"message":"field x has no default"}"#)).to_string();
        for part in ["http://r", "subject `s`", "409", "40901", "field x has no default", "next: change"] {
            assert!(told.contains(part), "{told}");
        }
        let page = refused(answer(404, "<html>\n not   found </html>")).to_string();
        assert!(page.contains("<html> not found </html>") && page.contains("/apis/ccompat/v7"), "{page}");
        assert!(shown(&"x".repeat(1000)).len() < 300);
    }
}
