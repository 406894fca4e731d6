//! What is computed of each row, and what has to be kept for it.
//!
//! Owns the formats of the stores. Knows no batch. Invariant: the formats are durable; they depend on the calls and the types of columns
//! alone.

use crate::{
    error::{Error, Result},
    sql::{
        agg::{AggregateCall, AggregateFunction},
        op::rank::{OrderColumn, RankFunction, Ranking, TopNPlan},
        rows::{ColumnId, RowColumn, RowFormat, quoted, type_name},
    },
    state::{Placement, RowIndex, RowTable, StoreSpec},
};
use arrow::datatypes::{DataType, SchemaRef, TimeUnit};

/// What a function is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OverFunction {
    /// The number of the row.
    RowNumber,
    /// The number of the first row of its time.
    Rank,
    /// The number of its time.
    DenseRank,
    /// The value of an earlier row.
    Lag {
        /// The column.
        argument: usize,
        /// How many rows before.
        rows: usize,
        /// The column with what is answered where there is no such row; `None` = NULL.
        default: Option<usize>,
    },
    /// The value of the first row of the frame.
    First(usize),
    /// The value of its last row.
    Last(usize),
    /// An aggregate of its rows.
    Aggregate(AggregateCall),
}

/// Which rows a function sees; the current one, or the last one of its time, is the last of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Whether rows of one time are seen together (`RANGE`), and not one by one (`ROWS`).
    pub by_time: bool,
    /// How far back: milliseconds for `RANGE`, rows for `ROWS`; `None` = to the first one.
    pub preceding: Option<i64>,
}

/// A call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverCall {
    /// Of which function.
    pub function: OverFunction,
    /// Over which rows.
    pub frame: Frame,
}

/// Calls over rows of some columns.
#[derive(Clone, Debug)]
pub struct OverPlan {
    pub(super) input: SchemaRef,
    pub(super) output: SchemaRef,
    pub(super) partition: Vec<usize>,
    pub(super) time: usize,
    pub(super) calls: Vec<OverCall>,
    /// The rows that wait.
    pub(super) waiting: TopNPlan,
    /// The columns of the input that are kept of rows that have left: the time first.
    pub(super) kept: Vec<usize>,
    pub(super) kept_format: RowFormat,
    /// How many of the last rows of a partition are kept.
    pub(super) kept_rows: usize,
    /// How long rows are kept, milliseconds.
    pub(super) kept_ms: Option<i64>,
    /// Whether the first row of a partition is kept.
    pub(super) keeps_first: bool,
    /// What is kept of a partition: rows, times, and the states of aggregates over all its rows.
    pub(super) state: RowFormat,
}

