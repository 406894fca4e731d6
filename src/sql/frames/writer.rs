//! Where the rows of a DataFrame go, and the start of a query.
//!
//! Owns the formats, options and output modes of sinks in Spark's words. Knows no sink: each is a table as SQL declares it, or a place in the
//! program. Invariants: a query that cannot run is refused by `start`, at its line; nothing runs before.

use super::{
    batch,
    frame::{DataFrame, parsed_ms},
    listener::{QueryStartedEvent, QueryTerminatedEvent},
    mistake::{At, told, wrong},
    progress::{QueryFacts, QueryId, RunId},
    query::{Recorder, Run, StreamingQuery},
    session::StreamSession,
    target::{OutputMode, Said, Target},
};
use crate::{
    config::{Config, Trigger},
    context::StreamingContext,
    error::{Error, Result},
    log,
    observe::{
        listener::{BatchInfo, StreamingListener},
        queries::QueryView,
    },
    plan::{Node, Role, Topology},
    record::hash_bytes,
    runtime::clock::{Clock, SystemClock},
    sink::Outcome,
    sql::{
        SourceText, SqlError, build,
        connector::{Connector, bounded},
        plan::{self, stream_plan::StreamPlan},
        sink::BatchOfRows,
    },
    state::RocksMemory,
    ui::{Server, Settings},
};
use arrow::array::RecordBatch;
use std::{
    collections::BTreeMap,
    fmt::{self, Display},
    io::Read,
    panic::Location,
    sync::Arc,
    time::Duration,
};
use tempfile::TempDir;

impl Trigger {
    /// A batch each time that so much time has passed: `1 second`, `500 ms`, `5 minutes`. A batch is a transaction.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate::config::Trigger;
    /// assert_eq!(Trigger::processing_time("10 seconds")?, Trigger::Interval(Duration::from_secs(10)));
    /// assert!(Trigger::processing_time("soon").is_err());
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    ///
    /// # Errors
    /// If it is no length of time.
    pub fn processing_time(interval: &str) -> Result<Trigger> {
        let ms = parsed_ms(interval).ok().and_then(|ms| u64::try_from(ms).ok()).filter(|ms| *ms > 0);
        let no_length = || {
            Error::Config(format!(
                "`{interval}` is no length of time\n  next: write, for instance, `1 second` or `500 milliseconds`"
            ))
        };
        ms.map(|ms| Trigger::Interval(Duration::from_millis(ms))).ok_or_else(no_length)
    }
}

/// Writes a DataFrame: see [`DataFrame::write_stream`].
#[derive(Clone)]
#[must_use = "call `start`"]
pub struct DataStreamWriter {
    frame: DataFrame,
    format: Option<String>,
    mode: Option<String>,
    trigger: Trigger,
    options: BTreeMap<String, String>,
    name: Option<String>,
    partition_by: Vec<String>,
    batches: Option<(BatchOfRows, At)>,
    table: Option<String>,
}

impl DataFrame {
    /// Writes its rows as they come.
    ///
    /// ```no_run
    /// use tidegate::sql::{StreamSession, Trigger, functions::{col, explode, split}};
    /// # fn main() -> tidegate::Result {
    /// let spark = StreamSession::builder("word count").log("127.0.0.1:9092").checkpoint("state").get_or_create()?;
    /// let lines = spark.read_stream().format("kafka").option("subscribe", "lines").load()?;
    /// let words = lines.select([explode(split(col("value").cast("STRING"), " ")).alias("word")])?;
    /// let query = words.group_by(["word"]).count()?.write_stream()
    ///     .format("kafka").option("topic", "counts").option("value.format", "json").output_mode("update")
    ///     .trigger(Trigger::processing_time("1 second")?).query_name("counts").start()?;
    /// query.await_termination()
    /// # }
    /// ```
    pub fn write_stream(&self) -> DataStreamWriter {
        DataStreamWriter {
            frame: self.clone(),
            format: None,
            mode: None,
            trigger: Trigger::AsSoonAsPossible,
            options: BTreeMap::new(),
            name: None,
            partition_by: vec![],
            batches: None,
            table: None,
        }
    }
}

