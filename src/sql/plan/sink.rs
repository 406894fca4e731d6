//! The end of a query: which column of a table each of its columns is written to, and how changes are written.
//!
//! Owns the rules of `INSERT INTO` and of output modes. Knows no connector beyond its name. Invariants: every column that is written has
//! exactly the type of the table's column; a relation whose rows change is never written to a table that cannot take changes.

mod order;

pub use order::order_of;

use super::{
    lower::{Lower, Relation},
    place::{place_of, place_of_query},
    stream_plan::{OutputMode, Properties, StreamNode, StreamNodeId, StreamOperator, StreamPlan},
    types::{is_assignable, plain, type_name},
};
use crate::operator::Gives;
use crate::sql::{
    ColumnKind, Span, SqlError, SqlResult, TableColumn as Column, TableDefinition,
    closest::closest,
    op::OrderColumn,
    parse::{EmitMode, Insert},
};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion_common::Column as PlanColumn;
use datafusion_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast};
use datafusion_physical_expr::expressions::Column as PhysicalColumn;
use datafusion_sql::sqlparser::ast::{Query, SelectItem, SetExpr};
use std::sync::Arc;

/// What a table of a DataFrame stands for, whose rows the program keeps in memory.
pub const MEMORY: &str = "memory";
/// What a table of a DataFrame stands for, whose rows a function of the program takes.
pub const FOREACH_BATCH: &str = "foreach-batch";

/// Where the columns of a query go.
#[derive(Debug)]
pub struct Targets {
    /// For each column of the query the position of the table's column in its declaration.
    pub positions: Vec<usize>,
}

/// The columns of a table that a query writes.
pub fn written_columns(table: &TableDefinition) -> impl Iterator<Item = (usize, &Column, &DataType)> {
    table.columns.iter().enumerate().filter_map(|(at, column)| match &column.kind {
        ColumnKind::Physical(data_type) | ColumnKind::Metadata { data_type, is_virtual: false, .. } => {
            Some((at, column, data_type))
        }
        _ => None,
    })
}

/// Finds a target for each column of the query.
///
/// # Errors
/// If the numbers differ, a name is wrong or given twice, or a column that must have a value gets none.
pub fn match_columns(table: &TableDefinition, insert: &Insert, count: usize) -> SqlResult<Targets> {
    let name = &table.name;
    let query_span = place_of_query(&insert.query);
    let mut positions = Vec::with_capacity(count);
    if insert.columns.is_empty() {
        positions.extend(written_columns(table).map(|(at, ..)| at));
        if positions.len() != count {
            let names: Vec<_> = written_columns(table).map(|(_, column, _)| column.name.as_str()).collect();
            return Err(SqlError::at(
                query_span,
                format!("the query gives {}, and table `{name}` has {}", columns(count), names.len()),
            )
            .because(format!("columns are matched by position, not by name: ({})", names.join(", ")))
            .next(format!("give one value for each, or say which: INSERT INTO {name} (..) SELECT ..")));
        }
    } else {
        for column in &insert.columns {
            positions.push(target_of(table, &column.text, column.span)?);
        }
        if let Some(again) = (1..positions.len()).find(|&at| positions[..at].contains(&positions[at])) {
            let column = &insert.columns[again];
            return Err(SqlError::at(column.span, format!("column `{}` is named twice", column.text)));
        }
        if positions.len() != count {
            let named = columns(positions.len());
            return Err(SqlError::at(
                query_span,
                format!("the query gives {}, and INSERT names {named}", columns(count)),
            ));
        }
    }
    for (at, column, _) in written_columns(table) {
        let is_key = table.primary_key.contains(&column.name);
        if (column.is_required || is_key) && !positions.contains(&at) {
            let why = if is_key { "is part of the PRIMARY KEY" } else { "is NOT NULL" };
            return Err(SqlError::at(
                insert.span,
                format!("no value for column `{}` of table `{name}`", column.name),
            )
            .because(format!("it {why}"))
            .next("add it to the columns of INSERT and to the query"));
        }
    }
    Ok(Targets { positions })
}

fn columns(count: usize) -> String {
    if count == 1 { "1 column".to_owned() } else { format!("{count} columns") }
}

