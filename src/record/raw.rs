//! Records as bytes: many of them in one arena, as they come from a log and go to one.
//!
//! Owns the layout. Knows no codec and no log. Invariants: a chunk is immutable once built and cheap to share; a null key
//! or value is not an empty one; offsets within a fetched chunk rise.

use super::{Offset, Size, TopicPartition};
use hipstr::HipByt;
use std::ops::Range;

const NULL: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Span {
    start: u32,
    len: u32,
}

impl Span {
    fn back_by(self, by: u32) -> Span {
        if self.len == NULL { self } else { Span { start: self.start - by, len: self.len } }
    }
}

/// The part of an arena that a set of spans covers.
struct Bounds {
    low: u32,
    high: u32,
}

impl Bounds {
    fn cover(&mut self, spans: [Span; 2]) {
        for span in spans.into_iter().filter(|s| s.len != NULL) {
            self.low = self.low.min(span.start);
            self.high = self.high.max(span.start + span.len);
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Row {
    offset: u64,
    timestamp_ms: i64,
    key: Span,
    value: Span,
    headers: Span,
}

/// Any number of records whose bytes are in one shared arena (at most 4 GiB).
#[derive(Clone, Debug, Default)]
pub struct RawChunk {
    arena: HipByt<'static>,
    rows: Vec<Row>,
    headers: Vec<(Span, Span)>,
    origin: Option<TopicPartition>,
}

/// One record of a chunk; borrows the arena.
#[derive(Clone, Copy, Debug)]
pub struct RawRecord<'a> {
    /// Offset in the partition that it was read from; 0 for records that are to be sent.
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

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }
}

fn bytes(arena: &[u8], span: Span) -> Option<&[u8]> {
    (span.len != NULL).then(|| &arena[span.start as usize..(span.start + span.len) as usize])
}

/// The least and the greatest timestamp of a set of records, in milliseconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timestamps {
    /// The least.
    pub least_ms: i64,
    /// The greatest.
    pub greatest_ms: i64,
}

impl Timestamps {
    /// The least and the greatest of both sets together.
    ///
    /// ```
    /// use tidegate::record::Timestamps;
    /// let early = Timestamps { least_ms: 1, greatest_ms: 5 };
    /// let late = Timestamps { least_ms: 3, greatest_ms: 9 };
    /// assert_eq!(early.and(late), Timestamps { least_ms: 1, greatest_ms: 9 });
    /// ```
    #[must_use]
    pub fn and(self, other: Timestamps) -> Timestamps {
        Timestamps {
            least_ms: self.least_ms.min(other.least_ms),
            greatest_ms: self.greatest_ms.max(other.greatest_ms),
        }
    }
}

impl RawChunk {
    /// Number of records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are no records.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The partition that the records were read from; `None` = they were created here.
    #[must_use]
    pub fn origin(&self) -> Option<&TopicPartition> {
        self.origin.as_ref()
    }

    /// The same records, marked as read from a partition.
    #[must_use]
    pub fn from_partition(mut self, at: &TopicPartition) -> Self {
        self.origin = Some(at.clone());
        self
    }

