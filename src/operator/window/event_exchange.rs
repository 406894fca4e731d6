//! From events to rows of their windows: the side of an event-time window before the exchange.
//!
//! Owns which windows contain a time, the partial aggregates, and the marks that say how far each input
//! partition is in event time. Knows no state. Invariants: windows start at multiples of the hop, counted
//! from the epoch; marks reach every state partition; a partition without rows reports that once, which holds
//! the watermark back.

use crate::{
    codec::{decode_key, decode_value, encode_key, encode_value, format_of, key_refusal, value_refusal},
    error::{Error, Result},
    operator::{Context, ExchangeFormat, Operator, Port, UpstreamMark, UpstreamName},
    record::{Chunk, Key, Map, Partition, RawChunk, RawChunkBuilder, RawRecord, Value, partition_of},
};
use serde::{Deserialize, Serialize};
use std::{fmt, marker::PhantomData, sync::Arc};

/// The most partial aggregates that one task holds before it sends them on.
const HELD_MAX: usize = 1 << 16;

/// A key in a window. Displayed as `key@start_ms`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Windowed<K> {
    /// Where the window starts, milliseconds since the epoch; comes first, so that windows expire in key
    /// order.
    pub start_ms: i64,
    /// The key.
    pub key: K,
}

impl<K: fmt::Display> fmt::Display for Windowed<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.key, self.start_ms)
    }
}

/// Size, hop and lateness of windows over event time, milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventSpans {
    /// A window covers `[start, start + size)`.
    pub size_ms: i64,
    /// Windows start at multiples of this.
    pub hop_ms: i64,
    /// How long after its end a window still takes rows.
    pub lateness_ms: i64,
}

impl EventSpans {
    /// The starts of the windows that contain a time, the latest first; none before the epoch.
    pub fn starts(self, time_ms: i64) -> impl Iterator<Item = i64> {
        let last = time_ms.div_euclid(self.hop_ms) * self.hop_ms;
        let first = (time_ms - self.size_ms + 1).max(0);
        (0..).map(move |n| last - n * self.hop_ms).take_while(move |start| *start >= first)
    }

    /// The first start of a window that is not closed at a watermark; every earlier one is.
    #[must_use]
    pub fn first_open(self, watermark_ms: i64) -> i64 {
        watermark_ms.saturating_sub(self.lateness_ms).saturating_sub(self.size_ms).saturating_add(1)
    }
}

/// What passes through the exchange.
#[derive(Clone)]
pub struct EventRows<K, V> {
    /// Key in its window, partial aggregate, and how many records the aggregate covers.
    pub rows: Vec<(Windowed<K>, V, u32)>,
    /// Updates of upstreams.
    pub marks: Vec<UpstreamMark>,
}

impl<K: Key, V: Value> EventRows<K, V> {
    fn into_chunk(self) -> Chunk {
        let len = self.rows.len() + self.marks.len();
        Chunk::new(self, len)
    }
}

/// Assigns events to their windows and reduces them there, then splits them by window and key.
pub struct IntoEventWindows<T, K, V, E, F> {
    spans: EventSpans,
    event: Arc<E>,
    reduce: Arc<F>,
    held: Map<Windowed<K>, (Option<V>, u32)>,
    /// The greatest event time so far; -1 = none.
    greatest: i64,
    /// The mark that the state partitions were last given.
    reported: Option<i64>,
    encoded: Vec<u8>,
    rows: PhantomData<fn(T)>,
}

impl<T, K: Key, V: Value, E, F> IntoEventWindows<T, K, V, E, F> {
    /// `event` returns time, key and value of a row.
    #[must_use]
    pub fn new(spans: EventSpans, event: Arc<E>, reduce: Arc<F>) -> Self {
        IntoEventWindows {
            spans,
            event,
            reduce,
            held: Map::default(),
            greatest: -1,
            reported: None,
            encoded: vec![],
            rows: PhantomData,
        }
    }

    fn flush(&mut self, cx: &mut Context<'_>) -> Result {
        let partitions = cx.out.partitions;
        let room = self.held.len() / partitions as usize + 16;
        let mut parts: Vec<Vec<(Windowed<K>, V, u32)>> =
            (0..partitions).map(|_| Vec::with_capacity(room)).collect();
        for (key, (value, records)) in self.held.drain(..) {
            self.encoded.clear();
            encode_key(&key, &mut self.encoded)?;
            let to = partition_of(&self.encoded, partitions).0 as usize;
            parts[to].push((key, value.expect("filled when it was created"), records));
        }
        for (partition, rows) in (0..partitions).zip(parts) {
            cx.out.to_partition(Partition(partition), EventRows { rows, marks: vec![] }.into_chunk());
        }
        Ok(())
    }

    /// Reports to every state partition how far this input partition is, if it is further than they know.
    fn report(&mut self, cx: &mut Context<'_>) {
        if self.reported == Some(self.greatest) {
            return;
        }
        self.reported = Some(self.greatest);
        let mark = (UpstreamName::from(cx.out.upstream), (self.greatest >= 0).then_some(self.greatest));
        for partition in 0..cx.out.partitions {
            let rows: EventRows<K, V> = EventRows { rows: vec![], marks: vec![mark.clone()] };
            cx.out.to_partition(Partition(partition), rows.into_chunk());
        }
    }
}