fn target_of(table: &TableDefinition, column: &str, span: Span) -> SqlResult<usize> {
    let name = &table.name;
    let Some(at) = table.columns.iter().position(|other| other.name == column) else {
        let error = SqlError::at(span, format!("table `{name}` has no column `{column}`"));
        return Err(match closest(column, table.columns.iter().map(|column| column.name.as_str())) {
            Some(close) => error.next(format!("did you mean `{close}`?")),
            None => error,
        });
    };
    match &table.columns[at].kind {
        ColumnKind::Computed(_) => {
            Err(SqlError::at(span, format!("column `{column}` of table `{name}` is computed"))
                .next("leave it out: it is never written"))
        }
        ColumnKind::Metadata { is_virtual: true, .. } => {
            Err(SqlError::at(span, format!("column `{column}` of table `{name}` is VIRTUAL"))
                .next("leave it out: it is only read"))
        }
        _ => Ok(at),
    }
}

/// Puts a cast around each column of the query that has another type than its target.
///
/// # Errors
/// If a value could be lost by that, naming the column.
pub fn with_target_types(
    table: &TableDefinition,
    targets: &Targets,
    query: &Query,
    plan: LogicalPlan,
) -> SqlResult<LogicalPlan> {
    let mut exprs = Vec::with_capacity(targets.positions.len());
    for (at, &position) in targets.positions.iter().enumerate() {
        let column = &table.columns[position];
        let (qualifier, field) = plan.schema().qualified_field(at);
        let (ColumnKind::Physical(wanted) | ColumnKind::Metadata { data_type: wanted, .. }) = &column.kind
        else {
            continue;
        };
        let given = field.data_type();
        let span = || place_of_item(query, at).or_else(|| place_of_query(query));
        let name = &column.name;
        if *given == DataType::Null && (column.is_required || table.primary_key.contains(name)) {
            return Err(SqlError::at(
                span(),
                format!("NULL for column `{name}` of table `{}`, which is NOT NULL", table.name),
            ));
        }
        if !is_assignable(given, wanted) {
            let (given, wanted) = (type_name(given), type_name(wanted));
            return Err(SqlError::at(
                span(),
                format!("column `{name}` of table `{}` is {wanted}, and the query gives {given}", table.name),
            )
            .next(format!("convert it: CAST(.. AS {wanted})")));
        }
        let value = Expr::Column(PlanColumn::from((qualifier, field)));
        let value = if given == wanted { value } else { cast(value, wanted.clone()) };
        exprs.push(value.alias(name));
    }
    LogicalPlanBuilder::from(plan)
        .project(exprs)
        .and_then(LogicalPlanBuilder::build)
        .map_err(|error| SqlError::at(place_of_query(query), super::mistakes::plain_text(&error)))
}

/// Where the query says what its column is, if it is a SELECT without a `*` before it.
fn place_of_item(query: &Query, at: usize) -> Option<Span> {
    let SetExpr::Select(select) = query.body.as_ref() else { return None };
    let before = select.projection.get(..=at)?;
    let is_one =
        |item: &SelectItem| matches!(item, SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. });
    match before.last() {
        Some(SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. })
            if before.iter().all(is_one) =>
        {
            place_of(expr)
        }
        _ => None,
    }
}

/// Ends a query at its table.
///
/// # Errors
/// If the table cannot take the rows of this query.
pub fn add_sink(
    lower: &mut Lower<'_>,
    table: &Arc<TableDefinition>,
    targets: &Targets,
    insert: &Insert,
    relation: &Relation,
    order: &[OrderColumn],
) -> SqlResult<StreamNodeId> {
    let types_agree = relation.columns.iter().zip(relation.schema.fields()).all(|(&at, field)| {
        lower.plan.nodes[relation.node.0].schema.field(at).data_type() == field.data_type()
            && plain(field.data_type()) == *field.data_type()
    });
    let (node, columns) = if relation.predicate.is_none() && types_agree {
        (relation.node, relation.columns.clone())
    } else {
        (lower.exact(relation), (0..relation.columns.len()).collect())
    };
    let input = lower.plan.nodes[node.0].clone();
    let position_of =
        |position: usize| targets.positions.iter().position(|&other| other == position).map(|at| columns[at]);
    let key_names = table.primary_key.clone();
    let primary_key: Vec<usize> = written_columns(table)
        .filter(|(_, column, _)| key_names.contains(&column.name))
        .filter_map(|(at, ..)| position_of(at))
        .collect();
    let end = End { table, insert, input: &input, node, primary_key: &primary_key };
    let (mode, key) = end.mode(lower.plan, targets, &columns)?;
    check_volatile(lower, node, mode, &key)?;
    let shown = |by: &OrderColumn| {
        let position = targets.positions[by.column];
        let column = written_columns(table).position(|(at, ..)| at == position)?;
        Some(OrderColumn { column, ..*by })
    };
    let operator = StreamOperator::Sink {
        table: table.clone(),
        mode,
        columns: written_columns(table).map(|(at, ..)| position_of(at)).collect(),
        key,
        order: order.iter().filter_map(shown).collect(),
    };
    let fields: Vec<_> = written_columns(table)
        .map(|(_, column, data_type)| Field::new(&column.name, data_type.clone(), !column.is_required))
        .collect();
    let id = StreamNodeId(lower.plan.nodes.len());
    lower.plan.nodes.push(StreamNode {
        operator,
        inputs: vec![node],
        schema: Arc::new(Schema::new(fields)),
        properties: Properties { unique_key: None, time_column: None, window_end: None, ..input.properties },
        span: Some(insert.span),
    });
    Ok(id)
}

