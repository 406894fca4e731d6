//! Queries by chance, each of which a batch engine can answer exactly.

#![allow(clippy::format_push_string, clippy::range_plus_one, reason = "texts are put together")]

use super::{Random, joins::joined};

/// A column of a relation: its name and what may be done with it.
#[derive(Clone)]
pub struct Column {
    pub name: String,
    pub kind: Kind,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
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
    /// What a batch engine is asked that does not know all of it.
    pub oracle: String,
}

/// What a query reads: its text and columns.
pub struct Relation {
    pub text: String,
    /// The same for the batch engine, if it is another one.
    pub oracle: Option<String>,
    pub columns: Vec<Column>,
}

impl Relation {
    pub fn is_table(&self) -> bool {
        self.text == "t"
    }
}

impl Query {
    pub fn random(random: &mut Random) -> Self {
        let depth = random.below(3);
        let mut relation = table();
        for _ in 0..=depth {
            relation = step(random, relation);
        }
        Query { oracle: relation.oracle.unwrap_or_else(|| relation.text.clone()), text: relation.text }
    }
}

/// One more query around a relation.
fn step(random: &mut Random, relation: Relation) -> Relation {
    if random.chance(35) {
        let mut other = table();
        if random.chance(40) {
            other = if random.chance(60) { grouped(random, &other) } else { selected(random, &other) };
        }
        let (left, right) = if random.chance(50) { (&relation, &other) } else { (&other, &relation) };
        return joined(random, left, right).unwrap_or(relation);
    }
    match random.below(100) {
        0..40 => grouped(random, &relation),
        40..65 => selected(random, &relation),
        65..80 => ranked(random, &relation),
        80..87 => limited(random, &relation),
        87..93 => distinct(random, &relation),
        _ => sets(random, &relation),
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
    Relation { text: "t".to_owned(), oracle: None, columns }
}

fn of_kind<'c>(random: &mut Random, columns: &'c [Column], kinds: &[Kind]) -> Option<&'c Column> {
    let fitting: Vec<&Column> = columns.iter().filter(|column| kinds.contains(&column.kind)).collect();
    (!fitting.is_empty()).then(|| random.of_these(&fitting))
}

/// As something that stands behind FROM.
fn from(relation: &Relation) -> String {
    if relation.is_table() { relation.text.clone() } else { format!("({}) AS r", relation.text) }
}

/// A query over a relation, which is what `query` makes of the text that stands behind FROM.
fn over(of: &Relation, columns: Vec<Column>, query: impl Fn(&str) -> String) -> Relation {
    let oracle = of.oracle.as_ref().map(|oracle| query(&format!("({oracle}) AS r")));
    Relation { text: query(&from(of)), oracle, columns }
}

fn names(columns: &[Column]) -> String {
    columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>().join(", ")
}

/// All columns, some of them in another order, each up or down: rows that are equal in all of it are equal.
fn total_order(random: &mut Random, columns: &[Column]) -> String {
    let first = usize::try_from(random.below(columns.len() as u64)).unwrap();
    let mut order = vec![];
    for at in 0..columns.len() {
        let name = &columns[(at + first) % columns.len()].name;
        let nulls = random.of_these(&["", "", " NULLS FIRST", " NULLS LAST"]);
        order.push(format!("{name}{}{nulls}", random.of_these(&["", " DESC"])));
    }
    order.join(", ")
}

/// The first rows of each partition.
fn ranked(random: &mut Random, of: &Relation) -> Relation {
    let function = random.of_these(&["ROW_NUMBER", "ROW_NUMBER", "RANK", "DENSE_RANK"]);
    let partition = if random.chance(75) {
        format!("PARTITION BY {} ", random.of_these(&of.columns.iter().collect::<Vec<_>>()).name)
    } else {
        String::new()
    };
    // With numbers that are shared the rows that are equal in a part of the order pass together.
    let order = if function == "ROW_NUMBER" {
        total_order(random, &of.columns)
    } else {
        random.of_these(&of.columns.iter().collect::<Vec<_>>()).name.clone()
    };
    let bound = random.of_these(&["= 1", "<= 2", "< 4", "BETWEEN 2 AND 3", "= 2", "> 1 AND rn <= 3"]);
    let mut columns: Vec<Column> = vec![];
    let mut list = vec![];
    for (index, column) in of.columns.iter().enumerate() {
        list.push(format!("{} AS c{index}", column.name));
        columns.push(Column { name: format!("c{index}"), kind: column.kind });
    }
    if random.chance(40) {
        list.push("CAST(rn AS BIGINT) AS n0".to_owned());
        columns.push(Column { name: "n0".to_owned(), kind: Kind::Int });
    }
    let filter = filter(random, &of.columns);
    let rest =
        if random.chance(20) { format!(" AND {}", predicate(random, &of.columns)) } else { String::new() };
    over(of, columns, |from| {
        format!(
            "SELECT {} FROM (SELECT *, {function}() OVER ({partition}ORDER BY {order}) AS rn FROM {from}{filter}) AS o WHERE rn {bound}{rest}",
            list.join(", ")
        )
    })
}

/// The first rows of all.
fn limited(random: &mut Random, of: &Relation) -> Relation {
    let order = total_order(random, &of.columns);
    let offset = if random.chance(30) { format!(" OFFSET {}", random.below(3)) } else { String::new() };
    let limit = 1 + random.below(4);
    let columns = of.columns.clone();
    over(of, columns, |from| {
        format!("SELECT {} FROM {from} ORDER BY {order} LIMIT {limit}{offset}", names(&of.columns))
    })
}

