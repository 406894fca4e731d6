//! Queries by chance, each of which a batch engine can answer exactly.

#![allow(clippy::format_push_string, clippy::range_plus_one, reason = "texts are put together")]

use super::Random;

/// A column of a relation: its name and what may be done with it.
#[derive(Clone)]
struct Column {
    name: String,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Int,
    Text,
    Decimal,
    Double,
    Bool,
    Time,
}

/// A query.
pub struct Query {
    pub text: String,
}

/// What a query reads: its text and columns.
struct Relation {
    text: String,
    columns: Vec<Column>,
}

impl Query {
    pub fn random(random: &mut Random) -> Self {
        let depth = random.below(3);
        let mut relation = table();
        for _ in 0..=depth {
            relation =
                if random.chance(55) { grouped(random, &relation) } else { selected(random, &relation) };
        }
        Query { text: relation.text }
    }
}

fn table() -> Relation {
    let column = |name: &str, kind| Column { name: name.to_owned(), kind };
    let columns = vec![
        column("id", Kind::Int),
        column("k", Kind::Int),
        column("s", Kind::Text),
        column("n", Kind::Int),
        column("d", Kind::Decimal),
        column("x", Kind::Double),
        column("b", Kind::Bool),
        column("ts", Kind::Time),
    ];
    Relation { text: "t".to_owned(), columns }
}

fn of_kind<'c>(random: &mut Random, columns: &'c [Column], kinds: &[Kind]) -> Option<&'c Column> {
    let fitting: Vec<&Column> = columns.iter().filter(|column| kinds.contains(&column.kind)).collect();
    (!fitting.is_empty()).then(|| random.of_these(&fitting))
}

/// As something that stands behind FROM.
fn from(relation: &Relation) -> String {
    if relation.text == "t" { "t".to_owned() } else { format!("({}) AS r", relation.text) }
}

fn predicate(random: &mut Random, columns: &[Column]) -> String {
    let column = of_kind(random, columns, &[Kind::Int, Kind::Text, Kind::Decimal, Kind::Double, Kind::Bool]);
    let Some(Column { name, kind }) = column else { return "true".to_owned() };
    let simple = match kind {
        _ if random.chance(15) => format!("{name} IS {}NULL", random.of_these(&["", "NOT "])),
        Kind::Int => {
            format!("{name} {} {}", random.of_these(&["<", ">", "=", "<>", "<=", ">="]), random.below(5))
        }
        Kind::Text => format!(
            "{name} {} '{}'",
            random.of_these(&["<", ">=", "=", "<>"]),
            random.of_these(&["", "a", "b"])
        ),
        Kind::Decimal => format!("{name} > {}", random.of_these(&["0", "1.50", "-2.25"])),
        Kind::Double => format!("{name} <= {}", random.of_these(&["0", "1.5", "-2.25"])),
        Kind::Bool => name.clone(),
        Kind::Time => "true".to_owned(),
    };
    match random.below(10) {
        0 => format!("NOT ({simple})"),
        1 => format!("({simple} OR {})", predicate(random, columns)),
        2 => format!("{simple} AND {}", predicate(random, columns)),
        _ => simple,
    }
}

fn filter(random: &mut Random, columns: &[Column]) -> String {
    if random.chance(50) { format!(" WHERE {}", predicate(random, columns)) } else { String::new() }
}

fn expression(random: &mut Random, columns: &[Column]) -> (String, Kind) {
    let Column { name, kind } = &columns[usize::try_from(random.below(columns.len() as u64)).unwrap()];
    let text = match kind {
        Kind::Int if random.chance(40) => random
            .of_these(&["COL + 1", "COL * 2", "abs(COL)", "COL % 3", "coalesce(COL, 0)"])
            .replace("COL", name),
        Kind::Text if random.chance(40) => {
            random.of_these(&["upper(COL)", "COL || '-x'", "coalesce(COL, '?')"]).replace("COL", name)
        }
        Kind::Decimal if random.chance(30) => format!("{name} + {name}"),
        Kind::Double if random.chance(30) => format!("{name} * 2"),
        _ => name.clone(),
    };
    (text, *kind)
}

fn selected(random: &mut Random, of: &Relation) -> Relation {
    let mut columns = vec![];
    let mut list = vec![];
    for index in 0..1 + random.below(4) {
        let (text, kind) = expression(random, &of.columns);
        list.push(format!("{text} AS c{index}"));
        columns.push(Column { name: format!("c{index}"), kind });
    }
    let text = format!("SELECT {} FROM {}{}", list.join(", "), from(of), filter(random, &of.columns));
    let text = if random.chance(15) { format!("{text} UNION ALL {text}") } else { text };
    Relation { text, columns }
}

fn aggregate(random: &mut Random, columns: &[Column]) -> (String, Kind) {
    let number = of_kind(random, columns, &[Kind::Int, Kind::Decimal, Kind::Double]).cloned();
    let any = random.of_these(&columns.iter().collect::<Vec<_>>()).clone();
    match (random.below(8), number) {
        (0 | 1, _) => ("count(*)".to_owned(), Kind::Int),
        (2, _) => (format!("count({})", any.name), Kind::Int),
        (3 | 4, Some(column)) => (format!("sum({})", column.name), column.kind),
        (5, Some(column)) if column.kind == Kind::Double => (format!("avg({})", column.name), Kind::Double),
        (6, _) if any.kind != Kind::Bool => (format!("max({})", any.name), any.kind),
        (7, _) if any.kind != Kind::Bool => (format!("min({})", any.name), any.kind),
        _ => ("count(*)".to_owned(), Kind::Int),
    }
}

fn grouped(random: &mut Random, of: &Relation) -> Relation {
    let (mut list, mut keys, mut columns) = (vec![], vec![], vec![]);
    for _ in 0..random.below(3) {
        let column =
            of_kind(random, &of.columns, &[Kind::Int, Kind::Text, Kind::Bool, Kind::Time, Kind::Decimal]);
        let Some(Column { name, kind }) = column else { continue };
        if !keys.contains(name) {
            list.push(format!("{name} AS g{}", keys.len()));
            columns.push(Column { name: format!("g{}", keys.len()), kind: *kind });
            keys.push(name.clone());
        }
    }
    for index in 0..1 + random.below(3) {
        let (mut text, kind) = aggregate(random, &of.columns);
        if random.chance(15) {
            text += &format!(" FILTER (WHERE {})", predicate(random, &of.columns));
        }
        list.push(format!("{text} AS a{index}"));
        columns.push(Column { name: format!("a{index}"), kind });
    }
    let mut text = format!("SELECT {} FROM {}{}", list.join(", "), from(of), filter(random, &of.columns));
    if !keys.is_empty() {
        text += &format!(" GROUP BY {}", keys.join(", "));
        if random.chance(25) {
            text += &format!(" HAVING count(*) > {}", random.below(3));
        }
    }
    Relation { text, columns }
}
