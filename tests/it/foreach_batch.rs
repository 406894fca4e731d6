//! Committed batches passed to a function: after a crash or an error the same rows come again under the same id and
//! time.

use expect_test::expect;
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};
use tidegate::{
    CommittedBatch, Config, Result, StreamingContext,
    config::Guarantee,
    log::{self, Log, TopicSpec},
    operator::Batch,
    plan::Role,
    record::{BatchId, BatchTime, Chunk, Offset, Partition, RawChunk, TopicPartition},
    sink::{
        Collected, TwoPhaseContext,
        outbox::{OutboxFailure, OutboxSource, OutboxWriter},
    },
    testing::{Crash, Driver},
};

/// Calls of the function, in order.
#[derive(Clone, Default)]
struct Calls(Arc<Mutex<Vec<(CommittedBatch, Vec<Vec<String>>)>>>);

impl Calls {
    fn push(&self, batch: CommittedBatch, rows: Vec<Vec<String>>) {
        self.0.lock().unwrap().push((batch, rows));
    }

    fn take(&self) -> Vec<(CommittedBatch, Vec<Vec<String>>)> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    /// Time and rows of each; ids must increase.
    fn times_and_rows(&self) -> Vec<(i64, Vec<String>)> {
        let calls = self.take();
        assert!(calls.windows(2).all(|two| two[0].0.id < two[1].0.id), "{calls:?}");
        calls.into_iter().map(|(batch, rows)| (batch.time.0, sorted(rows.concat()))).collect()
    }
}

fn sorted(mut rows: Vec<String>) -> Vec<String> {
    rows.sort();
    rows
}

/// Records each call; a call whose rows contain a word of `bad` fails after that.
fn words(calls: &Calls, bad: &'static [&'static str]) -> impl Fn(&StreamingContext) + use<> {
    let calls = calls.clone();
    move |ssc| {
        let calls = calls.clone();
        let words = ssc.text("lines").flat_map(|line| line.split(' ')).map(|word| word.to_string());
        words.foreach_batch("words", move |rdd, batch| {
            calls.push(batch, rdd.partitions().to_vec());
            let found = rdd.iter().find(|word| bad.contains(&word.as_str())).cloned();
            match found.as_deref() {
                Some("panic") => panic!("on purpose"),
                Some(word) => Err(format!("`{word}` is not welcome").into()),
                None => Ok(()),
            }
        });
    }
}

#[test]
fn each_batch_with_rows_is_delivered_once_with_its_time() {
    let calls = Calls::default();
    let mut driver = Driver::new(words(&calls, &[]));
    driver.batch_at(3_000, "lines 0 | - | to be\nlines 2 | - | or\nlines 0 | - | not\n").unwrap();
    let first = calls.take();
    assert_eq!(first.len(), 1, "an empty batch is not delivered: {first:?}");
    assert_eq!(
        (first[0].0.time, &first[0].1),
        (BatchTime(3_000), &vec![vec!["to".to_owned(), "be".into(), "not".into()], vec!["or".to_owned()],])
    );
    driver.restart();
    driver.batch("").unwrap();
    assert_eq!(calls.take(), [], "a delivered batch is not delivered again");
    driver.restart_without_state();
    driver.batch("lines 1 | - | more\n").unwrap();
    let second = calls.take();
    assert_eq!((second[0].0.time, &second[0].1), (BatchTime(5_000), &vec![vec!["more".to_owned()]]));
    assert!(second[0].0.id > first[0].0.id);
}

#[test]
fn crashes_before_and_after_the_commit_change_nothing() {
    let run = |crash: Option<Crash>| {
        let calls = Calls::default();
        let mut driver = Driver::new(words(&calls, &[]));
        for rows in ["lines 0 | - | a b\n", "lines 1 | - | c\nlines 2 | - | d\n", "", "lines 0 | - | e\n"] {
            if let Some(crash) = crash {
                driver.crash_at(crash);
            }
            driver.batch(rows).unwrap();
        }
        driver.batch("").unwrap();
        assert_eq!(driver.crashes() > 2, crash.is_some());
        calls.times_and_rows()
    };
    let calm = run(None);
    assert_eq!(calm.len(), 3, "{calm:?}");
    assert_eq!(run(Some(Crash::BeforeCommit)), calm);
    assert_eq!(run(Some(Crash::AfterCommit)), calm);
}