impl DataStreamWriter {
    /// What is written to: `kafka`, `console`, `memory`, `blackhole`, or any connector of SQL that can be written to.
    pub fn format(mut self, format: &str) -> Self {
        self.format = Some(format.to_owned());
        self
    }

    /// How rows leave: `append` (the default: rows that do not change any more), `update` (rows that are new or have changed) or `complete` (all
    /// rows, at each batch that changes any).
    pub fn output_mode(mut self, mode: &str) -> Self {
        self.mode = Some(mode.to_owned());
        self
    }

    /// When a batch ends; default: as soon as what has come is processed.
    pub fn trigger(mut self, trigger: Trigger) -> Self {
        self.trigger = trigger;
        self
    }

    /// An option of the sink; `checkpointLocation` is the directory of this query's state, instead of that of the session; if
    /// the session has neither a log nor a directory, the log of the query is there too. Without both, a query that keeps state and writes to
    /// the console, to memory or to `foreach_batch` has a temporary directory until it ends; its state is made anew from the log.
    pub fn option(mut self, key: &str, value: impl Display) -> Self {
        self.options.insert(key.to_owned(), value.to_string());
        self
    }

    /// Options of the sink.
    pub fn options<'s>(mut self, options: impl IntoIterator<Item = (&'s str, &'s str)>) -> Self {
        self.options.extend(options.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())));
        self
    }

    /// What the query is called: its application id, by which it finds its state, its offsets and its topics again. Without a name it is called
    /// as the session; so one query of a session may have none.
    pub fn query_name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// Columns by whose values files are put into folders.
    pub fn partition_by<'s>(mut self, columns: impl IntoIterator<Item = &'s str>) -> Self {
        self.partition_by = columns.into_iter().map(str::to_owned).collect();
        self
    }

    /// Calls `f` with the rows of each batch that has any, and the batch's id, after the batch has been committed and in the order of the ids.
    /// After a crash, or an error of `f`, it is called again with **exactly the same rows under the same id**: a destination that stores the
    /// id with the rows gets each batch once. In mode complete, the rows are all rows. Ids grow, but are not consecutive.
    ///
    /// The rows are committed with the batch in the topic `<query name>-foreach-<query name>`, from which one process delivers them, beside the
    /// loop. `f` gives nothing, or a `Result` with a boxed error; an error stops the query.
    ///
    /// ```
    /// use std::{collections::BTreeMap, sync::{Arc, Mutex}};
    /// use tidegate::sql::{StreamSession, Trigger};
    /// let spark = StreamSession::builder("foreach-doc").get_or_create()?;
    /// spark.sql("CREATE TABLE ticks (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '1000', 'number-of-rows' = '5')")?;
    /// let table: Arc<Mutex<BTreeMap<i64, usize>>> = Arc::default(); // stands in for a table with the key `batch_id`
    /// let stored = table.clone();
    /// let writer = spark.table("ticks")?.write_stream().query_name("stored").trigger(Trigger::AvailableNow);
    /// let query = writer.foreach_batch(move |batches, id| {
    ///     let rows = batches.iter().map(|rows| rows.num_rows()).sum();
    ///     stored.lock().unwrap().entry(id).or_insert(rows); // ON CONFLICT DO NOTHING
    /// }).start()?;
    /// query.await_termination()?;
    /// assert_eq!(table.lock().unwrap().values().sum::<usize>(), 5);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    pub fn foreach_batch<R: Outcome>(
        mut self,
        f: impl Fn(Vec<RecordBatch>, i64) -> R + Send + Sync + 'static,
    ) -> Self {
        let function: BatchOfRows = Arc::new(move |rows, id| f(rows, id).reason().map_err(Into::into));
        self.batches = Some((function, Location::caller()));
        self
    }

    /// Writes to a table that was declared; its columns are matched by name.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    #[track_caller]
    pub fn to_table(mut self, name: &str) -> Result<StreamingQuery> {
        self.table = Some(name.to_owned());
        self.started(Location::caller())
    }

    /// Starts the query: an engine of its own, on its own threads.
    ///
    /// ```
    /// use tidegate::sql::{StreamSession, Trigger, functions::col};
    /// let spark = StreamSession::builder("start-doc").get_or_create()?;
    /// spark.sql("CREATE TABLE ticks (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '1000', 'number-of-rows' = '9',
    ///     'fields.n.kind' = 'sequence', 'fields.n.start' = '1')")?;
    /// let large = spark.table("ticks")?.filter(col("n").gt(7))?;
    /// let query = large.write_stream().format("memory").query_name("large").trigger(Trigger::AvailableNow).start()?;
    /// query.await_termination()?;
    /// assert_eq!(spark.memory("large")?.iter().map(|rows| rows.num_rows()).sum::<usize>(), 2);
    ///
    /// let told = spark.table("ticks")?.agg([col("n").alias("m")]).unwrap_err().to_string();
    /// assert!(told.contains("`agg` without an aggregate"), "{told}");
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Plan`] with the line of the call if the query cannot run so, [`Error::Config`] for a setting, or the reason why the log or the
    /// state directory cannot be opened. Later failures are the query's [`exception`](StreamingQuery::exception).
    #[track_caller]
    pub fn start(&self) -> Result<StreamingQuery> {
        self.started(Location::caller())
    }

    /// Adds the query to a program of streams, instead of starting it: its batches are those of the program, each one transaction. So a query can
    /// be tested batch by batch, as programs are.
    ///
    /// ```
    /// use tidegate::{StreamingContext, sql::StreamSession, testing::Driver};
    /// let spark = StreamSession::builder("add-to-doc").get_or_create()?;
    /// let lines = spark.read_stream().format("kafka").option("subscribe", "lines").option("startingOffsets", "earliest")
    ///     .option("value.format", "raw").schema("line STRING").load()?;
    /// let counts = lines.group_by(["line"]).count()?;
    /// let writer = counts.write_stream().format("kafka").option("topic", "counts").option("value.format", "json").output_mode("update");
    /// let mut driver = Driver::new(move |ssc: &StreamingContext| writer.add_to(ssc).unwrap());
    /// let written = driver.batch("lines 0 | - | sea\nlines 0 | - | sea\n")?;
    /// assert_eq!(written.to_string(), "counts | {\"line\":\"sea\"} | {\"line\":\"sea\",\"count\":2}\n");
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`start`](Self::start).
    #[track_caller]
    pub fn add_to(&self, ssc: &StreamingContext) -> Result {
        let at = Location::caller();
        let name = self.application();
        let application = ssc.config().application_id.clone();
        let Planned { stream, target, .. } = self.planned(&name, self.options.clone(), at)?;
        let place = SourceText::at_program(at);
        let built = ssc.add_plan(|topology| {
            build::build_with(&stream, &place, &application, target.taken.as_ref(), topology)
        });
        built.map_err(|mistake| told(at, mistake))?;
        self.keep(&name, &target, at)
    }

    /// Makes the rows that a query of this name keeps in memory known under it.
    fn keep(&self, name: &str, target: &Target, at: At) -> Result {
        let Some(memory) = &target.memory else { return Ok(()) };
        let kept = self.frame.session.0.keep(name, memory, &bounded::schema(&target.table));
        kept.map_err(|mistake| told(at, mistake))
    }

    /// What the query is called outside.
    fn application(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.frame.session.0.config.application_id.clone())
    }

    fn planned(&self, name: &str, options: BTreeMap<String, String>, at: At) -> Result<Planned> {
        if self.frame.is_bounded() {
            let mistake = SqlError::at(None, "`write_stream` can be called only on a streaming DataFrame")
                .because("the rows of this one have an end: it reads tables that are read once")
                .next("call show(), collect() or write(), or join a stream with it; read_stream() reads files as they come");
            return Err(told(at, mistake));
        }
        let said = Said {
            frame: &self.frame,
            name,
            is_named: self.name.is_some(),
            format: self.format.as_deref(),
            mode: self.mode(at)?,
            options,
            partition_by: &self.partition_by,
            batches: self.batches.as_ref(),
            table: self.table.as_deref(),
            at,
        };
        let (target, mut stream) = (said.target()?, StreamPlan::default());
        let session = &self.frame.session.0;
        let mistaken = |mistake| told(at, mistake);
        let mut planned =
            session.planner().logical_insert(&target.table, &target.insert).map_err(mistaken)?;
        planned.logical = batch::beside_streams(&self.frame, planned.logical, at)?;
        let planned = session.planner().lower_insert(planned, &target.table, &mut stream);
        let planned = planned.map_err(mistaken)?;
        let plans = plan::explain(&planned.logical, &stream, planned.root);
        Ok(Planned { stream, target, plans })
    }

    fn started(&self, at: At) -> Result<StreamingQuery> {
        let clock = SystemClock::new();
        let began = clock.monotonic();
        let session = &self.frame.session;
        let application = self.application();
        let Some(claim) = session.0.streams.claim(&application) else {
            let next = "give it another name: query_name(..)";
            return Err(wrong(at, format!("a query `{application}` is running"), next));
        };
        let place = SourceText::at_program(at);
        let mut options = self.options.clone();
        let config = self.config(&application, &mut options, at)?;
        let Planned { stream, target, plans } = self.planned(&application, options, at)?;
        let mut config = with_tables(config, session.0.has_own_log, &stream, at)?;
        let context = StreamingContext::new(config.clone());
        let built = context.add_plan(|topology| {
            build::build_with(&stream, &place, &application, target.taken.as_ref(), topology)
                .map(|()| topology.clone())
        });
        let topology = built.map_err(|mistake| told(at, mistake))?;
        let meanwhile = directory_meanwhile(&config, &topology, &target, at)?;
        if let Some(dir) = &meanwhile {
            config.state_dir = Some(dir.path().to_owned());
            context.checkpoint(dir.path());
        }
        let explained = format!("{plans}\ntopology:\n{topology}");
        let facts = QueryFacts {
            id: QueryId(identity(&[&config.bootstrap, &application])),
            run_id: RunId(by_chance()?),
            name: self.name.clone(),
            states: states(&topology),
            writes_topic: !topology.sink_topics().is_empty(),
            sink: target.description.clone(),
            planning_ms: u64::try_from(clock.monotonic().saturating_sub(began).as_millis())
                .unwrap_or(u64::MAX),
        };
        self.keep(&application, &target, at)?;
        let query = self.run(Engine { context, config, meanwhile }, &topology, explained, facts)?;
        drop(claim);
        Ok(query)
    }

    fn run(
        &self,
        engine: Engine,
        topology: &Topology,
        explained: String,
        facts: QueryFacts,
    ) -> Result<StreamingQuery> {
        let Engine { context, config, meanwhile } = engine;
        let session = &self.frame.session;
        let listeners = session.0.streams.listeners().clone();
        let recorder = Arc::new(Recorder::new(listeners.clone()));
        recorder.begin(facts.clone());
        context.add_streaming_listener(Shared(recorder.clone()));
        let after = recorder.clone();
        context.add_listener(move |report| after.batch(report));
        if config.state_dir.is_some() {
            context.share_state_memory(state_memory(session)?);
        }
        let clock = SystemClock::new();
        listeners.started(&QueryStartedEvent {
            id: facts.id,
            run_id: facts.run_id,
            name: facts.name.clone(),
            timestamp_ms: clock.now_ms(),
        });
        let started = context.start();
        if let Err(error) = started {
            let exception = Some(error.to_string());
            let (id, run_id) = (facts.id, facts.run_id);
            listeners.terminated(&QueryTerminatedEvent { id, run_id, exception });
            return Err(error);
        }
        if let Some((metrics, status, history)) = context.watched() {
            let (id, run_id) = (facts.id.to_string(), facts.run_id.to_string());
            let started_ms = clock.now_ms();
            let view = QueryView::new(
                facts.name.clone(),
                id,
                run_id,
                started_ms,
                explained.clone(),
                metrics,
                status,
                history,
            );
            let view = Arc::new(view);
            recorder.show(view.clone());
            session.0.streams.board().add(view);
        }
        let sources = sources(topology);
        let run = Arc::new(Run::new(facts, context, config, sources, explained, recorder));
        let query = StreamingQuery(run.clone());
        session.0.streams.add(&query);
        let (streams, run_id) = (session.0.streams.clone(), run.facts.run_id);
        run.watch(listeners, move |outcome| {
            drop(meanwhile);
            streams.ended(run_id, outcome);
        })?;
        Ok(query)
    }

    fn mode(&self, at: At) -> Result<OutputMode> {
        match self.mode.as_deref().map(str::to_ascii_lowercase).as_deref() {
            None | Some("append") => Ok(OutputMode::Append),
            Some("update") => Ok(OutputMode::Update),
            Some("complete") => Ok(OutputMode::Complete),
            Some(other) => Err(wrong(
                at,
                format!("there is no output mode `{other}`"),
                "choose append, update or complete",
            )),
        }
    }

    /// The settings of this query: those of the session, its name, its trigger, its directory.
    fn config(&self, application: &str, options: &mut BTreeMap<String, String>, at: At) -> Result<Config> {
        let session = &self.frame.session;
        let mut config = session.0.config.clone();
        application.clone_into(&mut config.application_id);
        config.trigger = self.trigger;
        config.progress_line = false;
        // The page, the metrics and health of all queries are those of the session.
        if let Some(settings) = Settings::of(&config)? {
            config.admin_bind = None;
            let mut server = session.0.streams.server();
            if server.is_none() {
                let started = Server::for_queries(&settings, session.0.streams.board().clone())?;
                tracing::info!("page of queries, metrics and health: {}", started.url());
                *server = Some(started);
            }
        }
        if let Some(dir) = options.remove("checkpointLocation") {
            config.state_dir = Some(dir.into());
        }
        if options.remove("failOnDataLoss").is_some_and(|value| value != "true") {
            return Err(wrong(at, "`failOnDataLoss` is always true", "leave it out"));
        }
        Ok(config)
    }
}

