//! One row of each key: the first one that comes.
//!
//! Owns which keys have had a row. Knows no text. Invariants: a row that has left is never taken back; of the rows of a key that come in one
//! batch the least one passes, by its time if it has one and then by its columns from left to right, however the batch is cut. If keys
//! expire, rows that the watermark had passed before the batch are late, and a key is forgotten in the batch in which the watermark passes
//! its expiry.

use crate::{
    error::{Error, Result},
    operator::{Context, Operator, Port},
    record::{Chunk, Map},
    sql::{
        Delta, Payload,
        op::{
            exchange::{batch, stamped},
            window::{Closing, WindowMarks, time_bytes, times_ms},
        },
        rows::{ColumnId, KeyFormat, RowColumn, RowFormat, quoted, type_name},
    },
    state::{Handle, Placement, RowIndex, RowTable, StoreSpec},
};
use arrow::{
    array::{Array, ArrayRef, Int64Array},
    datatypes::{DataType, SchemaRef},
};
use std::sync::Arc;

/// Rows that leave in one chunk, and keys that are forgotten in one go.
const ROWS_PER_CHUNK: usize = 4_096;

/// When a key is forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// The column of event time.
    pub time: usize,
    /// How long after the time of the row that has passed, milliseconds. If the time is a part of the key it may be 0: a later
    /// row of that key is late anyway.
    pub after_ms: i64,
}

/// What is deduplicated, and how.
#[derive(Clone, Debug)]
pub struct DeduplicatePlan {
    schema: SchemaRef,
    keys: Vec<usize>,
    key: KeyFormat,
    expiry: Option<Expiry>,
    /// All columns, the time first if keys expire.
    row_columns: Vec<usize>,
    row: KeyFormat,
    /// For each column its place in the row's key.
    at: Vec<usize>,
    until: RowFormat,
}

impl DeduplicatePlan {
    /// Rows of `schema`, one for each value of the columns `keys`.
    ///
    /// # Errors
    /// [`Error::Plan`] if a column cannot be part of a key.
    pub fn new(schema: &SchemaRef, keys: Vec<usize>, expiry: Option<Expiry>) -> Result<Self> {
        let time = expiry.map(|expiry| expiry.time);
        let rest = (0..schema.fields().len()).filter(|column| Some(*column) != time);
        let row_columns: Vec<usize> = time.into_iter().chain(rest).collect();
        let at = |column| row_columns.iter().position(|other| *other == column).unwrap_or_default();
        let until = RowColumn { id: ColumnId(1), name: "until_ms".into(), data_type: DataType::Int64 };
        let types = |columns: &[usize]| {
            KeyFormat::new(columns.iter().map(|column| schema.field(*column).data_type()))
        };
        Ok(DeduplicatePlan {
            key: types(&keys)?,
            row: types(&row_columns)?,
            at: (0..schema.fields().len()).map(at).collect(),
            until: RowFormat::new([until])?,
            schema: schema.clone(),
            keys,
            expiry,
            row_columns,
        })
    }

    /// The stores: of keys, and if they expire of the order in which they do.
    #[must_use]
    pub fn stores(&self, name: &str) -> Vec<StoreSpec> {
        let column = |at: &usize| {
            let field = self.schema.field(*at);
            format!("{} {}", quoted(field.name()), type_name(field.data_type()).unwrap_or_default())
        };
        let keys = self.keys.iter().map(column).collect::<Vec<_>>().join(", ");
        let mut stores = vec![RowTable::spec(name, &format!("key({keys}) -> {}", self.until))];
        if self.expiry.is_some() {
            let store = RowIndex::spec(format!("{name}.expiry"), &format!("key(until, {keys}) -> nothing"));
            stores.push(store.placed(Placement::KeyAfterTime));
        }
        stores
    }
}

/// Lets the first row of each key pass.
pub struct Deduplicate {
    plan: Arc<DeduplicatePlan>,
    keys: Handle<RowTable>,
    /// If keys expire: the order in which they do, and how far event time is.
    expiry: Option<(Handle<RowIndex>, Closing)>,
    /// The least row of each key of the batch, and the greatest timestamp of its rows.
    first: Map<Box<[u8]>, (Vec<u8>, i64)>,
    held_bytes: usize,
    ending: Option<Ending>,
}

/// While the batch ends.
struct Ending {
    /// Keys that have not been looked at yet.
    from: usize,
    marks: Option<WindowMarks>,
}

impl Deduplicate {
    /// Keeps keys in the store `keys`. If they expire, `expiry` has the store of that order and how it closes.
    #[must_use]
    pub fn new(
        plan: Arc<DeduplicatePlan>,
        keys: Handle<RowTable>,
        expiry: Option<(Handle<RowIndex>, Closing)>,
    ) -> Self {
        Deduplicate { plan, keys, expiry, first: Map::default(), held_bytes: 0, ending: None }
    }

