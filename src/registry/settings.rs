//! Where the registry is, and how we show who we are.
//!
//! Knows no request. Invariant: no secret is ever shown, not even by `Debug`.

use std::{fmt, path::PathBuf, time::Duration};

/// The settings of a [`Registry`](super::Registry).
///
/// ```
/// use std::time::Duration;
/// use tidegate::registry::RegistryConfig;
/// let config = RegistryConfig::new("https://a.example:8081, https://b.example:8081")
///     .basic_auth("reader", "secret")
///     .ca_file("ca.pem")
///     .client_certificate("client.pem", "client.key")
///     .request_timeout(Duration::from_secs(5));
/// assert!(!format!("{config:?}").contains("secret"));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct RegistryConfig {
    pub(super) urls: Vec<String>,
    pub(super) auth: Auth,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) client: Option<(PathBuf, PathBuf)>,
    pub(super) request_timeout: Duration,
    pub(super) start_timeout: Duration,
}

#[derive(Clone, PartialEq, Eq)]
pub(super) enum Auth {
    None,
    Basic { user: String, password: String },
    Bearer(String),
}

impl RegistryConfig {
    /// A registry at one of these URLs, separated by commas, with the path of Confluent's protocol if it has one
    /// (`http://registry:8080/apis/ccompat/v7` for Apicurio). The next one is asked when one does not answer.
    pub fn new(urls: &str) -> Self {
        let urls = urls.split(',').map(|url| url.trim().trim_end_matches('/').to_owned());
        RegistryConfig {
            urls: urls.filter(|url| !url.is_empty()).collect(),
            auth: Auth::None,
            ca_file: None,
            client: None,
            request_timeout: Duration::from_secs(10),
            start_timeout: Duration::from_secs(30),
        }
    }

    /// Sends this user name and password with each request.
    pub fn basic_auth(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.auth = Auth::Basic { user: user.into(), password: password.into() };
        self
    }

    /// Sends this token with each request.
    ///
    /// ```
    /// use tidegate::registry::RegistryConfig;
    /// let config = RegistryConfig::new("https://registry.example").bearer_token("secret");
    /// assert!(!format!("{config:?}").contains("secret"));
    /// ```
    pub fn bearer_token(mut self, token: impl Into<String>) -> Self {
        self.auth = Auth::Bearer(token.into());
        self
    }

    /// Trusts the authorities in this file (PEM) instead of those of the system.
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.ca_file = Some(path.into());
        self
    }

    /// Shows this certificate (PEM, with those of the authorities in between) to the server; the key is in PKCS#8, without a
    /// passphrase (PEM, `BEGIN PRIVATE KEY`).
    pub fn client_certificate(mut self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.client = Some((certificate.into(), key.into()));
        self
    }

    /// How long one server may take for one request; default: 10 s.
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// How long a start waits for a server that answers; default: 30 s, as for Kafka.
    pub fn start_timeout(mut self, timeout: Duration) -> Self {
        self.start_timeout = timeout;
        self
    }
}

impl fmt::Debug for RegistryConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let auth = match &self.auth {
            Auth::None => "none",
            Auth::Basic { .. } => "basic, not shown",
            Auth::Bearer(_) => "bearer, not shown",
        };
        f.debug_struct("RegistryConfig")
            .field("urls", &self.urls)
            .field("auth", &auth)
            .field("ca_file", &self.ca_file)
            .field("client", &self.client)
            .field("request_timeout", &self.request_timeout)
            .field("start_timeout", &self.start_timeout)
            .finish()
    }
}
