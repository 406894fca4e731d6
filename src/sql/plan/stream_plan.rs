//! The streaming operators that a script becomes, before they are nodes of a topology.
//!
//! Owns the nodes and their properties. Knows no text and no operator's code. Invariant: inputs of a node come before it; each node
//! says in which form its rows come (see [`Properties`]).

use crate::{
    operator::Gives,
    sql::{
        Span, TableDefinition,
        agg::AggregateCall,
        op::{
            Expiry, JoinKind, JoinSide, JoinTime, OrderColumn, OverCall, Ranking, SessionColumn, SetKind,
            WindowEnds, Windows,
        },
    },
};
use arrow::{array::RecordBatch, datatypes::SchemaRef};
use datafusion_physical_expr::PhysicalExpr;
use std::{collections::BTreeMap, sync::Arc};

/// A node, by its position in the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamNodeId(pub usize);

/// Everything that a script computes.
#[derive(Clone, Debug, Default)]
pub struct StreamPlan {
    /// In topological order.
    pub nodes: Vec<StreamNode>,
    /// The rows of tables that are read once, by the names of the tables: each is read once for all queries.
    pub static_tables: BTreeMap<String, RecordBatch>,
    /// Whether tables that are read once are what it reads, and nothing else is: then it ends.
    pub is_bounded: bool,
}

impl StreamPlan {
    /// The tables that are read or written, once for each node that does so.
    pub fn tables(&self) -> impl Iterator<Item = &TableDefinition> {
        self.nodes.iter().filter_map(|node| match &node.operator {
            StreamOperator::Source { table, .. }
            | StreamOperator::Versions { table }
            | StreamOperator::Sink { table, .. } => Some(&**table),
            _ => None,
        })
    }

    /// Whether windows that close read the rows of a node, or what is made of them: then it says how far it is in event time.
    #[must_use]
    pub fn feeds_windows(&self, id: StreamNodeId) -> bool {
        let reads = |node: &&StreamNode| node.inputs.contains(&id);
        (id.0..).zip(self.nodes.iter().skip(id.0)).filter(|(_, node)| reads(node)).any(|(at, node)| {
            match &node.operator {
                StreamOperator::Join { time, .. } => time.is_some(),
                StreamOperator::Sessions { closes, .. } => *closes,
                StreamOperator::Late { .. } => true,
                StreamOperator::Sink { .. } => false,
                operator => match operator.state() {
                    Some(state) => state.windows.is_some(),
                    None => self.feeds_windows(StreamNodeId(at)),
                },
            }
        })
    }
}

/// What the records of a table say of its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableRows {
    /// Each is a row that is added, and none is ever taken back.
    Added,
    /// They say which row came and which one went.
    Changed,
    /// They say what the row of a key is now; the last row of each key is kept.
    ByKey,
}

impl TableRows {
    /// Those of a table, by its options.
    #[must_use]
    pub fn of(table: &TableDefinition) -> Self {
        let option = |key: &str| table.options.get(key).map_or("", |option| option.value.as_str());
        let is_debezium = ["format", "value.format"].into_iter().any(|key| option(key) == "debezium-json");
        let has_key = !table.primary_key.is_empty();
        match (option("connector"), is_debezium) {
            ("upsert-kafka", _) => TableRows::ByKey,
            (_, true) if has_key => TableRows::ByKey,
            (_, true) => TableRows::Changed,
            _ => TableRows::Added,
        }
    }
}

/// A node of the plan.
#[derive(Clone, Debug)]
pub struct StreamNode {
    /// What it does.
    pub operator: StreamOperator,
    /// What it reads.
    pub inputs: Vec<StreamNodeId>,
    /// The columns of its rows.
    pub schema: SchemaRef,
    /// What is known of its rows.
    pub properties: Properties,
    /// The part of the script that it was made from.
    pub span: Option<Span>,
}

/// What is known of the rows of a node, whatever the input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Properties {
    /// Rows are only added, never taken away.
    pub is_append_only: bool,
    /// Columns (by position) that identify a row; `None` = no such columns are known. `Some([])` = there is at most one row.
    pub unique_key: Option<Vec<usize>>,
    /// The column of event time, which watermarks follow.
    pub time_column: Option<usize>,
    /// The column with the end of a window over event time that each row is in.
    pub window_end: Option<WindowEnd>,
}

/// A column with the ends of windows over event time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowEnd {
    /// The column.
    pub column: usize,
    /// Which times it can have.
    pub ends: WindowEnds,
}

/// What an aggregate does with its windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClosingWindows {
    /// When they end.
    pub ends: WindowEnds,
    /// Which rows leave.
    pub gives: Gives,
}

/// A computed column that a watermark follows: the source computes it.
#[derive(Clone, Debug)]
pub struct ComputedTime {
    /// Its position in the table's declaration.
    pub position: usize,
    /// The positions of the columns that it is computed from.
    pub reads: Vec<usize>,
    /// The expression, over these.
    pub expr: Arc<dyn PhysicalExpr>,
}

