//! What a topic accepts: which records it would refuse, known before they are sent.
//!
//! Pure: the settings of a topic and a record in, a reason out. Knows no producer. Invariants: nothing is called refused
//! that the topic's settings do not refuse; what the log does not say is not assumed.

use super::{TopicInfo, partitioner};
use crate::record::{RawChunk, RawRecord, hash_bytes};
use std::fmt;

/// What Kafka accepts in a batch of records unless a topic says otherwise, bytes.
pub const DEFAULT_BYTES_MAX: usize = 1_048_588;
/// How far ahead of the broker's clock a record may be unless a topic says otherwise.
const DEFAULT_AHEAD_MAX_MS: i64 = 3_600_000;
/// The header of a batch of records.
const BATCH_BYTES: usize = 61;
/// At most this much is added to a record by its lengths and deltas, and to each of its headers.
const RECORD_BYTES_MAX: usize = 32;
/// Keys are shown up to this length, bytes.
const SHOWN_KEY_BYTES: usize = 48;

/// What a topic accepts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordLimits {
    partitions: u32,
    /// Most bytes of a batch of records.
    bytes_max: Option<usize>,
    /// A compacted topic takes no record without a key.
    needs_key: bool,
    /// How far a timestamp may lie behind the broker's clock.
    behind_max_ms: Option<i64>,
    /// How far it may lie ahead of it.
    ahead_max_ms: Option<i64>,
    /// Whether the log said anything about the topic's settings.
    is_known: bool,
}

impl RecordLimits {
    /// The limits that a topic's settings say.
    #[must_use]
    pub fn of(info: &TopicInfo) -> Self {
        let config = &info.config;
        let stamped_by_broker =
            config.get("message.timestamp.type").is_some_and(|kind| kind == "LogAppendTime");
        let time = |name: &str| {
            let limit = config.get(name)?.parse().ok().filter(|ms| *ms < i64::MAX);
            limit.filter(|_| !stamped_by_broker)
        };
        let both = time("message.timestamp.difference.max.ms"); // of brokers before 3.6
        RecordLimits {
            partitions: info.partitions,
            bytes_max: config.get("max.message.bytes").and_then(|bytes| bytes.parse().ok()),
            needs_key: config.get("cleanup.policy").is_some_and(|policy| policy.contains("compact")),
            behind_max_ms: time("message.timestamp.before.max.ms").or(both),
            ahead_max_ms: time("message.timestamp.after.max.ms").or(both),
            is_known: !config.is_empty(),
        }
    }

    /// Most bytes of a batch of records; `None` = unknown, or without bound.
    #[must_use]
    pub fn bytes_max(&self) -> Option<usize> {
        self.bytes_max
    }

    /// A log that does not show the settings has refused a record: assumes Kafka's defaults. `false` = nothing changed.
    pub fn assume_defaults(&mut self) -> bool {
        if self.is_known {
            return false;
        }
        self.is_known = true;
        self.bytes_max = Some(DEFAULT_BYTES_MAX);
        self.ahead_max_ms = Some(DEFAULT_AHEAD_MAX_MS);
        true
    }

    /// The same without a bound of bytes: records are compressed on their way, so the size of each says little.
    #[must_use]
    pub fn without_size(self) -> Self {
        RecordLimits { bytes_max: None, ..self }
    }

    /// Whether the topic accepts a timestamp at the time `now_ms`; -1 = none.
    #[must_use]
    pub fn accepts_time(&self, time_ms: i64, now_ms: i64) -> bool {
        time_ms < 0
            || (self.ahead_max_ms.is_none_or(|max| time_ms.saturating_sub(now_ms) <= max)
                && self.behind_max_ms.is_none_or(|max| now_ms.saturating_sub(time_ms) <= max))
    }