impl OverPlan {
    /// Over rows of `input`, divided by some columns and in the order of the column `time`. It gives rows of `output`: the columns of the
    /// input, then a value for each call.
    ///
    /// # Errors
    /// [`Error::Plan`] if a type cannot be a key, or a function is not there for the type of its argument.
    pub fn new(
        input: &SchemaRef,
        partition: Vec<usize>,
        time: usize,
        calls: Vec<OverCall>,
        output: SchemaRef,
    ) -> Result<Self> {
        let ranking = Ranking {
            partition: partition.clone(),
            order: vec![OrderColumn { column: time, is_descending: false, is_null_greatest: false }],
            function: RankFunction::RowNumber,
            from: 1,
            to: i64::MAX,
            shows_rank: false,
        };
        let (mut kept, mut kept_rows, mut kept_ms, mut keeps_first) = (vec![time], 0, None, false);
        let mut keep = |column: usize| {
            if !kept.contains(&column) {
                kept.push(column);
            }
        };
        let mut columns =
            vec![column(1, "rows".into(), DataType::Int64), column(2, "times".into(), DataType::Int64)];
        for OverCall { function, frame } in &calls {
            match function {
                OverFunction::RowNumber | OverFunction::Rank | OverFunction::DenseRank => continue,
                OverFunction::Lag { argument, rows, .. } => {
                    keep(*argument);
                    kept_rows = kept_rows.max(*rows);
                    continue;
                }
                OverFunction::First(argument) | OverFunction::Last(argument) => keep(*argument),
                OverFunction::Aggregate(call) => {
                    if call.is_distinct {
                        return Err(Error::Plan("DISTINCT in a function with OVER".into()));
                    }
                    call.arguments.iter().chain(&call.filter).for_each(|column| keep(*column));
                }
            }
            match (function, frame) {
                // The last row is always there.
                (OverFunction::Last(_), _) => {}
                (_, Frame { by_time: true, preceding: Some(ms) }) => kept_ms = kept_ms.max(Some(*ms)),
                (_, Frame { by_time: false, preceding: Some(rows) }) => {
                    kept_rows = kept_rows.max(usize::try_from(*rows).unwrap_or(usize::MAX));
                }
                (OverFunction::Aggregate(call), Frame { preceding: None, .. }) => {
                    for state in call.group_states(input)?.columns() {
                        let id = columns.len() + 1;
                        let name = format!("{}.{}", described(call, input), state.name);
                        columns.push(column(id, name, state.data_type));
                    }
                }
                _ => keeps_first = true,
            }
        }
        let kept_columns = (1..).zip(&kept).map(|(id, at)| {
            let field = input.field(*at);
            column(id, field.name().clone(), field.data_type().clone())
        });
        Ok(OverPlan {
            kept_format: RowFormat::new(kept_columns)?,
            state: RowFormat::new(columns)?,
            waiting: TopNPlan::new(input, ranking, true, false, input.clone())?,
            input: input.clone(),
            output,
            partition,
            time,
            calls,
            kept,
            kept_rows,
            kept_ms,
            keeps_first,
        })
    }

    /// The stores: of partitions, of rows that wait, and of rows that have left if any are kept.
    #[must_use]
    pub fn stores(&self, name: &str) -> Vec<StoreSpec> {
        let column = |at: &usize| {
            let field = self.input.field(*at);
            format!("{} {}", quoted(field.name()), type_name(field.data_type()).unwrap_or_default())
        };
        let keys: Vec<String> = self.partition.iter().map(column).collect();
        let keys = keys.join(", ");
        let mut stores = vec![
            RowTable::spec(name, &format!("key({keys}) -> {}", self.state)),
            self.waiting.store(&format!("{name}.waiting")),
        ];
        if self.keeps_rows() {
            let format = format!("key(length, {keys}; number i64) -> {}", self.kept_format);
            stores.push(RowIndex::spec(format!("{name}.rows"), &format).placed(Placement::KeyAfterLength));
        }
        stores
    }

    /// Whether rows that have left are kept.
    #[must_use]
    pub fn keeps_rows(&self) -> bool {
        self.kept_rows > 0 || self.kept_ms.is_some() || self.keeps_first
    }

    /// How many units of the time column are a millisecond.
    pub(super) fn units_a_ms(&self) -> i64 {
        match self.input.field(self.time).data_type() {
            DataType::Timestamp(TimeUnit::Microsecond, _) => 1_000,
            _ => 1,
        }
    }
}

fn column(id: usize, name: String, data_type: DataType) -> RowColumn {
    RowColumn { id: ColumnId(u32::try_from(id).unwrap_or(u32::MAX)), name, data_type }
}

/// A call as it stands in the format of a store: by the columns that it reads.
fn described(call: &AggregateCall, input: &SchemaRef) -> String {
    let name = |at: &usize| input.field(*at).name().clone();
    let arguments: Vec<String> = call.arguments.iter().map(name).collect();
    let arguments = if arguments.is_empty() && call.function == AggregateFunction::Count {
        "*".to_owned()
    } else {
        arguments.join(", ")
    };
    let filter = call.filter.as_ref().map_or_else(String::new, |at| format!(" where {}", name(at)));
    format!("{}({arguments}){filter}", call.function.name())
}
