//! Tables that are read once as what a query reads: their rows, one piece after the other, and then no more.
//!
//! Owns that source. Knows no file: the rows were loaded when the query was planned. Invariant: rows come in their order.

use super::Builder;
use crate::{
    error::Result,
    operator::{Batch, NodeId},
    plan::{Node, Operation, Role},
    record::Chunk,
    source::{LocalSource, MakeLocal},
    sql::{Delta, SqlError, SqlResult, TableDefinition, plan::stream_plan::StreamNode},
};
use arrow::{
    array::{RecordBatch, RecordBatchOptions},
    datatypes::SchemaRef,
};
use std::sync::Arc;

/// Most rows in a chunk.
const CHUNK_ROWS: usize = 8_192;

struct Once {
    rows: RecordBatch,
    /// How many were given.
    given: usize,
}

impl LocalSource for Once {
    fn take(&mut self, _: &Batch) -> Result<Option<Chunk>> {
        let count = CHUNK_ROWS.min(self.rows.num_rows() - self.given);
        if count == 0 {
            return Ok(None);
        }
        let rows = self.rows.slice(self.given, count);
        self.given += count;
        Ok(Some(Delta::added(rows).into_chunk()))
    }

    fn has_more(&self) -> bool {
        self.given < self.rows.num_rows()
    }
}

impl Builder<'_> {
    /// The rows of a table that is read once, with these of its columns; a stream can only join it.
    pub(super) fn once(
        &mut self,
        operation: &Operation,
        node: &StreamNode,
        table: &TableDefinition,
        read: &[usize],
        schema: &SchemaRef,
    ) -> SqlResult<NodeId> {
        let Some(all) = self.plan.static_tables.get(&table.name).filter(|_| self.plan.is_bounded) else {
            return Err(SqlError::at(
                node.span,
                format!("table `{}` is read once, at the start, and only a stream can join it", table.name),
            )
            .because("its rows do not come one after the other, so nothing says when an answer changes")
            .next("write FROM stream JOIN table ON .., where the table may be a query with WHERE and expressions, but without DISTINCT and aggregates; files that keep coming are a stream: 'source.monitor-interval' = '1 s'"));
        };
        let column = |at: &usize| all.column_by_name(&table.columns[*at].name).cloned();
        let gone = || SqlError::at(table.span, format!("a column of table `{}` is not there", table.name));
        let columns = read.iter().map(column).collect::<Option<Vec<_>>>().ok_or_else(gone)?;
        let options = RecordBatchOptions::new().with_row_count(Some(all.num_rows()));
        let rows = RecordBatch::try_new_with_options(schema.clone(), columns, &options)
            .map_err(|e| SqlError::at(table.span, format!("table `{}`: {e}", table.name)))?;
        let make: MakeLocal = Arc::new(move || Box::new(Once { rows: rows.clone(), given: 0 }));
        Ok(self.topology.add(Node::new(operation, "source", table.name.clone(), Role::Local(make))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        record::{BatchId, BatchTime},
        sql::Payload,
    };
    use arrow::array::{ArrayRef, Int64Array};

    #[test]
    fn rows_come_once_in_their_order() {
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..20_000));
        let rows = RecordBatch::try_from_iter([("n", numbers)]).unwrap();
        let mut source = Once { rows: rows.clone(), given: 0 };
        let mut pieces = vec![];
        while source.has_more() {
            let chunk = source.take(&Batch::new(BatchId(1), BatchTime(1))).unwrap().unwrap();
            let Payload::Rows(delta) = chunk.view::<Payload>().clone() else { panic!("no rows") };
            pieces.push(delta.rows);
        }
        assert_eq!(pieces.iter().map(RecordBatch::num_rows).collect::<Vec<_>>(), [8_192, 8_192, 3_616]);
        assert_eq!(arrow::compute::concat_batches(&rows.schema(), &pieces).unwrap(), rows);
        assert!(source.take(&Batch::new(BatchId(1), BatchTime(1))).unwrap().is_none());
    }
}
