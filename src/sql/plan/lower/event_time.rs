//! Columns of event time that a table computes: `ts AS .., WATERMARK FOR ts AS ts`.
//!
//! Owns how such a column becomes part of what the source reads, so that a watermark stands right behind the source, whatever the queries
//! do with its rows. Knows no query. Invariant: the expression reads columns of the record only.

use super::below::unalias;
use crate::sql::{
    ColumnKind, SqlError, SqlResult, TableDefinition,
    catalog::{Catalog, TableScanSource},
    plan::{
        mistakes::{expr_mistake, plain_text, plan_expr},
        optimize, refuse,
        stream_plan::{ComputedTime, TableRows},
        types::plain,
        windows::rewritten_expr,
    },
};
use arrow::datatypes::{DataType, Field, TimeUnit};
use datafusion_common::{
    Column as PlanColumn,
    tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion},
};
use datafusion_expr::{
    Expr, LogicalPlan, LogicalPlanBuilder, execution_props::ExecutionProps,
    physical_planning_context::PhysicalPlanningContext,
};
use datafusion_physical_expr::{PhysicalExpr, create_physical_expr, expressions::Column};
use std::{collections::BTreeMap, sync::Arc};

/// What reads a table: its columns, and the one of event time even if it is computed.
///
/// # Errors
/// If that column cannot be computed, or is no time.
pub fn scan_source(catalog: &Catalog, table: &Arc<TableDefinition>) -> SqlResult<TableScanSource> {
    let plain_scan = TableScanSource::new(table.clone());
    let Some(watermark) = table.watermark.as_ref().filter(|_| TableRows::of(table) == TableRows::Added)
    else {
        return Ok(plain_scan);
    };
    let is_time = |column: &crate::sql::TableColumn| {
        column.name == watermark.column && matches!(column.kind, ColumnKind::Computed(_))
    };
    let Some(position) = table.columns.iter().position(is_time) else { return Ok(plain_scan) };
    let span = table.columns[position].span;
    let failed = |error: datafusion_common::DataFusionError| SqlError::at(span, plain_text(&error));
    let scan = LogicalPlanBuilder::scan(table.name.as_str(), Arc::new(plain_scan), None);
    let scan = scan.and_then(LogicalPlanBuilder::build).map_err(failed)?;
    let time = over_scan(catalog, table, position, scan.clone())?;
    let projected = LogicalPlanBuilder::from(scan)
        .project([time.alias(&watermark.column)])
        .and_then(LogicalPlanBuilder::build)
        .and_then(|plan| optimize::analyze(catalog, plan))
        .map_err(failed)?;
    let LogicalPlan::Projection(projection) = projected else {
        return Err(SqlError::at(span, format!("`{}` cannot be computed", watermark.column)));
    };
    let data_type = plain(projection.schema.field(0).data_type());
    if !matches!(data_type, DataType::Timestamp(TimeUnit::Millisecond | TimeUnit::Microsecond, _)) {
        return Err(SqlError::at(watermark.span, format!("`{}` is no TIMESTAMP", watermark.column))
            .because("event time is a TIMESTAMP or a TIMESTAMP_LTZ")
            .next("compute it as one: CAST(.. AS TIMESTAMP(3))"));
    }
    let expr = create_physical_expr(
        unalias(&projection.expr[0]),
        projection.input.schema(),
        &ExecutionProps::new(),
        &PhysicalPlanningContext::default(),
    )
    .map_err(failed)?;
    let scan = TableScanSource::new(table.clone());
    let (reads, expr) = over_what_it_reads(&expr, &scan.positions).map_err(failed)?;
    let field = Field::new(&watermark.column, data_type, true);
    Ok(TableScanSource::with_event_time(table.clone(), ComputedTime { position, reads, expr }, field))
}

/// A computed column as an expression over the columns of a scan: those that it is computed from are put in their places.
fn over_scan(
    catalog: &Catalog,
    table: &TableDefinition,
    wanted: usize,
    scan: LogicalPlan,
) -> SqlResult<Expr> {
    let mut plan = scan;
    let mut known: BTreeMap<&str, Expr> = BTreeMap::new();
    for (position, column) in table.columns.iter().enumerate() {
        let ColumnKind::Computed(expr) = &column.kind else { continue };
        let expr = &rewritten_expr(expr);
        let failed =
            |error: datafusion_common::DataFusionError| SqlError::at(column.span, plain_text(&error));
        refuse::check_expr(catalog, expr).map_err(|error| error.or_at(column.span))?;
        let (value, _) = plan_expr(catalog, expr, plan.schema()).map_err(|error| {
            let mistake = expr_mistake(catalog, expr, plan.schema());
            mistake.unwrap_or_else(|| SqlError::at(None, plain_text(&error))).or_at(column.span)
        })?;
        let replaced = value.clone().transform(|part| {
            let computed = match &part {
                Expr::Column(PlanColumn { relation: None, name, .. }) => known.get(name.as_str()),
                _ => None,
            };
            Ok(match computed {
                Some(computed) => Transformed::new(computed.clone(), true, TreeNodeRecursion::Jump),
                None => Transformed::no(part),
            })
        });
        let replaced = replaced.data().map_err(failed)?;
        if position == wanted {
            return Ok(replaced);
        }
        known.insert(&column.name, replaced);
        let before =
            plan.schema().iter().map(|(table, field)| Expr::Column(PlanColumn::from((table, field))));
        let exprs: Vec<_> = before.chain([value.alias(&column.name)]).collect();
        plan = LogicalPlanBuilder::from(plan)
            .project(exprs)
            .and_then(LogicalPlanBuilder::build)
            .map_err(failed)?;
    }
    Err(SqlError::at(table.span, format!("table `{}` has no such column", table.name)))
}

/// The expression over the columns that it reads alone, and their positions in the declaration; `positions` are those of its columns now.
fn over_what_it_reads(
    expr: &Arc<dyn PhysicalExpr>,
    positions: &[usize],
) -> Result<(Vec<usize>, Arc<dyn PhysicalExpr>), datafusion_common::DataFusionError> {
    let mut reads = vec![];
    let moved = expr.clone().transform(|part| {
        let Some(column) = part.downcast_ref::<Column>() else { return Ok(Transformed::no(part)) };
        let position = positions[column.index()];
        let at = reads.iter().position(|read| *read == position).unwrap_or_else(|| {
            reads.push(position);
            reads.len() - 1
        });
        Ok(Transformed::yes(Arc::new(Column::new(column.name(), at)) as Arc<dyn PhysicalExpr>))
    });
    let moved = moved.data()?;
    Ok((reads, moved))
}
