//! A table whose records say what the row of a key is now: from records to changes of rows.
//!
//! Owns the last row of each key. Knows no format. Invariants: behind it, a key has one row at most; a row that goes was there, as it was; a key
//! whose row is the same after the batch as before it gives nothing.
//!
//! What comes in are rows of all columns that the table keeps, with a weight: positive = this is the row now, negative = there is none now, and
//! only the columns of the key say anything. Rows of one key come in the order in which they hold.

use super::{
    aggregate::GROUPS_PER_CHUNK,
    exchange::{batch, failed, stamped},
};
use crate::{
    error::Result,
    operator::{Context, Operator, Port, UpstreamMark, UpstreamName},
    record::{Chunk, Stamps},
    sql::{
        Delta, Payload,
        rows::{KeyFormat, RowColumn, RowFormat, quoted, type_name},
    },
    state::{Handle, RowTable, StoreSpec},
};
use arrow::{
    array::{ArrayRef, DynComparator, Int64Array, UInt32Array, make_comparator},
    compute::{SortOptions, concat, take},
    datatypes::{Schema, SchemaRef},
};
use std::{cmp::Ordering, ops::Range, sync::Arc};

/// What is kept of the rows of a table, and what is given of them; shared by its tasks.
pub struct UpsertPlan {
    /// The columns of the key, among those that come in.
    keys: Vec<usize>,
    key: KeyFormat,
    key_line: String,
    /// The others.
    values: Vec<usize>,
    row: RowFormat,
    /// For each column that is given, where it comes from.
    outputs: Vec<Place>,
    output: SchemaRef,
}

#[derive(Clone, Copy)]
enum Place {
    Key(usize),
    Value(usize),
}

impl UpsertPlan {
    /// Keeps the columns `stored`, by the columns `keys` of them, and gives the columns `given` of them, called as in `output`.
    ///
    /// # Errors
    /// If a column cannot be kept.
    pub fn new(stored: &Schema, keys: Vec<usize>, given: &[usize], output: SchemaRef) -> Result<Self> {
        let values: Vec<usize> = (0..stored.fields().len()).filter(|column| !keys.contains(column)).collect();
        let key = KeyFormat::new(keys.iter().map(|column| stored.field(*column).data_type()))?;
        let of_schema = RowFormat::of_schema(stored)?;
        let column = |column: &usize| -> RowColumn { of_schema.columns()[*column].clone() };
        let row = RowFormat::new(values.iter().map(column))?;
        let key_line: Vec<String> = keys
            .iter()
            .map(|column| {
                let field = stored.field(*column);
                format!("{} {}", quoted(field.name()), type_name(field.data_type()).unwrap_or_default())
            })
            .collect();
        let place = |column: &usize| match keys.iter().position(|key| key == column) {
            Some(at) => Place::Key(at),
            None => Place::Value(values.iter().position(|value| value == column).unwrap_or_default()),
        };
        let outputs = given.iter().map(place).collect();
        Ok(UpsertPlan { key_line: key_line.join(", "), keys, key, values, row, outputs, output })
    }

    /// The columns of the key, and their format.
    #[must_use]
    pub fn key(&self) -> (&[usize], &KeyFormat) {
        (&self.keys, &self.key)
    }

    /// The store of its rows.
    #[must_use]
    pub fn store(&self, name: &str) -> StoreSpec {
        RowTable::spec(name, &format!("key({}) -> {}", self.key_line, self.row))
    }
}

/// Keeps the last row of each key, and gives what becomes of it.
pub struct Upsert {
    plan: Arc<UpsertPlan>,
    rows: Handle<RowTable>,
    /// The greatest timestamp of the records of each touched key.
    newest_ms: Vec<i64>,
    marks: Vec<UpstreamMark>,
    /// While the batch ends: the first key whose change has not left yet.
    ending: Option<usize>,
    places: Vec<u32>,
    encoded: Vec<u8>,
}

impl Upsert {
    /// Keeps rows in this store, which is [`UpsertPlan::store`].
    #[must_use]
    pub fn new(plan: Arc<UpsertPlan>, rows: Handle<RowTable>) -> Self {
        let (newest_ms, marks, places, encoded) = (vec![], vec![], vec![], vec![]);
        Upsert { plan, rows, newest_ms, marks, ending: None, places, encoded }
    }

