//! Records as bytes: many of them in one arena, as they come from a log and go to one.
//!
//! Owns the layout. Knows no codec and no log. Invariants: a chunk is immutable once built and cheap to share; a null key
//! or value is not an empty one; offsets within a fetched chunk rise.

use super::Offset;
use hipstr::HipByt;

const NULL: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Span {
    start: u32,
    len: u32,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    offset: u64,
    timestamp_ms: i64,
    key: Span,
    value: Span,
    headers: Span,
}

/// Any number of records whose bytes lie in one shared arena (at most 4 GiB).
#[derive(Clone, Debug, Default)]
pub struct RawChunk {
    arena: HipByt<'static>,
    rows: Vec<Row>,
    headers: Vec<(Span, Span)>,
}

/// One record of a chunk; borrows the arena.
#[derive(Clone, Copy, Debug)]
pub struct RawRecord<'a> {
    /// Offset in the partition it was read from; 0 in records that are to be sent.
    pub offset: Offset,
    /// Record timestamp, milliseconds since the epoch; -1 = none.
    pub timestamp_ms: i64,
    /// Key, if not null.
    pub key: Option<&'a [u8]>,
    /// Value, if not null.
    pub value: Option<&'a [u8]>,
    /// Headers, in order.
    pub headers: Headers<'a>,
}

/// The headers of one record.
#[derive(Clone, Copy, Debug)]
pub struct Headers<'a> {
    arena: &'a [u8],
    spans: &'a [(Span, Span)],
}

impl<'a> Headers<'a> {
    /// No headers.
    pub const NONE: Headers<'static> = Headers { arena: &[], spans: &[] };

    /// Name and value of each header; a value may be null.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&'a str, Option<&'a [u8]>)> + use<'a> {
        let arena = self.arena;
        self.spans.iter().map(move |(name, value)| {
            let name = bytes(arena, *name).unwrap_or_default();
            (std::str::from_utf8(name).unwrap_or("\u{fffd}"), bytes(arena, *value))
        })
    }

    /// Number of headers.
    #[must_use]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }
}

fn bytes(arena: &[u8], span: Span) -> Option<&[u8]> {
    (span.len != NULL).then(|| &arena[span.start as usize..(span.start + span.len) as usize])
}

impl RawChunk {
    /// Number of records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Bytes of keys, values and headers.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.arena.len()
    }

    /// The record at `index`.
    ///
    /// # Panics
    /// If there are fewer records.
    #[must_use]
    pub fn get(&self, index: usize) -> RawRecord<'_> {
        self.record(&self.rows[index])
    }

    /// All records in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = RawRecord<'_>> {
        self.rows.iter().map(|row| self.record(row))
    }

    /// The value of a record as a slice that shares the arena (inline when short); `None` = null.
    #[must_use]
    pub fn shared_value(&self, index: usize) -> Option<HipByt<'static>> {
        self.shared(self.rows[index].value)
    }

    /// The key of a record as a slice that shares the arena (inline when short); `None` = null.
    #[must_use]
    pub fn shared_key(&self, index: usize) -> Option<HipByt<'static>> {
        self.shared(self.rows[index].key)
    }

    fn shared(&self, span: Span) -> Option<HipByt<'static>> {
        (span.len != NULL).then(|| self.arena.slice(span.start as usize..(span.start + span.len) as usize))
    }

    /// Offset of the last record.
    #[must_use]
    pub fn last_offset(&self) -> Option<Offset> {
        self.rows.last().map(|r| Offset(r.offset))
    }

    fn record(&self, row: &Row) -> RawRecord<'_> {
        let headers =
            &self.headers[row.headers.start as usize..(row.headers.start + row.headers.len) as usize];
        RawRecord {
            offset: Offset(row.offset),
            timestamp_ms: row.timestamp_ms,
            key: bytes(&self.arena, row.key),
            value: bytes(&self.arena, row.value),
            headers: Headers { arena: &self.arena, spans: headers },
        }
    }
}

/// Fills an arena record by record.
#[derive(Debug, Default)]
pub struct RawChunkBuilder {
    arena: Vec<u8>,
    rows: Vec<Row>,
    headers: Vec<(Span, Span)>,
}

