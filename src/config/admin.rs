//! Who may read the streaming page, the JSON and the metrics of a process.
//!
//! Owns these settings, and which of them an address needs. Knows no server. Invariants: an address that other machines reach is refused
//! unless something says who may read there; a token is never shown, not even by `Debug`.

use crate::error::{Error, Result};
use std::{
    fmt,
    net::IpAddr,
    path::{Path, PathBuf},
};

/// A shorter token could be guessed.
const TOKEN_MIN: usize = 16;
/// A longer one does not fit into the head of a request beside everything else.
const TOKEN_MAX: usize = 512;
const MAKE_ONE: &str = "make one: openssl rand -hex 32";

/// What a caller has to show for the page, the JSON and the metrics.
///
/// ```
/// use tidegate::Config;
/// let mut config = Config::new("orders", "broker:9092");
/// config.admin_bind = Some("0.0.0.0:4040".into());
/// let refused = config.validate().unwrap_err().to_string();
/// assert!(refused.contains("--admin-token-file"), "{refused}");
/// config.admin_access.token.admin_token = Some("0123456789abcdef0123456789abcdef".into());
/// config.validate()?;
/// assert!(!format!("{config:?}").contains("0123456789abcdef"));
/// # Ok::<(), tidegate::Error>(())
/// ```
#[derive(Clone, Debug, Default, clap::Args)]
pub struct AdminAccess {
    /// The token that a caller shows, if there is one.
    #[command(flatten)]
    pub token: AdminToken,
    /// Certificate of this process (PEM, with those of the authorities in between): the page, metrics and health are served over TLS
    #[arg(long, env = "TIDEGATE_ADMIN_CERTIFICATE_FILE", value_name = "FILE")]
    pub admin_certificate_file: Option<PathBuf>,
    /// Its private key (PEM, without a passphrase)
    #[arg(long, env = "TIDEGATE_ADMIN_KEY_FILE", value_name = "FILE")]
    pub admin_key_file: Option<PathBuf>,
    /// Authorities (PEM): who shows a certificate of theirs may read the page, the JSON and the metrics
    #[arg(long, env = "TIDEGATE_ADMIN_CLIENT_CA_FILE", value_name = "FILE")]
    pub admin_client_ca_file: Option<PathBuf>,
    /// Answer /metrics without a token or a certificate
    #[arg(long, env = "TIDEGATE_ADMIN_OPEN_METRICS")]
    pub admin_open_metrics: bool,
    /// Let everybody who reaches the address read the page, the JSON and the metrics
    #[arg(long, env = "TIDEGATE_ADMIN_INSECURE")]
    pub admin_insecure: bool,
}

/// A token, or the file that it is in.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct AdminToken {
    /// File with the token that the page, the JSON and the metrics ask for; in the environment `TIDEGATE_ADMIN_TOKEN` is the token itself
    #[arg(long, env = "TIDEGATE_ADMIN_TOKEN_FILE", value_name = "FILE")]
    pub admin_token_file: Option<PathBuf>,
    /// The token itself, for the environment: other users of the machine see command lines
    #[arg(long, hide = true, env = "TIDEGATE_ADMIN_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub admin_token: Option<Token>,
}

/// A secret text, which nothing shows.
#[derive(Clone)]
pub struct Token(String);

impl From<&str> for Token {
    fn from(text: &str) -> Self {
        Token(text.to_owned())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(not shown)")
    }
}

impl Token {
    /// The text, for what compares or sends it.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }

    /// # Errors
    /// If it cannot be in the head of a request, or could be guessed; `place` says where it is from.
    fn checked(self, place: &str) -> Result<Token> {
        let why = match self.0.len() {
            0 => "is empty".to_owned(),
            length if length < TOKEN_MIN => format!("has {length} characters, and needs {TOKEN_MIN}"),
            length if length > TOKEN_MAX => format!("has {length} characters, and may have {TOKEN_MAX}"),
            _ if !self.0.bytes().all(|byte| byte.is_ascii_graphic()) => {
                "has characters other than letters, digits and punctuation of ASCII".to_owned()
            }
            _ => return Ok(self),
        };
        Err(Error::Config(format!("the token {place} {why}\n  next: {MAKE_ONE}")))
    }
}