    /// Bytes of keys, values and headers.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.arena.len()
    }

    /// Number of headers of all records together.
    #[must_use]
    pub fn headers_len(&self) -> usize {
        self.headers.len()
    }

    /// About how much it takes in memory, bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.arena.len() + self.rows.len() * size_of::<Row>()
    }

    /// How much it is in memory.
    #[must_use]
    pub fn size(&self) -> Size {
        Size { rows: self.rows.len(), bytes: self.memory_bytes() }
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

    /// The keys, as the values of records without keys and headers; shares the arena.
    #[must_use]
    pub fn keys(&self) -> RawChunk {
        let no_headers = Span { start: 0, len: 0 };
        let of_key = |row: &Row| Row {
            key: Span { start: 0, len: NULL },
            value: row.key,
            headers: no_headers,
            ..*row
        };
        let rows = self.rows.iter().map(of_key).collect();
        RawChunk { arena: self.arena.clone(), rows, headers: vec![], origin: self.origin.clone() }
    }

    fn shared(&self, span: Span) -> Option<HipByt<'static>> {
        (span.len != NULL).then(|| self.arena.slice(span.start as usize..(span.start + span.len) as usize))
    }

    /// Offset of the last record.
    #[must_use]
    pub fn last_offset(&self) -> Option<Offset> {
        self.rows.last().map(|r| Offset(r.offset))
    }

    /// The records of `range` as a separate chunk that shares the arena.
    ///
    /// # Panics
    /// If there are fewer records.
    #[must_use]
    pub fn slice(&self, range: Range<usize>) -> RawChunk {
        let mut rows = self.rows[range].to_vec();
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return RawChunk::default() };
        let first_header = first.headers.start;
        let end_header = last.headers.start + last.headers.len;
        let mut headers = self.headers[first_header as usize..end_header as usize].to_vec();
        let mut bytes = Bounds { low: NULL, high: 0 };
        for row in &rows {
            bytes.cover([row.key, row.value]);
        }
        for header in &headers {
            bytes.cover([header.0, header.1]);
        }
        let low = bytes.low.min(bytes.high);
        for row in &mut rows {
            row.headers.start -= first_header;
            (row.key, row.value) = (row.key.back_by(low), row.value.back_by(low));
        }
        for header in &mut headers {
            *header = (header.0.back_by(low), header.1.back_by(low));
        }
        let arena = self.arena.slice(low as usize..bytes.high as usize);
        RawChunk { arena, rows, headers, origin: self.origin.clone() }
    }

    /// The timestamp of each record; -1 = none.
    pub fn each_timestamp(&self) -> impl ExactSizeIterator<Item = i64> {
        self.rows.iter().map(|row| row.timestamp_ms)
    }

    /// The least and the greatest timestamp; `None` = no record has one.
    #[must_use]
    pub fn timestamps(&self) -> Option<Timestamps> {
        let stamped = self.rows.iter().map(|row| row.timestamp_ms).filter(|ms| *ms >= 0);
        stamped.map(|ms| Timestamps { least_ms: ms, greatest_ms: ms }).reduce(Timestamps::and)
    }

    /// The same records at consecutive offsets starting with `first`; those without a timestamp get `now_ms`.
    #[must_use]
    pub fn placed(mut self, first: Offset, now_ms: i64) -> RawChunk {
        for (row, offset) in self.rows.iter_mut().zip(first.0..) {
            row.offset = offset;
            if row.timestamp_ms == -1 {
                row.timestamp_ms = now_ms;
            }
        }
        self
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
    /// Reserves room for `records` records of `bytes` bytes in total.
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

    /// Whether there are no records yet.
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

    /// Appends a record without headers whose value is written directly into the arena; `value` returning `false` means
    /// a null.
    ///
    /// # Errors
    /// The error of `value`; nothing is appended then.
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
    /// If there are no records yet.
    pub fn push_header(&mut self, name: &str, value: Option<&[u8]>) {
        let name = self.copy(Some(name.as_bytes()));
        let value = self.copy(value);
        self.headers.push((name, value));
        self.rows.last_mut().expect("a header belongs to a record").headers.len += 1;
    }

    /// Gives a timestamp to the records from `first` on that have none.
    pub fn stamp(&mut self, first: usize, timestamp_ms: i64) {
        let records = self.rows.iter_mut().skip(first);
        records.filter(|row| row.timestamp_ms == -1).for_each(|row| row.timestamp_ms = timestamp_ms);
    }

    /// The finished chunk.
    #[must_use]
    pub fn build(self) -> RawChunk {
        RawChunk { arena: HipByt::from(self.arena), rows: self.rows, headers: self.headers, origin: None }
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
    u32::try_from(n).expect("a chunk is limited to far below 4 GiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nulls_empty_values_and_headers_are_preserved() {
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
    #[test]
    fn a_slice_holds_its_records_and_only_their_bytes() {
        let mut b = RawChunkBuilder::default();
        for i in 0..5u8 {
            let (key, value) = ([b'k', i], [b'v', i]);
            let record = RawRecord {
                offset: Offset(u64::from(i)),
                timestamp_ms: -1,
                key: (i % 2 == 0).then_some(&key[..]),
                value: (i != 2).then_some(&value[..]),
                headers: Headers::NONE,
            };
            b.push(record);
            b.push_header("h", Some(&[i]));
        }
        let all = b.build().placed(Offset(10), 99);
        for from in 0..=5 {
            for to in from..=5 {
                let part = all.slice(from..to);
                let show = |c: &RawChunk, i| {
                    let r = c.get(i);
                    let headers: Vec<_> =
                        r.headers.iter().map(|(n, v)| (n.to_owned(), v.map(<[u8]>::to_vec))).collect();
                    (
                        r.offset,
                        r.timestamp_ms,
                        r.key.map(<[u8]>::to_vec),
                        r.value.map(<[u8]>::to_vec),
                        headers,
                    )
                };
                assert_eq!(part.len(), to - from);
                let mut bytes = 0;
                for i in 0..part.len() {
                    assert_eq!(show(&part, i), show(&all, from + i));
                    let r = part.get(i);
                    bytes += r.key.map_or(0, <[u8]>::len) + r.value.map_or(0, <[u8]>::len) + 2;
                }
                assert_eq!(part.bytes(), bytes, "{from}..{to}");
            }
        }
        assert_eq!((all.get(4).offset, all.get(4).timestamp_ms), (Offset(14), 99));
    }
}
