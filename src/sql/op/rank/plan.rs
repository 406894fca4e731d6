//! What a top-N is, and how its rows are keys of its store.
//!
//! Owns these keys. Knows no store and no batch. Invariants: the rows of a partition lie together, in the order asked for; a key has all
//! columns of its row, so a row needs no value but its weight; the format is durable.
//!
//! A key is, for windows, the end of the window (eight bytes whose order is that of times); then the length of the partition's key (varint),
//! that key, and the key of the row: the columns of the order, then all others from left to right.

use crate::{
    error::{Error, Result},
    record::varint::{put_varint, take_varint},
    sql::{
        op::{weights::weight_format, window::time_bytes},
        rows::{KeyColumn, KeyFormat, quoted, type_name},
    },
    state::{Placement, RowIndex, StoreSpec},
};
use arrow::{
    array::{ArrayRef, RecordBatch},
    datatypes::SchemaRef,
};

/// Which number a row gets among those of its partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RankFunction {
    /// 1, 2, 3, ..
    RowNumber,
    /// Rows that are equal in the order have one number; the next has as many more as they were.
    Rank,
    /// Rows that are equal in the order have one number; the next has one more.
    DenseRank,
}

impl RankFunction {
    /// Its name in SQL.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            RankFunction::RowNumber => "row_number",
            RankFunction::Rank => "rank",
            RankFunction::DenseRank => "dense_rank",
        }
    }
}

/// A column of `ORDER BY`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OrderColumn {
    /// The column of the input.
    pub column: usize,
    /// Whether the greatest value comes first.
    pub is_descending: bool,
    /// Whether NULL counts as greater than all values.
    pub is_null_greatest: bool,
}

/// Which rows a top-N lets pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranking {
    /// The columns whose values make a partition; none = all rows are one. The end of the window comes first if windows close.
    pub partition: Vec<usize>,
    /// Their order.
    pub order: Vec<OrderColumn>,
    /// How they are numbered.
    pub function: RankFunction,
    /// The first number that passes.
    pub from: i64,
    /// The last one.
    pub to: i64,
    /// Whether the number is the last column of the output.
    pub shows_rank: bool,
}

/// A top-N over rows of some columns.
#[derive(Clone, Debug)]
pub struct TopNPlan {
    pub(super) ranking: Ranking,
    pub(super) output: SchemaRef,
    pub(super) is_windowed: bool,
    pub(super) is_append_only: bool,
    pub(super) partition_key: KeyFormat,
    pub(super) order_key: KeyFormat,
    row_key: KeyFormat,
    /// Columns of the input: those of the order, then the others.
    row_columns: Vec<usize>,
    whole_key: KeyFormat,
    /// For each column of the input its place in the whole key.
    at: Vec<usize>,
    format: String,
}

impl TopNPlan {
    /// Over rows of `input`, which are only added if `is_append_only`. It gives rows of `output`: the columns of the input, then the number if
    /// it is shown. If `is_windowed`, the first column of the partition is the end of a window.
    ///
    /// # Errors
    /// [`Error::Plan`] if a column cannot be part of a key.
    pub fn new(
        input: &SchemaRef,
        ranking: Ranking,
        is_windowed: bool,
        is_append_only: bool,
        output: SchemaRef,
    ) -> Result<Self> {
        let plain = |column: usize| OrderColumn { column, is_descending: false, is_null_greatest: false };
        let mut rows: Vec<OrderColumn> = vec![];
        for by in &ranking.order {
            // Within a partition its columns are all equal, and a column that comes again decides nothing.
            if !ranking.partition.contains(&by.column) && !rows.iter().any(|row| row.column == by.column) {
                rows.push(*by);
            }
        }
        let ordered = rows.len();
        let is_left = |column: &usize| {
            !ranking.partition.contains(column) && !rows.iter().any(|row| row.column == *column)
        };
        let rest: Vec<OrderColumn> = (0..input.fields().len()).filter(is_left).map(plain).collect();
        rows.extend(rest);
        let key_column = |by: &OrderColumn| {
            let field = input.fields().get(by.column);
            let field = field.ok_or_else(|| Error::Plan(format!("there is no column {}", by.column)))?;
            Ok(KeyColumn {
                data_type: field.data_type().clone(),
                is_descending: by.is_descending,
                is_null_greatest: by.is_null_greatest,
            })
        };
        let partition: Vec<OrderColumn> = ranking.partition.iter().copied().map(plain).collect();
        let key = |columns: &[OrderColumn]| {
            KeyFormat::ordered(columns.iter().map(key_column).collect::<Result<Vec<_>>>()?)
        };
        let all = [&partition[..], &rows[..]].concat();
        let at = |column: usize| all.iter().position(|by| by.column == column);
        let lost = || Error::Plan("a column has no place in the key of a top-N".into());
        let text = |columns: &[OrderColumn]| {
            let column = |by: &OrderColumn| {
                let field = input.field(by.column);
                let of_type = type_name(field.data_type()).unwrap_or_default();
                let order = match (by.is_descending, by.is_null_greatest) {
                    (false, false) => "",
                    (false, true) => " nulls last",
                    (true, true) => " desc",
                    (true, false) => " desc nulls last",
                };
                format!("{} {of_type}{order}", quoted(field.name()))
            };
            columns.iter().map(column).collect::<Vec<_>>().join(", ")
        };
        let end = if is_windowed { "end, " } else { "" };
        let format = format!(
            "key({end}length, {}; order: {}; row: {}) -> {}",
            text(&partition),
            text(&rows[..ordered]),
            text(&rows[ordered..]),
            weight_format()?,
        );
        Ok(TopNPlan {
            partition_key: key(&partition)?,
            order_key: key(&rows[..ordered])?,
            row_key: key(&rows)?,
            row_columns: rows.iter().map(|by| by.column).collect(),
            whole_key: key(&all)?,
            at: (0..input.fields().len()).map(|column| at(column).ok_or_else(lost)).collect::<Result<_>>()?,
            ranking,
            output,
            is_windowed,
            is_append_only,
            format,
        })
    }