    /// Whether any of these records would be refused. Costs little where the chunk as a whole is small.
    #[must_use]
    pub fn refuses_any(&self, records: &RawChunk, now_ms: i64) -> bool {
        let small = |max: usize| {
            BATCH_BYTES + records.bytes() + RECORD_BYTES_MAX * (1 + records.headers_len()) <= max
        };
        let sizes_fit = self.bytes_max.is_none_or(small);
        let times_fit = records.timestamps().is_none_or(|times| {
            self.accepts_time(times.least_ms, now_ms) && self.accepts_time(times.greatest_ms, now_ms)
        });
        let may_be_refused = !sizes_fit || !times_fit || self.needs_key;
        may_be_refused && records.iter().any(|record| self.refusal(&record, now_ms).is_some())
    }

    /// Why the topic would refuse a record at the time `now_ms`.
    #[must_use]
    pub fn refusal(&self, record: &RawRecord<'_>, now_ms: i64) -> Option<Refusal> {
        if let Some(bytes_max) = self.bytes_max {
            let bytes = sent_bytes(record);
            if bytes > bytes_max {
                return Some(Refusal::TooLarge { bytes, bytes_max });
            }
        }
        if self.needs_key && record.key.is_none() {
            return Some(Refusal::NoKey);
        }
        let time_ms = record.timestamp_ms;
        (!self.accepts_time(time_ms, now_ms)).then_some(Refusal::Time { time_ms, now_ms })
    }

    /// The partition of a record with this key, if it follows from the key.
    #[must_use]
    pub fn partition_of(&self, key: Option<&[u8]>) -> Option<u32> {
        let key = key.filter(|key| !key.is_empty() && self.partitions > 0)?;
        Some(partitioner::of_key(key, self.partitions).0)
    }
}

/// Why a topic refuses a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is larger than a batch may be.
    TooLarge {
        /// The bytes that it takes, sent alone.
        bytes: usize,
        /// `max.message.bytes` of the topic.
        bytes_max: usize,
    },
    /// The topic is compacted, and the record has no key.
    NoKey,
    /// Its timestamp is too far from the clock.
    Time {
        /// The timestamp.
        time_ms: i64,
        /// The clock.
        now_ms: i64,
    },
    /// The log refused it, and said this.
    Told(String),
}

impl Refusal {
    /// What can be done about it.
    #[must_use]
    pub fn next(&self, topic: &str) -> String {
        match self {
            Refusal::TooLarge { .. } => {
                format!("raise `max.message.bytes` of the topic `{topic}`, or write smaller records")
            }
            Refusal::NoKey => {
                format!("give each record a key, or set `cleanup.policy=delete` for the topic `{topic}`")
            }
            Refusal::Time { .. } => format!(
                "correct the timestamp, or raise `message.timestamp.after.max.ms` (or `.before.max.ms`) of the topic `{topic}`, or set its `message.timestamp.type=LogAppendTime`"
            ),
            Refusal::Told(_) => {
                format!("look for the reason in the broker's log and in the settings of the topic `{topic}`")
            }
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::TooLarge { bytes, bytes_max } => {
                write!(
                    f,
                    "too large: it takes {bytes} bytes, and the topic's `max.message.bytes` is {bytes_max}"
                )
            }
            Refusal::NoKey => f.write_str("it has no key, and the topic is compacted"),
            Refusal::Time { time_ms, now_ms } => {
                let (far_ms, way) =
                    (time_ms.abs_diff(*now_ms), if time_ms > now_ms { "ahead of" } else { "behind" });
                let far_s = far_ms / 1000;
                write!(
                    f,
                    "its timestamp {time_ms} is {far_s} s {way} the clock, further than the topic accepts"
                )
            }
            Refusal::Told(why) => f.write_str(why),
        }
    }
}

/// The bytes of a batch that holds only this record, as it is sent without compression.
#[must_use]
pub fn sent_bytes(record: &RawRecord<'_>) -> usize {
    let headers = record.headers.iter().map(|(name, value)| (name.len(), value.map(<[u8]>::len)));
    sent_bytes_of(record.key.map(<[u8]>::len), record.value.map(<[u8]>::len), headers)
}

/// The same from the lengths of its parts; `None` = null.
#[must_use]
pub fn sent_bytes_of(
    key: Option<usize>,
    value: Option<usize>,
    headers: impl Iterator<Item = (usize, Option<usize>)>,
) -> usize {
    let (mut count, mut of_headers) = (0, 0);
    for (name, value) in headers {
        count += 1;
        of_headers += with_length(Some(name)) + with_length(value);
    }
    // Attributes, and the deltas of timestamp and offset, which are 0 in a batch of one.
    let record = 3 + with_length(key) + with_length(value) + varint(count) + of_headers;
    BATCH_BYTES + varint(record) + record
}

