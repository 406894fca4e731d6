//! The answer of a batch engine.

use super::{
    Rows,
    data::{Row, eighths},
};
use datafusion::{
    arrow::{
        array::{
            Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Float64Array, Int32Array, Int64Array,
            RecordBatch, StringArray, TimestampMillisecondArray,
        },
        compute::cast,
        datatypes::{
            DataType, Decimal128Type, Field, Float64Type, Int32Type, Int64Type, Schema, SchemaRef, TimeUnit,
            TimestampMillisecondType, UInt64Type,
        },
    },
    common::{
        JoinType,
        tree_node::{Transformed, TreeNode},
    },
    datasource::MemTable,
    error::Result,
    execution::session_state::SessionStateBuilder,
    logical_expr::{LogicalPlan, ident},
    physical_optimizer::optimizer::PhysicalOptimizer,
    prelude::{SessionConfig, SessionContext},
};
use serde_json::{Map, Value};
use std::{collections::BTreeMap, sync::Arc};
use tokio::runtime::{Builder, Runtime};

/// A batch engine with the table of the cases.
pub struct Oracle {
    runtime: Runtime,
    schema: SchemaRef,
}

/// The rules without which no plan runs. Of the others, some give wrong answers where a column is there twice, or where two aggregates are
/// known without reading (55.2).
const NEEDED: [&str; 3] = ["OutputRequirements", "join_selection", "EnsureRequirements"];

/// A batch engine without tables.
pub fn batch_context() -> SessionContext {
    let config = SessionConfig::new()
        .set_bool("datafusion.sql_parser.enable_ident_normalization", false)
        .set_bool("datafusion.sql_parser.parse_float_as_decimal", true)
        .set_bool("datafusion.sql_parser.map_string_types_to_utf8view", false)
        .set_str("datafusion.sql_parser.default_null_ordering", "nulls_min")
        .with_target_partitions(1);
    let rules = PhysicalOptimizer::new().rules.into_iter().filter(|rule| NEEDED.contains(&rule.name()));
    let state = SessionStateBuilder::new().with_config(config).with_default_features();
    SessionContext::new_with_state(state.with_physical_optimizer_rules(rules.collect()).build())
}

fn context(rows: RecordBatch) -> SessionContext {
    let context = batch_context();
    let table = MemTable::try_new(rows.schema(), vec![vec![rows]]).unwrap();
    context.register_table("t", Arc::new(table)).unwrap();
    context
}

fn table(rows: &[Row]) -> RecordBatch {
    fn column<A: Array + FromIterator<T> + 'static, T>(rows: &[Row], of: impl Fn(&Row) -> T) -> A {
        rows.iter().map(of).collect()
    }
    let d: Decimal128Array = column(rows, |row| row.d.map(i128::from));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(column::<Int64Array, _>(rows, |row| Some(row.id)))),
        ("k", Arc::new(column::<Int64Array, _>(rows, |row| row.k))),
        ("s", Arc::new(column::<StringArray, _>(rows, |row| row.s))),
        ("n", Arc::new(column::<Int32Array, _>(rows, |row| row.n))),
        ("d", Arc::new(d.with_precision_and_scale(10, 2).unwrap())),
        ("x", Arc::new(column::<Float64Array, _>(rows, |row| row.x.map(eighths)))),
        ("b", Arc::new(column::<BooleanArray, _>(rows, |row| row.b))),
        ("ts", Arc::new(column::<TimestampMillisecondArray, _>(rows, |row| row.ts_ms))),
    ];
    let fields: Vec<Field> =
        columns.iter().map(|(name, column)| Field::new(*name, column.data_type().clone(), true)).collect();
    RecordBatch::try_new(
        Arc::new(Schema::new(fields)),
        columns.into_iter().map(|(_, column)| column).collect(),
    )
    .unwrap()
}

impl Oracle {
    /// For a query; `None` if the engine refuses it.
    pub fn of(query: &str) -> Option<Self> {
        Self::over(table(&[]), query)
    }

    /// For a query over a table with the columns of these rows.
    pub fn over(rows: RecordBatch, query: &str) -> Option<Self> {
        let runtime = Builder::new_current_thread().build().unwrap();
        let planned = runtime.block_on(context(rows).sql(query)).ok()?;
        let schema = planned.schema().inner().clone();
        Some(Oracle { runtime, schema })
    }

    /// The columns of the answer, as a table declares them.
    pub fn columns(&self) -> String {
        let column = |field: &Arc<Field>| {
            let data_type = match field.data_type() {
                DataType::Int32 => "INT".to_owned(),
                DataType::Int64 => "BIGINT".to_owned(),
                DataType::Float64 => "DOUBLE".to_owned(),
                DataType::Utf8 => "STRING".to_owned(),
                DataType::Boolean => "BOOLEAN".to_owned(),
                DataType::Decimal128(precision, scale) => format!("DECIMAL({precision}, {scale})"),
                DataType::Timestamp(TimeUnit::Millisecond, None) => "TIMESTAMP(3)".to_owned(),
                other => panic!("no column of type {other}"),
            };
            format!("{} {data_type}", field.name())
        };
        self.schema.fields().iter().map(column).collect::<Vec<_>>().join(", ")
    }