impl AdminToken {
    /// The token, read from its file if it is in one; white space at its ends does not belong to it.
    ///
    /// # Errors
    /// [`Error::Config`] if the file cannot be read, the token could be guessed, or there are two.
    pub fn read(&self) -> Result<Option<Token>> {
        match (&self.admin_token_file, &self.admin_token) {
            (None, None) => Ok(None),
            (None, Some(token)) => Token::from(token.0.trim()).checked("in TIDEGATE_ADMIN_TOKEN").map(Some),
            (Some(file), None) => read(file).map(Some),
            (Some(file), Some(_)) => Err(Error::Config(format!(
                "there are two tokens: TIDEGATE_ADMIN_TOKEN, and the one in {}\n  next: leave one of them out",
                file.display()
            ))),
        }
    }

    fn is_set(&self) -> bool {
        self.admin_token_file.is_some() || self.admin_token.is_some()
    }

    /// As a person may see it.
    pub(super) fn shown(&self) -> String {
        match (&self.admin_token_file, &self.admin_token) {
            (Some(file), _) => file.display().to_string(),
            (None, Some(_)) => "TIDEGATE_ADMIN_TOKEN (not shown)".into(),
            (None, None) => "none".into(),
        }
    }
}

fn read(file: &Path) -> Result<Token> {
    let text = std::fs::read_to_string(file).map_err(|e| {
        Error::Config(format!(
            "the file {} with the token cannot be read: {e}\n  next: correct --admin-token-file, or the rights of the file",
            file.display()
        ))
    })?;
    Token::from(text.trim()).checked(&format!("in {}", file.display()))
}

impl AdminAccess {
    /// Whether these settings fit each other and the address `bind`; `None` = there is no server.
    ///
    /// # Errors
    /// [`Error::Config`] with what is missing, or contradicts something else.
    pub(crate) fn validate(&self, bind: Option<&str>) -> Result {
        let Some(bind) = bind else { return Ok(()) };
        let contradicts = |what: &str, next: &str| Err(Error::Config(format!("{what}\n  next: {next}")));
        if self.admin_certificate_file.is_some() != self.admin_key_file.is_some() {
            return contradicts(
                "--admin-certificate-file and --admin-key-file belong together, and one is missing",
                "set both, or none",
            );
        }
        if self.admin_client_ca_file.is_some() && self.admin_certificate_file.is_none() {
            return contradicts(
                "--admin-client-ca-file asks callers for certificates, but the page is not served over TLS",
                "set --admin-certificate-file and --admin-key-file, too",
            );
        }
        if self.admin_insecure && self.is_guarded() {
            return contradicts(
                "--admin-insecure lets everybody read, but there is a token, or authorities for certificates",
                "leave out one or the other",
            );
        }
        self.token.read()?;
        let ip = bind.rsplit_once(':').and_then(|(ip, _)| ip.trim_matches(['[', ']']).parse::<IpAddr>().ok());
        match ip {
            Some(ip) if !ip.is_loopback() && !self.is_guarded() && !self.admin_insecure => {
                Err(Error::Config(format!(
                    "the page, the JSON and the metrics would be at {bind}, where other machines reach them, and nothing says who may read them\n  next: set a token (--admin-token-file FILE, or TIDEGATE_ADMIN_TOKEN), or ask for certificates (--admin-client-ca-file FILE), or serve this machine only (--admin-bind 127.0.0.1:4040), or let everybody read (--admin-insecure)"
                )))
            }
            _ => Ok(()),
        }
    }

