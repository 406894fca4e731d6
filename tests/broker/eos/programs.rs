//! Programs that only tests need: they run as processes of their own, from this very binary.
//!
//! `program.rs` starts them by name and passes them everything through their environment.

use super::soak;
use clap::Parser;
use std::{
    fmt::Display,
    fs::OpenOptions,
    io::Write,
    process::{ExitCode, exit},
    time::Duration,
};
use tidegate::{
    BatchTime, Config, DStream, SourceOptions, State, StateSpec, StreamingContext, Text,
    codec::{AsText, Message, Utf8},
    config::{Args, ExchangeThrough, Topics},
    program,
    record::Data,
    sql::{Script, SourceText},
};

#[derive(Parser)]
struct Program {
    #[command(flatten)]
    args: Args,
    #[command(flatten)]
    topics: Topics,
}

fn run(name: &str, configure: impl FnOnce(&mut Config), body: impl FnOnce(&Topics, DStream<Text>)) {
    if std::env::var("TIDEGATE_TEST_PROGRAM").as_deref() != Ok(name) {
        return;
    }
    let Program { args, topics } = Program::parse_from([name]);
    let code = program(&args, |args| {
        let mut config = args.config();
        configure(&mut config);
        let ssc = StreamingContext::new(config);
        body(&topics, ssc.text(&topics.input));
        ssc.run()
    });
    end(code);
}

/// Ends the process with the code that `program` gave, which `ExitCode` does not show.
fn end(code: ExitCode) {
    let is = |number: u8| code == ExitCode::from(number);
    exit((0..=5).find(|number| is(*number)).map_or(1, i32::from));
}

/// In each batch, with or without input: the number of batches that each line has seen.
#[test]
#[ignore = "a program that a test starts"]
fn ticking() {
    run(
        "ticking",
        |_| {},
        |topics, lines| {
            let pairs = lines.map(|line| (line, 1u64));
            let ticks = pairs.update_state_by_key(|_, before: Option<u64>| Some(before.unwrap_or(0) + 1));
            ticks.to_kafka(&topics.output, Utf8, AsText);
        },
    );
}

/// Counts words by SQL, and sums up how many words there are, in a second topic.
#[test]
#[ignore = "a program that a test starts"]
fn sql_word_count() {
    if std::env::var("TIDEGATE_TEST_PROGRAM").as_deref() != Ok("sql_word_count") {
        return;
    }
    let Program { args, topics } = Program::parse_from(["sql_word_count"]);
    let (input, output) = (&topics.input, &topics.output);
    let script = format!(
        "CREATE TABLE lines (line STRING) WITH ('connector' = 'kafka', 'topic' = '{input}', 'format' = 'raw');
         CREATE TABLE counts (word STRING, n STRING, PRIMARY KEY (word) NOT ENFORCED) WITH ('connector' = 'upsert-kafka',
             'topic' = '{output}', 'key.format' = 'raw', 'value.format' = 'raw', 'value.fields-include' = 'EXCEPT_KEY');
         CREATE TABLE totals (kind STRING, words BIGINT, n BIGINT, PRIMARY KEY (kind) NOT ENFORCED) WITH (
             'connector' = 'upsert-kafka', 'topic' = '{output}-totals', 'format' = 'json');
         CREATE VIEW words AS SELECT word FROM (SELECT unnest(string_to_array(line, ' ')) AS word FROM lines) WHERE word <> '';
         CREATE VIEW counted AS SELECT word, count(*) AS n FROM words GROUP BY word;
         EXECUTE STATEMENT SET BEGIN
             INSERT INTO counts SELECT word, CAST(n AS STRING) FROM counted;
             INSERT INTO totals SELECT 'all', count(*), sum(n) FROM counted;
         END;"
    );
    let code = program(&args, |args| {
        let ssc = StreamingContext::new(args.config());
        ssc.sql(&Script::parse(SourceText::new("words.sql", script))?);
        ssc.run()
    });
    end(code);
}

