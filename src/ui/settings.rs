//! Where the server listens, who may read there, and what counts as alive.
//!
//! Knows no server: a build without one has these settings too.

#![allow(clippy::disallowed_methods, reason = "the page is about real time, whatever clock the loop has")]

use crate::{
    config::{AdminAccess, Config},
    error::Error,
};
use std::{
    net::{IpAddr, Ipv4Addr},
    str::FromStr,
    time::Duration,
};

/// Where to listen, and what counts as alive.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Address to bind.
    pub bind: IpAddr,
    /// First port to try; 0 = any free one.
    pub port: u16,
    /// Who may read the page, the JSON and the metrics.
    pub access: AdminAccess,
    /// What strangers may take up.
    pub limits: Limits,
    /// The process counts as dead when its loop has not turned for this long.
    pub liveness: Duration,
    /// Milliseconds since the epoch: what the page takes as the current time.
    pub now_ms: fn() -> i64,
}

/// What those who connect may take up, so that nobody can keep the others away.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Open connections; one more takes the place of another one.
    pub connections: usize,
    /// Of these, connections from one address.
    pub connections_of_one_address: usize,
    /// Bytes of the head of a request: first line and headers.
    pub head_bytes: usize,
    /// How long a head may take, and a connection may be idle.
    pub head_time: Duration,
    /// How long an answer may take to begin; with it the form of the login, the only request with a body.
    pub answer_time: Duration,
    /// How long a handshake of TLS may take.
    pub handshake_time: Duration,
    /// How long a reader may take nothing of an answer.
    pub stall_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections: 256,
            connections_of_one_address: 64,
            head_bytes: 16 << 10,
            head_time: Duration::from_secs(20),
            answer_time: Duration::from_secs(10),
            handshake_time: Duration::from_secs(10),
            stall_time: Duration::from_secs(30),
        }
    }
}

impl Default for Settings {
    /// This machine only, port 4040; liveness longer than any single call to the log may wait for its answers.
    fn default() -> Self {
        Settings {
            bind: Ipv4Addr::LOCALHOST.into(),
            port: 4040,
            access: AdminAccess::default(),
            limits: Limits::default(),
            liveness: Duration::from_secs(180),
            now_ms,
        }
    }
}

impl Settings {
    /// Those of a program; `None` = it has no server.
    ///
    /// # Errors
    /// [`Error::Config`] if the address is none, or nothing says who may read there.
    pub fn of(config: &Config) -> Result<Option<Settings>, Error> {
        let Some(bind) = &config.admin_bind else { return Ok(None) };
        let settings: Settings = bind.parse()?;
        config.admin_access.validate(Some(bind))?;
        Ok(Some(Settings { access: config.admin_access.clone(), ..settings }))
    }
}

impl FromStr for Settings {
    type Err = Error;

    /// `IP:PORT`.
    fn from_str(bind: &str) -> Result<Self, Error> {
        let wrong =
            || Error::Config(format!("admin address `{bind}` is not IP:PORT, such as 127.0.0.1:4040"));
        let (ip, port) = bind.rsplit_once(':').ok_or_else(wrong)?;
        let bind: IpAddr = ip.trim_matches(['[', ']']).parse().map_err(|_| wrong())?;
        Ok(Settings { bind, port: port.parse().map_err(|_| wrong())?, ..Settings::default() })
    }
}

fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |t| i64::try_from(t.as_millis()).unwrap_or(i64::MAX))
}
