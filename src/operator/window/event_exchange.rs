//! From events to rows of their windows: the side of an event-time window before the exchange.
//!
//! Owns which rows are refused, the partial aggregates, and the marks that say how far each input partition is in event time. Knows no
//! state and no clock but the batch's. Invariants: windows start at multiples of the hop, counted from the epoch; marks reach every state
//! partition, behind the rows; a mark is never ahead of the clock; a partition without rows reports that once, which holds the watermark
//! back, and once more when it is idle.

use super::event_time::{EventSpans, WindowKey};
use crate::{
    codec::{decode_key, decode_value, encode_key, format_of, key_refusal, value_refusal},
    error::{Error, Result},
    operator::{
        Context, EncodedRow, ExchangeFormat, Operator, Port, RowReader, RowWriter, UpstreamMark, UpstreamName,
    },
    record::{BatchTime, Chunk, Key, Map, Partition, Value, partition_of},
};
use std::{marker::PhantomData, sync::Arc};

/// The most partial aggregates that one task holds before it sends them on.
const HELD_MAX: usize = 1 << 16;

/// A partial aggregate of a key in a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRow<K, V> {
    /// Key in its window.
    pub window: WindowKey<K>,
    /// The reduced value.
    pub value: V,
    /// The greatest event time of the records.
    pub newest_ms: i64,
    /// How many records it covers.
    pub records: u32,
}

/// What passes through the exchange.
#[derive(Clone)]
pub struct EventRows<K, V> {
    /// Partial aggregates.
    pub rows: Vec<EventRow<K, V>>,
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
    limits: EventLimits,
    event: Arc<E>,
    reduce: Arc<F>,
    held: Map<WindowKey<K>, Held<V>>,
    /// The greatest event time so far that was not ahead of the clock; -1 = none.
    greatest: i64,
    /// The last batch that had rows, or the first one.
    active: Option<BatchTime>,
    /// Whether there has been no row for the idle timeout.
    is_quiet: bool,
    /// What the state partitions were last told: the greatest time, and whether we are idle.
    reported: Option<(i64, bool)>,
    encoded: Vec<u8>,
    rows: PhantomData<fn(T)>,
}

/// What is done about event times and upstreams that stand out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::struct_field_names, reason = "units come last")]
pub struct EventLimits {
    /// A record whose time is further ahead of the clock than this is a bad record.
    pub future_guard_ms: i64,
    /// An upstream that has had no row for this long, and has nothing left to read, is idle.
    pub idle_timeout_ms: i64,
}

struct Held<V> {
    value: Option<V>,
    newest_ms: i64,
    records: u32,
}

impl<T, K: Key, V: Value, E, F> IntoEventWindows<T, K, V, E, F> {
    /// `event` returns time, key and value of a row.
    #[must_use]
    pub fn new(spans: EventSpans, limits: EventLimits, event: Arc<E>, reduce: Arc<F>) -> Self {
        IntoEventWindows {
            spans,
            limits,
            event,
            reduce,
            held: Map::default(),
            greatest: -1,
            active: None,
            is_quiet: false,
            reported: None,
            encoded: vec![],
            rows: PhantomData,
        }
    }

    fn flush(&mut self, cx: &mut Context<'_>) -> Result {
        let partitions = cx.out.partitions;
        let room = self.held.len() / partitions as usize + 16;
        let mut parts: Vec<Vec<EventRow<K, V>>> = (0..partitions).map(|_| Vec::with_capacity(room)).collect();
        for (window, Held { value, newest_ms, records }) in self.held.drain(..) {
            self.encoded.clear();
            encode_key(&window, &mut self.encoded)?;
            let to = partition_of(&self.encoded, partitions).0 as usize;
            let value = value.expect("filled when it was created");
            parts[to].push(EventRow { window, value, newest_ms, records });
        }
        for (partition, rows) in (0..partitions).zip(parts) {
            cx.out.to_partition(Partition(partition), EventRows { rows, marks: vec![] }.into_chunk());
        }
        Ok(())
    }

    /// Reports to every state partition how far this upstream is, if they do not know, or in a roll call.
    fn report(&mut self, cx: &mut Context<'_>) {
        let active = *self.active.get_or_insert(cx.batch.time);
        self.is_quiet = cx.batch.time.0.saturating_sub(active.0) >= self.limits.idle_timeout_ms;
        let idle = self.is_quiet && cx.caught_up > active;
        if self.reported == Some((self.greatest, idle)) && !cx.batch.is_roll_call {
            return;
        }
        self.reported = Some((self.greatest, idle));
        let time_ms = (self.greatest >= 0).then_some(self.greatest);
        let mark = UpstreamMark { upstream: UpstreamName::from(cx.out.upstream), time_ms, idle };
        for partition in 0..cx.out.partitions {
            let rows: EventRows<K, V> = EventRows { rows: vec![], marks: vec![mark.clone()] };
            cx.out.to_partition(Partition(partition), rows.into_chunk());
        }
    }

