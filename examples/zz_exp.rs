//! Scratch.
use clap::Parser;
use std::time::{Duration, Instant};
use tidegate::{
    BadRecordPolicy, SourceOptions, State, StateSpec, StreamingContext, Text,
    codec::{AsText, Utf8},
    config::Args,
    record::BatchTime,
};
#[derive(Parser)]
struct Program {
    #[command(flatten)]
    args: Args,
    #[arg(long)]
    mode: String,
    #[arg(long, default_value_t = 0)]
    us: u64,
}
fn main() -> std::process::ExitCode {
    let Program { args, mode, us } = Program::parse();
    if let Some(n) = mode.strip_prefix("fill:") {
        fill(&args, n.parse().unwrap());
        return std::process::ExitCode::SUCCESS;
    }
    if mode == "judge" {
        judge(&args);
        return std::process::ExitCode::SUCCESS;
    }
    tidegate::program(&args, |args| {
        let mut config = args.config();
        config.progress_line = false;
        let ssc = StreamingContext::new(config);
        let pause = Duration::from_micros(us);
        let source = SourceOptions::topic(&args.input).on_bad_record(BadRecordPolicy::Skip);
        let lines = ssc.source::<Text>(source, Utf8);
        match mode.as_str() {
            "keyed" => {
                lines.map(|l| (l.clone(), l)).to_kafka(&args.output, Utf8, Utf8);
                let f = move |_: BatchTime, k: &Text, _: Option<u64>, s: &mut State<u64>| {
                    std::thread::sleep(pause);
                    s.update(1);
                    Some((k.clone(), 1u64))
                };
                let counts = lines.map(|l| (l, 1u64)).map_with_state(StateSpec::function(f)).named("s");
                counts.map(|(k, n)| (format!("c{k}"), n)).to_kafka(&args.output, Utf8, AsText);
            }
            "map" => {
                lines
                    .map(move |l| {
                        std::thread::sleep(pause);
                        (l.clone(), l)
                    })
                    .to_kafka(&args.output, Utf8, Utf8);
            }
            "poison" => {
                lines
                    .try_map(|l| if l.ends_with("42") { Err("no good") } else { Ok((l.clone(), l)) })
                    .to_kafka(&args.output, Utf8, Utf8);
            }
            "panic" => {
                lines
                    .map(|l| {
                        assert!(!l.ends_with("42"), "no good");
                        (l.clone(), l)
                    })
                    .to_kafka(&args.output, Utf8, Utf8);
            }
            "plain" => lines.map(|l| (l.clone(), l)).to_kafka(&args.output, Utf8, Utf8),
            "foreach" => {
                lines.map(|l| (l.clone(), l)).to_kafka(&args.output, Utf8, Utf8);
                let began = Instant::now();
                lines.foreach_rdd(move |rdd, t| {
                    let n = rdd.count();
                    if n > 0 {
                        eprintln!("{:?} call with {n} rows at {t}", began.elapsed());
                        std::thread::sleep(pause);
                    }
                    Ok::<_, String>(())
                });
            }
            "count" => lines.map(|l| (l, 1u64)).reduce_by_key(|a, b| a + b).count().print(),
            _ => panic!("mode"),
        }
        ssc.run()
    })
}

fn fill(args: &Args, n: u64) {
    use tidegate::{log, record::*};
    let log = log::open(&args.bootstrap, &Default::default()).unwrap();
    for topic in [&args.input, &args.output] {
        let _ = log.create(&log::TopicSpec {
            name: topic.clone(),
            partitions: 1,
            replication_factor: None,
            config: Default::default(),
        });
    }
    std::thread::sleep(Duration::from_millis(500));
    for from in (0..n).step_by(10_000) {
        let mut records = RawChunkBuilder::default();
        for i in from..n.min(from + 10_000) {
            let value = format!("{i:024}");
            records.push(RawRecord {
                offset: Offset(0),
                timestamp_ms: -1,
                key: None,
                value: Some(value.as_bytes()),
                headers: Headers::NONE,
            });
        }
        log::write(log.as_ref(), &args.input, None, &records.build()).unwrap();
    }
}
fn judge(args: &Args) {
    use tidegate::{log, record::*};
    let log = log::open(&args.bootstrap, &Default::default()).unwrap();
    let at = TopicPartition::new(args.output.as_str(), 0);
    let mut times = std::collections::BTreeMap::new();
    let (mut next, end) = (log.start_offset(&at).unwrap(), log.end_offset(&at).unwrap());
    let mut reader = log.read(&at, next).unwrap();
    let began = Instant::now();
    while next < end && began.elapsed() < Duration::from_secs(20) {
        let Some(f) = reader.next(Duration::from_secs(1)).unwrap() else { continue };
        for r in f.records.iter() {
            *times.entry(r.key.unwrap_or_default().to_vec()).or_insert(0u64) += 1;
        }
        next = f.next;
    }
    let mut by = std::collections::BTreeMap::new();
    times.values().for_each(|n| *by.entry(*n).or_insert(0u64) += 1);
    println!("keys by number of records: {by:?}");
}
