//! Scripts and what the planner says of them.

#![allow(clippy::needless_raw_string_hashes, reason = "expect-test writes them")]

mod edges;
mod joins;
mod mistakes;
mod plans;
mod ranks;
mod windows;

use super::{Planner, all_sinks, explain, stream_plan::StreamPlan};
use crate::sql::{
    SourceText, SqlError,
    parse::{Statement, parse},
};
use expect_test::Expect;

/// Declarations that most scripts begin with.
const TABLES: &str = "
CREATE TABLE lines (line STRING) WITH ('connector' = 'kafka', 'topic' = 'lines', 'format' = 'raw');
CREATE TABLE bid (
  auction BIGINT, bidder BIGINT, price BIGINT, channel STRING, url STRING, date_time TIMESTAMP(3), extra STRING,
  WATERMARK FOR date_time AS date_time - INTERVAL '4' SECOND
) WITH ('connector' = 'kafka', 'topic' = 'bid', 'format' = 'json');
CREATE TABLE trade (
  id BIGINT NOT NULL, price DECIMAL(10, 2), amount INT, is_buy BOOLEAN, at TIMESTAMP(3) METADATA FROM 'timestamp',
  total AS price * amount
) WITH ('connector' = 'kafka', 'topic' = 'trade', 'format' = 'json');
CREATE TABLE out_bid (auction BIGINT, bidder BIGINT, price DECIMAL(23, 3), date_time TIMESTAMP(3))
  WITH ('connector' = 'kafka', 'topic' = 'out', 'format' = 'json');
CREATE TABLE counts (word STRING, n BIGINT, PRIMARY KEY (word) NOT ENFORCED)
  WITH ('connector' = 'upsert-kafka', 'topic' = 'counts', 'key.format' = 'json', 'value.format' = 'json');
CREATE TABLE words (word STRING, n BIGINT) WITH ('connector' = 'kafka', 'topic' = 'words', 'format' = 'json');
CREATE TABLE screen (word STRING, n BIGINT) WITH ('connector' = 'print');
CREATE TABLE wide (a STRING, b STRING, c STRING, d STRING) WITH ('connector' = 'blackhole');
";

/// The plans that a script explains, then those of its inserts, or its first mistake.
fn run(script: &str) -> String {
    let text = SourceText::new("q.sql", script);
    let mut planner = Planner::new();
    declare(&mut planner, &SourceText::new("tables.sql", TABLES)).unwrap();
    declare(&mut planner, &text).unwrap_or_else(|mistake| mistake.shown_in(&text))
}

fn declare(planner: &mut Planner, text: &SourceText) -> Result<String, SqlError> {
    let mut plan = StreamPlan::default();
    let mut shown = String::new();
    for statement in parse(text).map_err(|mut mistakes| mistakes.remove(0))? {
        match statement {
            Statement::CreateTable(create) => planner.declare_table(create)?,
            Statement::CreateView(create) => planner.declare_view(create)?,
            Statement::Drop(drop) => planner.drop_relation(&drop)?,
            Statement::Insert(insert) => {
                planner.plan_insert(&insert, &mut plan)?;
            }
            Statement::Explain { statement, .. } => {
                let mut alone = StreamPlan::default();
                let planned = match statement.as_ref() {
                    Statement::Insert(insert) => planner.plan_insert(insert, &mut alone)?,
                    Statement::Select(select) => planner.plan_query(&select.query, &mut alone)?,
                    other => panic!("{other:?}"),
                };
                shown += &explain(&planned.logical, &alone, planned.root);
            }
            other => panic!("{other:?}"),
        }
    }
    Ok(shown + &all_sinks(&plan))
}

fn check(script: &str, expected: &Expect) {
    expected.assert_eq(&run(script));
}