/// What a query takes of a table that is read once.
#[derive(Clone, Debug)]
pub struct StaticRows {
    /// The name of the table.
    pub name: String,
    /// The rows that pass its conditions, with the columns that are needed.
    pub rows: RecordBatch,
}

/// What a node does.
#[derive(Clone, Debug)]
pub enum StreamOperator {
    /// Reads the columns of a table that anything needs.
    Source {
        /// The table.
        table: Arc<TableDefinition>,
        /// The positions of the columns that are read, in the table's declaration; none of them computed but that of event time.
        columns: Vec<usize>,
        /// The column of event time, if it is among them and computed.
        event_time: Option<Arc<ComputedTime>>,
    },
    /// The records of a table whose rows are known by a key, as they come: each says what the row is since a time. Its columns are all that are
    /// read of the table; a row that is taken away has only those of the key.
    Versions {
        /// The table.
        table: Arc<TableDefinition>,
    },
    /// Rows for which the predicate is true, with these columns.
    Calc {
        /// `None` = all rows.
        predicate: Option<Arc<dyn PhysicalExpr>>,
        /// One for each column of the output; they read the columns of the input.
        columns: Vec<Arc<dyn PhysicalExpr>>,
    },
    /// Rows with their windows, in three more columns: start, end, and the last time before the end.
    AssignWindows {
        /// Which windows.
        windows: Windows,
        /// The column of event time.
        time_column: usize,
    },
    /// Rows with the stretch of time that each of them alone is a session of, in three more columns as above; only `Sessions` read these.
    SessionWindows {
        /// How far apart rows of one session are at most, milliseconds.
        gap_ms: i64,
        /// The column of event time.
        time_column: usize,
        /// The columns that tell the rows of one session from those of another; `None` = those that rows are grouped by.
        partition_by: Option<Vec<usize>>,
    },
    /// Rows whose event time, in this column, is the time of their batch.
    BatchTime {
        /// The column.
        column: usize,
    },
    /// Rows whose event time the watermark had passed before their batch.
    Late {
        /// Durable name of its state, such as `late.late`.
        name: String,
        /// The column of event time.
        time_column: usize,
    },
    /// One row for each session. Its columns are those of `columns`, then a value for each call.
    Sessions {
        /// Durable name of its state, such as `visits.sessions`.
        name: String,
        /// The columns of the input that tell groups apart.
        group: Vec<usize>,
        /// What is computed of each session.
        calls: Vec<AggregateCall>,
        /// What each column before the values is.
        columns: Vec<SessionColumn>,
        /// The column of the input with a time of each row's own session, and how far that is behind the row, milliseconds.
        time: (usize, i64),
        /// How far apart rows of one session are at most, milliseconds.
        gap_ms: i64,
        /// Whether a watermark closes them.
        closes: bool,
        /// Which rows leave.
        gives: Gives,
    },
    /// Rows as they are; says behind them how far they are in event time.
    Watermark {
        /// What the marks are called: no other source or watermark of the plan is called so.
        name: String,
        /// The column of event time.
        column: usize,
        /// How late rows may be, milliseconds.
        delay_ms: i64,
    },
    /// The rows of all inputs.
    Union,
    /// A row for each element of a list.
    Unnest {
        /// The column of the input that is a list.
        list: usize,
        /// For each column of the output the column of the input that it comes from.
        columns: Vec<usize>,
        /// Whether a list that is NULL makes a row.
        keeps_null: bool,
    },
    /// One row for each group. Its columns are the keys, then a value for each call.
    Aggregate {
        /// Durable name of its state, such as `counts.aggregate`.
        name: String,
        /// The columns of the input that rows are grouped by; none = there is one group.
        keys: Vec<usize>,
        /// What is computed of each group.
        calls: Vec<AggregateCall>,
        /// If the first key is the end of a window over event time: what is done when it closes.
        windows: Option<ClosingWindows>,
    },
    /// Rows of two inputs with equal keys.
    Join {
        /// Durable name of its state, such as `paid.join`.
        name: String,
        /// Which rows leave.
        kind: JoinKind,
        /// The keys of both inputs, and what is kept of their rows.
        sides: [JoinSide; 2],
        /// What must hold of a pair besides: over the kept columns of the first input, and those of the second behind them.
        condition: Option<Arc<dyn PhysicalExpr>>,
        /// How time bounds it: then its state does not grow for ever.
        time: Option<JoinTime>,
        /// NULL equals NULL in keys.
        nulls_match: bool,
    },
    /// Rows of the input with those of a table that is read once, which are in memory.
    StaticJoin {
        /// The rows of the table.
        table: StaticRows,
        /// Which rows leave.
        kind: JoinKind,
        /// The keys of the input and of the table, and how many columns leave.
        sides: [JoinSide; 2],
        /// As that of `Join`.
        condition: Option<Arc<dyn PhysicalExpr>>,
        /// NULL equals NULL in keys.
        nulls_match: bool,
    },
    /// Rows of the first input with the versions of the second that were valid at their times.
    AsOf {
        /// Durable name of its state, such as `priced.as-of`.
        name: String,
        /// Which rows leave: pairs, or those without a version too.
        kind: JoinKind,
        /// The keys of both inputs, and what is kept of their rows. That of the second is the key of its table.
        sides: [JoinSide; 2],
        /// As that of `Join`.
        condition: Option<Arc<dyn PhysicalExpr>>,
        /// The columns of event time: that of the rows, and that which says since when a version is valid.
        times: [usize; 2],
        /// When rows leave: when the watermark has passed them.
        windows: ClosingWindows,
    },
    /// The first rows of each partition. Its columns are those of the input, then the number of the row if it is shown.
    TopN {
        /// Durable name of its state, such as `best.top-n`.
        name: String,
        /// Which rows.
        ranking: Ranking,
        /// If the first column of the partition is the end of a window over event time: what is done when it closes.
        windows: Option<ClosingWindows>,
    },
    /// The rows of two inputs that are in the answer of a set operation.
    SetOperation {
        /// Durable name of its state, such as `both.set`.
        name: String,
        /// Which.
        kind: SetKind,
        /// All columns, in the order of their key: the end of the window first, if windows close.
        keys: Vec<usize>,
        /// If rows are in windows over event time: what is done when one closes.
        windows: Option<ClosingWindows>,
    },
    /// The first row of each key that comes.
    Deduplicate {
        /// Durable name of its state, such as `once.deduplicate`.
        name: String,
        /// The columns of the key.
        keys: Vec<usize>,
        /// When a key is forgotten; `None` = never.
        expiry: Option<Expiry>,
        /// Event time, if keys are forgotten.
        windows: Option<ClosingWindows>,
    },
    /// Each row with what functions make of the rows of its partition up to it, in the order of event time. Its columns are those of the
    /// input, then a value for each call.
    Over {
        /// Durable name of its state, such as `moving.over`.
        name: String,
        /// The columns whose values make a partition; none = all rows are one.
        partition: Vec<usize>,
        /// The column of event time.
        time: usize,
        /// What is computed.
        calls: Vec<OverCall>,
        /// When rows leave: when the watermark has passed them.
        windows: ClosingWindows,
    },
    /// Writes rows to a table.
    Sink {
        /// The table.
        table: Arc<TableDefinition>,
        /// How changes are written.
        mode: OutputMode,
        /// For each physical and written metadata column of the table the column of the input, or `None` for NULL.
        columns: Vec<Option<usize>>,
        /// In mode update the columns of the input that say which row a change is of: those of the table's PRIMARY KEY, or of the
        /// query's key if the table is for people to look at. Empty in the other modes, and if there is only one row.
        key: Vec<usize>,
        /// In mode complete the order in which rows are shown, by the columns that are written; empty = that of the columns.
        order: Vec<OrderColumn>,
    },
}