    /// A part of the keys of the batch: those that are new get their row.
    fn pass(&self, from: usize, cx: &mut Context<'_>) -> Result<usize> {
        let to = self.first.len().min(from + ROWS_PER_CHUNK);
        let some = || self.first.iter().skip(from).take(to - from);
        let table = cx.stores.open(self.keys);
        let mut places = vec![];
        table.touch(some().map(|(key, _)| &key[..]), &mut places)?;
        let (mut rows, mut stamps, mut news) = (vec![], vec![], vec![]);
        for ((key, (row, stamp_ms)), place) in some().zip(&places) {
            if table.new_value(*place as usize).is_none() {
                rows.push(&row[..]);
                stamps.push(*stamp_ms);
                news.push((&key[..], *place as usize));
            }
        }
        if rows.is_empty() {
            return Ok(to);
        }
        let mut decoder = self.plan.row.decoder(rows.len())?;
        rows.iter().try_for_each(|row| decoder.push(row))?;
        let columns = decoder.finish()?;
        let columns: Vec<ArrayRef> = self.plan.at.iter().map(|at| columns[*at].clone()).collect();
        let until: Int64Array = match self.plan.expiry {
            None => std::iter::repeat_n(None, rows.len()).collect(),
            Some(Expiry { time, after_ms }) => {
                // A row at a time is late when the watermark is behind it.
                let until = |ms: i64| ms.saturating_add(after_ms.max(1));
                times_ms(&columns[time])?.unary(until)
            }
        };
        let until: ArrayRef = Arc::new(until);
        let values = [until.clone()];
        let encoder = self.plan.until.encoder(table.formats().present(), &values)?;
        let mut value = vec![];
        for (at, (_, place)) in news.iter().enumerate() {
            value.clear();
            encoder.encode(at, &mut value);
            table.put(*place, &value);
        }
        if let Some((order, _)) = &self.expiry {
            let order = cx.stores.open(*order);
            let until = arrow::array::AsArray::as_primitive::<arrow::datatypes::Int64Type>(&until);
            for (at, (key, _)) in news.iter().enumerate() {
                order.put(&[&time_bytes(until.value(at))[..], key].concat(), &[]);
            }
        }
        let delta = Delta::added(batch(&self.plan.schema, columns, rows.len())?);
        cx.out.chunk(stamped(delta, &stamps));
        Ok(to)
    }

    /// Forgets a part of the keys that have expired; returns whether some are left.
    fn forget(&self, order: Handle<RowIndex>, watermark: i64, cx: &mut Context<'_>) -> Result<bool> {
        let (keys, order) = cx.stores.open2(self.keys, order);
        let (mut expired, mut is_left): (Vec<Vec<u8>>, _) = (vec![], false);
        order.visit_range(&[], &time_bytes(watermark.saturating_add(1)), &mut |key, _| {
            is_left = expired.len() == ROWS_PER_CHUNK;
            if !is_left {
                expired.push(key.to_vec());
            }
            Ok(!is_left)
        })?;
        let mut places = vec![];
        keys.touch(expired.iter().map(|key| &key[8..]), &mut places)?;
        for (key, place) in expired.iter().zip(places) {
            order.delete(key);
            keys.delete(place as usize);
        }
        Ok(is_left)
    }
}

impl Operator for Deduplicate {
    fn process(&mut self, _: Port, input: Chunk, cx: &mut Context<'_>) -> Result {
        let (payload, mut stamps) = input.take_stamped::<Payload>();
        let mut delta = match payload {
            Payload::Rows(delta) => delta,
            Payload::Marks(marks) => {
                if let Some((_, closing)) = &mut self.expiry {
                    closing.heard(marks);
                }
                return Ok(());
            }
        };
        if let (Some((_, closing)), Some(Expiry { time, .. })) = (&mut self.expiry, self.plan.expiry) {
            let times = times_ms(delta.rows.column(time))?;
            if times.null_count() > 0 {
                let name = self.plan.schema.field(time).name();
                return Err(Error::Row(format!(
                    "the event time `{name}` is NULL, so its key would never expire"
                )));
            }
            let ends = times.unary(|ms: i64| ms.saturating_add(1));
            (delta, stamps) = closing.in_time(delta, stamps, &ends, cx)?;
        }
        let columns =
            |of: &[usize]| of.iter().map(|at| delta.rows.column(*at).clone()).collect::<Vec<ArrayRef>>();
        let (keys, rows) = (columns(&self.plan.keys), columns(&self.plan.row_columns));
        let (keys, rows) = (self.plan.key.encoder(&keys)?, self.plan.row.encoder(&rows)?);
        let (mut stamps, mut key, mut row) = (stamps.each(), vec![], vec![]);
        for number in 0..delta.rows.num_rows() {
            key.clear();
            row.clear();
            keys.encode(number, &mut key);
            rows.encode(number, &mut row);
            let stamp_ms = stamps.next_ms();
            if let Some((least, newest_ms)) = self.first.get_mut(&key[..]) {
                *newest_ms = stamp_ms.max(*newest_ms);
                if row < *least {
                    least.clone_from(&row);
                }
            } else {
                self.held_bytes += key.len() + row.len() + size_of::<(Box<[u8]>, Vec<u8>, i64)>();
                self.first.insert(key.as_slice().into(), (row.clone(), stamp_ms));
            }
        }
        Ok(())
    }

    fn end_batch(&mut self, cx: &mut Context<'_>) -> Result {
        let mut ending = if let Some(ending) = self.ending.take() {
            ending
        } else {
            let marks = self.expiry.as_mut().map(|(_, closing)| closing.advance(cx)).transpose()?;
            Ending { from: 0, marks }
        };
        if ending.from < self.first.len() {
            ending.from = self.pass(ending.from, cx)?;
            self.ending = Some(ending);
            return Ok(());
        }
        if let (Some((order, _)), Some(marks)) = (&self.expiry, &ending.marks)
            && let Some(watermark) = marks.time.get()
            && self.forget(*order, watermark, cx)?
        {
            self.ending = Some(ending);
            return Ok(());
        }
        self.first.clear();
        self.held_bytes = 0;
        match (&mut self.expiry, ending.marks) {
            (Some((_, closing)), Some(marks)) => closing.done(marks, cx),
            _ => Ok(()),
        }
    }

    fn has_more(&self) -> bool {
        self.ending.is_some()
    }

    fn held_bytes(&self) -> usize {
        self.held_bytes
    }
}