/// Counts words by SQL, joined with the counts of those that are frequent, and sums over both in a second topic.
#[test]
#[ignore = "a program that a test starts"]
fn sql_outer_join() {
    if std::env::var("TIDEGATE_TEST_PROGRAM").as_deref() != Ok("sql_outer_join") {
        return;
    }
    let Program { args, topics } = Program::parse_from(["sql_outer_join"]);
    let (input, output) = (&topics.input, &topics.output);
    let script = format!(
        "CREATE TABLE lines (line STRING) WITH ('connector' = 'kafka', 'topic' = '{input}', 'format' = 'raw');
         CREATE TABLE counts (word STRING, n STRING, PRIMARY KEY (word) NOT ENFORCED) WITH ('connector' = 'upsert-kafka',
             'topic' = '{output}', 'key.format' = 'raw', 'value.format' = 'raw', 'value.fields-include' = 'EXCEPT_KEY');
         CREATE TABLE totals (kind STRING, words BIGINT, n BIGINT, frequent BIGINT, m BIGINT, PRIMARY KEY (kind) NOT ENFORCED)
             WITH ('connector' = 'upsert-kafka', 'topic' = '{output}-totals', 'format' = 'json');
         CREATE VIEW words AS SELECT word FROM (SELECT unnest(string_to_array(line, ' ')) AS word FROM lines) WHERE word <> '';
         CREATE VIEW counted AS SELECT word, count(*) AS n FROM words GROUP BY word;
         CREATE VIEW frequent AS SELECT word, count(*) AS m FROM words GROUP BY word HAVING count(*) > 100;
         CREATE VIEW joined AS SELECT c.word, c.n, f.m FROM counted AS c LEFT JOIN frequent AS f ON c.word = f.word;
         EXECUTE STATEMENT SET BEGIN
             INSERT INTO counts SELECT word, CAST(n AS STRING) FROM joined;
             INSERT INTO totals SELECT 'all', count(*), sum(n), count(m), coalesce(sum(m), 0) FROM joined;
         END;"
    );
    let code = program(&args, |args| {
        let ssc = StreamingContext::new(args.config());
        ssc.sql(&Script::parse(SourceText::new("joined.sql", script))?);
        ssc.run()
    });
    end(code);
}

/// Each line as it is.
#[test]
#[ignore = "a program that a test starts"]
fn echo() {
    run(
        "echo",
        |_| {},
        |topics, lines| {
            let message = |line| Message { value: line, timestamp_ms: -1, ..Message::default() };
            lines.map(message).to_kafka(&topics.output, Utf8);
        },
    );
}

/// Appends each batch that is delivered to it to a file.
#[test]
#[ignore = "a program that a test starts"]
fn foreach_batch() {
    run(
        "foreach_batch",
        |_| {},
        |_, lines| {
            let path = std::env::var("TIDEGATE_CALLS").unwrap();
            lines.map(|line| line.to_string()).foreach_batch("calls", move |rdd, batch| {
                let call = serde_json::json!({ "id": batch.id, "time": batch.time.0, "rows": rdd.collect() });
                let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
                Ok(file.write_all(format!("{call}\n").as_bytes())?)
            });
        },
    );
}

/// Lines in files, and word counts in files and in the topic.
#[test]
#[ignore = "a program that a test starts"]
fn lines_and_counts_in_files() {
    run(
        "lines_and_counts_in_files",
        |_| {},
        |topics, lines| {
            let dir = std::env::var("TIDEGATE_FILES").unwrap();
            lines.save_as_text_files(&format!("{dir}/lines/of"), "");
            let words = lines.flat_map(|line| line.split(' ')).map(|word| (word, 1u64));
            let counts = words.running_reduce_by_key(|a, b| a + b);
            counts.save_as_text_files(&format!("{dir}/counts/of"), "");
            counts.to_kafka(&topics.output, Utf8, AsText);
        },
    );
}

/// `kafka_word_count` with back-pressure.
#[test]
#[ignore = "a program that a test starts"]
fn words_with_backpressure() {
    let configure = |config: &mut Config| config.backpressure = true;
    run("words_with_backpressure", configure, |topics, lines| {
        let words = lines.flat_map(|line| line.split(' ')).map(|word| (word, 1u64));
        words.running_reduce_by_key(|a, b| a + b).to_kafka(&topics.output, Utf8, AsText);
    });
}

/// `kafka_word_count` with a function that takes long for each line, and an output of the lines that is known before.
#[test]
#[ignore = "a program that a test starts"]
fn slow_words() {
    run(
        "slow_words",
        |_| {},
        |topics, lines| {
            let pause: u64 = std::env::var("TIDEGATE_PAUSE_MS").unwrap().parse().unwrap();
            lines.map(|line| (line.clone(), line)).to_kafka(&format!("{}-seen", topics.output), Utf8, Utf8);
            let lines = lines.map(move |line| {
                std::thread::sleep(std::time::Duration::from_millis(pause));
                line
            });
            let words = lines.flat_map(|line| line.split(' ')).map(|word| (word, 1u64));
            words.running_reduce_by_key(|a, b| a + b).to_kafka(&topics.output, Utf8, AsText);
        },
    );
}

/// Passes on the lines of all topics `<input>.*`, which it looks for each second.
#[test]
#[ignore = "a program that a test starts"]
fn rotating() {
    if std::env::var("TIDEGATE_TEST_PROGRAM").as_deref() != Ok("rotating") {
        return;
    }
    let Program { args, topics } = Program::parse_from(["rotating"]);
    end(program(&args, |args| {
        let mut config = args.config();
        config.metadata_refresh = Duration::from_secs(1);
        let ssc = StreamingContext::new(config);
        let pattern = SourceOptions::pattern(format!("{}\\..*", topics.input));
        let lines = ssc.source::<Text>(pattern, Utf8);
        lines.map(|line| (line, 1u64)).to_kafka(&topics.output, Utf8, AsText);
        ssc.run()
    }));
}