fn distinct(random: &mut Random, of: &Relation) -> Relation {
    let columns: Vec<Column> = of.columns.iter().filter(|_| random.chance(60)).cloned().collect();
    let columns = if columns.is_empty() { of.columns.clone() } else { columns };
    let list = names(&columns);
    over(of, columns, |from| format!("SELECT DISTINCT {list} FROM {from}"))
}

/// A set operation of some rows of a relation and some others.
fn sets(random: &mut Random, of: &Relation) -> Relation {
    let columns: Vec<Column> = of.columns.iter().filter(|_| random.chance(50)).cloned().collect();
    let columns = if columns.is_empty() { of.columns.clone() } else { columns };
    let list = names(&columns);
    let conditions = [predicate(random, &of.columns), predicate(random, &of.columns)];
    let side = |from: &str, side: usize| format!("SELECT {list} FROM {from} WHERE {}", conditions[side]);
    let operation =
        random.of_these(&["UNION", "INTERSECT", "INTERSECT ALL", "EXCEPT", "EXCEPT ALL", "EXCEPT ALL"]);
    let text = |from: &str| format!("{} {operation} {}", side(from, 0), side(from, 1));
    // The engine's joins do not count rows; the same rows, numbered, are distinct.
    let plain = operation.trim_end_matches(" ALL");
    let numbered = |from: &str, at: usize| {
        format!(
            "SELECT {list}, row_number() OVER (PARTITION BY {list}) AS copy FROM ({}) AS s",
            side(from, at)
        )
    };
    let counted =
        |from: &str| format!("SELECT {list} FROM ({} {plain} {}) AS u", numbered(from, 0), numbered(from, 1));
    let of_engine = of.oracle.as_ref().map_or_else(|| from(of), |oracle| format!("({oracle}) AS r"));
    let oracle = if plain == operation { text(&of_engine) } else { counted(&of_engine) };
    Relation { text: text(&from(of)), oracle: Some(oracle), columns }
}

pub fn predicate(random: &mut Random, columns: &[Column]) -> String {
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
    let (filter, is_twice) = (filter(random, &of.columns), random.chance(15));
    over(of, columns, |from| {
        let text = format!("SELECT {} FROM {from}{filter}", list.join(", "));
        if is_twice { format!("{text} UNION ALL {text}") } else { text }
    })
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

/// An aggregate of all values of a column, or of one row; where `ORDER_HERE` stands, all of a query have one order, as the batch engine
/// puts the values of all into that of one.
fn of_values(random: &mut Random, column: &Column) -> (String, Kind) {
    let Column { name, kind } = column;
    let of_row = format!("{}({name} ORDER_HERE)", random.of_these(&["first_value", "last_value"]));
    let distinct = random.of_these(&["", "DISTINCT "]);
    match kind {
        Kind::Int | Kind::Text if random.chance(50) => {
            (format!("array_to_string(array_agg({distinct}{name} ORDER_HERE), ',', '?')"), Kind::Text)
        }
        Kind::Text if random.chance(50) => {
            (format!("CAST(string_agg({distinct}{name}, '|' ORDER_HERE) AS VARCHAR)"), Kind::Text)
        }
        Kind::Int | Kind::Decimal | Kind::Double if random.chance(40) => {
            let kind = if *kind == Kind::Decimal { Kind::Decimal } else { Kind::Double };
            (format!("median({distinct}{name})"), kind)
        }
        Kind::Int | Kind::Double if random.chance(50) => {
            // Quarters of eighths are exact.
            let part = random.of_these(&["0", "0.25", "0.5", "0.75", "1"]);
            let direction = random.of_these(&["", " DESC"]);
            (format!("percentile_cont({part}) WITHIN GROUP (ORDER BY {name}{direction})"), Kind::Double)
        }
        _ => (of_row, *kind),
    }
}

/// The order of the values of a column, as it is said here and to the batch engine: ours have one also if none is said.
fn order_of(random: &mut Random, column: &Column) -> [String; 2] {
    let by = format!(
        "ORDER BY {}{}{}",
        column.name,
        random.of_these(&["", "", " DESC"]),
        random.of_these(&["", "", " NULLS FIRST", " NULLS LAST"])
    );
    let is_own = !by.contains("DESC") && !by.contains("LAST");
    let here = if is_own && random.chance(50) { String::new() } else { by.clone() };
    [here, by]
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
    let listed = random.of_these(&of.columns.iter().collect::<Vec<_>>()).clone();
    let order = order_of(random, &listed);
    for index in 0..1 + random.below(3) {
        let (mut text, kind) =
            if random.chance(30) { of_values(random, &listed) } else { aggregate(random, &of.columns) };
        // Which row is the first of those without an order is not said.
        if text.contains("_value(") {
            text = text.replace("ORDER_HERE", &order[1]);
        }
        if random.chance(15) {
            text += &format!(" FILTER (WHERE {})", predicate(random, &of.columns));
        }
        list.push(format!("{text} AS a{index}"));
        columns.push(Column { name: format!("a{index}"), kind });
    }
    let filter = filter(random, &of.columns);
    let mut behind = String::new();
    if !keys.is_empty() {
        behind = format!(" GROUP BY {}", keys.join(", "));
        if random.chance(25) {
            behind += &format!(" HAVING count(*) > {}", random.below(3));
        }
    }
    let text = |from: &str, order: &str| {
        let list = list.join(", ").replace("ORDER_HERE", order);
        format!("SELECT {list} FROM {from}{filter}{behind}")
    };
    let is_same = !list.iter().any(|item| item.contains("ORDER_HERE"));
    let of_engine = of.oracle.as_ref().map(|oracle| format!("({oracle}) AS r"));
    let of_engine = if is_same { of_engine } else { of_engine.or_else(|| Some(from(of))) };
    let oracle = of_engine.map(|from| text(&from, &order[1]));
    Relation { text: text(&from(of), &order[0]), oracle, columns }
}
