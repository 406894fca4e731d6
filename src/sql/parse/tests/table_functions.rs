//! Table functions in FROM, as planners meet them.

use super::one;
use crate::sql::parse::{ArgumentValue, Statement, TableFunctionCall};
use datafusion_sql::sqlparser::ast::{Query, SetExpr, TableFactor};

fn relation(query: &Query) -> &TableFactor {
    let SetExpr::Select(select) = query.body.as_ref() else { panic!("{query}") };
    &select.from[0].relation
}

/// The call in the FROM of a query: its name, arguments and alias.
fn call(query: &str) -> String {
    let Statement::Select(select) = one(query) else { panic!("{query}") };
    let call = TableFunctionCall::of(relation(&select.query)).unwrap();
    let arguments: Vec<String> = call
        .arguments
        .iter()
        .map(|argument| {
            let value = match &argument.value {
                ArgumentValue::Table { name, partition_by } => {
                    let name: Vec<&str> = name.iter().map(|part| part.value.as_str()).collect();
                    let keys: Vec<String> = partition_by.iter().map(ToString::to_string).collect();
                    format!("table {} by [{}]", name.join("."), keys.join(", "))
                }
                ArgumentValue::Query(query) => format!("query {query}"),
                ArgumentValue::Descriptor(columns) => {
                    let columns: Vec<&str> = columns.iter().map(|column| column.value.as_str()).collect();
                    format!("descriptor {}", columns.join(", "))
                }
                ArgumentValue::Expr(expr) => format!("expr {expr}"),
                ArgumentValue::Wildcard => "wildcard".to_string(),
            };
            argument.name.map_or(value.clone(), |name| format!("{name} => {value}"))
        })
        .collect();
    let alias = call.alias.map_or(String::new(), |alias| format!(" {}", alias.name));
    format!("{}({}){alias}", call.name, arguments.join("; "))
}

#[test]
fn windows_of_flink_and_others() {
    assert_eq!(
        call("SELECT * FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(ts), INTERVAL '10' SECOND)) AS w"),
        "TUMBLE(table bid by []; descriptor ts; expr INTERVAL '10' SECOND) w"
    );
    assert_eq!(
        call(
            "SELECT * FROM TABLE(HOP(DATA => TABLE a.bid, TIMECOL => DESCRIPTOR(`ts`), SLIDE => INTERVAL '5' MINUTES, SIZE => INTERVAL '10' MINUTES)) EMIT CHANGES"
        ),
        "HOP(DATA => table a.bid by []; TIMECOL => descriptor ts; SLIDE => expr INTERVAL '5' MINUTES; SIZE => expr INTERVAL '10' MINUTES)"
    );
    assert_eq!(
        call(
            "SELECT * FROM TABLE(SESSION(TABLE bid PARTITION BY bidder, auction, DESCRIPTOR(ts), INTERVAL '10' SECOND))"
        ),
        "SESSION(table bid by [bidder, auction]; descriptor ts; expr INTERVAL '10' SECOND)"
    );
    assert_eq!(
        call(
            "SELECT * FROM TABLE(SESSION(TABLE bid PARTITION BY (bidder), DESCRIPTOR(ts), INTERVAL '10' SECOND))"
        ),
        "SESSION(table bid by [bidder]; descriptor ts; expr INTERVAL '10' SECOND)"
    );
    assert_eq!(
        call("SELECT * FROM hop(bid, ts, INTERVAL '1' DAY)"),
        "hop(expr bid; expr ts; expr INTERVAL '1' DAY)"
    );
    assert_eq!(
        call("SELECT * FROM TABLE(TUMBLE((SELECT * FROM bid), DESCRIPTOR(ts), INTERVAL '10' SECOND))"),
        "TUMBLE(query SELECT * FROM bid; descriptor ts; expr INTERVAL '10' SECOND)"
    );
}

#[test]
fn tables_are_no_calls() {
    for query in ["SELECT * FROM bid", "SELECT * FROM (SELECT 1) AS t", "SELECT * FROM bid$late"] {
        let Statement::Select(select) = one(query) else { panic!("{query}") };
        assert_eq!(TableFunctionCall::of(relation(&select.query)), None);
    }
}