/// A query that can run.
struct Planned {
    stream: StreamPlan,
    target: Target,
    /// As text.
    plans: String,
}

/// The engine of a query, and the directory of its state if nobody has said one.
struct Engine {
    context: StreamingContext,
    config: Config,
    meanwhile: Option<TempDir>,
}

/// The settings with what the tables of the plan say of the log; both must agree.
fn with_tables(mut config: Config, has_own_log: bool, stream: &StreamPlan, at: At) -> Result<Config> {
    let mut log = if has_own_log { String::new() } else { std::mem::take(&mut config.bootstrap) };
    let topics = stream.tables().filter_map(|table| match Connector::of(table) {
        Ok(Connector::Kafka(kafka) | Connector::UpsertKafka(kafka)) => Some(kafka),
        _ => None,
    });
    for (key, value, _) in topics.flat_map(|kafka| kafka.properties) {
        let set = match key.as_str() {
            "bootstrap.servers" => &mut log,
            "group.id" => &mut config.application_id,
            _ => config.properties.entry(key.clone()).or_default(),
        };
        if set.is_empty() {
            *set = value;
        } else if *set != value {
            let what = format!("`kafka.{key}` is not what the session or another table says");
            let mistake = SqlError::at(None, what).because(
                "a query has one client of one log, whose offsets, state and outputs are one transaction",
            );
            return Err(told(
                at,
                mistake.next("leave the option out, and call StreamSession::builder(..).log(..)"),
            ));
        }
    }
    if !log.is_empty() {
        config.bootstrap = log;
    } else if let Some(dir) = config.state_dir.take() {
        // Of a query with a directory of its own, in a session without one.
        config.bootstrap = format!("embedded:{}", dir.join("log").display());
        config.state_dir = Some(dir.join("state"));
    }
    Ok(config)
}

