//! The demo: a word count over generated lines, exactly once, on a log in a directory.
//!
//! Owns the program that a newcomer runs first: topics, streams, generator and screen, all in this process. Knows the
//! library only through its public interface. Invariants: only committed results are shown; when it is started again on
//! its directory, it continues where it stopped.

mod board;
mod generator;
mod lines;

use board::{Batches, Board, Screen};
use generator::Generator;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use tidegate::{
    Config, Error, Result, StreamingContext,
    codec::{AsText, Utf8},
    config::{ADMIN_BIND, AdminAccess},
    log::{self, Log, TopicSpec},
    observe::logging::{self, LogFormat},
};

/// The topic of generated lines.
pub const LINES: &str = "lines";
/// The topic of counts: key = word, value = decimal number.
pub const COUNTS: &str = "counts";
/// Number of partitions of each.
const PARTITIONS: u32 = 2;
/// About how many bytes of generated lines are kept, over all partitions.
const KEPT_BYTES: u64 = 32 << 20;
/// Size at which the log starts a new file; full files are compacted while the demo runs.
const SEGMENT_BYTES: u64 = 16 << 20;
/// How often the screen is drawn.
const FRAME: Duration = Duration::from_secs(1);

/// The flags of `tidegate demo`.
#[derive(clap::Args)]
pub struct Options {
    /// Where topics and state are kept; a start with the same directory continues where the last one ended
    #[arg(long, env = "TIDEGATE_DEMO_DIR", default_value = ".tidegate-demo")]
    dir: PathBuf,
    /// Lines generated per second
    #[arg(long, env = "TIDEGATE_DEMO_RATE", default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: u32,
    /// Stop after this many seconds
    #[arg(long, env = "TIDEGATE_DEMO_SECONDS")]
    seconds: Option<u64>,
    /// Address of the streaming page, metrics and health, or `off`; if the port is in use, the next free one is taken
    #[arg(long, env = "TIDEGATE_ADMIN_BIND", default_value = ADMIN_BIND)]
    admin_bind: String,
    /// Who may read there
    #[command(flatten)]
    admin_access: AdminAccess,
}

/// Runs the demo to its end: a signal, the given time, or a failure.
pub fn run(options: &Options) -> Result {
    logging::init(LogFormat::Text, Some("warn"))?;
    std::fs::create_dir_all(&options.dir)
        .map_err(Error::io(format!("creating {}", options.dir.display())))?;
    let dir = options.dir.canonicalize().map_err(Error::io(format!("opening {}", options.dir.display())))?;
    let config = config(options, &dir);
    // The program and the generator share one log: opened twice in a process, a directory is the same log.
    let log = log::open(&config.bootstrap, &config.properties)?;
    create_topics(log.as_ref())?;

    let ssc = StreamingContext::new(config);
    let words = ssc.text(LINES).flat_map(|line| line.split(' ')).filter(|word| !word.is_empty());
    words.map(|word| (word, 1u64)).running_reduce_by_key(|a, b| a + b).to_kafka(COUNTS, Utf8, AsText);
    let batches = Arc::new(Mutex::new(Batches::default()));
    let counted = Arc::new(AtomicU64::new(0));
    let (seen, lines) = (batches.clone(), counted.clone());
    ssc.add_listener(move |batch| {
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.add(batch);
        lines.store(seen.lines(), Ordering::SeqCst);
    });
    ssc.start()?;
    ssc.stop_on_signals()?;

    let began = Instant::now();
    let mut screen = Screen::new();
    let scheme = if options.admin_access.admin_certificate_file.is_some() { "https" } else { "http" };
    let address = ssc.admin_address().map_or("off".to_owned(), |a| format!("{scheme}://{a}"));
    screen.header(&address, &dir, options.rate);
    let generator = Generator::start(log.clone(), options.rate, counted)?;
    let shown = watch(
        &ssc,
        log.as_ref(),
        &batches,
        &mut screen,
        &generator,
        options.seconds.map(Duration::from_secs),
    );
    ssc.stop(false);
    let generated = generator.stop();
    let ended = ssc.await_termination();
    let batches = batches.lock().unwrap_or_else(PoisonError::into_inner);
    screen.summary(&batches, began.elapsed(), &dir, options.dir == Path::new(".tidegate-demo"));
    ended.and(shown).and(generated)
}

fn config(options: &Options, dir: &Path) -> Config {
    let mut config = Config::new("demo", format!("embedded:{}", dir.join("log").display()));
    config.properties.insert("segment.bytes".into(), SEGMENT_BYTES.to_string());
    config.state_dir = Some(dir.join("state"));
    config.state_partitions = 4;
    config.admin_bind = (options.admin_bind != "off").then(|| options.admin_bind.clone());
    config.admin_access = options.admin_access.clone();
    config.progress_line = false;
    config
}

fn create_topics(log: &dyn Log) -> Result {
    let kept = (KEPT_BYTES / u64::from(PARTITIONS)).to_string();
    let lines = [("cleanup.policy", "delete".to_owned()), ("retention.bytes", kept)];
    let counts = [("cleanup.policy", "compact".to_owned())];
    for (name, config) in [(LINES, &lines[..]), (COUNTS, &counts[..])] {
        let config = config.iter().map(|(k, v)| ((*k).to_owned(), v.clone()));
        let config: BTreeMap<_, _> = config.collect();
        log.create(&TopicSpec {
            name: name.into(),
            partitions: PARTITIONS,
            replication_factor: None,
            config,
        })?;
    }
    Ok(())
}

/// Shows what was committed, once per second, until the program ends or the time is over.
fn watch(
    ssc: &StreamingContext,
    log: &dyn Log,
    batches: &Mutex<Batches>,
    screen: &mut Screen,
    generator: &Generator,
    limit: Option<Duration>,
) -> Result {
    let began = Instant::now();
    let mut board = Board::open(log, PARTITIONS)?;
    let mut next = FRAME;
    loop {
        let over = limit.is_some_and(|limit| began.elapsed() >= limit);
        if over || !ssc.is_running() || generator.has_failed() {
            break;
        }
        if began.elapsed() >= next {
            next = began.elapsed() + FRAME;
            board.read()?;
            let batches = batches.lock().unwrap_or_else(PoisonError::into_inner);
            screen.draw(&board, &batches, began.elapsed());
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
