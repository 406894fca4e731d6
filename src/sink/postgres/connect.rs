//! Connections to Postgres.
//!
//! Owns the reading of an address and TLS. Knows no table. Invariants: no message contains a secret;
//! `verify-full` checks the certificate and the host's name.

use openssl::ssl::{SslConnector, SslMethod, SslVerifyMode};
use percent_encoding::percent_decode_str;
use postgres::{Client, Config, NoTls, config::SslMode};
use postgres_openssl::MakeTlsConnector;
use std::time::Duration;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The connection ends when what was sent is not acknowledged for this long.
const SILENCE: Duration = Duration::from_secs(30);

/// Where a database is.
#[derive(Debug)]
pub(super) struct Address {
    config: Config,
    verify: Verify,
    root_certificate: Option<String>,
}

/// What is checked about the server's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verify {
    Nothing,
    Certificate,
    CertificateAndHost,
}

impl Address {
    /// Reads a URL or `key=value` pairs. As in libpq, `require` with `sslrootcert` is `verify-ca`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (mut verify, mut root_certificate, mut wrong) = (Verify::Nothing, None, None);
        let mut ours = |setting: &str| -> Option<String> {
            let (key, value) = setting.split_once('=')?;
            match (key, value) {
                ("sslrootcert", path) => root_certificate = Some(decode(path.trim_matches('\''))),
                ("sslmode", "verify-ca") => verify = Verify::Certificate,
                ("sslmode", "verify-full") => verify = Verify::CertificateAndHost,
                ("sslmode", "disable" | "prefer" | "require") => return None,
                ("sslmode", other) => wrong = Some(format!("`sslmode={other}` is not known")),
                _ => return None,
            }
            Some(if key == "sslmode" { "sslmode=require".into() } else { String::new() })
        };
        let mut rewrite = |part: &str| ours(part).unwrap_or_else(|| part.to_owned());
        let plain = match text.split_once('?').filter(|(base, _)| base.contains("://")) {
            Some((base, query)) => {
                let parts: Vec<String> =
                    query.split('&').map(&mut rewrite).filter(|p| !p.is_empty()).collect();
                if parts.is_empty() { base.to_owned() } else { format!("{base}?{}", parts.join("&")) }
            }
            None if text.contains("://") => text.to_owned(),
            None => text.split(' ').map(rewrite).collect::<Vec<_>>().join(" "),
        };
        if let Some(wrong) = wrong {
            return Err(wrong);
        }
        let mut config: Config =
            plain.parse().map_err(|e| format!("the address of Postgres cannot be read: {e}"))?;
        config.connect_timeout(*config.get_connect_timeout().unwrap_or(&CONNECT_TIMEOUT));
        config.tcp_user_timeout(*config.get_tcp_user_timeout().unwrap_or(&SILENCE));
        if config.get_application_name().is_none() {
            config.application_name("tidegate");
        }
        if verify == Verify::Nothing && root_certificate.is_some() {
            verify = Verify::Certificate;
        }
        Ok(Address { config, verify, root_certificate })
    }

    /// Connects.
    pub fn connect(&self) -> Result<Client, postgres::Error> {
        if self.config.get_ssl_mode() == SslMode::Disable {
            return self.config.connect(NoTls);
        }
        self.config.connect(self.connector())
    }

    /// A certificate file that cannot be read is reported by `check`; here it makes the handshake fail.
    fn connector(&self) -> MakeTlsConnector {
        let mut builder = SslConnector::builder(SslMethod::tls()).expect("OpenSSL has TLS");
        if self.verify == Verify::Nothing {
            builder.set_verify(SslVerifyMode::NONE);
        }
        if let Some(path) = &self.root_certificate {
            let _ = builder.set_ca_file(path);
        }
        let mut connector = MakeTlsConnector::new(builder.build());
        let host = self.verify == Verify::CertificateAndHost;
        connector.set_callback(move |connection, _| {
            connection.set_verify_hostname(host);
            Ok(())
        });
        connector
    }

    /// Whether the certificate file can be read.
    pub fn check(&self) -> Result<(), String> {
        let Some(path) = &self.root_certificate else { return Ok(()) };
        std::fs::read(path).map(drop).map_err(|e| format!("the root certificate {path} cannot be read: {e}"))
    }

    /// The server and database, for messages.
    pub fn shown(&self) -> String {
        let host = |host: &postgres::config::Host| match host {
            postgres::config::Host::Tcp(name) => name.clone(),
            postgres::config::Host::Unix(path) => path.display().to_string(),
        };
        let hosts: Vec<String> = self.config.get_hosts().iter().map(host).collect();
        let ports: Vec<String> = self.config.get_ports().iter().map(u16::to_string).collect();
        let ports = if ports.is_empty() { "5432".to_owned() } else { ports.join(",") };
        format!("{}:{ports}/{}", hosts.join(","), self.config.get_dbname().unwrap_or_default())
    }
}

/// Resolves `%2F` and the like.
fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_libpq_does() {
        let read = |text: &str| Address::parse(text).unwrap();
        let full =
            read("postgres://u:p@h:1/db?sslmode=verify-full&sslrootcert=%2Fetc%2Fca.pem&application_name=x");
        assert_eq!(
            (full.verify, full.root_certificate.as_deref()),
            (Verify::CertificateAndHost, Some("/etc/ca.pem"))
        );
        assert_eq!(full.config.get_ssl_mode(), SslMode::Require);
        assert_eq!((full.shown().as_str(), full.config.get_application_name()), ("h:1/db", Some("x")));
        let pairs = read("host=h user=u dbname=db sslmode=require sslrootcert='/ca.pem'");
        assert_eq!((pairs.verify, pairs.root_certificate.as_deref()), (Verify::Certificate, Some("/ca.pem")));
        assert_eq!(pairs.shown(), "h:5432/db");
        let plain = read("postgresql://h/db");
        assert_eq!((plain.verify, plain.config.get_ssl_mode()), (Verify::Nothing, SslMode::Prefer));
    }
}