#[test]
fn after_an_error_the_same_rows_come_under_the_same_id_and_time() {
    for bad in ["panic", "bad"] {
        let calls = Calls::default();
        let mut driver = Driver::new(words(&calls, &["bad", "panic"]));
        driver.batch("lines 0 | - | good\n").unwrap();
        calls.take();
        let fed = format!("lines 0 | - | one {bad}\nlines 1 | - | two\n");
        let error = driver.batch(&fed).err().or_else(|| driver.batch("").err()).expect("it stops");
        let given = calls.take();
        assert_eq!(given.len(), 1, "{given:?}");
        let what = error.to_string().replace(&given[0].0.id.to_string(), "ID");
        let why = if bad == "panic" { "panicked: on purpose" } else { "`bad` is not welcome" };
        assert!(
            what.contains(&format!("batch ID of 2000: {why}\n  next: fix the cause and start again")),
            "{what}"
        );
        assert!(what.contains("foreach_batch at tests/it/foreach_batch.rs:"), "{what}");
        // More input arrives in the meantime, and the local state is lost.
        driver.restart_without_state();
        driver.batch("lines 0 | - | three\n").expect_err("it is delivered again, and fails again");
        assert_eq!(calls.take(), given);
        driver.restart_as(words(&calls, &[]));
        driver.batch("lines 2 | - | four\n").unwrap();
        let mut again = calls.take();
        assert_eq!(again.remove(0), given[0]);
        assert_eq!(
            again.into_iter().flat_map(|(_, rows)| rows.concat()).collect::<Vec<_>>(),
            ["three", "four"]
        );
    }
}

#[test]
fn rows_of_another_type_are_reported_and_kept() {
    let calls = Calls::default();
    let mut driver = Driver::new(words(&calls, &["bad"]));
    let _ = driver.batch("lines 0 | - | bad\n");
    let given = calls.take();
    driver.restart_as(|ssc| {
        let lengths = ssc.text("lines").map(|line| (line.len(), 1.5f64));
        lengths.foreach_batch("words", |_, _| ());
    });
    let error = driver.batch("").unwrap_err().to_string();
    let told = "its rows were written by a program with another type of rows: they are str, the program reads (u64,f64)";
    assert!(error.contains(told), "{error}");
    driver.restart_as(words(&calls, &[]));
    driver.batch("").unwrap();
    assert_eq!(calls.take(), given);
}

