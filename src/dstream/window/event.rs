//! Windows over event time: the time in the records, not that of the batches.
//!
//! Owns which operators and stores such a window needs. Knows no clock. Invariant: a window stands behind an
//! exchange by window and key, and rows are reduced before it already.

use crate::{
    codec::Message,
    dstream::DStream,
    operator::{
        EventFormat, EventLimits, EventMarks, EventReduce, EventSpans, Gives, IntoEventWindows, WindowKey,
        WindowValue, Windowed,
    },
    plan::{Factory, Layout, Operation, Role},
    record::{Data, Key, Value},
    state::{Handle, Merge, Placement, Table},
};
use std::{sync::Arc, time::Duration};

/// Windows over event time, aligned to the epoch.
///
/// A window `[start, start + size)` starts at each multiple of the hop. It accepts rows until the watermark, the
/// minimum over all input partitions of their greatest event time, is `lateness` past its end; rows that come later
/// are dropped, counted (`tidegate_late_records_dropped_total`) and warned of. The watermark moves between batches only,
/// never goes back, and is never ahead of the clock. A partition without new rows holds it back until it is idle.
/// `docs/event-time.md` says all of this at length.
///
/// ```
/// use std::time::Duration;
/// use tidegate::EventWindow;
/// let minutes = EventWindow::tumbling(Duration::from_secs(60)).lateness(Duration::from_secs(5));
/// assert_eq!((minutes.size, minutes.hop, minutes.lateness.as_secs()), (minutes.hop, minutes.size, 5));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventWindow {
    /// Length of a window.
    pub size: Duration,
    /// From the start of a window to the start of the next.
    pub hop: Duration,
    /// How long after its end a window still accepts rows.
    pub lateness: Duration,
    /// How far ahead of the clock an event time may be.
    pub future_guard: Duration,
    /// After how long without rows a partition is idle.
    pub idle_timeout: Duration,
    /// Whether a window gives one result, when it closes, instead of one in each batch that changes it.
    pub final_only: bool,
}

/// As far as Apache Kafka lets timestamps be ahead by default.
const FUTURE_GUARD: Duration = Duration::from_secs(3_600);
/// Longer than a restart of a producer or a rebalance takes, and short for somebody who waits for a result.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

impl EventWindow {
    /// Consecutive windows without overlap; no lateness, updates in each batch, an hour of future guard, a minute of idle timeout.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate::{
    ///     EventWindow, SourceOptions, StreamingContext, Text,
    ///     codec::{Message, Messages, Utf8},
    ///     testing::Driver,
    /// };
    /// let mut driver = Driver::new(|ssc: &StreamingContext| {
    ///     let clicks = ssc.source::<Message<Text>>(SourceOptions::topic("clicks"), Messages(Utf8));
    ///     let window = EventWindow::tumbling(Duration::from_secs(10));
    ///     clicks.count_by_key_and_event_window(window, |click| click.value).map(|(at, n)| (at.start_ms, n)).print();
    /// });
    /// let written = driver.batch("clicks 0 | - | home | @9999\nclicks 0 | - | home | @10000\n")?;
    /// assert_eq!(written.to_string(), "console | (0,1)\nconsole | (10000,1)\n");
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[must_use]
    pub fn tumbling(size: Duration) -> Self {
        Self::hopping(size, size)
    }