    fn take(&mut self, delta: &Delta, stamps: &Stamps, table: &mut RowTable) -> Result {
        let rows = delta.rows.num_rows();
        let columns = |of: &[usize]| -> Vec<ArrayRef> {
            of.iter().map(|column| delta.rows.column(*column).clone()).collect()
        };
        let (keys, values) = (columns(&self.plan.keys), columns(&self.plan.values));
        let encoder = self.plan.key.encoder(&keys)?;
        self.encoded.clear();
        let mut ends = Vec::with_capacity(rows);
        for row in 0..rows {
            encoder.encode(row, &mut self.encoded);
            ends.push(self.encoded.len());
        }
        let starts = std::iter::once(0).chain(ends.iter().copied());
        let keys = starts.zip(&ends).map(|(start, end)| &self.encoded[start..*end]);
        self.places.clear();
        table.touch(keys, &mut self.places)?;
        self.newest_ms.resize(table.touched(), Stamps::NONE);
        let encoder = self.plan.row.encoder(table.formats().present(), &values)?;
        let mut stamps = stamps.each();
        for (row, place) in self.places.iter().enumerate() {
            let place = *place as usize;
            if delta.weight(row) < 0 {
                table.delete(place);
            } else {
                self.encoded.clear();
                encoder.encode(row, &mut self.encoded);
                table.put(place, &self.encoded);
            }
            self.newest_ms[place] = stamps.next_ms().max(self.newest_ms[place]);
        }
        Ok(())
    }

    /// What has become of the rows of some keys; `None` = nothing.
    fn changes(&self, table: &RowTable, places: Range<usize>) -> Result<Option<Chunk>> {
        let changed: Vec<usize> =
            places.filter(|place| table.old(*place) != table.new_value(*place)).collect();
        let (old, new) = (Rows::of(&self.plan, table, &changed, |place| table.old(place))?, {
            Rows::of(&self.plan, table, &changed, |place| table.new_value(place))?
        });
        let mut comparators: Vec<DynComparator> = vec![];
        for output in &self.plan.outputs {
            if let Place::Value(at) = output {
                let same = make_comparator(&old.columns[*at], &new.columns[*at], SortOptions::default());
                comparators.push(same.map_err(|e| failed(&e))?);
            }
        }
        let is_same =
            |old: usize, new: usize| comparators.iter().all(|same| same(old, new) == Ordering::Equal);
        // Of each key the old row comes before the new one. New values are behind the old ones in one column.
        let (mut of_keys, mut of_values, mut weights, mut newest_ms) = (vec![], vec![], vec![], vec![]);
        let mut keys = self.plan.key.decoder(changed.len())?;
        let number = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        for (index, place) in changed.iter().enumerate() {
            keys.push(table.key(*place))?;
            let (old_row, new_row) = (old.of_keys[index], new.of_keys[index]);
            if let (Some(old_row), Some(new_row)) = (old_row, new_row)
                && is_same(old_row, new_row)
            {
                continue;
            }
            let new_row = new_row.map(|row| row + old.count);
            for (row, weight) in [(old_row, -1), (new_row, 1)] {
                if let Some(row) = row {
                    of_keys.push(number(index));
                    of_values.push(number(row));
                    weights.push(weight);
                    newest_ms.push(self.newest_ms[*place]);
                }
            }
        }
        if weights.is_empty() {
            return Ok(None);
        }
        let keys = keys.finish()?;
        let (of_keys, of_values) = (UInt32Array::from(of_keys), UInt32Array::from(of_values));
        let mut columns = vec![];
        for output in &self.plan.outputs {
            columns.push(match output {
                Place::Key(at) => take(&keys[*at], &of_keys, None),
                Place::Value(at) => {
                    let both = concat(&[&old.columns[*at], &new.columns[*at]]);
                    both.and_then(|both| take(&both, &of_values, None))
                }
            });
        }
        let columns = columns.into_iter().collect::<Result<Vec<_>, _>>().map_err(|e| failed(&e))?;
        let rows = batch(&self.plan.output, columns, weights.len())?;
        let delta = Delta { rows, weights: Some(Int64Array::from(weights)) };
        Ok(Some(stamped(delta, &newest_ms)))
    }

