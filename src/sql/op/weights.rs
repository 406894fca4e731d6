//! How often a stored row is there: the value of stores whose keys are rows.
//!
//! Owns these bytes, which are those of a row with one column: `#1 weight i64`. Knows no store. Invariant: they are durable.

use crate::{
    error::{Error, Result},
    record::varint::{put_zigzag, take_zigzag},
    sql::rows::{ColumnId, RowColumn, RowFormat},
};
use arrow::datatypes::DataType;

/// The column.
pub(super) fn weight_format() -> Result<RowFormat> {
    RowFormat::new([RowColumn { id: ColumnId(1), name: "weight".into(), data_type: DataType::Int64 }])
}

/// Appends a weight as format `number` of the store.
pub(super) fn put_weight(number: u8, weight: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(&[number, 0]);
    put_zigzag(out, weight);
}

/// The weight that a value is; 0 if there is none.
pub(super) fn weight_of(value: Option<&[u8]>) -> Result<i64> {
    let Some(bytes) = value else { return Ok(0) };
    let mut rest = bytes.get(2..).unwrap_or_default();
    let weight = take_zigzag(&mut rest).filter(|_| rest.is_empty() && bytes[1] == 0);
    weight.ok_or_else(|| Error::Codec(format!("b\"{}\" is not the weight of a row", bytes.escape_ascii())))
}

/// A weight and what is added to it.
pub(super) fn added(weight: i64, change: i64) -> Result<i64> {
    weight.checked_add(change).ok_or_else(|| Error::Codec("a row is there more than 2^63 times".into()))
}

/// A weight that no row can have.
pub(super) fn negative() -> Error {
    Error::Codec(
        "a row was taken away that is not there; the source sends changes that contradict each other".into(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, Int64Array};
    use std::sync::Arc;

    #[test]
    fn the_bytes_are_those_of_a_row_with_one_column() {
        for weight in [0, 1, -1, 300, i64::MIN] {
            let column: [ArrayRef; 1] = [Arc::new(Int64Array::from(vec![weight]))];
            let (mut row, mut ours) = (vec![], vec![]);
            weight_format().unwrap().encoder(3, &column).unwrap().encode(0, &mut row);
            put_weight(3, weight, &mut ours);
            assert_eq!(ours, row);
            assert_eq!(weight_of(Some(&ours)).unwrap(), weight);
        }
        assert_eq!(weight_of(None).unwrap(), 0);
        for broken in [&[][..], &[1], &[1, 0], &[1, 1, 2], &[1, 0, 2, 2]] {
            assert!(weight_of(Some(broken)).unwrap_err().to_string().contains("not the weight"));
        }
    }
}
