//! What stands between a program and the registry in tests: TLS, a demand for credentials, silence.
//!
//! Knows no schema. Invariant: one request per connection, so what it counts and refuses is what the registry would have got.

use crate::keys::Keys;
use openssl::ssl::{SslAcceptor, SslMethod, SslVerifyMode};
use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
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
        Self::start(to, Some(acceptor(keys, demands_certificate)), None)
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

fn acceptor(keys: &Keys, demands_certificate: bool) -> SslAcceptor {
    let mut tls = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls()).unwrap();
    tls.set_certificate_chain_file(keys.file("server.pem")).unwrap();
    tls.set_private_key_file(keys.file("server.key"), openssl::ssl::SslFiletype::PEM).unwrap();
    if demands_certificate {
        tls.set_ca_file(keys.authority()).unwrap();
        tls.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
    }
    tls.build()
}
