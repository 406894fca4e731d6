//! DataFrames whose rows have an end, compared with a batch engine; and streams that are joined with them.

use super::fuzz::{Random, batch_context, shown};
use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use arrow::util::display::array_value_to_string;
use datafusion::datasource::MemTable;
use std::sync::Arc;
use tidegate::{
    StreamingContext,
    sql::{
        DataFrame, StreamSession,
        functions::{
            any_value, array_agg, col, collect_list, collect_set, count, expr, first_ignoring_nulls,
            last_ignoring_nulls, median, percentile, percentile_approx, string_agg,
        },
    },
    testing::Driver,
};

/// A session of its own, without a page.
fn session(name: &str) -> StreamSession {
    let builder = StreamSession::builder(name).threads(2);
    builder.configure(|config| config.admin_bind = None).get_or_create().unwrap()
}

/// Sales by chance, with NULLs and duplicates.
fn sales(random: &mut Random, rows: u64) -> RecordBatch {
    let mut column = |bound: u64| -> Vec<Option<i64>> {
        (0..rows)
            .map(|_| (!random.chance(10)).then(|| i64::try_from(random.below(bound)).unwrap() - 3))
            .collect()
    };
    let (place, cents, ts) = (column(9), column(200), column(3_600_000));
    let items: Vec<Option<&str>> = column(8)
        .iter()
        .map(|n| n.map(|n| ["tea", "oil", "salt", "sea"][usize::try_from(n.unsigned_abs() % 4).unwrap()]))
        .collect();
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let weights: Float64Array = column(64).iter().map(|n| n.map(|n| n as f64 / 8.0)).collect();
    RecordBatch::try_from_iter([
        ("place", Arc::new(Int64Array::from(place)) as ArrayRef),
        ("item", Arc::new(StringArray::from(items)) as _),
        ("cents", Arc::new(Int64Array::from(cents)) as _),
        ("weight", Arc::new(weights) as _),
        ("ts", Arc::new(TimestampMillisecondArray::from(ts)) as _),
    ])
    .unwrap()
}

fn places() -> RecordBatch {
    let ids = Int64Array::from(vec![Some(0), Some(1), Some(2), Some(2), None, Some(77)]);
    let names = StringArray::from(vec![
        Some("quay"),
        Some("mill"),
        Some("fair"),
        Some("market"),
        Some("nowhere"),
        None,
    ]);
    RecordBatch::try_from_iter([("id", Arc::new(ids) as ArrayRef), ("name", Arc::new(names) as _)]).unwrap()
}