    /// Windows of `size` that start every `hop`; otherwise like [`tumbling`](EventWindow::tumbling).
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate::{
    ///     EventWindow, SourceOptions, StreamingContext, Text,
    ///     codec::{Message, Messages, Utf8},
    ///     testing::Driver,
    /// };
    /// let mut driver = Driver::new(|ssc: &StreamingContext| {
    ///     let clicks = ssc.source::<Message<Text>>(SourceOptions::topic("clicks"), Messages(Utf8));
    ///     let window = EventWindow::hopping(Duration::from_secs(30), Duration::from_secs(10));
    ///     clicks.count_by_key_and_event_window(window, |click| click.value).map(|(at, n)| (at.start_ms, n)).print();
    /// });
    /// let written = driver.batch("clicks 0 | - | home | @25000\n")?; // in three windows
    /// assert_eq!(written.to_string(), "console | (0,1)\nconsole | (10000,1)\nconsole | (20000,1)\n");
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[must_use]
    pub fn hopping(size: Duration, hop: Duration) -> Self {
        EventWindow {
            size,
            hop,
            lateness: Duration::ZERO,
            future_guard: FUTURE_GUARD,
            idle_timeout: IDLE_TIMEOUT,
            final_only: false,
        }
    }

    /// Lets windows accept rows for this long after their end.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate::{
    ///     EventWindow, SourceOptions, StreamingContext, Text,
    ///     codec::{Message, Messages, Utf8},
    ///     testing::{Driver, Settings},
    /// };
    /// let mut driver = Driver::with(Settings { input_partitions: 1, ..Settings::default() }, |ssc: &StreamingContext| {
    ///     let clicks = ssc.source::<Message<Text>>(SourceOptions::topic("clicks"), Messages(Utf8));
    ///     let window = EventWindow::tumbling(Duration::from_secs(10)).lateness(Duration::from_secs(5));
    ///     clicks.count_by_key_and_event_window(window, |click| click.value).map(|(at, n)| (at.start_ms, n)).print();
    /// });
    /// driver.set_now_ms(20_000); // a row ahead of the clock moves no watermark
    /// driver.batch("clicks 0 | - | home | @9000\nclicks 0 | - | home | @14000\n")?; // the watermark is at 14 s then
    /// assert_eq!(
    ///     driver.batch("clicks 0 | - | home | @8000\nclicks 0 | - | home | @15000\n")?.to_string(),
    ///     "console | (0,2)\nconsole | (10000,2)\n"
    /// );
    /// assert_eq!(driver.batch("clicks 0 | - | home | @7000\n")?.to_string(), ""); // too late
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[must_use]
    pub fn lateness(self, lateness: Duration) -> Self {
        EventWindow { lateness, ..self }
    }

    /// Gives one result for each key and window, when the window closes, instead of one in each batch that changes it. A program that
    /// gave updates before goes on with the same state.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate::{
    ///     EventWindow, SourceOptions, StreamingContext, Text,
    ///     codec::{Message, Messages, Utf8},
    ///     testing::{Driver, Settings},
    /// };
    /// let mut driver = Driver::with(Settings { input_partitions: 1, ..Settings::default() }, |ssc: &StreamingContext| {
    ///     let clicks = ssc.source::<Message<Text>>(SourceOptions::topic("clicks"), Messages(Utf8));
    ///     let window = EventWindow::tumbling(Duration::from_secs(10)).final_only();
    ///     clicks.count_by_key_and_event_window(window, |click| click.value).map(|(at, n)| (at.start_ms, at.end_ms, n)).print();
    /// });
    /// driver.set_now_ms(8_000);
    /// assert_eq!(driver.batch("clicks 0 | - | home | @8000\nclicks 0 | - | home | @9000\n")?.to_string(), "");
    /// assert_eq!(driver.batch("clicks 0 | - | home | @10000\n")?.to_string(), "console | (0,10000,2)\n");
    /// let hour = driver.batch_at(3_600_000, "")?; // nothing came any more
    /// assert_eq!(hour.rows().collect::<Vec<_>>(), ["console | (10000,20000,1)"]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[must_use]
    pub fn final_only(self) -> Self {
        EventWindow { final_only: true, ..self }
    }

    /// How far ahead of the clock an event time may be: a record beyond is a bad record, handled by its source's policy. One that
    /// is ahead by less counts in its window, but moves the watermark no further than the clock. The default is an hour.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate::{
    ///     BadRecordPolicy, EventWindow, SourceOptions, StreamingContext, Text,
    ///     codec::{Message, Messages, Utf8},
    ///     testing::Driver,
    /// };
    /// let mut driver = Driver::new(|ssc: &StreamingContext| {
    ///     let clicks = SourceOptions::topic("clicks").on_bad_record(BadRecordPolicy::Skip);
    ///     let clicks = ssc.source::<Message<Text>>(clicks, Messages(Utf8));
    ///     let window = EventWindow::tumbling(Duration::from_secs(10)).future_guard(Duration::from_secs(60));
    ///     clicks.count_by_key_and_event_window(window, |click| click.value).map(|(at, n)| (at.start_ms, n)).print();
    /// });
    /// let written = driver.batch_at(1_000, "clicks 0 | - | home | @61000\nclicks 0 | - | home | @61001\n")?;
    /// assert_eq!(written.to_string(), "console | (60000,1)\n");
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[must_use]
    pub fn future_guard(self, future_guard: Duration) -> Self {
        EventWindow { future_guard, ..self }
    }

    /// After how long without rows a partition no longer holds the watermark back, once everything that is in it is read; and, when
    /// all partitions are idle, event time goes on with the clock until all windows that have rows are closed. The default is a
    /// minute; [`Duration::MAX`] = never.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate::{
    ///     EventWindow, SourceOptions, StreamingContext, Text,
    ///     codec::{Message, Messages, Utf8},
    ///     testing::Driver,
    /// };
    /// // Two of the three partitions of the topic have no rows.
    /// let mut driver = Driver::new(|ssc: &StreamingContext| {
    ///     let clicks = ssc.source::<Message<Text>>(SourceOptions::topic("clicks"), Messages(Utf8));
    ///     let window = EventWindow::tumbling(Duration::from_secs(1)).idle_timeout(Duration::from_secs(5)).final_only();
    ///     clicks.count_by_key_and_event_window(window, |click| click.value).map(|(at, n)| (at.start_ms, n)).print();
    /// });
    /// driver.batch_at(1_000, "clicks 0 | - | home | @900\n")?;
    /// let until_idle = driver.batch_at(6_000, "clicks 0 | - | home | @5900\n")?;
    /// assert_eq!(until_idle.rows().count(), 0);
    /// let after = driver.batch_at(8_000, "clicks 0 | - | home | @7900\n")?;
    /// assert_eq!(after.rows().collect::<Vec<_>>(), ["console | (0,1)", "console | (5000,1)"]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[must_use]
    pub fn idle_timeout(self, idle_timeout: Duration) -> Self {
        EventWindow { idle_timeout, ..self }
    }

    fn limits(self) -> EventLimits {
        EventLimits {
            future_guard_ms: millis(self.future_guard),
            idle_timeout_ms: millis(self.idle_timeout).max(1),
        }
    }

    fn spans(self) -> EventSpans {
        EventSpans {
            size_ms: millis(self.size).max(1),
            hop_ms: millis(self.hop).max(1),
            lateness_ms: millis(self.lateness),
        }
    }

    /// What is wrong with these settings, if anything.
    fn mistake(self) -> Option<String> {
        let whole =
            |d: Duration| d.subsec_nanos().is_multiple_of(1_000_000) && d < Duration::from_secs(1 << 40);
        let what = if self.size.is_zero() || self.hop.is_zero() {
            "its size and hop must be more than zero"
        } else if ![self.size, self.hop, self.lateness].into_iter().all(whole) {
            "its size, hop and lateness must be whole milliseconds"
        } else {
            return None;
        };
        Some(format!("an event window of {:?} every {:?}: {what}", self.size, self.hop))
    }
}

fn millis(d: Duration) -> i64 {
    i64::try_from(d.as_millis()).unwrap_or(i64::MAX)
}

impl<T: Data> DStream<Message<T>> {
    /// Counts the messages of each key in windows over the record timestamp; emits one row per changed window and
    /// batch, with the count so far, or one per window when it closes ([`EventWindow::final_only`]).
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate::{
    ///     EventWindow, SourceOptions, StreamingContext, Text,
    ///     codec::{Message, Messages, Utf8},
    ///     testing::Driver,
    /// };
    /// let mut driver = Driver::new(|ssc: &StreamingContext| {
    ///     let clicks = ssc.source::<Message<Text>>(SourceOptions::topic("clicks"), Messages(Utf8));
    ///     let window = EventWindow::tumbling(Duration::from_secs(10)).lateness(Duration::from_secs(5));
    ///     let counts = clicks.count_by_key_and_event_window(window, |click| click.value);
    ///     counts.map(|(window, n)| (window.key, window.start_ms, n)).print();
    /// });
    /// assert_eq!(
    ///     driver.batch("clicks 0 | - | home | @1000\nclicks 1 | - | home | @2000\n")?.to_string(),
    ///     "console | (home,0,2)\n"
    /// );
    /// assert_eq!(driver.batch("clicks 0 | - | home | @9000\n")?.to_string(), "console | (home,0,3)\n");
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    pub fn count_by_key_and_event_window<K: Key>(
        &self,
        window: EventWindow,
        key: impl Fn(Message<T>) -> K + Send + Sync + 'static,
    ) -> DStream<(Windowed<K>, u64)> {
        let event = move |message: Message<T>| (message.timestamp_ms, key(message), 1u64);
        self.event_window("count_by_key_and_event_window", window, event, |a, b| a + b, &self.here())
    }

    /// Reduces the messages of each key in windows over the record timestamp; emits one row per changed window and
    /// batch, with the value so far. `pair` returns key and value; `f` must be associative and commutative. For
    /// another event time, set `timestamp_ms` with `map` first.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate::{
    ///     EventWindow, SourceOptions, StreamingContext, Text,
    ///     codec::{Message, Messages, Utf8},
    ///     testing::Driver,
    /// };
    /// let mut driver = Driver::new(|ssc: &StreamingContext| {
    ///     let words = ssc.source::<Message<Text>>(SourceOptions::topic("words"), Messages(Utf8));
    ///     let window = EventWindow::tumbling(Duration::from_secs(10));
    ///     let longest = words.reduce_by_key_and_event_window(window, |word| ('w', word.value.len()), Ord::max);
    ///     longest.map(|(window, length)| (window.start_ms, length)).print();
    /// });
    /// let written = driver.batch("words 0 | - | sea | @1000\nwords 1 | - | tide | @2000\nwords 2 | - | gate | @12000\n")?;
    /// assert_eq!(written.to_string(), "console | (0,4)\nconsole | (10000,4)\n");
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    pub fn reduce_by_key_and_event_window<K: Key, V: Value>(
        &self,
        window: EventWindow,
        pair: impl Fn(Message<T>) -> (K, V) + Send + Sync + 'static,
        f: impl Fn(V, V) -> V + Send + Sync + 'static,
    ) -> DStream<(Windowed<K>, V)> {
        let event = move |message: Message<T>| {
            let time_ms = message.timestamp_ms;
            let (key, value) = pair(message);
            (time_ms, key, value)
        };
        self.event_window("reduce_by_key_and_event_window", window, event, f, &self.here())
    }

    fn event_window<K: Key, V: Value>(
        &self,
        kind: &'static str,
        window: EventWindow,
        event: impl Fn(Message<T>) -> (i64, K, V) + Send + Sync + 'static,
        f: impl Fn(V, V) -> V + Send + Sync + 'static,
        op: &Operation,
    ) -> DStream<(Windowed<K>, V)> {
        let (spans, limits) = (window.spans(), window.limits());
        let gives = if window.final_only { Gives::Finals } else { Gives::Updates };
        let (event, f) = (Arc::new(event), Arc::new(f));
        self.builder.plan().closes_by_event_time = true;
        if let Some(mistake) = window.mistake() {
            self.mistake(format!("{}: {mistake}", op.place));
        }
        let reduce = f.clone();
        let before: Factory = Arc::new(move |_| {
            let (event, reduce) = (event.clone(), reduce.clone());
            Box::new(IntoEventWindows::<Message<T>, K, V, _, _>::new(spans, limits, event, reduce))
        });
        let format = Arc::new(EventFormat::<K, V>::default());
        let placed: DStream<()> =
            self.then("into_event_windows", op, Layout::keyed(op), Role::Exchange(before, format));
        let behind: Factory = Arc::new(move |stores: &[usize]| {
            let (windows, marks) = (Handle::at(stores[0]), Handle::at(stores[1]));
            Box::new(EventReduce::<K, V, _>::new(spans, gives, f.clone(), windows, marks))
        });
        placed.operation(kind, op, behind, |name| {
            let marks =
                Table::<u8, EventMarks>::spec(format!("{name}.mark")).placed(Placement::Each(Merge::Least));
            let windows = Table::<WindowKey<K>, WindowValue<V>>::spec(name);
            vec![windows, marks]
        })
    }
}
