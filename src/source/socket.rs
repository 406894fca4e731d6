//! Lines of text from a TCP server, such as `nc -lk`.
//!
//! Owns one connection. Knows no stream. Invariants: it connects out, and again when the connection ends; `\n` and
//! `\r\n` end a line; an unterminated last line is kept until the connection ends, then stored; a line that is longer than
//! a record may be becomes several, cut between characters; bytes that are not UTF-8 become the replacement character.

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
/// A line longer than this, in bytes, is cut: a record of this size fits into a topic with Kafka's default settings.
const LINE_BYTES_MAX: usize = 960 << 10;

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
            let room = LINE_BYTES_MAX.saturating_sub(line.len());
            match reader.by_ref().take(room as u64).read_until(b'\n', &mut line) {
                Ok(0) if room > 0 => {
                    let end = line.len();
                    push(&mut line, end, &mut ready);
                    to.store_many(ready)?;
                    return to.restart(format!("{}:{} closed the connection", self.host, self.port));
                }
                Ok(_) if line.ends_with(b"\n") => {
                    let end = line.len();
                    push(&mut line, end, &mut ready);
                }
                Ok(_) if line.len() >= LINE_BYTES_MAX => {
                    let what = format!("a line of more than {LINE_BYTES_MAX} bytes is cut into several");
                    tracing::warn!("{}:{}: {what}", self.host, self.port);
                    to.report_error(&what);
                    let end = whole_characters(&line);
                    push(&mut line, end, &mut ready);
                    to.store_many(std::mem::take(&mut ready))?; // a line without an end fills no memory
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

/// Moves the first `end` bytes of a line, without their line ending, to `ready`.
fn push(line: &mut Vec<u8>, end: usize, ready: &mut Vec<Text>) {
    let part = &line[..end];
    let part = part.strip_suffix(b"\n").map_or(part, |l| l.strip_suffix(b"\r").unwrap_or(l));
    if end > 0 {
        let text = String::from_utf8_lossy(part);
        let mut rest = text.as_ref();
        while rest.len() > LINE_BYTES_MAX {
            // Replacement characters are longer than what they replace.
            let (piece, more) = rest.split_at(rest.floor_char_boundary(LINE_BYTES_MAX));
            ready.push(Text::from(piece));
            rest = more;
        }
        ready.push(Text::from(rest));
    }
    line.drain(..end);
}

/// How many of these bytes do not end inside a character.
fn whole_characters(bytes: &[u8]) -> usize {
    let is_start = |byte: &u8| byte & 0b1100_0000 != 0b1000_0000;
    let last = bytes.iter().rposition(is_start).unwrap_or_default();
    let length = bytes.get(last).map_or(1, |first| first.leading_ones().max(1) as usize);
    if last > 0 && bytes.len() - last < length && length <= 4 { last } else { bytes.len() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_between_characters() {
        let text = "aé€😀";
        for (cut, whole) in [(1, 1), (2, 1), (3, 3), (4, 3), (5, 3), (6, 6), (7, 6), (9, 6), (10, 10)] {
            assert_eq!(whole_characters(&text.as_bytes()[..cut]), whole, "{cut}");
        }
        assert_eq!(
            [whole_characters(b""), whole_characters(b"\x80\x80"), whole_characters(b"a\xff")],
            [0, 2, 2]
        );
        let (mut line, mut ready) = (vec![0xff; LINE_BYTES_MAX], vec![]);
        let end = line.len();
        push(&mut line, end, &mut ready);
        assert!(line.is_empty() && ready.len() == 3 && ready.iter().all(|text| text.len() <= LINE_BYTES_MAX));
        assert_eq!(ready.iter().map(|text| text.len()).sum::<usize>(), 3 * LINE_BYTES_MAX);
    }
}