/// Above an aggregate a function that gives another value each time may only be a column that a new row overwrites.
pub fn check_volatile(lower: &Lower<'_>, node: StreamNodeId, mode: OutputMode, key: &[usize]) -> SqlResult {
    let end = &lower.plan.nodes[node.0];
    if end.properties.is_append_only || !lower.is_volatile_below(node) {
        return Ok(());
    }
    let StreamOperator::Calc { predicate: None, columns } = &end.operator else {
        return Err(lower.volatile_mistake("in a condition on rows that change"));
    };
    let is_plain = |at: &usize| columns[*at].downcast_ref::<PhysicalColumn>().is_some();
    if mode == OutputMode::Update
        && key.iter().all(is_plain)
        && !end.inputs.iter().any(|&input| lower.is_volatile_below(input))
    {
        return Ok(());
    }
    Err(lower.volatile_mistake("in rows that change"))
}

struct End<'a> {
    table: &'a TableDefinition,
    insert: &'a Insert,
    input: &'a StreamNode,
    node: StreamNodeId,
    /// Columns of the input.
    primary_key: &'a [usize],
}

impl End<'_> {
    /// How changes are written, and the columns of the input that say which row a change is of.
    fn mode(
        &self,
        plan: &StreamPlan,
        targets: &Targets,
        columns: &[usize],
    ) -> SqlResult<(OutputMode, Vec<usize>)> {
        let is_append_only = self.input.properties.is_append_only;
        let has_key = !self.table.primary_key.is_empty();
        let (wanted, place) = self.wanted()?;
        match wanted {
            Some(OutputMode::Complete) if is_append_only => {
                Err(SqlError::at(place, "mode complete for rows that only grow")
                    .because("each batch would write all rows since the beginning again")
                    .next("group the rows, or leave the mode out"))
            }
            Some(OutputMode::Complete) if self.connector() == "upsert-kafka" => Err(SqlError::at(
                place,
                format!("mode complete for table `{}`, which takes changes of rows by key", self.table.name),
            )
            .next("leave the mode out")),
            Some(OutputMode::Complete) if !matches!(self.connector(), "console" | MEMORY | FOREACH_BATCH) => {
                Err(SqlError::at(
                    place,
                    format!("table `{}` cannot show all rows at each batch", self.table.name),
                )
                .next("write to a table WITH ('connector' = 'console'), or leave the mode out"))
            }
            Some(OutputMode::Complete) => Ok((OutputMode::Complete, Vec::new())),
            Some(OutputMode::Append) if !is_append_only => Err(self.changing(plan, place, targets, columns)),
            Some(OutputMode::Append) => Ok((OutputMode::Append, Vec::new())),
            _ if is_append_only && !has_key => Ok((OutputMode::Append, Vec::new())),
            // Rows that only grow have no earlier row to take back; the last one of each key stays.
            _ if is_append_only => Ok((OutputMode::Update, self.primary_key.to_vec())),
            _ if has_key => {
                self.check_key(targets, columns)?;
                Ok((OutputMode::Update, self.primary_key.to_vec()))
            }
            _ if self.takes_changes() => Ok((OutputMode::Changes, Vec::new())),
            wanted => Err(self.changing(plan, place.filter(|_| wanted.is_some()), targets, columns)),
        }
    }

    fn connector(&self) -> &str {
        self.option("connector")
    }

    fn option(&self, key: &str) -> &str {
        self.table.options.get(key).map_or("", |option| &option.value)
    }

    /// Whether the table tells rows that go from rows that come, as do those for people to look at, and changes in Debezium's form.
    fn takes_changes(&self) -> bool {
        matches!(self.connector(), "print" | "blackhole" | "console" | MEMORY | FOREACH_BATCH)
            || ["format", "value.format"].iter().any(|key| self.option(key) == "debezium-json")
    }

    fn wanted(&self) -> SqlResult<(Option<OutputMode>, Option<Span>)> {
        if let Some(emit) = self.insert.mode {
            let mode = match emit.mode {
                EmitMode::Complete => OutputMode::Complete,
                EmitMode::Changes => OutputMode::Update,
                EmitMode::OnWindowClose => OutputMode::Append,
            };
            return Ok((Some(mode), Some(emit.span)));
        }
        let Some(option) = self.table.options.get("output_mode") else {
            return Ok((None, Some(self.insert.span)));
        };
        let mode = match option.value.as_str() {
            "append" => OutputMode::Append,
            "update" => OutputMode::Update,
            "complete" => OutputMode::Complete,
            other => {
                return Err(SqlError::at(option.value_span, format!("there is no output mode `{other}`"))
                    .next("write append, update or complete"));
            }
        };
        Ok((Some(mode), Some(option.key_span)))
    }

    /// The query's key in words: the columns of the table that it is written to, else those of the query.
    fn key_names(&self, targets: &Targets, columns: &[usize], key: &[usize]) -> Vec<String> {
        key.iter()
            .map(|column| match columns.iter().position(|other| other == column) {
                Some(at) => self.table.columns[targets.positions[at]].name.clone(),
                None => self.input.schema.field(*column).name().clone(),
            })
            .collect()
    }

    /// What makes the rows of the query known by columns.
    fn key_hint(&self) -> &'static str {
        match &self.input.operator {
            StreamOperator::TopN { .. } => {
                "add the columns of PARTITION BY and the number of the row to the query"
            }
            StreamOperator::Calc { .. } | StreamOperator::Aggregate { .. } => {
                "keep the columns of GROUP BY or PARTITION BY, and the number of a row, as they are among the columns of the query"
            }
            _ => "keep the columns that tell rows apart among the columns of the query",
        }
    }

    fn check_key(&self, targets: &Targets, columns: &[usize]) -> SqlResult {
        let table = &self.table.name;
        let declared = self.table.primary_key.join(", ");
        let Some(key) = &self.input.properties.unique_key else {
            return Err(SqlError::at(
                self.insert.span,
                "no columns of this query say which row a change is of",
            )
            .because(format!("PRIMARY KEY ({declared}) of table `{table}` would mix changes of several rows"))
            .next(self.key_hint()));
        };
        let names = self.key_names(targets, columns, key);
        if key.iter().all(|column| self.primary_key.contains(column)) {
            return Ok(());
        }
        let names = names.join(", ");
        let error = SqlError::at(
            self.insert.span,
            format!("one row of this query is known by ({names}); PRIMARY KEY ({declared}) would overwrite"),
        );
        Err(if key.iter().all(|column| columns.contains(column)) {
            error.next(format!("declare PRIMARY KEY ({names}) NOT ENFORCED for table `{table}`"))
        } else {
            error.next(format!("add ({names}) to the query and to the PRIMARY KEY of table `{table}`"))
        })
    }

    /// Rows change, and the table cannot take that.
    fn changing(
        &self,
        plan: &StreamPlan,
        place: Option<Span>,
        targets: &Targets,
        columns: &[usize],
    ) -> SqlError {
        let table = &self.table.name;
        let cause = changing_cause(plan, self.node);
        let error = SqlError::at(
            place.or(Some(self.insert.span)),
            format!("rows of this query change later, and table `{table}` only takes new rows"),
        );
        if let Some((why, next)) = open_windows(plan, self.node) {
            return error.because(why).next(next);
        }
        if waits_for_ever(plan, self.node) {
            return error
                .because("that a row has no partner is only known when time has passed")
                .next("add a bound of time, a.ts BETWEEN b.ts - INTERVAL .. AND b.ts + INTERVAL .., and WATERMARK to both tables");
        }
        let error = if let Some(cause) = cause { error.because(cause) } else { error };
        let key = match &self.input.properties.unique_key {
            Some(key) if !key.is_empty() => self.key_names(targets, columns, key).join(", "),
            _ => "..".to_owned(),
        };
        if self.connector() == "filesystem" {
            return error.next("write to a table with 'connector' = 'upsert-kafka' or 'jdbc', or to 'format' = 'debezium-json'");
        }
        if self.connector() == "jdbc" {
            return error.next(format!("declare PRIMARY KEY ({key}) NOT ENFORCED"));
        }
        if self.connector() == "kafka" || self.connector() == "upsert-kafka" {
            error.next(format!(
                "declare it with 'connector' = 'upsert-kafka' and PRIMARY KEY ({key}) NOT ENFORCED"
            ))
        } else {
            error.next(format!(
                "declare PRIMARY KEY ({key}) NOT ENFORCED, or write EMIT COMPLETE behind the query"
            ))
        }
    }
}

