//! What stands between a program and the registry in tests: TLS, a demand for credentials, silence.
//!
//! Knows no schema. Invariant: one request per connection, so what it counts and refuses is what the registry would have got.

use openssl::{
    asn1::Asn1Time,
    bn::BigNum,
    ec::{EcGroup, EcKey},
    hash::MessageDigest,
    nid::Nid,
    pkey::{PKey, Private},
    ssl::{SslAcceptor, SslMethod, SslVerifyMode},
    x509::{
        X509, X509NameBuilder,
        extension::{BasicConstraints, SubjectAlternativeName},
    },
};
use std::{
    fs,
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

/// What is done with a request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Pass,
    /// The connection is closed without an answer.
    Away,
    /// The answer is this status.
    Answer(u16),
}

pub struct Proxy {
    at: SocketAddr,
    is_tls: bool,
    state: Arc<State>,
}

struct State {
    to: SocketAddr,
    mode: Mutex<Mode>,
    /// The first line of each request that came.
    requests: Mutex<Vec<String>>,
    authorization: Option<String>,
}

impl Proxy {
    pub fn new(to: SocketAddr) -> Proxy {
        Self::start(to, None, None)
    }

    /// Demands this header `Authorization`.
    pub fn demanding(to: SocketAddr, authorization: &str) -> Proxy {
        Self::start(to, None, Some(authorization.into()))
    }

    /// Speaks TLS; with `demands_certificate`, only to clients that show one of the same authority.
    pub fn with_tls(to: SocketAddr, keys: &Keys, demands_certificate: bool) -> Proxy {
        Self::start(to, Some(keys.acceptor(demands_certificate)), None)
    }

    fn start(to: SocketAddr, tls: Option<SslAcceptor>, authorization: Option<String>) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (mode, requests) = (Mutex::new(Mode::Pass), Mutex::default());
        let state = Arc::new(State { to, mode, requests, authorization });
        let proxy = Proxy { at: listener.local_addr().unwrap(), is_tls: tls.is_some(), state: state.clone() };
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (state, tls) = (state.clone(), tls.clone());
                thread::spawn(move || {
                    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
                    match tls {
                        None => state.serve(stream),
                        Some(tls) => {
                            tls.accept(stream).map_err(io::Error::other).and_then(|s| state.serve(s))
                        }
                    }
                });
            }
        });
        proxy
    }

    pub fn url(&self) -> String {
        let scheme = if self.is_tls { "https" } else { "http" };
        format!("{scheme}://localhost:{}{}", self.at.port(), crate::server::PATH)
    }

    pub fn set(&self, mode: Mode) {
        *self.state.mode.lock().unwrap() = mode;
    }

    /// How many requests came whose first line has this in it.
    pub fn requests(&self, part: &str) -> usize {
        self.state.requests.lock().unwrap().iter().filter(|line| line.contains(part)).count()
    }
}

impl State {
    fn serve(&self, mut client: impl Read + Write) -> io::Result<()> {
        let (mut head, mut byte) = (vec![], [0]);
        while !head.ends_with(b"\r\n\r\n") {
            client.read_exact(&mut byte)?;
            head.extend(byte);
        }
        let head = String::from_utf8(head).map_err(io::Error::other)?;
        let field = |name: &str| {
            head.lines().find_map(|line| {
                line.split_once(':')
                    .filter(|(n, _)| n.eq_ignore_ascii_case(name))
                    .map(|(_, v)| v.trim().to_owned())
            })
        };
        let mut body = vec![0; field("content-length").map_or(0, |n| n.parse().unwrap())];
        client.read_exact(&mut body)?;
        self.requests.lock().unwrap().push(head.lines().next().unwrap_or_default().to_owned());
        let mode = *self.mode.lock().unwrap();
        let refusal = match mode {
            Mode::Away => return Ok(()),
            Mode::Answer(status) => Some((status, "not now")),
            Mode::Pass if self.authorization.is_some() && self.authorization != field("authorization") => {
                Some((401, "who are you?"))
            }
            Mode::Pass => None,
        };
        if let Some((status, message)) = refusal {
            let text = format!("{{\"error_code\":{status},\"message\":\"{message}\"}}");
            return write!(
                client,
                "HTTP/1.1 {status} No\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
                text.len()
            );
        }
        let mut server = TcpStream::connect(self.to)?;
        for line in
            head.lines().filter(|line| !line.is_empty() && !line.to_lowercase().starts_with("connection:"))
        {
            write!(server, "{line}\r\n")?;
        }
        write!(server, "Connection: close\r\n\r\n")?;
        server.write_all(&body)?;
        io::copy(&mut server, &mut client)?;
        client.flush()
    }
}

/// An authority, a server's and a client's certificate, in files.
pub struct Keys {
    dir: tempfile::TempDir,
}

impl Keys {
    pub fn new() -> Keys {
        let keys = Keys { dir: tempfile::tempdir().unwrap() };
        let (ca, ca_key) = certificate("an authority", None);
        fs::write(keys.authority(), ca.to_pem().unwrap()).unwrap();
        for name in ["server", "client"] {
            let (of, key) = certificate(name, Some((&ca, &ca_key)));
            fs::write(keys.file(&format!("{name}.pem")), of.to_pem().unwrap()).unwrap();
            fs::write(keys.file(&format!("{name}.key")), key.private_key_to_pem_pkcs8().unwrap()).unwrap();
        }
        keys
    }

    fn file(&self, name: &str) -> PathBuf {
        Path::new(self.dir.path()).join(name)
    }

    pub fn authority(&self) -> PathBuf {
        self.file("ca.pem")
    }

    pub fn client(&self) -> (PathBuf, PathBuf) {
        (self.file("client.pem"), self.file("client.key"))
    }

    fn acceptor(&self, demands_certificate: bool) -> SslAcceptor {
        let mut tls = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls()).unwrap();
        tls.set_certificate_chain_file(self.file("server.pem")).unwrap();
        tls.set_private_key_file(self.file("server.key"), openssl::ssl::SslFiletype::PEM).unwrap();
        if demands_certificate {
            tls.set_ca_file(self.authority()).unwrap();
            tls.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
        }
        tls.build()
    }
}

fn certificate(name: &str, issuer: Option<(&X509, &PKey<Private>)>) -> (X509, PKey<Private>) {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
    let mut subject = X509NameBuilder::new().unwrap();
    subject.append_entry_by_nid(Nid::COMMONNAME, name).unwrap();
    let subject = subject.build();
    let mut of = X509::builder().unwrap();
    of.set_version(2).unwrap();
    of.set_serial_number(
        &BigNum::from_u32(u32::from(name.as_bytes()[0])).unwrap().to_asn1_integer().unwrap(),
    )
    .unwrap();
    of.set_subject_name(&subject).unwrap();
    of.set_issuer_name(issuer.map_or(&*subject, |(ca, _)| ca.subject_name())).unwrap();
    of.set_not_before(&Asn1Time::from_unix(0).unwrap()).unwrap();
    of.set_not_after(&Asn1Time::days_from_now(2).unwrap()).unwrap();
    of.set_pubkey(&key).unwrap();
    if issuer.is_none() {
        of.append_extension(BasicConstraints::new().critical().ca().build().unwrap()).unwrap();
    } else {
        let names =
            SubjectAlternativeName::new().dns("localhost").build(&of.x509v3_context(None, None)).unwrap();
        of.append_extension(names).unwrap();
    }
    of.sign(issuer.map_or(&key, |(_, ca)| ca), MessageDigest::sha256()).unwrap();
    (of.build(), key)
}
