//! TLS of the status page, with certificates of callers if they are asked for.
//!
//! Owns which versions and ciphers are spoken. Knows no token. Invariants: nothing below TLS 1.2; a certificate that does not verify ends
//! the connection, and one that is not shown leaves the caller unknown, so that probes, which have none, get their answer.

use crate::{
    config::AdminAccess,
    error::{Error, Result},
    ui::access::Certified,
};
use openssl::{
    error::ErrorStack,
    pkey::PKey,
    ssl::{Ssl, SslAcceptor, SslMethod, SslOptions, SslSessionCacheMode, SslVerifyMode},
    x509::X509VerifyResult,
};
use std::{io, path::Path, pin::Pin};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_openssl::SslStream;

pub struct Tls(SslAcceptor);

impl Tls {
    /// `None` = the page is not served over TLS.
    ///
    /// # Errors
    /// [`Error::Config`] with the file that cannot be read, or that does not fit.
    pub fn of(access: &AdminAccess) -> Result<Option<Tls>> {
        let (Some(certificate), Some(key)) = (&access.admin_certificate_file, &access.admin_key_file) else {
            return Ok(None);
        };
        let mut tls = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())
            .map_err(|e| Error::Config(format!("TLS of the page: {e}")))?;
        read(certificate, "--admin-certificate-file", tls.set_certificate_chain_file(certificate))?;
        let pem = std::fs::read(key).unwrap_or_default(); // why it cannot be read is said by `read`
        // An empty passphrase is wrong for each key that has one; without it, the terminal would be asked.
        let private = read(key, "--admin-key-file", PKey::private_key_from_pem_passphrase(&pem, b""))?;
        read(key, "--admin-key-file", tls.set_private_key(&private))?;
        read(key, "--admin-key-file, which is not the key of the certificate", tls.check_private_key())?;
        if let Some(authorities) = &access.admin_client_ca_file {
            read(authorities, "--admin-client-ca-file", tls.set_ca_file(authorities))?;
            tls.set_verify(SslVerifyMode::PEER);
        }
        // Each connection is verified by itself; there are few of them.
        tls.set_session_cache_mode(SslSessionCacheMode::OFF);
        tls.set_options(SslOptions::NO_TICKET);
        Ok(Some(Tls(tls.build())))
    }

    /// The encrypted stream, and whether the caller has shown a certificate.
    ///
    /// # Errors
    /// What went wrong in the handshake.
    pub async fn accept<S>(&self, stream: S) -> io::Result<(SslStream<S>, Certified)>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut stream = SslStream::new(Ssl::new(self.0.context())?, stream)?;
        Pin::new(&mut stream).accept().await.map_err(io::Error::other)?;
        let tls = stream.ssl();
        let certified = tls.peer_certificate().is_some() && tls.verify_result() == X509VerifyResult::OK;
        Ok((stream, Certified(certified)))
    }
}

fn read<T>(file: &Path, flag: &str, tried: Result<T, ErrorStack>) -> Result<T> {
    // The library says of a file that is not there only that something is wrong.
    let missing = std::fs::File::open(file).err().map(|e| e.to_string());
    tried.map_err(|e| {
        let why = missing.unwrap_or_else(|| reasons(&e));
        Error::Config(format!(
            "{} cannot be used for TLS of the page: {why}\n  next: correct {flag}; it must be PEM, and a key without a passphrase",
            file.display()
        ))
    })
}

fn reasons(error: &ErrorStack) -> String {
    let reasons: Vec<&str> = error.errors().iter().filter_map(openssl::error::Error::reason).collect();
    if reasons.is_empty() { "the file has another form".into() } else { reasons.join("; ") }
}