    fn is_idle(&self) -> bool {
        self.reported.is_some_and(|(_, idle)| idle)
    }
}

/// Why an event time is refused, if it is.
fn refused(time_ms: i64, farthest_ms: i64, clock_ms: i64) -> Error {
    let why = if time_ms < 0 {
        format!("an event time of {time_ms} ms is before 1970")
    } else {
        format!(
            "an event time of {time_ms} ms is {} s ahead of the clock, and {} s are allowed; the producer's clock is ahead, this machine's is behind, or it is no time in milliseconds\n  next: correct it, or allow more with `EventWindow::future_guard`",
            (time_ms - clock_ms) / 1_000,
            (farthest_ms - clock_ms) / 1_000
        )
    };
    Error::Row(why)
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
        let mut add = |window: WindowKey<K>, value: V, time_ms: i64| {
            let slot = held.entry(window).or_insert(Held { value: None, newest_ms: time_ms, records: 0 });
            slot.value = Some(match slot.value.take() {
                Some(old) => reduce(old, value),
                None => value,
            });
            slot.newest_ms = slot.newest_ms.max(time_ms);
            slot.records += 1;
        };
        let clock_ms = cx.batch.clock_ms;
        let farthest_ms = clock_ms.saturating_add(self.limits.future_guard_ms);
        self.active = Some(cx.batch.time);
        for row in input.take::<Vec<T>>() {
            let (time_ms, key, value) = (self.event)(row);
            if !(0..=farthest_ms).contains(&time_ms) {
                return Err(refused(time_ms, farthest_ms, clock_ms));
            }
            self.greatest = self.greatest.max(time_ms.min(clock_ms));
            let mut starts = self.spans.starts(time_ms);
            let Some(last) = starts.next() else { continue };
            for start_ms in starts {
                add(WindowKey { start_ms, key: key.clone() }, value.clone(), time_ms);
            }
            add(WindowKey { start_ms: last, key }, value, time_ms);
        }
        if self.held.len() >= HELD_MAX { self.flush(cx) } else { Ok(()) }
    }

    fn end_batch(&mut self, cx: &mut Context<'_>) -> Result {
        self.flush(cx)?;
        self.report(cx);
        Ok(())
    }

    fn awaits_end(&self) -> bool {
        self.is_quiet && !self.is_idle()
    }
}

/// [`EventRows`] as bytes: rows as pairs; marks with a null key.
pub struct EventFormat<K, V>(PhantomData<fn() -> (K, V)>);

impl<K, V> Default for EventFormat<K, V> {
    fn default() -> Self {
        EventFormat(PhantomData)
    }
}

impl<K: Key, V: Value> ExchangeFormat for EventFormat<K, V> {
    fn name(&self) -> String {
        format!("event windows {}", format_of::<(WindowKey<K>, (V, i64, u32))>())
    }

    fn refusal(&self) -> Option<String> {
        key_refusal::<K>().or_else(value_refusal::<V>)
    }

    fn encode(&self, chunk: &Chunk, out: &mut RowWriter<'_>) -> Result {
        let EventRows { rows, marks } = chunk.view::<EventRows<K, V>>();
        for EventRow { window, value, newest_ms, records } in rows {
            out.pair(window, &(value.clone(), *newest_ms, *records))?;
        }
        marks.iter().try_for_each(|mark| out.value(mark))
    }

    fn decode(&self, rows: &mut RowReader<'_>) -> Result<Chunk> {
        let mut decoded: EventRows<K, V> = EventRows { rows: vec![], marks: vec![] };
        for row in rows {
            let EncodedRow { key, value } = row?;
            let value = value.unwrap_or_default();
            match key {
                Some(key) => {
                    let (value, newest_ms, records) = decode_value(value)?;
                    decoded.rows.push(EventRow { window: decode_key(key)?, value, newest_ms, records });
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
    fn rows_and_marks_come_through_bytes() {
        let window = WindowKey { start_ms: 20, key: Text::from("k") };
        let rows = vec![EventRow { window, value: 7u64, newest_ms: 28, records: 3 }];
        let mark = |n, time_ms, idle| {
            let upstream = UpstreamName::from(&Upstream::Source(TopicPartition::new("in", n)));
            UpstreamMark { upstream, time_ms, idle }
        };
        let marks = vec![mark(0, Some(29), false), mark(1, None, true)];
        let mut out = vec![];
        let format = EventFormat::<Text, u64>::default();
        let chunk = EventRows { rows: rows.clone(), marks: marks.clone() }.into_chunk();
        format.encode(&chunk, &mut RowWriter::new(&mut out)).unwrap();
        let decoded = format.decode(&mut RowReader::new(&out, 3)).unwrap().take::<EventRows<Text, u64>>();
        assert_eq!((decoded.rows, decoded.marks), (rows, marks));
    }
}