#[test]
fn mistakes_are_reported_at_the_start() {
    let error_of = |guarantee: Guarantee, names: &[&str]| {
        let mut config = Config::new("app", "memory:foreach-batch-mistakes");
        (config.guarantee, config.admin_bind) = (guarantee, None);
        let ssc = StreamingContext::new(config);
        let lines = ssc.queue_stream(&tidegate::source::Queue::<u64>::default(), true);
        names.iter().for_each(|name| lines.foreach_batch(name, |_, _| ()));
        let result: Result = ssc.start().and_then(|()| ssc.await_termination());
        let text = result.unwrap_err().to_string();
        let place = |line: &str| {
            line.split_once(".rs:").map_or(line.to_owned(), |(_, rest)| {
                rest.split_once(": ").map_or(String::new(), |(_, what)| what.to_owned())
            })
        };
        let text = text.lines().map(place).collect::<Vec<_>>().join("\n");
        match text.split_once("foreach_batch.rs:") {
            Some((before, after)) => {
                let rest = after.split_once('\n').map_or("", |(_, rest)| rest);
                format!("{before}foreach_batch.rs:LINE\n{rest}")
            }
            None => text,
        }
    };
    expect![[r#"
        `foreach_batch`: `a/b` cannot be part of a topic's name
        `app-foreach-a` is written here and at tests/it/foreach_batch.rs:LINE
          help: choose another place for one of them"#]]
    .assert_eq(&error_of(Guarantee::ExactlyOnce, &["a", "a", "a/b"]));
    expect![[r#"
        configuration: output `foreach-a`: `foreach_batch` passes the same rows under the same id again, which at least once cannot guarantee
          next: start with --guarantee exactly-once, or use `foreach_rdd`"#]]
    .assert_eq(&error_of(Guarantee::AtLeastOnce, &["a"]));
}

/// What the process `instance` sends for a batch with these blocks.
fn sent(program: &StreamingContext, instance: &str, time: i64, blocks: &[&str]) -> Vec<RawChunk> {
    let plan = program.topology();
    let spec = plan.iter().find_map(|(_, node)| match &node.role {
        Role::Sink { two_phase: Some(spec), .. } => Some(spec.clone()),
        _ => None,
    });
    let context = TwoPhaseContext {
        application: "app".into(),
        instance: instance.into(),
        remember: Duration::ZERO,
        interval: None,
    };
    let mut sink = (spec.unwrap().make)(&context);
    sink.recover("1-00", &[]).unwrap();
    let block = |row: &&str| {
        let mut block = vec![];
        tidegate::codec::encode_value(&(*row).to_owned(), &mut block).unwrap();
        let mut whole = u32::try_from(block.len()).unwrap().to_le_bytes().to_vec();
        whole.extend(block);
        whole
    };
    let chunk = Chunk::new(blocks.iter().map(block).collect::<Vec<_>>(), blocks.len());
    let batch = Batch::new(BatchId(1), BatchTime(time));
    let mut rows = Collected::default();
    rows.push(Partition(0), chunk);
    sink.prepare(&batch, rows).unwrap();
    let records: Vec<RawChunk> = sink.take_records().into_iter().map(|(_, records)| records).collect();
    records.iter().flat_map(|chunk| (0..chunk.len()).map(|n| chunk.slice(n..n + 1))).collect()
}

#[test]
fn batches_of_two_processes_may_be_interleaved() {
    static NEXT: AtomicI64 = AtomicI64::new(0);
    let bootstrap = format!("memory:foreach-batch-{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let log = log::open(&bootstrap, &BTreeMap::new()).unwrap();
    for topic in ["app-foreach-words", "app-delivered"] {
        let config = BTreeMap::new();
        log.create(&TopicSpec { name: topic.into(), partitions: 1, replication_factor: None, config })
            .unwrap();
    }
    let calls = Calls::default();
    let ssc = StreamingContext::new(Config::new("app", &bootstrap));
    words(&calls, &[])(&ssc);
    let (a, b) = (sent(&ssc, "a", 1, &["a0", "a1"]), sent(&ssc, "b", 2, &["b0"]));
    assert_eq!((a.len(), b.len()), (3, 2), "blocks and an end");
    for records in [&a[0], &b[0], &b[1], &a[1], &a[2]] {
        log::write(log.as_ref(), "app-foreach-words", Some(Partition(0)), records).unwrap();
    }
    let make = ssc.topology().outboxes[0].make.clone();
    let source =
        OutboxSource { application: "app".into(), topic: "app-foreach-words".into(), topic_id: "x".into() };
    let all = read(log.as_ref());
    // The first process dies after the batch of `b`, before it has read the end of the batch of `a`.
    let mut drain: Box<dyn OutboxWriter> = make();
    assert_eq!(drain.open(&source, log.as_ref()).unwrap(), Offset(0));
    drain.write(&all.slice(0..4), Offset(0), Offset(4)).unwrap();
    let given = |batch: i64, time: i64, rows: &[&str]| {
        let rows = vec![rows.iter().map(|r| (*r).to_owned()).collect()];
        (CommittedBatch { id: batch, time: BatchTime(time) }, rows)
    };
    assert_eq!(calls.take(), [given(2, 2, &["b0"])]);
    let mut drain: Box<dyn OutboxWriter> = make();
    assert_eq!(drain.open(&source, log.as_ref()).unwrap(), Offset(0), "the batch of `a` began here");
    drain.write(&all, Offset(0), Offset(5)).unwrap();
    assert_eq!(calls.take(), [given(4, 1, &["a0", "a1"])], "the batch of `b` is not delivered again");
    let mut drain: Box<dyn OutboxWriter> = make();
    assert_eq!(drain.open(&source, log.as_ref()).unwrap(), Offset(5));
    let another = OutboxSource { topic_id: "y".into(), ..source };
    let refused = make().open(&another, log.as_ref());
    assert!(
        matches!(&refused, Err(OutboxFailure::Broken(e)) if e.to_string().contains("deleted and recreated")),
        "{refused:?}"
    );
    // A record is missing.
    let late = make().open(&OutboxSource { topic: "other".into(), ..another }, log.as_ref());
    assert_eq!(late.unwrap(), Offset(0), "each output has its own position");
}

fn read(log: &dyn Log) -> RawChunk {
    let at = TopicPartition::new("app-foreach-words", 0);
    let mut reader = log.read(&at, Offset(0)).unwrap();
    let mut all = tidegate::record::RawChunkBuilder::default();
    while let Some(fetched) = reader.next(Duration::ZERO).unwrap() {
        for record in fetched.records.iter() {
            all.push(record);
        }
    }
    all.build()
}

#[test]
fn a_batch_that_lacks_a_record_is_not_delivered() {
    let calls = Calls::default();
    let ssc = StreamingContext::new(Config::new("app", "memory:foreach-batch-hole"));
    words(&calls, &[])(&ssc);
    let log = log::open("memory:foreach-batch-hole", &BTreeMap::new()).unwrap();
    for topic in ["app-foreach-words", "app-delivered"] {
        let config = BTreeMap::new();
        log.create(&TopicSpec { name: topic.into(), partitions: 1, replication_factor: None, config })
            .unwrap();
    }
    let records = sent(&ssc, "a", 1, &["a0", "a1"]);
    let mut drain = (ssc.topology().outboxes[0].make)();
    let source = OutboxSource { application: "app".into(), topic: "t".into(), topic_id: String::new() };
    drain.open(&source, log.as_ref()).unwrap();
    drain.write(&records[0], Offset(0), Offset(1)).unwrap();
    let error = match drain.write(&records[2], Offset(1), Offset(2)) {
        Err(OutboxFailure::Broken(e)) => e.to_string(),
        other => panic!("{other:?}"),
    };
    assert!(error.contains("t has 1 of 2 records of the batch that ends at offset 0"), "{error}");
    assert_eq!(calls.take(), []);
}