/// Which rows of windows leave: the result of each when it closes, unless changes are asked for.
pub fn gives(table: &TableDefinition, insert: &Insert) -> Gives {
    let of_table = || table.options.get("output_mode").map_or("", |option| option.value.as_str());
    match insert.mode.as_ref().map(|emit| emit.mode) {
        Some(EmitMode::OnWindowClose) => Gives::Finals,
        Some(EmitMode::Changes | EmitMode::Complete) => Gives::Updates,
        None if matches!(of_table(), "update" | "complete") => Gives::Updates,
        None => Gives::Finals,
    }
}

/// Whether all rows are shown at each batch.
pub fn is_complete(table: &TableDefinition, insert: &Insert) -> bool {
    match insert.mode.as_ref().map(|emit| emit.mode) {
        Some(mode) => mode == EmitMode::Complete,
        None => table.options.get("output_mode").is_some_and(|option| option.value == "complete"),
    }
}

/// Why windows that the rows of a node are grouped by never close, and what to do about it.
fn open_windows(plan: &StreamPlan, node: StreamNodeId) -> Option<(String, String)> {
    let node = &plan.nodes[node.0];
    if let StreamOperator::Sessions { closes: false, .. } = &node.operator {
        let why = "the time of its rows has no watermark, so a session never closes".to_owned();
        return Some((why, "add WATERMARK FOR ts AS ts - INTERVAL '5' SECOND to the table".to_owned()));
    }
    if let StreamOperator::Aggregate { windows: None, .. } = &node.operator {
        let mut at = *node.inputs.first()?;
        loop {
            let before = &plan.nodes[at.0];
            match &before.operator {
                StreamOperator::AssignWindows { .. } if before.properties.window_end.is_some() => {
                    let why = "rows are grouped without `window_end`, so a group never closes".to_owned();
                    return Some((why, "add window_start and window_end to GROUP BY".to_owned()));
                }
                StreamOperator::AssignWindows { time_column, .. } => {
                    let input = &plan.nodes[before.inputs.first()?.0];
                    let time = input.schema.field(*time_column).name();
                    let why = format!("`{time}` has no watermark, so a window never closes");
                    let next =
                        format!("add WATERMARK FOR {time} AS {time} - INTERVAL '5' SECOND to its table");
                    return Some((why, next));
                }
                StreamOperator::Calc { .. } => at = *before.inputs.first()?,
                _ => return None,
            }
        }
    }
    let changes = |input: &&StreamNodeId| !plan.nodes[input.0].properties.is_append_only;
    node.inputs.iter().filter(changes).find_map(|input| open_windows(plan, *input))
}

