//! Joins by chance: of all kinds, of tables, aggregates and joins, and of a relation with itself.

#![allow(clippy::format_push_string, reason = "texts are put together")]

use super::{
    Random,
    query::{Column, Kind, Relation, predicate},
};

/// A join of two relations.
pub fn joined(random: &mut Random, left: &Relation, right: &Relation) -> Option<Relation> {
    let keys = keys(random, left, right)?;
    let (a, b) = (LEFT, RIGHT);
    let mut on: Vec<String> = keys.iter().map(|(a, b)| format!("{a} = {b}")).collect();
    let residual = residual(random, left, right);
    if random.below(100) < 35 {
        on.extend(residual);
    }
    let on = on.join(" AND ");
    let of_left = listed(random, left, "a", 0);
    let text = match random.below(10) {
        kind @ 0..=5 => {
            let of_right = listed(random, right, "b", of_left.len());
            let all: Vec<_> = of_left.iter().chain(&of_right).cloned().collect();
            let list = list(&all);
            let text = match kind {
                0 => format!("SELECT {list} FROM {a}, {b} WHERE {on}"),
                1 => format!("SELECT {list} FROM {a} JOIN {b} ON {on}"),
                2 | 3 => format!("SELECT {list} FROM {a} LEFT JOIN {b} ON {on}"),
                4 => format!("SELECT {list} FROM {a} RIGHT JOIN {b} ON {on}"),
                _ => format!("SELECT {list} FROM {a} FULL JOIN {b} ON {on}"),
            };
            return Some(of_both(&text, left, right, columns(&all)));
        }
        6 => {
            let (mine, theirs) = &keys[0];
            format!("SELECT {} FROM {a} WHERE {mine} IN (SELECT {theirs} FROM {b})", list(&of_left))
        }
        7 => {
            let or = predicate(random, &left.columns);
            format!("SELECT {} FROM {a} WHERE {or} OR EXISTS (SELECT 1 FROM {b} WHERE {on})", list(&of_left))
        }
        8 => format!("SELECT {} FROM {a} WHERE EXISTS (SELECT 1 FROM {b} WHERE {on})", list(&of_left)),
        _ => format!("SELECT {} FROM {a} WHERE NOT EXISTS (SELECT 1 FROM {b} WHERE {on})", list(&of_left)),
    };
    Some(of_both(&text, left, right, columns(&of_left)))
}

/// What stands for the relations in the text of a join.
const LEFT: &str = "{left}";
const RIGHT: &str = "{right}";

fn of_both(text: &str, left: &Relation, right: &Relation, columns: Vec<Column>) -> Relation {
    let filled = |a: &str, b: &str| text.replace(LEFT, a).replace(RIGHT, b);
    let asked = |of: &Relation, name| match &of.oracle {
        Some(oracle) => format!("({oracle}) AS {name}"),
        None => aliased(of, name),
    };
    let has_other = left.oracle.is_some() || right.oracle.is_some();
    let oracle = has_other.then(|| filled(&asked(left, "a"), &asked(right, "b")));
    Relation { text: filled(&aliased(left, "a"), &aliased(right, "b")), oracle, columns }
}

fn aliased(relation: &Relation, name: &str) -> String {
    if relation.is_table() {
        format!("{} AS {name}", relation.text)
    } else {
        format!("({}) AS {name}", relation.text)
    }
}

/// One to three pairs of columns of one kind, or of expressions over them.
fn keys(random: &mut Random, left: &Relation, right: &Relation) -> Option<Vec<(String, String)>> {
    let fits = |a: &Column, b: &Column| a.kind == b.kind && a.kind != Kind::Double;
    let all: Vec<(&Column, &Column)> = left
        .columns
        .iter()
        .flat_map(|a| right.columns.iter().filter(|b| fits(a, b)).map(move |b| (a, b)))
        .collect();
    if all.is_empty() {
        return None;
    }
    let count = match random.below(100) {
        0..=69 => 1,
        70..=92 => 2,
        _ => 3,
    };
    let keys = (0..count).map(|_| {
        let (a, b) = all[usize::try_from(random.below(all.len() as u64)).unwrap()];
        (key(random, "a", a), key(random, "b", b))
    });
    Some(keys.collect())
}

