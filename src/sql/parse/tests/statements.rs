//! Good statements, and what is read from them.

use super::{good, one};
use crate::sql::parse::{CreateTable, EmitMode, ExplainKind, OnExisting, Show, Statement, type_name};
use crate::sql::{ColumnKind, MetadataKey, SourceText, Span, TableDefinition};
use expect_test::expect;
use std::fmt::Write;

/// A definition in one line for each part.
pub(super) fn shown(table: &TableDefinition) -> String {
    let mut text = format!("{}\n", table.name);
    for column in &table.columns {
        let required = if column.is_required { " NOT NULL" } else { "" };
        let kind = match &column.kind {
            ColumnKind::Physical(data_type) => type_name(data_type),
            ColumnKind::Metadata { key, data_type, is_virtual } => {
                format!("{} {key:?} {}", type_name(data_type), if *is_virtual { "read" } else { "written" })
            }
            ColumnKind::Computed(expr) => format!("AS {expr}"),
        };
        writeln!(text, "  {} {kind}{required}", column.name).unwrap();
    }
    if let Some(watermark) = &table.watermark {
        writeln!(text, "  watermark {} - {} ms", watermark.column, watermark.delay_ms).unwrap();
    }
    if !table.primary_key.is_empty() {
        writeln!(text, "  key {}", table.primary_key.join(", ")).unwrap();
    }
    for (key, option) in &table.options {
        writeln!(text, "  {key} = {}", option.value).unwrap();
    }
    text
}

