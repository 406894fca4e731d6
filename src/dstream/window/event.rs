//! Windows over event time: the time in the records, not that of the batches.
//!
//! Owns which operators and stores such a window needs. Knows no clock. Invariant: a window stands behind an
//! exchange by window and key, and rows are reduced before it already.

use crate::{
    codec::Message,
    dstream::DStream,
    operator::{EventFormat, EventMarks, EventReduce, EventSpans, IntoEventWindows, Windowed},
    plan::{Factory, Layout, Operation, Role},
    record::{Data, Key, Value},
    state::{Handle, Table},
};
use std::{sync::Arc, time::Duration};

/// Windows over event time, aligned to the epoch.
///
/// A window `[start, start + size)` starts at each multiple of the hop. It accepts rows until the watermark, the
/// minimum over all input partitions of their greatest event time, is `lateness` past its end; rows that come later
/// are dropped and counted (`tidegate_late_records_dropped_total`). The watermark moves between batches only and
/// never goes back. A partition without new rows holds it back: windows are then kept longer, and nothing is lost.
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
}

impl EventWindow {
    /// Consecutive windows without overlap; no lateness.
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
        EventWindow { size, hop: size, lateness: Duration::ZERO }
    }

    /// Windows of `size` that start every `hop`; no lateness.
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
        EventWindow { size, hop, lateness: Duration::ZERO }
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

    fn spans(self) -> EventSpans {
        let millis = |d: Duration| i64::try_from(d.as_millis()).unwrap_or(i64::MAX);
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

impl<T: Data> DStream<Message<T>> {
    /// Counts the messages of each key in windows over the record timestamp; emits one row per changed window and
    /// batch, with the count so far.
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
        let (spans, event, f) = (window.spans(), Arc::new(event), Arc::new(f));
        if let Some(mistake) = window.mistake() {
            self.mistake(format!("{}: {mistake}", op.place));
        }
        let reduce = f.clone();
        let before: Factory = Arc::new(move |_| {
            Box::new(IntoEventWindows::<Message<T>, K, V, _, _>::new(spans, event.clone(), reduce.clone()))
        });
        let format = Arc::new(EventFormat::<K, V>::default());
        let placed: DStream<()> =
            self.then("into_event_windows", op, Layout::keyed(op), Role::Exchange(before, format));
        let behind: Factory = Arc::new(move |stores: &[usize]| {
            let (windows, marks) = (Handle::at(stores[0]), Handle::at(stores[1]));
            Box::new(EventReduce::<K, V, _>::new(spans, f.clone(), windows, marks))
        });
        placed.operation(kind, op, behind, |name| {
            vec![Table::<Windowed<K>, V>::spec(name), Table::<u8, EventMarks>::spec(format!("{name}.mark"))]
        })
    }
}