fn with_length(len: Option<usize>) -> usize {
    len.map_or(1, |len| varint(len) + len)
}

/// The bytes of a length as a variable number, of which one bit is the sign.
fn varint(n: usize) -> usize {
    let bits = usize::BITS - (n << 1).leading_zeros();
    bits.div_ceil(7).max(1) as usize
}

/// Identifies a record of a topic by its bytes.
#[must_use]
pub fn fingerprint(key: Option<&[u8]>, value: Option<&[u8]>) -> u64 {
    let of = |bytes: Option<&[u8]>| bytes.map_or(0, hash_bytes).to_be_bytes();
    hash_bytes(&[of(key), of(value)].concat())
}

/// A key for a message: escaped, and cut if it is long.
///
/// ```
/// use tidegate::log::limits::shown_key;
/// assert_eq!(shown_key(Some(b"a\n")), "`a\\n`");
/// assert_eq!(shown_key(None), "null");
/// ```
#[must_use]
pub fn shown_key(key: Option<&[u8]>) -> String {
    let Some(key) = key else { return "null".into() };
    let cut = &key[..key.len().min(SHOWN_KEY_BYTES)];
    let text = String::from_utf8_lossy(cut).escape_debug().to_string();
    if cut.len() < key.len() { format!("`{text}`... ({} bytes)", key.len()) } else { format!("`{text}`") }
}

/// How much a producer puts into one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestSizes {
    /// Most bytes of a batch of several records: what the least of the topics accepts.
    pub batch_bytes_max: usize,
    /// Most bytes of one record: what the largest of the topics accepts.
    pub record_bytes_max: usize,
}

impl Default for RequestSizes {
    /// Enough for topics with Kafka's default settings.
    fn default() -> Self {
        RequestSizes { batch_bytes_max: 1_000_000, record_bytes_max: DEFAULT_BYTES_MAX + (64 << 10) }
    }
}

impl RequestSizes {
    /// For a producer that writes to topics with these limits.
    #[must_use]
    pub fn of<'a>(topics: impl Iterator<Item = &'a RecordLimits>) -> Self {
        topics.filter_map(RecordLimits::bytes_max).fold(Self::default(), |sizes, bytes_max| RequestSizes {
            batch_bytes_max: sizes.batch_bytes_max.min(bytes_max),
            // The client counts more for a record than it takes.
            record_bytes_max: sizes
                .record_bytes_max
                .max(bytes_max.saturating_add(64 << 10).min(CLIENT_BYTES_MAX)),
        })
    }
}