    /// Whether a caller has to show something.
    fn is_guarded(&self) -> bool {
        self.token.is_set() || self.admin_client_ca_file.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "0123456789abcdef";

    fn with_token(token: &str) -> AdminAccess {
        let token = AdminToken { admin_token: Some(token.into()), ..AdminToken::default() };
        AdminAccess { token, ..AdminAccess::default() }
    }

    fn told(access: &AdminAccess, bind: &str) -> String {
        access.validate(Some(bind)).unwrap_err().to_string()
    }

    #[test]
    fn an_address_that_others_reach_needs_a_word_on_who_may_read() {
        let open = AdminAccess::default();
        for here in ["127.0.0.1:4040", "[::1]:4040", "127.9.9.9:0", "localhost"] {
            open.validate(Some(here)).unwrap(); // what is no address is refused elsewhere
        }
        open.validate(None).unwrap();
        for elsewhere in ["0.0.0.0:4040", "[::]:4040", "192.0.2.1:0", "[::ffff:192.0.2.1]:1"] {
            let told = told(&open, elsewhere);
            for part in [
                elsewhere,
                "--admin-token-file",
                "TIDEGATE_ADMIN_TOKEN",
                "--admin-client-ca-file",
                "--admin-insecure",
            ] {
                assert!(told.contains(part), "{part}: {told}");
            }
            with_token(GOOD).validate(Some(elsewhere)).unwrap();
            AdminAccess { admin_insecure: true, ..AdminAccess::default() }.validate(Some(elsewhere)).unwrap();
            let tls = AdminAccess {
                admin_certificate_file: Some("c".into()),
                admin_key_file: Some("k".into()),
                ..AdminAccess::default()
            };
            assert!(
                tls.validate(Some(elsewhere)).is_err(),
                "a certificate of ours says nothing about callers"
            );
            AdminAccess { admin_client_ca_file: Some("a".into()), ..tls }.validate(Some(elsewhere)).unwrap();
        }
    }

    #[test]
    fn a_token_that_could_be_guessed_or_sent_by_nobody_is_refused_without_being_shown() {
        for (token, part) in [
            ("", "is empty"),
            ("canary-0123", "has 11 characters, and needs 16"),
            ("canary canary canary", "characters other than"),
            ("canary-canary-canäry", "characters other than"),
            ("canary".repeat(100).as_str(), "may have 512"),
        ] {
            let told = told(&with_token(token), "127.0.0.1:0");
            assert!(told.contains(part) && told.contains("openssl rand"), "{told}");
            assert!(!told.contains("canary"), "{told}");
        }
        assert_eq!(format!("{:?}", with_token(GOOD).token.admin_token), "Some((not shown))");
        assert_eq!(with_token(GOOD).token.shown(), "TIDEGATE_ADMIN_TOKEN (not shown)");
    }

    #[test]
    fn a_token_is_read_from_its_file_without_the_newline() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        std::fs::write(&file, format!("{GOOD}\n")).unwrap();
        let mut token = AdminToken { admin_token_file: Some(file.clone()), ..AdminToken::default() };
        assert_eq!(token.read().unwrap().unwrap().reveal(), GOOD);
        assert_eq!(token.shown(), file.display().to_string());
        token.admin_token = Some(GOOD.into());
        assert!(token.read().unwrap_err().to_string().contains("there are two tokens"));
        token = AdminToken { admin_token_file: Some(dir.path().join("missing")), ..AdminToken::default() };
        let told = token.read().unwrap_err().to_string();
        assert!(told.contains("missing") && told.contains("--admin-token-file"), "{told}");
    }

    #[test]
    fn settings_that_contradict_each_other_are_refused() {
        let half = AdminAccess { admin_key_file: Some("k".into()), ..AdminAccess::default() };
        assert!(told(&half, "127.0.0.1:0").contains("belong together"));
        let plain = AdminAccess { admin_client_ca_file: Some("a".into()), ..AdminAccess::default() };
        assert!(told(&plain, "127.0.0.1:0").contains("not served over TLS"));
        let both = AdminAccess { admin_insecure: true, ..with_token(GOOD) };
        assert!(told(&both, "0.0.0.0:0").contains("lets everybody read, but there is a token"));
    }
}