/// A directory for a query that was given none, until the query ends: if nothing of what it writes outlives the process, as in Spark.
fn directory_meanwhile(
    config: &Config,
    topology: &Topology,
    target: &Target,
    at: At,
) -> Result<Option<TempDir>> {
    if config.state_dir.is_some() || log::ends_with_process(&config.bootstrap) {
        return Ok(None);
    }
    let is_shown = matches!(
        Connector::of(&target.table),
        Ok(Connector::Print { .. } | Connector::Console { .. } | Connector::Blackhole)
    );
    if target.taken.is_none() && !is_shown {
        let keeps_state = topology.iter().any(|(_, node)| !node.stores.is_empty());
        let next = "call option(\"checkpointLocation\", \"dir\"), or checkpoint(\"dir\") of the session";
        let refused = || Err(wrong(at, "the query keeps state, and has no directory for it", next));
        return if keeps_state { refused() } else { Ok(None) };
    }
    let made = tempfile::Builder::new().prefix("tidegate-").tempdir();
    let dir = made.map_err(Error::io("making a temporary directory for the state of a query"))?;
    tracing::info!(
        "`{}` has no checkpointLocation: until it ends its state is in {}",
        config.application_id,
        dir.path().display()
    );
    Ok(Some(dir))
}

/// What keeps state: the durable names, each with its node.
fn states(topology: &Topology) -> Vec<(String, usize)> {
    let keeps = |node: &Node| !node.stores.is_empty();
    topology.iter().filter(|(_, node)| keeps(node)).map(|(id, node)| (node.path.clone(), id.0)).collect()
}

