//! What the measurements of Nexmark need besides `tidegate run`: events in a topic or in files, and how large the state of a query is.
//!
//! `./dev bench nexmark` calls it (benches/README.md).

mod events;

use chrono::NaiveDateTime;
use clap::{Parser, Subcommand};
use events::Events;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tidegate::{
    Config, StreamingContext,
    log::{self, Log, Producer, ProducerSpec, RequestSizes, TopicSpec},
    record::{Headers, Offset, Partition, RawChunkBuilder, RawRecord, TopicPartition},
    sql::{Script, SourceText},
    state::{StoreId, changelog},
};
use xxhash_rust::xxh3::xxh3_64;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// `cargo bench` says so.
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Writes events to a topic, one after the other to each partition
    Topic {
        #[arg(long)]
        bootstrap: String,
        #[arg(long, default_value = "nexmark")]
        topic: String,
        #[command(flatten)]
        which: Which,
    },
    /// Writes the same events to files, one for each partition
    Files {
        #[arg(long)]
        dir: PathBuf,
        #[command(flatten)]
        which: Which,
    },
    /// Tells how many rows a topic holds, and a digest of them that does not depend on their order, nor on how numbers and times are written; of
    /// records with the same key the last one counts, and none whose value is null
    Digest {
        #[arg(long)]
        bootstrap: String,
        #[arg(long)]
        topic: String,
    },
    /// Tells rows and bytes of each state of a script that has run, by the rows of its changelog: a JSON object for each
    State {
        #[arg(long)]
        bootstrap: String,
        #[arg(long)]
        application_id: String,
        #[arg(long)]
        script: PathBuf,
    },
}

#[derive(clap::Args)]
struct Which {
    #[arg(long)]
    events: u64,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Of event time
    #[arg(long, default_value_t = 10_000)]
    per_second: u64,
    /// So many events change places with each other
    #[arg(long, default_value_t = 1)]
    out_of_order_group: u64,
    #[arg(long, default_value_t = 4)]
    partitions: u32,
}

impl Which {
    fn events(&self) -> Events {
        let Which { seed, per_second, out_of_order_group, .. } = *self;
        Events { seed, per_second, out_of_order_group }
    }
}

fn main() -> Result {
    match Cli::parse().command {
        Command::Topic { bootstrap, topic, which } => {
            write_topic(&*log::open(&bootstrap, &BTreeMap::new())?, &topic, &which)
        }
        Command::Files { dir, which } => Ok(write_files(&dir, &which)?),
        Command::Digest { bootstrap, topic } => digest(&log::open(&bootstrap, &BTreeMap::new())?, &topic),
        Command::State { bootstrap, application_id, script } => state(&bootstrap, &application_id, &script),
    }
}

/// Records of a request, about.
const CHUNK: u64 = 20_000;

fn write_topic(log: &dyn Log, topic: &str, which: &Which) -> Result {
    let config = BTreeMap::from([("retention.ms".to_owned(), "-1".to_owned())]);
    log.create(&TopicSpec {
        name: topic.into(),
        partitions: which.partitions,
        replication_factor: None,
        config,
    })?;
    let mut producer = log.producer(&ProducerSpec {
        transactional_id: None,
        transaction_timeout: Duration::from_secs(60),
        group: String::new(),
        buffer_bytes: 64 << 20,
        sizes: RequestSizes::default(),
    })?;
    producer.init()?;
    producer.begin()?;
    let mut from = 0;
    while from < which.events {
        let until = (from + CHUNK * u64::from(which.partitions)).min(which.events);
        for partition in 0..which.partitions {
            send(&mut *producer, topic, partition, which, from..until)?;
        }
        producer.flush()?;
        from = until;
    }
    Ok(())
}

fn send(
    producer: &mut dyn Producer,
    topic: &str,
    partition: u32,
    which: &Which,
    range: std::ops::Range<u64>,
) -> Result {
    let (events, mut json) = (which.events(), String::new());
    let mut rows = RawChunkBuilder::default();
    for n in range.filter(|n| n % u64::from(which.partitions) == u64::from(partition)) {
        let event = events.event(n);
        json.clear();
        event.write_json(&mut json);
        rows.push(RawRecord {
            offset: Offset(0),
            timestamp_ms: event.time_ms(),
            key: None,
            value: Some(json.as_bytes()),
            headers: Headers::NONE,
        });
    }
    Ok(producer.send(topic, Some(Partition(partition)), &rows.build())?)
}