    /// Says how far upstreams are, each in the name of this partition: its rows come later than those of others.
    fn send_marks(&mut self, cx: &mut Context<'_>) {
        if self.marks.is_empty() {
            return;
        }
        let of_partition = |mark: UpstreamMark| {
            let upstream = UpstreamName::of_part(cx.out.upstream, mark.upstream.as_str());
            UpstreamMark { upstream, ..mark }
        };
        let marks = self.marks.drain(..).map(of_partition).collect();
        cx.out.chunk(Payload::marks(marks));
    }
}

/// The stored rows of some keys.
struct Rows {
    columns: Vec<ArrayRef>,
    /// For each key its row, if it has one.
    of_keys: Vec<Option<usize>>,
    count: usize,
}

impl Rows {
    fn of<'t>(
        plan: &UpsertPlan,
        table: &RowTable,
        places: &[usize],
        stored: impl Fn(usize) -> Option<&'t [u8]>,
    ) -> Result<Self> {
        let mut decoder = plan.row.decoder(table.formats().present(), places.len())?;
        let (mut of_keys, mut count) = (Vec::with_capacity(places.len()), 0);
        for place in places {
            let value = stored(*place);
            if let Some(value) = value {
                decoder.push(value).map_err(table.failed())?;
            }
            of_keys.push(value.map(|_| count));
            count += usize::from(value.is_some());
        }
        Ok(Rows { columns: decoder.finish().map_err(table.failed())?, of_keys, count })
    }
}

impl Operator for Upsert {
    fn process(&mut self, _: Port, input: Chunk, cx: &mut Context<'_>) -> Result {
        let (payload, stamps) = input.take_stamped::<Payload>();
        match payload {
            Payload::Rows(delta) => self.take(&delta, &stamps, cx.stores.open(self.rows)),
            Payload::Marks(marks) => {
                self.marks.extend(marks);
                Ok(())
            }
        }
    }

    fn end_batch(&mut self, cx: &mut Context<'_>) -> Result {
        let table = cx.stores.open(self.rows);
        let first = self.ending.unwrap_or_default();
        let end = table.touched().min(first + GROUPS_PER_CHUNK);
        self.ending = (end < table.touched()).then_some(end);
        if let Some(chunk) = self.changes(table, first..end)? {
            cx.out.chunk(chunk);
        }
        if self.ending.is_none() {
            self.newest_ms.clear();
            self.send_marks(cx);
        }
        Ok(())
    }

    fn has_more(&self) -> bool {
        self.ending.is_some()
    }

    fn held_bytes(&self) -> usize {
        size_of_val(&self.newest_ms[..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::{
        array::{Int32Array, StringArray},
        datatypes::{DataType, Field},
    };

    /// `docs/state-format.md` says these bytes.
    #[test]
    fn the_bytes_of_a_row_are_durable() {
        let fields = [
            Field::new("id", DataType::Int64, false),
            Field::new("place", DataType::Utf8, true),
            Field::new("points", DataType::Int32, true),
        ];
        let schema = Arc::new(Schema::new(fields.to_vec()));
        let plan = UpsertPlan::new(&schema, vec![0], &[0, 2], schema.clone()).unwrap();
        assert_eq!(plan.store("users.rows").format, "rows key(id i64) -> #2 place str, #3 points i32");
        let keys: [ArrayRef; 1] = [Arc::new(Int64Array::from(vec![7]))];
        let mut key = vec![];
        plan.key.encoder(&keys).unwrap().encode(0, &mut key);
        assert_eq!(key, [1, 0x80, 0, 0, 0, 0, 0, 0, 7]);
        let values: [ArrayRef; 2] =
            [Arc::new(StringArray::from(vec!["sea"])), Arc::new(Int32Array::from(vec![None]))];
        let mut value = vec![];
        plan.row.encoder(1, &values).unwrap().encode(0, &mut value);
        assert_eq!(value, [1, 2, 3, b's', b'e', b'a']);
    }
}