/// The topics that are read, as far as they are named, and whether nothing else is.
fn sources(topology: &Topology) -> (Vec<String>, bool) {
    let topics = topology.sources().flat_map(|(_, spec)| spec.topics.clone()).collect();
    let reads_topics_only = topology.iter().all(|(_, node)| match &node.role {
        Role::Local(_) => false,
        Role::Source(spec) => spec.pattern.is_none(),
        _ => true,
    }) && topology.receivers.is_empty();
    (topics, reads_topics_only)
}

/// An identity that follows from texts.
fn identity(of: &[&str]) -> u128 {
    let text = of.join("\n");
    let half = |salt: &str| u128::from(hash_bytes(format!("{salt}{text}").as_bytes()));
    // Version 8 of RFC 9562: bits of our own.
    let bits = half("a") << 64 | half("b");
    bits & !(0xf << 76) & !(0x3 << 62) | 0x8 << 76 | 0x2 << 62
}

/// An identity by chance: version 4 of RFC 9562.
fn by_chance() -> Result<u128> {
    let mut bytes = [0; 16];
    let random = std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    random.map_err(Error::io("reading /dev/urandom"))?;
    Ok(u128::from_be_bytes(bytes) & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62)
}

/// The memory that the states of all queries share.
fn state_memory(session: &StreamSession) -> Result<&RocksMemory> {
    if let Some(memory) = session.0.state_memory.get() {
        return Ok(memory);
    }
    let memory = RocksMemory::new(session.0.config.state_memory_bytes)?;
    Ok(session.0.state_memory.get_or_init(|| memory))
}

/// A recorder as a listener of its own.
struct Shared(Arc<Recorder>);

impl StreamingListener for Shared {
    fn on_batch_completed(&self, batch: &BatchInfo) {
        self.0.on_batch_completed(batch);
    }
}

impl fmt::Debug for DataStreamWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DataStreamWriter({:?} of {:?})", self.format, self.frame)
    }
}