fn write_files(dir: &Path, which: &Which) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)?;
    let (events, mut json) = (which.events(), String::new());
    for partition in 0..which.partitions {
        let mut file = BufWriter::new(File::create(dir.join(format!("part-{partition}.json")))?);
        for n in (u64::from(partition)..which.events).step_by(which.partitions as usize) {
            json.clear();
            events.event(n).write_json(&mut json);
            json.push('\n');
            file.write_all(json.as_bytes())?;
        }
        file.flush()?;
    }
    Ok(())
}

/// Visits all committed records of a topic.
fn read(log: &Arc<dyn Log>, topic: &str, mut visit: impl FnMut(u32, RawRecord<'_>)) -> Result {
    let Some(info) = log.describe(&[topic])?.pop().flatten() else { return Ok(()) };
    for partition in 0..info.partitions {
        let at = TopicPartition::new(topic, partition);
        let (mut next, end) = (log.start_offset(&at)?, log.end_offset(&at)?);
        let mut reader = log.read(&at, next)?;
        while next < end {
            let Some(fetched) = reader.next(Duration::from_secs(5))? else { break };
            next = fetched.next;
            fetched.records.iter().for_each(|record| visit(partition, record));
        }
    }
    Ok(())
}

fn digest(log: &Arc<dyn Log>, topic: &str) -> Result {
    let (mut rows, mut digest) = (0_u64, 0_u64);
    let mut by_key: HashMap<Value, u64> = HashMap::new();
    read(log, topic, |_, record| {
        let value = record.value.map(|value| xxh3_64(normal(parsed(value)).to_string().as_bytes()));
        match (record.key, value) {
            (Some(key), Some(value)) => drop(by_key.insert(normal(parsed(key)), value)),
            (Some(key), None) => drop(by_key.remove(&normal(parsed(key)))),
            (None, Some(value)) => (rows, digest) = (rows + 1, digest.wrapping_add(value)),
            (None, None) => {}
        }
    })?;
    rows += by_key.len() as u64;
    digest = by_key.into_values().fold(digest, u64::wrapping_add);
    println!("{}", json!({ "rows": rows, "digest": format!("{digest:016x}") }));
    Ok(())
}

fn parsed(json: &[u8]) -> Value {
    serde_json::from_slice(json).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(json).into_owned()))
}

/// Numbers as doubles, and times as milliseconds.
fn normal(value: Value) -> Value {
    let time = |text: &str| {
        let plain = text.trim_end_matches('Z').replacen('T', " ", 1);
        NaiveDateTime::parse_from_str(&plain, "%Y-%m-%d %H:%M:%S%.f")
            .ok()
            .map(|time| time.and_utc().timestamp_millis())
    };
    match value {
        Value::Number(number) => number.as_f64().map_or(Value::Null, Value::from),
        Value::String(text) => time(&text).map_or(Value::String(text), Value::from),
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, normal(value))).collect(),
        Value::Array(items) => items.into_iter().map(normal).collect(),
        other => other,
    }
}

fn state(bootstrap: &str, application_id: &str, script: &Path) -> Result {
    let text = std::fs::read_to_string(script)?;
    let script = Script::parse(SourceText::new(script.display().to_string(), text))?;
    let context = StreamingContext::new(Config::new(application_id, "memory:"));
    context.sql(&script);
    let topology = context.topology();
    let names: BTreeMap<StoreId, String> = topology
        .nodes
        .iter()
        .flat_map(|node| &node.stores)
        .map(|store| (StoreId::of(&store.name), store.name.clone()))
        .collect();
    let log = log::open(bootstrap, &BTreeMap::new())?;
    let topic = format!("{application_id}-changelog");
    for (store, (rows, bytes)) in stored(&log, &topic)? {
        let name = names.get(&store).map_or("?", String::as_str);
        println!("{}", json!({ "store": name, "rows": rows, "bytes": bytes }));
    }
    Ok(())
}

/// Rows and bytes (of keys and values) of each store, as the changelog has left them.
fn stored(log: &Arc<dyn Log>, topic: &str) -> Result<BTreeMap<StoreId, (usize, usize)>> {
    let mut sizes: HashMap<(u32, StoreId, Vec<u8>), usize> = HashMap::new();
    read(log, topic, |partition, record| {
        let Some(change) = changelog::change(record) else { return };
        let key = (partition, change.store, change.key.to_vec());
        match change.value {
            Some(value) => drop(sizes.insert(key, value.len())),
            None => drop(sizes.remove(&key)),
        }
    })?;
    let mut stores: BTreeMap<StoreId, (usize, usize)> = BTreeMap::new();
    for ((_, store, key), value) in sizes {
        let of_store = stores.entry(store).or_default();
        *of_store = (of_store.0 + 1, of_store.1 + key.len() + value);
    }
    Ok(stores)
}