pub(super) fn table(text: &str) -> CreateTable {
    match one(text) {
        Statement::CreateTable(create) => create,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_table_with_everything() {
    let create = table(
        "CREATE TEMPORARY TABLE IF NOT EXISTS Orders (
            id BIGINT NOT NULL COMMENT 'of the shop',
            `customerName` VARCHAR(20),
            \"Total\" DECIMAL(10, 2),
            cents AS CAST(\"Total\" * 100 AS BIGINT) COMMENT 'computed, with a comma',
            k BIGINT METADATA FROM 'offset' VIRTUAL,
            partition INT METADATA,
            written TIMESTAMP_LTZ(3) METADATA FROM 'timestamp',
            ts TIMESTAMP(3),
            WATERMARK FOR ts AS ts - INTERVAL '5' SECOND,
            CONSTRAINT pk PRIMARY KEY (id, `customerName`) NOT ENFORCED
        ) COMMENT 'orders' WITH (
            'connector' = 'upsert-kafka', topic = 'orders', value.format = 'json',
            scan.startup.timestamp-millis = 1700000000000, json.coerce = TRUE, \"Quoted\" = -1.5, 'it''s' = 'a''b'
        );",
    );
    assert_eq!((create.on_existing, create.is_temporary), (OnExisting::Keep, true));
    expect![[r#"
        Orders
          id BIGINT NOT NULL
          customerName STRING NOT NULL
          Total DECIMAL(10, 2)
          cents AS CAST("Total" * 100 AS BIGINT)
          k BIGINT Offset read
          partition INT Partition read
          written TIMESTAMP_LTZ(3) Timestamp written
          ts TIMESTAMP(3)
          watermark ts - 5000 ms
          key id, customerName
          Quoted = -1.5
          connector = upsert-kafka
          it's = a'b
          json.coerce = true
          scan.startup.timestamp-millis = 1700000000000
          topic = orders
          value.format = json
    "#]]
    .assert_eq(&shown(&create.definition));
}

#[test]
fn all_types() {
    let create = table(
        "CREATE TABLE t (
            a BOOLEAN, b TINYINT, c SMALLINT, d INT, e INTEGER, f BIGINT, g FLOAT, h DOUBLE, i DOUBLE PRECISION,
            j DECIMAL, k NUMERIC(5), l DEC(38, 38), m STRING, n VARCHAR, o CHAR(3), p CHARACTER VARYING(9), q BYTES,
            r VARBINARY(10), s BINARY(2), t DATE, u TIMESTAMP, v TIMESTAMP(0), w TIMESTAMP(6) WITHOUT TIME ZONE,
            x TIMESTAMP_LTZ, y TIMESTAMP(4) WITH LOCAL TIME ZONE, z ARRAY<ARRAY<INT NOT NULL>>,
            aa MAP<STRING, ARRAY<ROW<a INT, b MAP<STRING, DOUBLE>>>>, ab ROW(x INT 'the x', Y STRING NOT NULL),
            ac STRUCT<x: INT, y: ARRAY<STRING>>, ad INT ARRAY, ae BIGINT NULL
        )",
    );
    expect![[r#"
        t
          a BOOLEAN
          b TINYINT
          c SMALLINT
          d INT
          e INT
          f BIGINT
          g FLOAT
          h DOUBLE
          i DOUBLE
          j DECIMAL(10, 0)
          k DECIMAL(5, 0)
          l DECIMAL(38, 38)
          m STRING
          n STRING
          o STRING
          p STRING
          q BYTES
          r BYTES
          s BYTES
          t DATE
          u TIMESTAMP(3)
          v TIMESTAMP(3)
          w TIMESTAMP(6)
          x TIMESTAMP_LTZ(3)
          y TIMESTAMP_LTZ(6)
          z ARRAY<ARRAY<INT NOT NULL>>
          aa MAP<STRING, ARRAY<ROW<a INT, b MAP<STRING, DOUBLE>>>>
          ab ROW<x INT, Y STRING NOT NULL>
          ac ROW<x INT, y ARRAY<STRING>>
          ad ARRAY<INT>
          ae BIGINT
    "#]]
    .assert_eq(&shown(&create.definition));
}

#[test]
fn a_type_that_is_shown_is_read_as_the_same() {
    for text in [
        "BOOLEAN",
        "TINYINT",
        "DECIMAL(38, 10)",
        "STRING",
        "BYTES",
        "DATE",
        "TIMESTAMP(3)",
        "TIMESTAMP(6)",
        "TIMESTAMP_LTZ(3)",
        "ARRAY<ARRAY<INT>>",
        "MAP<STRING, ROW<a INT NOT NULL, b ARRAY<DOUBLE>>>",
    ] {
        let data_type = crate::sql::parse::data_type(text).unwrap();
        assert_eq!(type_name(&data_type), text);
    }
}

#[test]
fn watermarks_of_all_lengths() {
    for (delay, expected_ms) in [
        ("ts", 0),
        ("(ts)", 0),
        ("ts - INTERVAL '5' SECOND", 5_000),
        ("ts - INTERVAL 5 SECONDS", 5_000),
        ("ts - INTERVAL '5' SECOND(3)", 5_000),
        ("ts - (INTERVAL '5' SECOND)", 5_000),
        ("ts - INTERVAL '0.001' SECOND", 1),
        ("ts - INTERVAL '1.5' MINUTES", 90_000),
        ("ts - INTERVAL '2' HOUR", 7_200_000),
        ("ts - INTERVAL '1' DAY", 86_400_000),
        ("ts - INTERVAL '1' WEEK", 604_800_000),
        ("ts - INTERVAL '250' MILLISECOND", 250),
        ("ts - INTERVAL '5 seconds'", 5_000),
        ("ts - INTERVAL '1 minute 30 seconds'", 90_000),
        ("ts - INTERVAL '0' SECOND", 0),
    ] {
        let create = table(&format!("CREATE TABLE t (ts TIMESTAMP(3), WATERMARK FOR ts AS {delay})"));
        assert_eq!(create.definition.watermark.unwrap().delay_ms, expected_ms, "{delay}");
    }
}

#[test]
fn places_are_those_of_the_words() {
    let text = "CREATE TABLE t (\n  é INT, größe BIGINT METADATA FROM 'offset',\n  ts TIMESTAMP(3), WATERMARK FOR ts AS ts\n) WITH (scan.startup.mode = 'earliest')";
    let TableDefinition { span, columns, watermark, options, .. } = table(text).definition;
    assert_eq!(span, Span { line: 1, column: 14, width: 1 });
    assert_eq!(columns[1].span, Span { line: 2, column: 10, width: 5 });
    assert_eq!(watermark.unwrap().span, Span { line: 3, column: 20, width: 22 });
    let option = &options["scan.startup.mode"];
    assert_eq!(option.key_span, Span { line: 4, column: 9, width: 17 });
    assert_eq!(option.value_span, Span { line: 4, column: 29, width: 10 });
    assert!(matches!(
        columns[1].kind,
        ColumnKind::Metadata { key: MetadataKey::Offset, is_virtual: true, .. }
    ));
}

#[test]
fn views_and_drops() {
    let [temporary, replaced, drop] = <[Statement; 3]>::try_from(good(
        "CREATE TEMPORARY VIEW v (a COMMENT 'x', `B`) COMMENT 'y' AS WITH t AS (SELECT 1, 2) SELECT * FROM t;
         CREATE OR REPLACE VIEW V AS SELECT 1 UNION ALL (SELECT 2) ORDER BY 1 LIMIT 1; DROP VIEW IF EXISTS v",
    ))
    .unwrap();
    let Statement::CreateView(view) = temporary else { panic!() };
    assert!(view.is_temporary && view.name == "v" && view.on_existing == OnExisting::Refuse);
    assert_eq!(view.columns.iter().map(|column| column.text.as_str()).collect::<Vec<_>>(), ["a", "B"]);
    assert_eq!(view.query.to_string(), "WITH t AS (SELECT 1, 2) SELECT * FROM t");
    let Statement::CreateView(view) = replaced else { panic!() };
    assert!(!view.is_temporary && view.name == "V" && view.on_existing == OnExisting::Replace);
    let Statement::Drop(drop) = drop else { panic!() };
    assert!(drop.is_view && drop.if_exists && drop.name.text == "v");
}

#[test]
fn inserts_with_modes() {
    for (emit, expected) in [
        ("", None),
        ("EMIT CHANGES", Some(EmitMode::Changes)),
        ("emit on window close", Some(EmitMode::OnWindowClose)),
        ("EMIT COMPLETE", Some(EmitMode::Complete)),
    ] {
        for query in [
            "SELECT a FROM t",
            "SELECT 1",
            "SELECT a FROM t AS x JOIN u ON x.a = u.a",
            "SELECT a FROM t GROUP BY a",
            "SELECT a FROM (SELECT a FROM t)",
        ] {
            let Statement::Insert(insert) = one(&format!("INSERT INTO out {query} {emit}")) else { panic!() };
            assert_eq!(insert.mode.map(|emit| emit.mode), expected, "{query} {emit}");
            assert_eq!(insert.query.to_string(), query);
        }
    }
    let Statement::Insert(insert) = one("INSERT INTO Out (a, `B`) (SELECT 1, 2)") else { panic!() };
    assert_eq!((insert.table.as_str(), insert.span), ("Out", Span { line: 1, column: 13, width: 3 }));
    assert_eq!(insert.columns[1].text, "B");
    let Statement::Insert(insert) = one("INSERT INTO out (SELECT 1) UNION ALL VALUES (2)") else { panic!() };
    assert!(insert.columns.is_empty());
    assert!(matches!(one("INSERT INTO out VALUES (1, 'a')"), Statement::Insert(_)));
    // Quoted, it is a name like any other.
    let Statement::Insert(insert) = one("INSERT INTO out SELECT `emit`.a FROM t `emit`") else { panic!() };
    assert_eq!(insert.mode, None);
}

#[test]
fn statement_sets_old_and_new() {
    for text in [
        "EXECUTE STATEMENT SET BEGIN INSERT INTO a SELECT 1; INSERT INTO b SELECT 2 EMIT CHANGES; END;",
        "BEGIN STATEMENT SET; INSERT INTO a SELECT 1; INSERT INTO b SELECT 2; END",
        "EXECUTE STATEMENT SET BEGIN\n\nINSERT INTO a SELECT 1;; INSERT INTO b SELECT 2;\nEND;\n",
    ] {
        let Statement::StatementSet(set) = one(text) else { panic!("{text}") };
        assert_eq!(set.inserts.iter().map(|insert| insert.table.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(set.span.line, 1);
    }
    let explained = one("EXPLAIN STREAM STATEMENT SET BEGIN INSERT INTO a SELECT 1; END;");
    let Statement::Explain { kind: ExplainKind::Stream, statement, .. } = explained else {
        panic!("{explained:?}")
    };
    assert!(matches!(*statement, Statement::StatementSet(_)));
}

#[test]
fn small_statements() {
    let statements = good(
        "SET 'a.b' = 'c'; SET state.partitions = 8; RESET; RESET 'a.b'; SHOW TABLES; show views; SHOW FUNCTIONS;
         DESCRIBE bid; DESC `Bid`; EXPLAIN SELECT 1; EXPLAIN PLAN FOR INSERT INTO a SELECT 1; EXPLAIN LOGICAL SELECT 1;
         EXPLAIN TOPOLOGY INSERT INTO a SELECT 1 EMIT COMPLETE; -- a comment
         /* another; one */ ; SELECT a FROM t EMIT CHANGES",
    );
    let shown: Vec<String> = statements
        .iter()
        .map(|statement| match statement {
            Statement::Set { key, option } => format!("set {key} {}", option.value),
            Statement::Reset { key, .. } => format!("reset {}", key.as_ref().map_or("", |key| &key.text)),
            Statement::Show { what, .. } => format!("show {what:?}"),
            Statement::Describe(name) => format!("describe {}", name.text),
            Statement::Explain { kind, statement, .. } => {
                format!("explain {kind:?} {}", matches!(**statement, Statement::Insert(_)))
            }
            Statement::Select(select) => format!("select {:?}", select.mode.map(|emit| emit.mode)),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        shown,
        [
            "set a.b c",
            "set state.partitions 8",
            "reset ",
            "reset a.b",
            "show Tables",
            "show Views",
            "show Functions",
            "describe bid",
            "describe Bid",
            "explain All false",
            "explain All true",
            "explain Logical false",
            "explain Topology true",
            "select Some(Changes)",
        ]
    );
    assert_eq!(statements[4].span().line, 1);
    let Statement::Show { what: Show::Views, span } = statements[5] else { panic!() };
    assert_eq!((span.line, span.width), (1, 4));
}

#[test]
fn a_script_without_statements() {
    for text in ["", "  ;; -- nothing\n", "\u{feff}"] {
        assert_eq!(crate::sql::parse::parse(&SourceText::new("q.sql", text)).unwrap(), []);
    }
    assert!(matches!(
        one("\u{feff}SHOW TABLES"),
        Statement::Show { span: Span { line: 1, column: 1, .. }, .. }
    ));
}

#[test]
fn deep_nesting_is_a_mistake() {
    for (open, close) in [("(", ")"), ("f(", ")"), ("- ", ""), ("NOT ", "")] {
        let deep = open.repeat(5_000) + "1" + &close.repeat(5_000);
        // Where the parser tries one form and then another, it tells of the other.
        let seen = super::seen(&format!("SELECT\n  {deep}"));
        let told = if open == "(" { "q.sql:1:1: this statement is nested too deeply" } else { "q.sql:" };
        assert!(seen.starts_with(told), "{open}: {}", &seen[..80]);
    }
    let types = "ARRAY<".repeat(20_000) + "INT" + &">".repeat(20_000);
    let seen = super::seen(&format!("CREATE TABLE t (a\n {types})"));
    assert!(seen.starts_with("q.sql:2:194: types are nested deeper than 32 levels"), "{}", &seen[..200]);
}