    /// The store of its rows.
    #[must_use]
    pub fn store(&self, name: &str) -> StoreSpec {
        let placement =
            if self.is_windowed { Placement::KeyAfterTimeAndLength } else { Placement::KeyAfterLength };
        RowIndex::spec(name, &self.format).placed(placement)
    }

    /// Calls `row` with the number, the key and the length of the key's part that all rows of the partition share.
    pub(in crate::sql::op) fn each_key(
        &self,
        rows: &RecordBatch,
        ends_ms: Option<&arrow::array::Int64Array>,
        mut row: impl FnMut(usize, &[u8], usize) -> Result,
    ) -> Result {
        let columns = |of: &[usize]| of.iter().map(|at| rows.column(*at).clone()).collect::<Vec<ArrayRef>>();
        let (partition, row_columns) = (columns(&self.ranking.partition), columns(&self.row_columns));
        let partition = self.partition_key.encoder(&partition)?;
        let row_key = self.row_key.encoder(&row_columns)?;
        let (mut of_partition, mut key) = (vec![], vec![]);
        for number in 0..rows.num_rows() {
            of_partition.clear();
            key.clear();
            if let Some(ends) = ends_ms {
                key.extend_from_slice(&time_bytes(ends.value(number)));
            }
            partition.encode(number, &mut of_partition);
            put_varint(&mut key, of_partition.len() as u64);
            key.extend_from_slice(&of_partition);
            let shared = key.len();
            row_key.encode(number, &mut key);
            row(number, &key, shared)?;
        }
        Ok(())
    }

    /// Where the key of the partition begins in a key, and where it ends.
    pub(in crate::sql::op) fn partition_of(&self, key: &[u8]) -> Result<(usize, usize)> {
        let start = if self.is_windowed { 8 } else { 0 };
        let broken = || Error::Codec(format!("key b\"{}\" has no partition", key.escape_ascii()));
        let mut rest = key.get(start..).ok_or_else(broken)?;
        let length = take_varint(&mut rest).and_then(|length| usize::try_from(length).ok());
        let start = key.len() - rest.len();
        let end = length.and_then(|length| start.checked_add(length)).filter(|end| *end <= key.len());
        Ok((start, end.ok_or_else(broken)?))
    }

    /// The columns of the input of these keys.
    pub(in crate::sql::op) fn columns<'k>(
        &self,
        keys: impl ExactSizeIterator<Item = &'k [u8]>,
    ) -> Result<Vec<ArrayRef>> {
        let mut decoder = self.whole_key.decoder(keys.len())?;
        for key in keys {
            let (start, _) = self.partition_of(key)?;
            decoder.push(&key[start..])?;
        }
        let columns = decoder.finish()?;
        Ok(self.at.iter().map(|at| columns[*at].clone()).collect())
    }
}
