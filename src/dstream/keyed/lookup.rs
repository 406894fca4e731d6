//! Joins with data that is not a stream: a map supplied with the program, or one that is reloaded periodically.
//!
//! Owns when data is loaded. Knows no store. Invariants: rows stay in their partitions and each process holds the
//! whole map; all rows of a batch see the same version of it, even when the same process computes the batch again.

use crate::{
    dstream::{
        DStream,
        stream::{one_to_one, per_chunk, per_row},
    },
    error::{Error, Result},
    plan::{Place, Role},
    record::{BatchTime, Chunk, Data, Key, Map},
};
use std::{
    fmt::Display,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

impl<K: Data, V: Data> DStream<(K, V)> {
    /// The inner join with a map that is known when the program starts; if a key occurs more than once, its last
    /// value counts. Rows do not move: all tasks of the process share the map.
    ///
    /// ```
    /// use tidegate::{DStream, testing::outputs};
    /// let prices = |orders: DStream<(char, u32)>| orders.join_static([('a', 30), ('b', 20)]);
    /// assert_eq!(outputs([[('a', 1u32), ('x', 2)]], prices)?, [[('a', (1, 30))]]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    pub fn join_static<W: Data>(&self, rows: impl IntoIterator<Item = (K, W)>) -> DStream<(K, (V, W))>
    where
        K: Key,
    {
        let map: Map<K, W> = rows.into_iter().collect();
        let step = per_row(0, move |(key, value): (K, V), joined: &mut Vec<(K, (V, W))>| {
            if let Some(found) = map.get(&key) {
                joined.push((key, (value, found.clone())));
            }
        });
        self.then("join_static", &self.here(), self.layout(), Role::Operator(step))
    }

    /// The left outer join with a map; see [`join_static`](DStream::join_static).
    ///
    /// ```
    /// use tidegate::{DStream, testing::outputs};
    /// let prices = |orders: DStream<(char, u32)>| orders.left_outer_join_static([('a', 30), ('b', 20)]);
    /// assert_eq!(outputs([[('a', 1u32), ('x', 2)]], prices)?, [[('a', (1, Some(30))), ('x', (2, None))]]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    pub fn left_outer_join_static<W: Data>(
        &self,
        rows: impl IntoIterator<Item = (K, W)>,
    ) -> DStream<(K, (V, Option<W>))>
    where
        K: Key,
    {
        let map: Map<K, W> = rows.into_iter().collect();
        let step = move |rows: Vec<(K, V)>| {
            let joined = rows.into_iter().map(|(key, value)| {
                let found = map.get(&key).cloned();
                (key, (value, found))
            });
            Ok(joined.collect())
        };
        self.then("left_outer_join_static", &self.here(), self.layout(), Role::Operator(one_to_one(step)))
    }

    /// The left outer join with a map returned by `load`: from a file, a database table, the response of a service.
    ///
    /// - `load` is called by the first batch that has rows, and again by the first batch with rows whose time is at
    ///   least `every` later. The batch waits for it.
    /// - If it fails or panics, the previous map stays in use, a warning states the reason and the number of
    ///   consecutive failures, and it is tried again after `every`. If there is no map yet, the program stops.
    /// - A batch that the same process computes again sees the same map. After a restart the map is loaded afresh,
    ///   so a batch that was never committed may then see newer data; its rows still take effect once.
    ///
    /// ```
    /// use std::{fs, io, time::Duration};
    /// use tidegate::{StreamingContext, Text, testing::Driver};
    /// let file = tempfile::NamedTempFile::new().unwrap();
    /// fs::write(&file, "chair,30").unwrap();
    /// let path = file.path().to_owned();
    /// let mut driver = Driver::new(move |ssc: &StreamingContext| {
    ///     let path = path.clone();
    ///     let load = move || -> io::Result<Vec<(Text, String)>> {
    ///         let lines = fs::read_to_string(&path)?;
    ///         Ok(lines.lines().filter_map(|l| l.split_once(',')).map(|(k, v)| (k.into(), v.into())).collect())
    ///     };
    ///     ssc.text("orders").map(|item| (item, 1)).join_reloaded(Duration::from_secs(2), load).print();
    /// });
    /// assert_eq!(driver.batch("orders 0 | - | chair\n")?.to_string(), "console | (chair,(1,Some(30)))\n");
    /// fs::write(&file, "chair,35").unwrap();
    /// assert_eq!(driver.batch("orders 0 | - | chair\n")?.to_string(), "console | (chair,(1,Some(30)))\n");
    /// assert_eq!(driver.batch("orders 0 | - | chair\n")?.to_string(), "console | (chair,(1,Some(35)))\n");
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    pub fn join_reloaded<W: Data, I: IntoIterator<Item = (K, W)>, E: Display>(
        &self,
        every: Duration,
        load: impl Fn() -> Result<I, E> + Send + Sync + 'static,
    ) -> DStream<(K, (V, Option<W>))>
    where
        K: Key,
    {
        let op = self.here();
        let load = move || load().map(|rows| rows.into_iter().collect()).map_err(|e| e.to_string());
        let loader = Loader {
            load: Box::new(load),
            every_ms: i64::try_from(every.as_millis()).unwrap_or(i64::MAX),
            place: op.place.clone(),
            loaded: Mutex::new(None),
        };
        let factory = per_chunk(move |chunk, cx| {
            let map = loader.map_at(cx.batch.time)?;
            let (rows, stamps) = chunk.take_stamped::<Vec<(K, V)>>();
            let joined = rows.into_iter().map(|(key, value)| {
                let found = map.get(&key).cloned();
                (key, (value, found))
            });
            cx.out.chunk(Chunk::rows::<(K, (V, Option<W>))>(joined.collect()).stamped(stamps));
            Ok(())
        });
        self.then("join_reloaded", &op, self.layout(), Role::Operator(factory))
    }
}

type Load<K, W> = Box<dyn Fn() -> Result<Map<K, W>, String> + Send + Sync>;

/// The map of one operation, shared by its tasks.
struct Loader<K, W> {
    load: Load<K, W>,
    every_ms: i64,
    place: Place,
    loaded: Mutex<Option<Loaded<K, W>>>,
}

struct Loaded<K, W> {
    /// When the map was loaded, or last attempted to be.
    time_ms: i64,
    failures: u32,
    map: Arc<Map<K, W>>,
}

impl<K: Key, W: Data> Loader<K, W> {
    /// The map for a batch; the first task that asks loads it if it is due.
    fn map_at(&self, time: BatchTime) -> Result<Arc<Map<K, W>>> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(loaded) = loaded.as_ref()
            && time.0.saturating_sub(loaded.time_ms) < self.every_ms.max(1)
        {
            return Ok(loaded.map.clone());
        }
        let result =
            catch_unwind(AssertUnwindSafe(|| (self.load)())).unwrap_or_else(|_| Err("it panicked".into()));
        match (result, loaded.as_mut()) {
            (Ok(map), _) => {
                let map = Arc::new(map);
                *loaded = Some(Loaded { time_ms: time.0, failures: 0, map: map.clone() });
                Ok(map)
            }
            (Err(why), Some(before)) => {
                before.failures += 1;
                before.time_ms = time.0;
                tracing::warn!(
                    failures_in_a_row = before.failures,
                    "{}: the data of `join_reloaded` could not be loaded, the previous data stays in use: {why}",
                    self.place
                );
                Ok(before.map.clone())
            }
            (Err(why), None) => Err(Error::State(format!(
                "{}: the data of `join_reloaded` could not be loaded: {why}\n  next: make it available and start again",
                self.place
            ))),
        }
    }
}