/// Whether what makes the rows of a node change is a join that has no bound of time.
fn waits_for_ever(plan: &StreamPlan, node: StreamNodeId) -> bool {
    let node = &plan.nodes[node.0];
    let mut changing = node.inputs.iter().filter(|input| !plan.nodes[input.0].properties.is_append_only);
    match &node.operator {
        StreamOperator::Aggregate { .. } => false,
        StreamOperator::Join { kind, time: None, .. } if kind.waits_for_absence() => {
            changing.next().is_none()
        }
        _ => changing.any(|input| waits_for_ever(plan, *input)),
    }
}

/// What makes the rows of a node change.
fn changing_cause(plan: &StreamPlan, node: StreamNodeId) -> Option<String> {
    let node = &plan.nodes[node.0];
    match &node.operator {
        StreamOperator::TopN { ranking, .. } => {
            let of = if ranking.partition.is_empty() { "all" } else { "a partition" };
            return Some(format!("the first rows of {of} change with each better one"));
        }
        StreamOperator::SetOperation { kind, .. } if !kind.grows() => {
            return Some(format!("{} takes a row back when the second query has it", kind.name()));
        }
        StreamOperator::Sessions { .. } => {
            return Some("a session changes with each row that joins it".to_owned());
        }
        _ => {}
    }
    if let StreamOperator::Aggregate { keys, calls, .. } = &node.operator {
        let of = if keys.is_empty() { "of all rows" } else { "of a group" };
        let name = calls.first().map_or("a value", |call| call.name.as_str());
        return Some(format!("`{name}` {of} changes with each new row"));
    }
    if let StreamOperator::Source { table, .. } = &node.operator {
        return Some(format!("records of table `{}` say how its rows change", table.name));
    }
    node.inputs.iter().find_map(|&input| {
        (!plan.nodes[input.0].properties.is_append_only).then(|| changing_cause(plan, input)).flatten()
    })
}