    /// The answer over these rows.
    ///
    /// # Errors
    /// If the engine fails, which is no answer.
    pub fn answer(&self, query: &str, rows: &[Row]) -> Result<Rows> {
        self.answer_over(query, table(rows))
    }

    /// The same over rows of any columns.
    pub fn answer_over(&self, query: &str, rows: RecordBatch) -> Result<Rows> {
        let context = context(rows);
        let plan = self.runtime.block_on(context.sql(query)).unwrap().logical_plan().clone();
        let plan = plan.transform_up(|node| self.settled(&context, node))?.data;
        let mut counted: Rows = BTreeMap::new();
        for batch in self.rows(&context, plan)? {
            for row in 0..batch.num_rows() {
                *counted.entry(shown(&batch, row)).or_default() += 1;
            }
        }
        Ok(counted)
    }
}

impl Oracle {
    fn rows(&self, context: &SessionContext, plan: LogicalPlan) -> Result<Vec<RecordBatch>> {
        self.runtime.block_on(async { context.execute_logical_plan(plan).await?.collect().await })
    }

    /// Outer joins, and what windows of rows are over, are answered on their own and read as tables. Where a column of the side that is
    /// filled with NULL has one value, the engine takes it for that value above the join too, and leaves out sorts by it; and it does not
    /// find partitions of windows by columns that it knows to have one value, or to be equal (55.2).
    fn settled(&self, context: &SessionContext, node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
        Ok(match &node {
            LogicalPlan::Join(join)
                if matches!(join.join_type, JoinType::Left | JoinType::Right | JoinType::Full) =>
            {
                Transformed::yes(self.as_table(context, &node)?)
            }
            LogicalPlan::Window(window) => {
                let input = self.as_table(context, &window.input)?;
                Transformed::yes(node.with_new_exprs(node.expressions(), vec![input])?)
            }
            _ => Transformed::no(node),
        })
    }

    /// The rows of a plan, as a table with its columns.
    fn as_table(&self, context: &SessionContext, node: &LogicalPlan) -> Result<LogicalPlan> {
        let columns = node.schema().columns();
        let fields = node.schema().fields().iter().enumerate();
        let schema = fields.map(|(at, field)| Field::new(format!("c{at}"), field.data_type().clone(), true));
        let schema = Arc::new(Schema::new(schema.collect::<Vec<_>>()));
        // The engine may give decimals with more digits than it has said.
        let renamed = |batch: RecordBatch| {
            let columns = batch.columns().iter().zip(schema.fields());
            let columns = columns.map(|(column, field)| cast(column, field.data_type()).unwrap());
            RecordBatch::try_new(schema.clone(), columns.collect())
        };
        let rows =
            self.rows(context, node.clone())?.into_iter().map(|batch| renamed(batch).unwrap()).collect();
        let table = context.read_table(Arc::new(MemTable::try_new(schema.clone(), vec![rows]).unwrap()));
        let as_before = columns
            .into_iter()
            .enumerate()
            .map(|(at, column)| ident(format!("c{at}")).alias_qualified(column.relation, column.name));
        let table = table.unwrap().select(as_before.collect::<Vec<_>>()).unwrap();
        Ok(table.logical_plan().clone())
    }
}

/// A row, in the form of [`normal`].
pub fn shown(batch: &RecordBatch, row: usize) -> String {
    let schema = batch.schema();
    let fields = schema.fields().iter().zip(batch.columns());
    let object: Map<String, Value> =
        fields.map(|(field, column)| (field.name().clone(), value(column, row))).collect();
    Value::Object(object).to_string()
}

fn value(column: &ArrayRef, row: usize) -> Value {
    if column.is_null(row) {
        return Value::Null;
    }
    match column.data_type() {
        DataType::Int32 => number(f64::from(column.as_primitive::<Int32Type>().value(row))),
        DataType::Int64 => number(column.as_primitive::<Int64Type>().value(row).to_string().parse().unwrap()),
        DataType::UInt64 => {
            number(column.as_primitive::<UInt64Type>().value(row).to_string().parse().unwrap())
        }
        DataType::Float64 => number(column.as_primitive::<Float64Type>().value(row)),
        DataType::Decimal128(..) => {
            number(column.as_primitive::<Decimal128Type>().value_as_string(row).parse().unwrap())
        }
        DataType::Boolean => Value::Bool(column.as_boolean().value(row)),
        DataType::Timestamp(..) => {
            let ms = column.as_primitive::<TimestampMillisecondType>().value(row);
            number(ms.to_string().parse().unwrap())
        }
        _ => Value::String(column.as_string::<i32>().value(row).to_owned()),
    }
}

/// All numbers look alike; `serde_json` reads doubles to about their last digit.
fn number(number: f64) -> Value {
    Value::String(format!("{:.13e}", if number == 0.0 { 0.0 } else { number }))
}

/// A row that was read back, in the same form.
pub fn normal(row: &Value) -> String {
    let object = row.as_object().expect("a row is an object");
    let value = |value: &Value| match value {
        Value::Number(n) => number(n.as_f64().unwrap()),
        Value::String(text) if text.ends_with('Z') && text.contains('T') => {
            let time = chrono::DateTime::parse_from_rfc3339(text).unwrap();
            number(time.timestamp_millis().to_string().parse().unwrap())
        }
        other => other.clone(),
    };
    Value::Object(object.iter().map(|(name, of)| (name.clone(), value(of))).collect()).to_string()
}