/// Queries; of those that end with an order all rows are in it.
const QUERIES: &[&str] = &[
    "SELECT place, cents FROM sales WHERE cents > 50 AND item <> 'oil'",
    "SELECT upper(item) AS item, cents * 2 AS twice FROM sales",
    "SELECT item, count(*) AS n, sum(cents) AS cents, avg(weight) AS weight, min(ts) AS first, max(place) AS last FROM sales GROUP BY item",
    "SELECT item, count(DISTINCT place) AS places FROM sales GROUP BY item HAVING count(*) > 3",
    "SELECT count(*) AS n, sum(cents) AS cents, min(weight) AS w FROM sales",
    "SELECT count(*) AS n, count(cents) AS some, sum(cents) AS cents, avg(weight) AS w FROM sales WHERE cents > 1000",
    "SELECT item, sum(cents) AS cents FROM sales WHERE cents > 1000 GROUP BY item",
    "SELECT item, array_to_string(array_agg(cents ORDER BY cents), ',', '?') AS all_cents, median(weight) AS half, percentile_cont(0.25) WITHIN GROUP (ORDER BY cents) AS low FROM sales GROUP BY item",
    "SELECT array_to_string(array_agg(DISTINCT place ORDER BY place DESC), ',', '?') AS places, median(cents) AS half, first_value(place ORDER BY place DESC) AS most FROM sales",
    "SELECT DISTINCT item, place FROM sales",
    "SELECT place FROM sales UNION ALL SELECT id FROM places",
    "SELECT place FROM sales INTERSECT SELECT id FROM places",
    "SELECT place FROM sales EXCEPT SELECT id FROM places",
    "SELECT cents, name FROM sales JOIN places ON place = id",
    "SELECT cents, name FROM sales LEFT JOIN places ON place = id AND cents > 20",
    "SELECT cents, name FROM sales RIGHT JOIN places ON place = id",
    "SELECT cents, name FROM sales FULL JOIN places ON place = id",
    "SELECT a.cents, b.cents AS other FROM sales AS a JOIN sales AS b ON a.place = b.place AND a.cents < b.cents",
    "SELECT cents FROM sales WHERE place IN (SELECT id FROM places)",
    "SELECT cents FROM sales WHERE NOT EXISTS (SELECT 1 FROM places WHERE id = place)",
    "SELECT name, cents FROM places CROSS JOIN sales",
    "SELECT name, n FROM places JOIN (SELECT place, count(*) AS n FROM sales GROUP BY place) AS counts ON id = place",
    "SELECT name, n FROM (SELECT place, count(*) AS n FROM sales GROUP BY place) AS counts FULL JOIN places ON id = place",
    "SELECT cents FROM sales WHERE 1 = 2",
    "SELECT count(*) AS n FROM (SELECT item, count(*) AS n FROM sales GROUP BY item) AS counts WHERE n > 2",
    "SELECT max(n) AS most FROM (SELECT item, count(*) AS n FROM sales GROUP BY item) AS counts",
    "SELECT cents, place, item, weight, ts FROM sales ORDER BY cents DESC, place, item, weight, ts",
    "SELECT cents FROM sales ORDER BY weight DESC NULLS LAST, cents, place, item, ts LIMIT 7 OFFSET 2",
    "SELECT item, n FROM (SELECT item, count(*) AS n FROM sales GROUP BY item) AS counts ORDER BY n DESC, item LIMIT 2",
    "SELECT sum(cents) AS cents FROM (SELECT cents FROM sales ORDER BY cents DESC, place LIMIT 5) AS best",
    "SELECT name, cents FROM (SELECT place, cents FROM sales ORDER BY cents DESC, place, ts LIMIT 9) AS best JOIN places ON place = id ORDER BY cents, name",
    "SELECT count(*) AS n FROM (SELECT cents FROM sales LIMIT 4) AS some",
    "SELECT * FROM (SELECT item, cents, ROW_NUMBER() OVER (PARTITION BY item ORDER BY cents DESC, place, weight, ts) AS r FROM sales) AS ranked WHERE r <= 2",
];

#[test]
fn queries_over_rows_that_end_have_the_answer_of_a_batch_engine() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for (seed, rows) in [(1, 40), (2, 0), (3, 1), (4, 300)] {
        let spark = session(&format!("answers {seed}"));
        let context = batch_context();
        for (name, rows) in [("sales", sales(&mut Random::of(seed), rows)), ("places", places())] {
            spark.create_data_frame([rows.clone()]).unwrap().create_or_replace_temp_view(name).unwrap();
            let table = MemTable::try_new(rows.schema(), vec![vec![rows]]).unwrap();
            context.register_table(name, Arc::new(table)).unwrap();
        }
        for query in QUERIES {
            let expected =
                runtime.block_on(async { context.sql(query).await.unwrap().collect().await.unwrap() });
            let mut expected: Vec<String> = expected
                .iter()
                .flat_map(|batch| (0..batch.num_rows()).map(|row| shown(batch, row)).collect::<Vec<_>>())
                .collect();
            let frame = spark.sql(query).unwrap_or_else(|e| panic!("{query}: {e}"));
            assert!(!frame.is_streaming(), "{query}");
            let rows = frame.collect().unwrap_or_else(|e| panic!("seed {seed}: {query}: {e}"));
            let mut found: Vec<String> = (0..rows.num_rows()).map(|row| shown(&rows, row)).collect();
            let is_ordered = query.rsplit(')').next().unwrap().contains("ORDER BY");
            if !is_ordered {
                expected.sort();
                found.sort();
            }
            assert_eq!(found, expected, "seed {seed}: {query}");
        }
    }
}

