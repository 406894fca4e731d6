//! Rows of the stream that leave: which version each meets, and what leaves.
//!
//! Owns how rows and versions are put together. Knows no store. Invariant: rows leave in the order of their times.

use super::{plan::AsOfPlan, versions::row_of};
use crate::{
    error::{Error, Result},
    record::varint::take_varint,
    sql::{
        Delta,
        op::{
            exchange::{batch, failed, stamped},
            join::{entries::entries, pairs::Condition, plan::JoinKind, time::Side},
            window::time_of,
        },
    },
};
use arrow::{
    array::{ArrayRef, UInt32Array},
    compute::take,
};

/// Rows that leave together.
pub(super) struct Rows {
    /// For each the number of its key, its time, and its bytes.
    rows: Vec<(usize, i64, Vec<u8>)>,
    /// What the keys of the versions begin with, for each key; sorted.
    pub prefixes: Vec<Vec<u8>>,
}

impl Rows {
    /// Of the keys and values of rows that wait.
    pub fn of(waiting: &[(Vec<u8>, Vec<u8>)]) -> Result<Self> {
        let mut prefixes = vec![];
        for (key, _) in waiting {
            prefixes.push(prefix_in(key)?.to_vec());
        }
        let of_rows = prefixes.clone();
        prefixes.sort_unstable();
        prefixes.dedup();
        let mut rows = vec![];
        for ((key, value), prefix) in waiting.iter().zip(of_rows) {
            let at = prefixes.binary_search(&prefix).unwrap_or_default();
            for entry in entries(value, false) {
                let entry = entry?;
                for _ in 0..entry.weight {
                    rows.push((at, time_of(key).saturating_sub(1), entry.row.to_vec()));
                }
            }
        }
        Ok(Rows { rows, prefixes })
    }

    /// Each row with the version that was valid at its time; `None` = none leaves. `formats` are the numbers of the forms in which rows and
    /// versions are stored.
    pub fn joined(
        &self,
        plan: &AsOfPlan,
        condition: Option<&Condition>,
        versions: &[Vec<(i64, Vec<u8>)>],
        formats: [u8; 2],
    ) -> Result<Option<crate::record::Chunk>> {
        let [of_stream, of_table] = &plan.join.sides;
        let mut stream = of_stream.row_format.decoder(formats[0], self.rows.len())?;
        let mut table = of_table.row_format.decoder(formats[1], self.rows.len())?;
        // For each row the version that it meets.
        let (mut met, mut versions_met) = (vec![], 0_u32);
        for (key, time_ms, row) in &self.rows {
            stream.push(row)?;
            let of_key = &versions[*key];
            let valid = of_key.partition_point(|(since_ms, _)| since_ms <= time_ms).checked_sub(1);
            let version = valid.map(|at| row_of(&of_key[at].1)).transpose()?.flatten();
            if let Some(version) = version {
                table.push(version)?;
                versions_met += 1;
            }
            met.push(version.map(|_| versions_met - 1));
        }
        let (stream, table) = (stream.finish()?, table.finish()?);
        if let Some(condition) = condition {
            let pairs = (0_u32..).zip(&met).filter_map(|(row, met)| Some((row, (*met)?)));
            let (mine, theirs): (Vec<u32>, Vec<u32>) = pairs.unzip();
            let holds = condition
                .holds([&stream, &table], [&UInt32Array::from(mine.clone()), &UInt32Array::from(theirs)])?;
            for (at, row) in mine.iter().enumerate() {
                if !holds.value(at) {
                    met[*row as usize] = None;
                }
            }
        }
        let keeps_all = plan.join.kind.singles(Side::Left).is_some();
        let leaves = |row: &u32| keeps_all || met[*row as usize].is_some();
        let rows: UInt32Array = (0_u32..).take(met.len()).filter(leaves).collect();
        if rows.is_empty() {
            return Ok(None);
        }
        let of_rows: UInt32Array = rows.values().iter().map(|row| met[*row as usize]).collect();
        let mut columns = taken(&stream, &rows)?;
        // A row that meets nothing gets NULLs.
        columns.extend(taken(&table, &of_rows)?);
        let stamps: Vec<i64> = rows.values().iter().map(|row| self.rows[*row as usize].1).collect();
        let rows = batch(&plan.join.output, columns, rows.len())?;
        Ok(Some(stamped(Delta::added(rows), &stamps)))
    }
}

fn taken(columns: &[ArrayRef], rows: &UInt32Array) -> Result<Vec<ArrayRef>> {
    let columns = columns.iter().map(|column| take(column, rows, None));
    columns.collect::<Result<Vec<_>, _>>().map_err(|e| failed(&e))
}

/// The length and the key of a row that waits: what the keys of its versions begin with.
fn prefix_in(key: &[u8]) -> Result<&[u8]> {
    let broken = || Error::Codec(format!("b\"{}\" is no key of a row that waits", key.escape_ascii()));
    let behind_time = key.get(8..).ok_or_else(broken)?;
    let mut rest = behind_time;
    let length = take_varint(&mut rest).and_then(|length| usize::try_from(length).ok()).ok_or_else(broken)?;
    let end = (behind_time.len() - rest.len()).checked_add(length).ok_or_else(broken)?;
    behind_time.get(..end).ok_or_else(broken)
}

/// Whether a kind of join is one that looks at versions.
pub(super) fn looks_at_versions(kind: JoinKind) -> bool {
    matches!(kind, JoinKind::Inner | JoinKind::Left)
}
