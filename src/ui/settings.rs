//! Where the server listens, and what counts as alive.
//!
//! Knows no server: a build without one has these settings too.

#![allow(clippy::disallowed_methods, reason = "the page is about real time, whatever clock the loop has")]

use crate::error::Error;
use std::{
    net::{IpAddr, Ipv4Addr},
    str::FromStr,
    time::Duration,
};

/// Where to listen, and what counts as alive.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Address to bind.
    pub bind: IpAddr,
    /// First port to try; 0 = any free one.
    pub port: u16,
    /// The process counts as dead when its loop has not turned for this long.
    pub liveness: Duration,
    /// Milliseconds since the epoch: what the page takes as the current time.
    pub now_ms: fn() -> i64,
}

impl Default for Settings {
    /// This machine only, port 4040; liveness longer than any single call to the log may wait for its answers.
    fn default() -> Self {
        let liveness = Duration::from_secs(180);
        Settings { bind: Ipv4Addr::LOCALHOST.into(), port: 4040, liveness, now_ms }
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
