//! The bytes of what is kept.

use super::{plan::AsOfPlan, versions};
use crate::sql::op::{
    join::plan::{JoinKind, JoinPlan, JoinSide, put_prefix},
    window::time_bytes,
};
use arrow::{
    array::{ArrayRef, StringArray, TimestampMillisecondArray},
    datatypes::{DataType, Field, Schema, TimeUnit},
};
use std::sync::Arc;

/// `docs/state-format.md` says these bytes.
#[test]
fn the_bytes_of_rows_and_versions_are_durable() {
    let time = DataType::Timestamp(TimeUnit::Millisecond, None);
    let fields = |names: [&str; 2]| {
        let key = Field::new(names[0], DataType::Utf8, true);
        Arc::new(Schema::new(vec![key, Field::new(names[1], time.clone(), true)]))
    };
    let (orders, rates) = (fields(["currency", "ts"]), fields(["code", "since"]));
    let side = || JoinSide { keys: vec![0], columns: 2, is_unique: false };
    let join = JoinPlan::new(JoinKind::Inner, [&orders, &rates], [side(), side()], orders.clone()).unwrap();
    let plan = AsOfPlan::new(join, [1, 1]).unwrap();
    let formats: Vec<(String, String)> =
        plan.stores("priced.as-of").into_iter().map(|store| (store.name, store.format)).collect();
    let format = |name: &str, format: &str| (name.to_owned(), format.to_owned());
    assert_eq!(
        formats,
        [
            format(
                "priced.as-of.waiting",
                "row-index key(time, length, currency str, row) -> [weight, #1 currency str, #2 ts ts_ms]"
            ),
            format(
                "priced.as-of.versions",
                "row-index key(length, code str; since) -> [is there, #1 code str, #2 since ts_ms]"
            ),
            format("priced.as-of.passing", "row-index key(time, code str) -> nothing"),
        ]
    );
    let keys: [ArrayRef; 1] = [Arc::new(StringArray::from(vec!["a"]))];
    let mut key = vec![];
    plan.join.sides[1].key_format.encoder(&keys).unwrap().encode(0, &mut key);
    assert_eq!(key, [1, b'a', 0, 0]);
    let version = [&versions::prefix_of(&key)[..], &time_bytes(258)].concat();
    assert_eq!(version, [4, 1, b'a', 0, 0, 0x80, 0, 0, 0, 0, 0, 1, 2]);
    let mut waiting = vec![];
    put_prefix(&mut waiting, Some(259), &key);
    assert_eq!(waiting, [0x80, 0, 0, 0, 0, 0, 1, 3, 4, 1, b'a', 0, 0]);
    let columns: [ArrayRef; 2] = [keys[0].clone(), Arc::new(TimestampMillisecondArray::from(vec![258]))];
    let mut row = vec![];
    plan.join.sides[1].row_format.encoder(1, &columns).unwrap().encode(0, &mut row);
    let value = [&[1][..], &row].concat();
    assert_eq!(versions::row_of(&value).unwrap(), Some(&row[..]));
    assert_eq!(versions::row_of(&[]).unwrap(), None, "a version that says that there is no row");
    assert!(versions::row_of(&[2, 0]).is_err());
    assert_eq!(row, [1, 0, 1, b'a', 132, 4]);
}