/// The most that the client library can be set to.
const CLIENT_BYTES_MAX: usize = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Headers, Offset, RawChunkBuilder};

    fn limits(config: &[(&str, &str)]) -> RecordLimits {
        let config = config.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let info =
            TopicInfo { id: String::new(), partitions: 4, replication_factor: 1, may_write: None, config };
        RecordLimits::of(&info)
    }

    fn record<'a>(key: Option<&'a [u8]>, value: &'a [u8], timestamp_ms: i64) -> RawRecord<'a> {
        RawRecord { offset: Offset(0), timestamp_ms, key, value: Some(value), headers: Headers::NONE }
    }

    #[test]
    fn a_record_is_refused_from_the_first_byte_that_is_too_many() {
        // Attributes and deltas 3, null key 1, length 1, value 10, number of headers 1; the length of these 1.
        assert_eq!(sent_bytes(&record(None, &[0; 10], -1)), 61 + 17);
        let (fits, refuses) =
            (limits(&[("max.message.bytes", "78")]), limits(&[("max.message.bytes", "77")]));
        assert_eq!(fits.refusal(&record(None, &[0; 10], -1), 0), None);
        let why = refuses.refusal(&record(None, &[0; 10], -1), 0);
        assert_eq!(why, Some(Refusal::TooLarge { bytes: 78, bytes_max: 77 }));
        for (len, bytes) in [(0, 1), (63, 1), (64, 2), (8191, 2), (8192, 3), (1 << 20, 4)] {
            assert_eq!(varint(len), bytes, "{len}");
        }
    }

    #[test]
    fn a_compacted_topic_needs_keys_and_a_topic_bounds_the_time_unless_the_broker_stamps() {
        let compacted = limits(&[("cleanup.policy", "compact,delete")]);
        assert_eq!(compacted.refusal(&record(None, b"", -1), 0), Some(Refusal::NoKey));
        assert_eq!(compacted.refusal(&record(Some(b""), b"", -1), 0), None);
        let config = [("message.timestamp.after.max.ms", "10"), ("message.timestamp.before.max.ms", "20")];
        let timed = limits(&config);
        for (time_ms, accepted) in [(-1, true), (79, false), (80, true), (110, true), (111, false)] {
            assert_eq!(timed.accepts_time(time_ms, 100), accepted, "{time_ms}");
        }
        let stamps = [config[0], config[1], ("message.timestamp.type", "LogAppendTime")];
        assert!(limits(&stamps).accepts_time(i64::MAX, 100));
        assert!(
            limits(&[("message.timestamp.before.max.ms", "9223372036854775807")]).accepts_time(0, i64::MAX)
        );
    }

    #[test]
    fn a_chunk_is_refused_if_one_of_its_records_is() {
        let timed = limits(&[("message.timestamp.after.max.ms", "10"), ("max.message.bytes", "200")]);
        let of = |records: &[RawRecord<'_>]| {
            let mut chunk = RawChunkBuilder::default();
            records.iter().for_each(|r| chunk.push(*r));
            chunk.build()
        };
        let good = record(None, &[1; 90], 100);
        assert!(!timed.refuses_any(&of(&[good, good, good]), 100), "together they are larger");
        assert!(timed.refuses_any(&of(&[good, record(None, b"", 111), good]), 100));
        assert!(timed.refuses_any(&of(&[good, record(None, &[1; 200], 100)]), 100));
        assert!(!RecordLimits::default().refuses_any(&of(&[record(None, &[1; 200], i64::MAX)]), 0));
    }

    #[test]
    fn the_smallest_topic_bounds_batches_and_the_largest_one_bounds_records() {
        assert_eq!(RequestSizes::of([RecordLimits::default()].iter()), RequestSizes::default());
        let usual = limits(&[("max.message.bytes", "1048588")]);
        assert_eq!(RequestSizes::of([usual.clone()].iter()), RequestSizes::default());
        let (small, large) =
            (limits(&[("max.message.bytes", "20000")]), limits(&[("max.message.bytes", "9000000")]));
        let sizes = RequestSizes::of([usual, small, large].iter());
        assert_eq!((sizes.batch_bytes_max, sizes.record_bytes_max), (20_000, 9_000_000 + (64 << 10)));
    }

    #[test]
    fn settings_that_are_not_shown_are_assumed_only_after_a_refusal() {
        let mut hidden = limits(&[]);
        assert_eq!(hidden.refusal(&record(None, &vec![0; 2 << 20], i64::MAX), 0), None);
        assert!(hidden.assume_defaults() && !hidden.assume_defaults());
        assert!(hidden.refusal(&record(None, &vec![0; 2 << 20], -1), 0).is_some());
        assert!(!limits(&[("max.message.bytes", "5")]).assume_defaults());
    }

    #[test]
    fn long_keys_are_cut_and_others_are_told_apart() {
        assert_eq!(shown_key(Some(&[b'k'; 60])), format!("`{}`... (60 bytes)", "k".repeat(48)));
        let all = [(None, None), (None, Some(&b""[..])), (Some(&b"a"[..]), None), (Some(b"a"), Some(b"b"))];
        let mut seen: Vec<u64> = all.iter().map(|(k, v)| fingerprint(*k, *v)).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 4);
        assert_eq!(
            limits(&[]).partition_of(Some(b"21")),
            Some((0x7fff_ffff & (-973_932_308_i32).cast_unsigned()) % 4)
        );
    }
}