/// A column of a side, or an expression that is often equal to it.
fn key(random: &mut Random, side: &str, of: &Column) -> String {
    let column = format!("{side}.{}", of.name);
    if random.below(100) < 80 {
        return column;
    }
    match of.kind {
        Kind::Int => format!("abs({column})"),
        Kind::Text => format!("lower({column})"),
        _ => format!("coalesce({column}, {column})"),
    }
}

/// A comparison of both sides.
fn residual(random: &mut Random, left: &Relation, right: &Relation) -> Option<String> {
    let fits = |a: &Column, b: &Column| a.kind == b.kind && a.kind != Kind::Bool;
    let all: Vec<String> = left
        .columns
        .iter()
        .flat_map(|a| {
            right
                .columns
                .iter()
                .filter(move |b| fits(a, b))
                .map(|b| format!("a.{} {{}} b.{}", a.name, b.name))
        })
        .collect();
    if all.is_empty() {
        return None;
    }
    let text = &all[usize::try_from(random.below(all.len() as u64)).unwrap()];
    Some(text.replace("{}", random.of_these(&["<", "<=", "<>", ">"])))
}

/// Some columns of a side, with new names.
fn listed(random: &mut Random, of: &Relation, alias: &str, first: usize) -> Vec<(String, Column)> {
    let mut list = vec![];
    for index in 0..=usize::try_from(random.below(3)).unwrap() {
        let Column { name, kind } =
            &of.columns[usize::try_from(random.below(of.columns.len() as u64)).unwrap()];
        list.push((format!("{alias}.{name}"), Column { name: format!("j{}", first + index), kind: *kind }));
    }
    list
}

fn list(of: &[(String, Column)]) -> String {
    of.iter().map(|(text, column)| format!("{text} AS {}", column.name)).collect::<Vec<_>>().join(", ")
}

fn columns(of: &[(String, Column)]) -> Vec<Column> {
    of.iter().map(|(_, column)| column.clone()).collect()
}

/// A join with a bound of time, of which every row leaves once; its bounds are of a few milliseconds.
pub fn timed(random: &mut Random) -> String {
    let from = random.below(12);
    let to = random.below(12);
    let seconds = |ms: u64| format!("INTERVAL '0.{ms:03}' SECOND");
    let bound = match random.below(4) {
        0 => format!("b.ts BETWEEN a.ts - {} AND a.ts + {}", seconds(from), seconds(to)),
        1 => format!("a.ts >= b.ts - {} AND a.ts < b.ts + {}", seconds(from), seconds(to + 1)),
        2 => format!("b.ts > a.ts + {} AND b.ts - {} <= a.ts", seconds(from), seconds(from + to)),
        _ => "a.ts = b.ts".to_owned(),
    };
    let mut on = format!("a.k = b.k AND {bound}");
    if random.below(100) < 40 {
        on += random.of_these(&[" AND a.n < b.n", " AND a.s <> b.s", " AND a.n + b.n > 0"]);
    }
    let both = "a.k AS k, a.n AS n, b.n AS m, a.ts AS t, b.ts AS v";
    // Two tables, as rows of one.
    let (t, u) = ("(SELECT k, n, s, ts FROM t WHERE b)", "(SELECT k, n, s, ts FROM t WHERE NOT b)");
    match random.below(7) {
        0 => format!("SELECT {both} FROM {t} AS a JOIN {u} AS b ON {on}"),
        1 => format!("SELECT {both} FROM {t} AS a LEFT JOIN {u} AS b ON {on}"),
        2 => format!("SELECT {both} FROM {t} AS a RIGHT JOIN {u} AS b ON {on}"),
        3 => format!("SELECT {both} FROM {t} AS a FULL JOIN {u} AS b ON {on}"),
        4 => format!("SELECT {both} FROM {t} AS a LEFT JOIN {t} AS b ON {on}"),
        5 => format!(
            "SELECT a.k AS k, a.n AS n FROM {t} AS a WHERE EXISTS (SELECT 1 FROM {u} AS b WHERE {on})"
        ),
        _ => format!(
            "SELECT a.k AS k, a.n AS n FROM {t} AS a WHERE NOT EXISTS (SELECT 1 FROM {u} AS b WHERE {on})"
        ),
    }
}
