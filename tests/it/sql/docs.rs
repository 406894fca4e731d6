//! The examples of docs/sql.md and the scripts in examples/sql/: they run, and give what the page says.
//!
//! A block of SQL on the page is followed by what it gives: `rows`, `mistakes`, `answers` or `functions`; one that is followed by none of them must
//! be right as it is. With `UPDATE_EXPECT=1` the page is written anew with what the scripts give, as expect-test does.

use super::parsed;
use crate::programs::Process;
use std::{fmt::Write, fs, path::PathBuf, process::Command};
use tidegate::{StreamingContext, sql::Script, testing::Driver};

fn path(of: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(of)
}

fn read(file: &str) -> String {
    fs::read_to_string(path(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
}

/// A block between fences.
struct Block<'p> {
    kind: &'p str,
    body: String,
    /// The number of the line of its first fence.
    line: usize,
}

fn blocks(page: &str) -> Vec<Block<'_>> {
    let (mut blocks, mut open) = (vec![], None::<Block<'_>>);
    for (number, line) in page.lines().enumerate() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(kind), None) => open = Some(Block { kind, body: String::new(), line: number + 1 }),
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (None, Some(block)) => {
                block.body += line;
                block.body.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block is not closed");
    blocks
}

/// What a script gives for the batches of a block: the lines that begin with `> ` are the input of a batch, which an empty line ends.
/// The others are what is written; those that begin with `! ` tell of bad records.
fn rows_of(script: Script, block: &str) -> Result<String, String> {
    let mut driver = Driver::new(move |ssc: &StreamingContext| ssc.sql(&script));
    let mut given = vec![];
    for batch in block.trim_end().split("\n\n") {
        let input: Vec<&str> = batch.lines().filter(|line| line.starts_with('>')).collect();
        let records: String =
            input.iter().map(|line| line.trim_start_matches('>').trim_start().to_owned() + "\n").collect();
        let written = driver.batch(&records).map_err(|e| e.to_string())?.to_string();
        let mut lines: Vec<String> = input.iter().map(|line| (*line).to_owned()).collect();
        lines.extend(driver.take_bad_records().iter().map(|bad| format!("! {bad}")));
        let mut rows: Vec<&str> = written.lines().collect();
        rows.sort_unstable();
        lines.extend(rows.into_iter().map(str::to_owned));
        // In which order the page shows the rows means nothing.
        let sorted = |lines: &mut dyn Iterator<Item = &str>| {
            let mut lines: Vec<String> = lines.map(str::to_owned).collect();
            lines.sort_unstable();
            lines
        };
        let is_same = sorted(&mut batch.lines()) == sorted(&mut lines.iter().map(String::as_str));
        given.push(if is_same { batch.to_owned() } else { lines.join("\n") });
    }
    Ok(given.join("\n\n") + "\n")
}

/// What `SHOW FUNCTIONS` answers, on lines that are filled; unchanged if the block says the same.
fn functions(sql: &str, block: &str) -> Result<String, String> {
    let script = parsed(sql).map_err(|e| e.to_string())?;
    let names: Vec<&str> = script.answers().iter().flat_map(|answer| answer.lines()).collect();
    if block.split_whitespace().eq(names.iter().copied()) {
        return Ok(block.to_owned());
    }
    let mut lines = vec![String::new()];
    for name in names {
        match lines.last_mut() {
            Some(line) if line.is_empty() => name.clone_into(line),
            Some(line) if line.len() + name.len() < 119 => *line = format!("{line} {name}"),
            _ => lines.push(name.to_owned()),
        }
    }
    Ok(lines.join("\n") + "\n")
}

/// What a script gives, in the form of the block that follows it.
fn given(sql: &str, after: &Block<'_>) -> Result<String, String> {
    let told = |e: tidegate::Error| e.to_string();
    match after.kind {
        "mistakes" => match parsed(sql) {
            Ok(_) => Err("there is no mistake in it".into()),
            Err(e) => Ok(e.to_string() + "\n"),
        },
        "functions" => functions(sql, &after.body),
        "answers" => Ok(parsed(sql).map_err(told)?.answers().join("\n\n") + "\n"),
        "rows" => rows_of(parsed(sql).map_err(told)?, &after.body),
        // It may only declare tables.
        _ => parsed(&format!("{sql}\nSHOW TABLES;")).map(|_| String::new()).map_err(told),
    }
}

#[test]
fn each_example_of_the_page_gives_what_the_page_says() {
    let page = read("docs/sql.md");
    let blocks = blocks(&page);
    let (mut wrong, mut page_as_given, mut run) = (String::new(), page.clone(), 0);
    for (number, sql) in blocks.iter().enumerate().filter(|(_, block)| block.kind == "sql") {
        let none = Block { kind: "", body: String::new(), line: sql.line };
        let is_answer =
            |block: &&Block<'_>| ["rows", "mistakes", "answers", "functions"].contains(&block.kind);
        let after = blocks.get(number + 1).filter(is_answer).unwrap_or(&none);
        run += usize::from(after.kind == "rows");
        match given(&sql.body, after) {
            Ok(given) if given == after.body => {}
            Ok(given) => {
                let line = after.line;
                let _ =
                    writeln!(wrong, "docs/sql.md:{line}: the script gives\n{given}and not\n{}", after.body);
                let fence = |body: &str| format!("{}```{}\n{body}```\n", sql_fence(sql), after.kind);
                page_as_given = page_as_given.replace(&fence(&after.body), &fence(&given));
            }
            Err(e) => {
                let _ = writeln!(wrong, "docs/sql.md:{}: {e}", sql.line);
            }
        }
    }
    if std::env::var_os("UPDATE_EXPECT").is_some_and(|update| update == "1") {
        fs::write(path("docs/sql.md"), page_as_given).unwrap();
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(run >= 10, "only {run} examples are run");
}

/// The end of a block, and what stands between it and its answer.
fn sql_fence(sql: &Block<'_>) -> String {
    format!("```sql\n{}```\n\n", sql.body)
}

/// The rows that a page says, one by one, must be those of the script: a wrong one is found.
#[test]
fn a_row_that_is_not_written_is_found() {
    let sql = "CREATE TABLE a (n INT) WITH ('connector' = 'kafka', 'topic' = 'a', 'format' = 'json');
        CREATE TABLE b (n INT) WITH ('connector' = 'kafka', 'topic' = 'b', 'format' = 'json');
        INSERT INTO b SELECT CAST(n + 1 AS INT) FROM a;";
    let block = |body: &str| Block { kind: "rows", body: body.into(), line: 1 };
    let right = "> a 0 | - | {\"n\":1}\nb | - | {\"n\":2}\n\n> a 0 | - | {\"n\":2}\nb | - | {\"n\":3}\n";
    assert_eq!(given(sql, &block(right)).unwrap(), right);
    assert_ne!(given(sql, &block(&right.replace(":3", ":4"))).unwrap(), right.replace(":3", ":4"));
    assert!(given("SELECT 1", &block(right)).unwrap_err().contains("go nowhere"));
}

/// The scripts of examples/sql/.
fn scripts() -> Vec<(String, String)> {
    let files = fs::read_dir(path("examples/sql"))
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut scripts: Vec<_> = files.map(|file| (read(&format!("examples/sql/{file}")), file)).collect();
    scripts.sort();
    scripts.into_iter().map(|(text, file)| (file, text)).collect()
}

#[test]
fn the_scripts_of_the_examples_have_no_mistakes_and_the_readme_shows_the_first_one() {
    let scripts = scripts();
    for (file, text) in &scripts {
        let script = parsed(text).unwrap_or_else(|e| panic!("{file}: {e}"));
        assert!(script.has_outputs(), "{file}");
    }
    let names: Vec<&str> = scripts.iter().map(|(file, _)| file.as_str()).collect();
    let hello = read("examples/sql/hello.sql");
    assert!(names.contains(&"hello.sql") && names.len() >= 3, "{names:?}");
    let readme = read("README.md");
    let shown =
        blocks(&readme).into_iter().find(|block| block.kind == "sql").expect("the README shows a script");
    assert_eq!(shown.body, hello, "the README shows examples/sql/hello.sql as it is");
    assert!(hello.lines().count() <= 12, "ten lines or so");
}

#[test]
fn words_are_counted_and_dear_events_are_kept() {
    let rows = |file: &str, block: &str| {
        rows_of(parsed(&read(&format!("examples/sql/{file}"))).unwrap(), block).unwrap()
    };
    let words = "\
> lines 0 | - | sea tide
> lines 0 | - |  SEA
counts | {\"word\":\"sea\"} | {\"word\":\"sea\",\"n\":2}
counts | {\"word\":\"tide\"} | {\"word\":\"tide\",\"n\":1}

> lines 2 | - | the Sea
counts | {\"word\":\"sea\"} | {\"word\":\"sea\",\"n\":3}
counts | {\"word\":\"the\"} | {\"word\":\"the\",\"n\":1}
";
    assert_eq!(rows("word_count.sql", words), words);
    let events = "\
> events 0 | - | {\"id\":1,\"user\":\"ann\",\"item\":\"tea\",\"price\":99.5,\"ts\":1,\"page\":\"p\"}
> events 0 | - | {\"id\":2,\"user\":\"bob\",\"item\":\"sand\",\"price\":50,\"ts\":2,\"page\":\"p\"}
dear-events | - | {\"id\":1,\"user\":\"ann\",\"price\":99.5,\"ts\":1}
";
    assert_eq!(rows("filter_project.sql", events), events);
}

fn run(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.arg("run").args(args).args(["--log-level", "warn", "--admin-bind", "127.0.0.1:0"]);
    command
}

#[test]
fn hello_prints_within_seconds_and_goes_on_where_it_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let hello = path("examples/sql/hello.sql").display().to_string();
    let args = [&*hello, "--state-dir", dir.path().to_str().unwrap(), "--batch-interval-ms", "100"];
    let mut first = Process::start(&mut run(&args));
    let begun = std::time::Instant::now();
    first.until("it prints", |process| process.out().contains("+I["));
    assert!(begun.elapsed().as_secs() < 30, "{}", process_text(&first));
    drop(first);
    assert!(dir.path().join("state/hello").is_dir(), "the application is called like the file");
    // Its counts go on from what was committed: groups that it knows are updated, not inserted.
    let mut second = Process::start(&mut run(&args));
    second.until("it prints", |process| process.out().lines().any(|line| line.contains('[')));
    let first_line = second.out().lines().find(|line| line.contains('[')).unwrap().to_owned();
    assert!(first_line.contains("U["), "{first_line}");
}

fn process_text(process: &Process) -> String {
    process.out() + &process.err()
}