impl RawChunkBuilder {
    /// Room for `records` records of `bytes` bytes in all.
    #[must_use]
    pub fn with_capacity(records: usize, bytes: usize) -> Self {
        RawChunkBuilder {
            arena: Vec::with_capacity(bytes),
            rows: Vec::with_capacity(records),
            headers: vec![],
        }
    }

    /// Number of records so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no record yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Bytes so far.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.arena.len()
    }

    /// Appends a copy of a record.
    pub fn push(&mut self, record: RawRecord<'_>) {
        let key = self.copy(record.key);
        let value = self.copy(record.value);
        self.finish(record.offset, record.timestamp_ms, key, value);
        for (name, value) in record.headers.iter() {
            self.push_header(name, value);
        }
    }

    /// Appends a record without headers whose value is written straight into the arena; `value` returning `None` is a null.
    ///
    /// # Errors
    /// What `value` answers; nothing is appended then.
    pub fn push_with<E>(
        &mut self,
        timestamp_ms: i64,
        key: Option<&[u8]>,
        value: impl FnOnce(&mut Vec<u8>) -> std::result::Result<bool, E>,
    ) -> std::result::Result<(), E> {
        let before = self.arena.len();
        let key = self.copy(key);
        let start = self.arena.len();
        match value(&mut self.arena) {
            Ok(true) => {
                let value = Span { start: index(start), len: index(self.arena.len() - start) };
                self.finish(Offset(0), timestamp_ms, key, value);
                Ok(())
            }
            Ok(false) => {
                self.finish(Offset(0), timestamp_ms, key, Span { start: 0, len: NULL });
                Ok(())
            }
            Err(e) => {
                self.arena.truncate(before);
                Err(e)
            }
        }
    }

    /// Appends a header to the last record.
    ///
    /// # Panics
    /// If there is no record yet.
    pub fn push_header(&mut self, name: &str, value: Option<&[u8]>) {
        let name = self.copy(Some(name.as_bytes()));
        let value = self.copy(value);
        self.headers.push((name, value));
        self.rows.last_mut().expect("a header belongs to a record").headers.len += 1;
    }

    /// The finished chunk.
    #[must_use]
    pub fn build(self) -> RawChunk {
        RawChunk { arena: HipByt::from(self.arena), rows: self.rows, headers: self.headers }
    }

    fn copy(&mut self, bytes: Option<&[u8]>) -> Span {
        let Some(bytes) = bytes else { return Span { start: 0, len: NULL } };
        let start = self.arena.len();
        self.arena.extend_from_slice(bytes);
        Span { start: index(start), len: index(bytes.len()) }
    }

    fn finish(&mut self, offset: Offset, timestamp_ms: i64, key: Span, value: Span) {
        let headers = Span { start: index(self.headers.len()), len: 0 };
        self.rows.push(Row { offset: offset.0, timestamp_ms, key, value, headers });
    }
}

fn index(n: usize) -> u32 {
    u32::try_from(n).expect("a chunk is bounded far below 4 GiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nulls_empties_and_headers_come_back_as_they_went_in() {
        let mut b = RawChunkBuilder::default();
        b.push_with(7, None, |v| {
            Ok::<_, ()>({
                v.extend(b"x");
                true
            })
        })
        .unwrap();
        b.push_header("h", None);
        b.push_header("i", Some(b""));
        b.push_with(8, Some(b""), |_| Ok::<_, ()>(false)).unwrap();
        assert!(
            b.push_with(9, Some(b"gone"), |v| {
                v.extend(b"half");
                Err(())
            })
            .is_err()
        );
        let first = b.build();
        let mut again = RawChunkBuilder::default();
        first.iter().for_each(|r| again.push(r));
        for c in [&first, &again.build()] {
            assert_eq!((c.len(), c.bytes()), (2, 3));
            let (a, z) = (c.get(0), c.get(1));
            assert_eq!((a.timestamp_ms, a.key, a.value), (7, None, Some(&b"x"[..])));
            assert_eq!(a.headers.iter().collect::<Vec<_>>(), [("h", None), ("i", Some(&b""[..]))]);
            assert_eq!((z.timestamp_ms, z.key, z.value, z.headers.len()), (8, Some(&b""[..]), None, 0));
        }
    }
}