#[test]
fn functions_of_all_values_give_the_values_in_their_order() {
    let spark = session("values of groups");
    let n: ArrayRef = Arc::new(Int64Array::from(vec![None, Some(3), None, Some(1), Some(3)]));
    let frame = spark.create_data_frame([RecordBatch::try_from_iter([("n", n)]).unwrap()]).unwrap();
    let calls = || {
        [
            collect_list("n").alias("all"),
            collect_set("n").alias("different"),
            array_agg("n").alias("with_nulls"),
            string_agg(expr("CAST(n AS STRING)"), "+").alias("text"),
            median("n").alias("half"),
            percentile("n", 0.25).alias("below"),
            percentile_approx("n", 0.5).alias("one"),
            first_ignoring_nulls("n").alias("first"),
            last_ignoring_nulls("n").alias("last"),
            any_value("n").alias("some"),
            expr("first_value(n ORDER BY n DESC)").alias("greatest"),
        ]
    };
    let shown = |frame: DataFrame| -> Vec<String> {
        let rows = frame.collect().unwrap();
        assert_eq!(rows.num_rows(), 1);
        rows.columns().iter().map(|column| array_value_to_string(column, 0).unwrap()).collect()
    };
    let answers = ["[1, 3, 3]", "[1, 3]", "[, , 1, 3, 3]", "1+3+3", "3.0", "2.0", "3", "3", "3", "3", "3"];
    assert_eq!(shown(frame.agg(calls()).unwrap()), answers);
    let none = frame.filter(expr("n > 9")).unwrap().agg(calls()).unwrap();
    assert_eq!(shown(none), ["[]", "[]", "", "", "", "", "", "", "", "", ""]);
}

#[test]
fn a_stream_is_joined_with_rows_that_were_computed() {
    let spark = session("batch beside a stream");
    let places = spark.create_data_frame([places()]).unwrap();
    // More than a lookup in a table: groups, an order, a number of rows.
    let known = places.group_by(["id"]).agg([count("*").alias("places")]).unwrap();
    let most = known
        .filter(col("id").is_not_null())
        .unwrap()
        .order_by([col("places").desc(), col("id").asc()])
        .unwrap();
    let most = most.limit(3).unwrap();
    let sales =
        spark.read_stream().format("kafka").option("subscribe", "sales").option("value.format", "json");
    let sales = sales.option("startingOffsets", "earliest").schema("id BIGINT, cents BIGINT").load().unwrap();
    let joined = sales.join_using(&most, ["id"], "left_outer").unwrap();
    assert!(joined.is_streaming() && joined.explained().unwrap().contains("places"));
    let out = joined.select(["id", "cents", "places"]).unwrap();
    let writer = out.write_stream().format("kafka").option("topic", "out").option("value.format", "json");
    let mut driver = Driver::new(move |ssc: &StreamingContext| writer.add_to(ssc).unwrap());
    let written = driver
        .batch("sales 0 | - | {\"id\":2,\"cents\":5}\nsales 0 | - | {\"id\":77,\"cents\":1}\n")
        .unwrap();
    assert_eq!(
        written.to_string(),
        "out | - | {\"id\":2,\"cents\":5,\"places\":2}\nout | - | {\"id\":77,\"cents\":1,\"places\":null}\n"
    );
    let plain = sales.join_using(&places, ["id"], "inner").unwrap();
    let mut columns = plain.columns();
    columns.sort();
    assert_eq!(columns, ["cents", "id", "name"]);
    let told = sales.join_using(&places, ["id"], "full_outer").unwrap();
    let told = told.write_stream().format("console").start().unwrap_err().to_string();
    assert!(
        told.contains("rows of a table that is read once cannot leave without a row of the stream"),
        "{told}"
    );
}

#[test]
fn a_stream_on_the_right_of_a_table_keeps_its_keys() {
    let spark = session("batch beside by name");
    let table: DataFrame = spark.create_data_frame([places()]).unwrap();
    let stream = spark.read_stream().format("kafka").option("subscribe", "b").option("value.format", "json");
    let stream = stream.option("startingOffsets", "earliest").schema("id BIGINT, y STRING").load().unwrap();
    let out = table.join_using(&stream, ["id"], "right_outer").unwrap();
    let writer = out.write_stream().format("kafka").option("topic", "out").option("value.format", "json");
    let mut driver = Driver::new(move |ssc: &StreamingContext| writer.add_to(ssc).unwrap());
    let written =
        driver.batch("b 0 | - | {\"id\":1,\"y\":\"c\"}\nb 0 | - | {\"id\":3,\"y\":\"d\"}\n").unwrap();
    assert_eq!(
        written.to_string(),
        "out | - | {\"id\":1,\"name\":\"mill\",\"y\":\"c\"}\nout | - | {\"id\":3,\"name\":null,\"y\":\"d\"}\n"
    );
}
