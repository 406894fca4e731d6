//! Lines of text from a TCP server, such as `nc -lk`.
//!
//! Owns one connection. Knows no stream. Invariants: it connects out, and again when the connection ends; `\n` and
//! `\r\n` end a line; an unterminated last line is kept until the connection ends, then stored; bytes that are not
//! UTF-8 become the replacement character.

use super::receiver::{Receiver, ReceiverContext, ReceiverError};
use crate::record::Text;
use std::{
    io::{BufRead, BufReader, ErrorKind, Read},
    net::{TcpStream, ToSocketAddrs},
    time::Duration,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How soon a silent connection notices that the program is ending.
const READ_TIMEOUT: Duration = Duration::from_millis(100);
/// A line longer than this, in bytes, is cut here.
const LINE_BYTES_MAX: u64 = 8 << 20;

/// Receives lines from `host:port`.
#[derive(Clone, Debug)]
pub struct SocketReceiver {
    host: String,
    port: u16,
}

impl SocketReceiver {
    /// A receiver that connects to `host:port` when it runs.
    #[must_use]
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        SocketReceiver { host: host.into(), port }
    }

    fn connect(&self) -> Result<TcpStream, ReceiverError> {
        let place = (self.host.as_str(), self.port);
        let failed = |e: std::io::Error| format!("cannot connect to {}:{}: {e}", self.host, self.port);
        let mut last = None;
        for address in place.to_socket_addrs().map_err(failed)? {
            match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
                Ok(stream) => {
                    stream.set_read_timeout(Some(READ_TIMEOUT)).map_err(failed)?;
                    return Ok(stream);
                }
                Err(e) => last = Some(e),
            }
        }
        let none = || std::io::Error::new(ErrorKind::NotFound, "the name has no address");
        Err(failed(last.unwrap_or_else(none)).into())
    }
}

impl Receiver<Text> for SocketReceiver {
    fn receive(&mut self, to: &ReceiverContext<Text>) -> Result<(), ReceiverError> {
        let mut reader = BufReader::with_capacity(64 << 10, self.connect()?);
        to.connected();
        let (mut line, mut ready) = (vec![], vec![]);
        while !to.is_stopped() {
            let room = LINE_BYTES_MAX.saturating_sub(line.len() as u64);
            match reader.by_ref().take(room).read_until(b'\n', &mut line) {
                Ok(0) if room > 0 => {
                    ready.extend((!line.is_empty()).then(|| text(&mut line)));
                    to.store_many(ready)?;
                    return to.restart(format!("{}:{} closed the connection", self.host, self.port));
                }
                Ok(_) if line.ends_with(b"\n") => ready.push(text(&mut line)),
                Ok(_) if line.len() as u64 >= LINE_BYTES_MAX => {
                    to.report_error(&format!(
                        "a line of more than {LINE_BYTES_MAX} bytes is cut into several"
                    ));
                    ready.push(text(&mut line));
                }
                Ok(_) => {} // the connection ended inside a line
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return to.restart(format!("reading from {}:{}: {e}", self.host, self.port)),
            }
            if !reader.buffer().contains(&b'\n') {
                to.store_many(std::mem::take(&mut ready))?;
            }
        }
        Ok(())
    }
}

/// The line without its line ending; leaves the buffer empty.
fn text(line: &mut Vec<u8>) -> Text {
    let end = line.strip_suffix(b"\n").map_or(&line[..], |l| l.strip_suffix(b"\r").unwrap_or(l));
    let text = Text::from(String::from_utf8_lossy(end).as_ref());
    line.clear();
    text
}