impl<T, K, V, E, F> Operator for IntoEventWindows<T, K, V, E, F>
where
    T: Clone + Send + Sync + 'static,
    K: Key,
    V: Value,
    E: Fn(T) -> (i64, K, V) + Send + Sync,
    F: Fn(V, V) -> V + Send + Sync,
{
    fn process(&mut self, _: Port, input: Chunk, cx: &mut Context<'_>) -> Result {
        let (held, reduce) = (&mut self.held, &*self.reduce);
        let mut add = |window: Windowed<K>, value: V| {
            let slot = held.entry(window).or_default();
            slot.0 = Some(match slot.0.take() {
                Some(old) => reduce(old, value),
                None => value,
            });
            slot.1 += 1;
        };
        for row in input.take::<Vec<T>>() {
            let (time_ms, key, value) = (self.event)(row);
            if time_ms < 0 {
                return Err(Error::Row(format!("an event time of {time_ms} ms is before 1970")));
            }
            self.greatest = self.greatest.max(time_ms);
            let mut starts = self.spans.starts(time_ms);
            let Some(last) = starts.next() else { continue };
            for start_ms in starts {
                add(Windowed { start_ms, key: key.clone() }, value.clone());
            }
            add(Windowed { start_ms: last, key }, value);
        }
        if self.held.len() >= HELD_MAX { self.flush(cx) } else { Ok(()) }
    }

    fn end_batch(&mut self, cx: &mut Context<'_>) -> Result {
        self.flush(cx)?;
        self.report(cx);
        Ok(())
    }
}

/// [`EventRows`] as records: rows as pairs; marks with a null key.
pub struct EventFormat<K, V>(PhantomData<fn() -> (K, V)>);

impl<K, V> Default for EventFormat<K, V> {
    fn default() -> Self {
        EventFormat(PhantomData)
    }
}

impl<K: Key, V: Value> ExchangeFormat for EventFormat<K, V> {
    fn name(&self) -> String {
        format!("event windows {}", format_of::<(Windowed<K>, (V, u32))>())
    }

    fn refusal(&self) -> Option<String> {
        key_refusal::<K>().or_else(value_refusal::<V>)
    }

    fn encode(&self, chunk: &Chunk, out: &mut RawChunkBuilder) -> Result {
        let EventRows { rows, marks } = chunk.view::<EventRows<K, V>>();
        let mut key_bytes = vec![];
        for (key, value, records) in rows {
            key_bytes.clear();
            encode_key(key, &mut key_bytes)?;
            out.push_with(-1, Some(&key_bytes), |bytes| {
                encode_value(&(value.clone(), *records), bytes).map(|()| true)
            })?;
        }
        let mut marks = marks.iter();
        marks.try_for_each(|mark| out.push_with(-1, None, |bytes| encode_value(mark, bytes).map(|()| true)))
    }

    fn decode(&self, records: &RawChunk) -> Result<Chunk> {
        let mut decoded: EventRows<K, V> = EventRows { rows: vec![], marks: vec![] };
        for RawRecord { key, value, .. } in records.iter() {
            let value = value.unwrap_or_default();
            match key {
                Some(key) => {
                    let (value, records) = decode_value(value)?;
                    decoded.rows.push((decode_key(key)?, value, records));
                }
                None => decoded.marks.push(decode_value(value)?),
            }
        }
        Ok(decoded.into_chunk())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        operator::Upstream,
        record::{Text, TopicPartition},
    };

    #[test]
    fn windows_of_a_time() {
        let starts = |size_ms, hop_ms, time| {
            EventSpans { size_ms, hop_ms, lateness_ms: 0 }.starts(time).collect::<Vec<_>>()
        };
        assert_eq!(starts(10, 10, 29), [20]);
        assert_eq!(starts(30, 10, 59), [50, 40, 30]);
        assert_eq!(starts(30, 10, 60), [60, 50, 40]);
        assert_eq!(starts(30, 10, 9), [0], "none before the epoch");
        assert_eq!(starts(10, 30, 15), [0_i64; 0], "between two windows");
        assert_eq!(starts(25, 10, 24), [20, 10, 0]);
    }

    #[test]
    fn a_window_closes_when_the_watermark_is_past_its_end_and_lateness() {
        let spans = EventSpans { size_ms: 10, hop_ms: 10, lateness_ms: 5 };
        assert_eq!(spans.first_open(34), 20, "the window from 20 ends at 30 and takes rows until 35");
        assert_eq!(spans.first_open(35), 21);
    }

    #[test]
    fn rows_and_marks_come_through_bytes() {
        let rows = vec![(Windowed { start_ms: 20, key: Text::from("k") }, 7u64, 3)];
        let upstream = |n| UpstreamName::from(&Upstream::Source(TopicPartition::new("in", n)));
        let marks = vec![(upstream(0), Some(29)), (upstream(1), None)];
        let mut out = RawChunkBuilder::default();
        let format = EventFormat::<Text, u64>::default();
        format
            .encode(&EventRows { rows: rows.clone(), marks: marks.clone() }.into_chunk(), &mut out)
            .unwrap();
        let decoded = format.decode(&out.build()).unwrap().take::<EventRows<Text, u64>>();
        assert_eq!((decoded.rows, decoded.marks), (rows, marks));
    }
}
