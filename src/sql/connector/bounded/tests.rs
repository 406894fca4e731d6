//! Files of all formats become the rows of a table, or the reason is told.

use super::{is_bounded, load};
use crate::sql::{SourceText, SqlResult, TableDefinition, parse};
use arrow::util::pretty::pretty_format_batches;
use std::{fs, path::Path};

/// The table that a statement declares, `PATH` being a folder.
fn table(statement: &str, path: &Path) -> TableDefinition {
    let text = SourceText::new("q.sql", statement.replace("PATH", &path.display().to_string()));
    match parse::parse(&text).unwrap().remove(0) {
        parse::Statement::CreateTable(create) => create.definition,
        _ => panic!("no table"),
    }
}

fn shown(table: &TableDefinition) -> String {
    let rows = load(table).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(rows.schema(), super::schema(table));
    pretty_format_batches(&[rows]).unwrap().to_string()
}

fn reason(loaded: SqlResult<arrow::array::RecordBatch>, path: &Path) -> String {
    let error = loaded.unwrap_err();
    let next = error.next.map_or_else(String::new, |next| format!(" next: {next}"));
    (error.message + &next).replace(&path.display().to_string(), "PATH")
}

#[test]
fn lines_of_files_are_rows_in_the_order_of_their_paths() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("b.csv"), "id,name\r\n3,\"c, d\"\r\n").unwrap();
    fs::write(dir.path().join("a.csv"), "\u{feff}id,name\n1,a\n\n2,\n").unwrap();
    fs::write(dir.path().join("_SUCCESS"), "").unwrap();
    fs::write(dir.path().join(".hidden"), "x").unwrap();
    let csv = table(
        "CREATE TABLE t (id BIGINT, name STRING, twice AS id * 2) WITH ('connector' = 'filesystem', 'path' = 'file://PATH', 'format' = 'csv', 'csv.ignore-first-line' = 'true')",
        dir.path(),
    );
    assert!(is_bounded(&csv));
    let expected = "\
+----+------+
| id | name |
+----+------+
| 1  | a    |
| 2  |      |
| 3  | c, d |
+----+------+";
    assert_eq!(shown(&csv), expected);
    fs::write(dir.path().join("one.json"), "{\"id\":1,\"name\":\"a\"}\n{\"id\":3,\"name\":\"c, d\"}")
        .unwrap();
    let json = table(
        "CREATE TABLE t (name STRING, id BIGINT NOT NULL) WITH ('connector' = 'filesystem', 'path' = 'PATH/one.json', 'format' = 'json')",
        dir.path(),
    );
    assert_eq!(shown(&json).lines().count(), 6);
    let text = table(
        "CREATE TABLE t (line STRING) WITH ('connector' = 'filesystem', 'path' = 'PATH/a.csv', 'format' = 'text')",
        dir.path(),
    );
    assert_eq!(shown(&text).lines().count(), 8, "an empty line is a row of text");
}

#[test]
fn a_line_that_is_no_row_is_told_or_left_out() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.csv"), "1,a\nx,b\n2,c\n").unwrap();
    let of = |more: &str| {
        let options = "'connector' = 'filesystem', 'path' = 'PATH', 'format' = 'csv'";
        table(&format!("CREATE TABLE t (id BIGINT, name STRING) WITH ({options}{more})"), dir.path())
    };
    assert_eq!(
        reason(load(&of("")), dir.path()),
        "table `t`: PATH/a.csv: line 2: field `id` at byte 0: \"x\" is no integer next: correct the line, or leave such lines out: 'on-bad-record' = 'skip'"
    );
    assert_eq!(load(&of(", 'on-bad-record' = 'skip'")).unwrap().num_rows(), 2);
    assert_eq!(load(&of(", 'csv.ignore-parse-errors' = 'true'")).unwrap().num_rows(), 2);
    let missing = table(
        "CREATE TABLE t (id BIGINT) WITH ('connector' = 'filesystem', 'path' = 'PATH/none', 'format' = 'csv')",
        dir.path(),
    );
    assert_eq!(
        reason(load(&missing), dir.path()),
        "table `t`: PATH/none: No such file or directory (os error 2) next: correct 'path': it is a file, or a folder of files"
    );
    let growing = of(", 'source.monitor-interval' = '1 s'");
    assert!(!is_bounded(&growing));
    assert!(reason(load(&growing), dir.path()).contains("is not read once"));
}

