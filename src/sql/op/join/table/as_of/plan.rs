//! What is kept of a stream and of the versions of a table.
//!
//! Owns the stores and their formats. Knows no row. Invariant: the bytes of keys and values are durable.
//!
//! | store | key | value |
//! |---|---|---|
//! | `.waiting` | the watermark with which the row leaves (8 bytes, in the order of times), length of the key (varint), key, XXH3 of the row | rows with their numbers |
//! | `.versions` | length of the key (varint), key, since when (8 bytes) | 1 and the row; nothing = there is no row from then on |
//! | `.passing` | the watermark that passes the version (8 bytes), key | nothing |

use crate::{
    error::{Error, Result},
    sql::{
        op::join::plan::{JoinPlan, SidePlan},
        rows::{quoted, type_name},
    },
    state::{Placement, RowIndex, StoreSpec},
};

/// A join of a stream with the versions of a table.
#[derive(Clone, Debug)]
pub struct AsOfPlan {
    pub(super) join: JoinPlan,
    /// The column of the stream's event time, and that which says since when a version is valid.
    pub(super) times: [usize; 2],
}

impl AsOfPlan {
    /// Of the join only its kind, which is inner or left, its sides and its condition count: the keys of the second side are those by which
    /// versions are known.
    ///
    /// # Errors
    /// [`Error::Plan`] if a time is not kept.
    pub fn new(join: JoinPlan, times: [usize; 2]) -> Result<Self> {
        let is_kept = |(time, side): (&usize, &SidePlan)| *time < side.side.columns;
        if !times.iter().zip(&join.sides).all(is_kept) {
            return Err(Error::Plan("a column of event time is not there to join by".into()));
        }
        Ok(AsOfPlan { join: join.growing(true, true), times })
    }

    /// How the plan declares the stores: of rows that wait, of versions, and of when they are passed.
    #[must_use]
    pub fn stores(&self, name: &str) -> Vec<StoreSpec> {
        let keys = |side: usize| {
            let of = &self.join.sides[side];
            let key = |column: &usize| {
                let field = of.schema.field(*column);
                format!("{} {}", quoted(field.name()), type_name(field.data_type()).unwrap_or_default())
            };
            of.side.keys.iter().map(key).collect::<Vec<_>>().join(", ")
        };
        let [stream, table] = &self.join.sides;
        let waiting = format!("key(time, length, {}, row) -> [weight, {}]", keys(0), stream.row_format);
        let versions = format!("key(length, {}; since) -> [is there, {}]", keys(1), table.row_format);
        let passing = format!("key(time, {}) -> nothing", keys(1));
        vec![
            RowIndex::spec(format!("{name}.waiting"), &waiting).placed(Placement::KeyAfterTimeAndLength),
            RowIndex::spec(format!("{name}.versions"), &versions).placed(Placement::KeyAfterLength),
            RowIndex::spec(format!("{name}.passing"), &passing).placed(Placement::KeyAfterTime),
        ]
    }
}