/// How often each line has come, in all topics `<input>.*`, which it looks for often.
#[test]
#[ignore = "a program that a test starts"]
fn rotating_counts() {
    if std::env::var("TIDEGATE_TEST_PROGRAM").as_deref() != Ok("rotating_counts") {
        return;
    }
    let Program { args, topics } = Program::parse_from(["rotating_counts"]);
    end(program(&args, |args| {
        let mut config = args.config();
        config.metadata_refresh = Duration::from_millis(500);
        let ssc = StreamingContext::new(config);
        let pattern = SourceOptions::pattern(format!("{}\\..*", topics.input));
        let lines = ssc.source::<Text>(pattern, Utf8).map(|line| (line, 1u64));
        lines.running_reduce_by_key(|a, b| a + b).named("counts").to_kafka(&topics.output, Utf8, AsText);
        ssc.run()
    }));
}

/// So many records make a batch of `bursts` full.
pub const PART_RECORDS: usize = 50;

/// Counts the lines and words of each batch, prints the number of its lines, and appends time and number of lines of each call of a
/// function to a file.
#[test]
#[ignore = "a program that a test starts"]
fn bursts() {
    let configure = |config: &mut Config| {
        (config.batch_records_max, config.exchange) = (PART_RECORDS, ExchangeThrough::Shared);
    };
    run("bursts", configure, |topics, lines| {
        let count = lines.count();
        count.print();
        with_time("count", &count.map(|count| ("all", count)), topics);
        let words = lines.flat_map(|line| line.split(' ')).map(|word| (word, 1u64));
        with_time("word", &words.reduce_by_key(|a, b| a + b), topics);
        let path = std::env::var("TIDEGATE_CALLS").unwrap_or_default();
        lines.foreach_rdd(move |rdd, time| {
            let mut file = OpenOptions::new().create(true).append(true).open(&path).unwrap();
            writeln!(file, "{} {}", time.0, rdd.count()).unwrap();
        });
    });
}

/// Passes on lines, and looks each second for what has become of the input.
#[test]
#[ignore = "a program that a test starts"]
fn looking() {
    let configure = |config: &mut Config| config.metadata_refresh = Duration::from_secs(1);
    run("looking", configure, |topics, lines| {
        lines.map(|line| (line, 1u64)).to_kafka(&topics.output, Utf8, AsText);
    });
}

/// Several processes share its state. Two keyed stages, with running counts and windows in each; each row that it writes says
/// of which batch time it is, and `soak::judge` compares them.
#[test]
#[ignore = "a program that a test starts"]
fn stages() {
    let configure = |config: &mut Config| config.exchange = ExchangeThrough::Shared;
    run("stages", configure, |topics, lines| {
        let window = Duration::from_millis(soak::WINDOW_MS.unsigned_abs());
        let slide = Duration::from_millis(soak::SLIDE_MS.unsigned_abs());
        // The number of each line, with the one before it in its partition.
        let numbers = lines.map(|line| {
            let first = line.split(' ').next().unwrap_or_default();
            let number: u64 = first.trim_start_matches("only-").parse().unwrap_or(u64::MAX);
            (number % soak::INPUTS, number)
        });
        let follow = |_: BatchTime, partition: &u64, number: Option<u64>, last: &mut State<u64>| {
            let number = number?;
            let before = last.get().copied().unwrap_or(number);
            last.update(number);
            Some((format!("line:{partition}"), format!("{number} {before}")))
        };
        numbers.map_with_state(StateSpec::function(follow)).to_kafka(&topics.output, Utf8, Utf8);

        let words = lines.flat_map(|line| line.split(' ')).map(|word| (word, 1u64));
        let counts = words.reduce_by_key(|a, b| a + b);
        let running = words.running_reduce_by_key(|a, b| a + b).named("running");
        let present = |_: &Text, count: &u64| *count > 0;
        let recent =
            words.reduce_by_key_and_window_filtered(|a, b| a + b, |a, b| a - b, window, slide, present);
        let changes = running.map(|(word, _)| (soak::group(&word), 1u64));
        let updates = changes.running_reduce_by_key(|a, b| a + b).named("updates");
        let of_groups = counts.map(|(word, count)| (soak::group(&word), count));
        let groups = of_groups.reduce_by_key_and_window(|a, b| a + b, window, slide);
        with_time("batch", &counts, topics);
        with_time("running", &running, topics);
        with_time("window", &recent.named("window"), topics);
        with_time("updates", &updates, topics);
        with_time("groups", &groups.named("groups"), topics);
    });
}

fn with_time<K: Data + Display>(kind: &'static str, counts: &DStream<(K, u64)>, topics: &Topics) {
    let rows = counts.transform_partitions(move |rows, time| {
        let row = move |(key, count)| (format!("{kind}:{key}"), format!("{} {count}", time.0));
        rows.into_iter().map(row)
    });
    rows.to_kafka(&topics.output, Utf8, Utf8);
}