#[test]
fn columns_may_be_in_the_names_of_folders() {
    let dir = tempfile::tempdir().unwrap();
    for (folder, line) in [
        ("day=2026-11-29/place=web%2Fshop", "{\"n\":1}"),
        ("day=2026-11-30/place=__DEFAULT_PARTITION__", "{\"n\":2}\n{\"n\":3}"),
    ] {
        fs::create_dir_all(dir.path().join(folder)).unwrap();
        fs::write(dir.path().join(folder).join("part-0.json"), line).unwrap();
    }
    let parts = table(
        "CREATE TABLE t (day DATE, n BIGINT, place STRING) PARTITIONED BY (day, place) WITH ('connector' = 'filesystem', 'path' = 'PATH', 'format' = 'json')",
        dir.path(),
    );
    let expected = "\
+------------+---+----------+
| day        | n | place    |
+------------+---+----------+
| 2026-11-29 | 1 | web/shop |
| 2026-11-30 | 2 |          |
| 2026-11-30 | 3 |          |
+------------+---+----------+";
    assert_eq!(shown(&parts), expected);
    fs::write(dir.path().join("stray.json"), "{}").unwrap();
    assert_eq!(
        reason(load(&parts), dir.path()),
        "table `t`: PATH/stray.json: it is in no folder `day=..` next: correct 'path' or PARTITIONED BY"
    );
}

#[cfg(feature = "parquet")]
#[test]
fn columns_of_parquet_are_found_by_their_names_and_become_those_of_the_table() {
    use arrow::array::{ArrayRef, Int32Array, LargeStringArray, RecordBatch};
    use std::sync::Arc;
    let dir = tempfile::tempdir().unwrap();
    let rows = RecordBatch::try_from_iter([
        ("unused", Arc::new(Int32Array::from(vec![7, 8])) as ArrayRef),
        ("name", Arc::new(LargeStringArray::from(vec![Some("a"), None])) as _),
        ("id", Arc::new(Int32Array::from(vec![1, 2])) as _),
    ])
    .unwrap();
    super::columns::tests::write(&dir.path().join("a.parquet"), &rows);
    let of = |columns: &str| {
        let options = "'connector' = 'filesystem', 'path' = 'PATH', 'format' = 'parquet'";
        table(&format!("CREATE TABLE t ({columns}) WITH ({options})"), dir.path())
    };
    let expected = "\
+----+------+------+
| id | more | name |
+----+------+------+
| 1  |      | a    |
| 2  |      |      |
+----+------+------+";
    assert_eq!(shown(&of("id BIGINT, more DOUBLE, name STRING")), expected);
    let file = "table `t`: PATH/a.parquet: ";
    let told = |columns: &str| reason(load(&of(columns)), dir.path()).replace(file, "");
    assert_eq!(told("id STRING"), "its column `id` is INT, and the table's STRING");
    assert_eq!(told("id INT, name STRING NOT NULL"), "column `name` is NULL, and it is NOT NULL");
    assert_eq!(told("other INT NOT NULL"), "it has no column `other`, which is NOT NULL");
    fs::write(dir.path().join("b.parquet"), "no parquet").unwrap();
    let broken = reason(load(&of("id INT")), dir.path());
    assert!(broken.starts_with("table `t`: PATH/b.parquet: "), "{broken}");
}

#[test]
fn a_table_of_more_than_the_bound_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let line = format!("{}\n", "x".repeat(1 << 20));
    let mut file = fs::File::create(dir.path().join("large.txt")).unwrap();
    for _ in 0..260 {
        std::io::Write::write_all(&mut file, line.as_bytes()).unwrap();
    }
    let large = table(
        "CREATE TABLE t (line STRING) WITH ('connector' = 'filesystem', 'path' = 'PATH', 'format' = 'raw')",
        dir.path(),
    );
    let told = reason(load(&large), dir.path());
    assert!(
        told.starts_with("table `t` takes more than 256 MiB of memory next: leave out columns"),
        "{told}"
    );
}