/// What an operator keeps.
#[derive(Clone, Copy, Debug)]
pub struct OperatorState<'a> {
    /// Its durable name.
    pub name: &'a str,
    /// The windows that it goes with.
    pub windows: Option<ClosingWindows>,
}

impl StreamOperator {
    /// What the operator keeps; `None` = nothing.
    #[must_use]
    pub fn state(&self) -> Option<OperatorState<'_>> {
        match self {
            StreamOperator::Aggregate { name, windows, .. }
            | StreamOperator::TopN { name, windows, .. }
            | StreamOperator::Deduplicate { name, windows, .. }
            | StreamOperator::SetOperation { name, windows, .. } => {
                Some(OperatorState { name, windows: *windows })
            }
            StreamOperator::Join { name, .. }
            | StreamOperator::Late { name, .. }
            | StreamOperator::Sessions { name, .. } => Some(OperatorState { name, windows: None }),
            StreamOperator::Over { name, windows, .. } | StreamOperator::AsOf { name, windows, .. } => {
                Some(OperatorState { name, windows: Some(*windows) })
            }
            StreamOperator::Source { .. }
            | StreamOperator::Versions { .. }
            | StreamOperator::Calc { .. }
            | StreamOperator::Watermark { .. }
            | StreamOperator::AssignWindows { .. }
            | StreamOperator::SessionWindows { .. }
            | StreamOperator::BatchTime { .. }
            | StreamOperator::StaticJoin { .. }
            | StreamOperator::Union
            | StreamOperator::Unnest { .. }
            | StreamOperator::Sink { .. } => None,
        }
    }
}

/// How the rows of a changing relation are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputMode {
    /// Rows that were added; there are no others.
    Append,
    /// The new row of each key that changed; a deletion if there is none.
    Update,
    /// Each change: rows that came, and rows that went.
    Changes,
    /// All rows at each batch that changes any.
    Complete,
}
