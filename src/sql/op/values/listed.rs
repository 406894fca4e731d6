//! What is computed of all values of a group: lists, texts, and what lies in the middle of values.
//!
//! Owns the way from values in their order to an answer. Knows no batch. Invariants: a value counts as often as it is there, or once if the
//! call is DISTINCT; the answer follows from the values alone, whatever came first; of a median, the keys of one group are in memory at a
//! time, and two values of it are decoded.

use super::Pace;
use crate::{
    error::{Error, Result},
    record::varint::put_varint,
    sql::{
        agg::{AggregateCall, AggregateFunction},
        op::{Aggregation, exchange::failed, value_call::ValueCall, weights::weight_of},
        rows::KeyDecoder,
    },
    state::{RowIndex, View},
};
use arrow::{
    array::{
        Array, ArrayRef, AsArray, Decimal128Array, Float32Array, Float64Array, ListArray, StringBuilder,
        UInt32Array,
    },
    buffer::{NullBuffer, OffsetBuffer},
    compute::take,
    datatypes::{DataType, Decimal128Type, Float32Type, Float64Type},
};
use std::sync::Arc;

/// Puts what calls give of all values in its place among the columns of the values of all calls, of groups whose values have keys that
/// begin with these prefixes.
pub(in crate::sql::op) fn fill(
    of: &Aggregation,
    pace: &Pace,
    values: &RowIndex,
    view: View,
    prefixes: &[Vec<u8>],
    columns: &mut [ArrayRef],
) -> Result {
    let mut bytes = 0;
    for value_call in of.value_calls() {
        let call = &of.calls()[value_call.number];
        if !call.function.is_of_all_values() {
            continue;
        }
        let mut sorted: Vec<(Vec<u8>, u32)> = (0..)
            .zip(prefixes)
            .map(|(row, prefix)| {
                let mut prefix = prefix.clone();
                put_varint(&mut prefix, value_call.number as u64);
                (prefix, row)
            })
            .collect();
        sorted.sort_unstable();
        let answers = answers(call, value_call, values, view, &sorted)?;
        bytes += answers.get_array_memory_size();
        let mut places = vec![0_u32; sorted.len()];
        (0..).zip(&sorted).for_each(|(place, (_, row))| places[*row as usize] = place);
        columns[value_call.number] =
            take(&answers, &UInt32Array::from(places), None).map_err(|e| failed(&e))?;
    }
    pace.took(bytes);
    Ok(())
}

/// The answers of groups in the order of their prefixes.
fn answers(
    call: &AggregateCall,
    value_call: &ValueCall,
    values: &RowIndex,
    view: View,
    sorted: &[(Vec<u8>, u32)],
) -> Result<ArrayRef> {
    let prefixes: Vec<&[u8]> = sorted.iter().map(|(prefix, _)| &prefix[..]).collect();
    let decoder = value_call.key.decoder(prefixes.len())?;
    let is_distinct = call.is_distinct;
    let copies = |value: &[u8]| -> Result<u64> {
        let weight = weight_of(Some(value))?;
        Ok(if is_distinct { 1 } else { u64::try_from(weight).unwrap_or(0) })
    };
    match call.function {
        AggregateFunction::ArrayAgg | AggregateFunction::CollectList | AggregateFunction::StringAgg => {
            let mut lists = Lists { decoder, counts: vec![0; prefixes.len()], copies: vec![] };
            values.visit_prefixes(view, &prefixes, &mut |group, key, value| {
                lists.push(group, &key[prefixes[group].len()..], copies(value)?)?;
                Ok(true)
            })?;
            if call.function == AggregateFunction::StringAgg { lists.texts(call) } else { lists.lists(call) }
        }
        _ => {
            let (fraction, function) = (call.details.parameter.fraction(), call.function);
            let mut middles = Middles { decoder, at: vec![], values: 0, keys: Keys::default() };
            let mut now = 0;
            values.visit_prefixes(view, &prefixes, &mut |group, key, value| {
                while now < group {
                    middles.end_group(function, fraction)?;
                    now += 1;
                }
                middles.keys.push(&key[prefixes[group].len()..], copies(value)?);
                Ok(true)
            })?;
            for _ in now..prefixes.len() {
                middles.end_group(function, fraction)?;
            }
            middles.answers(call)
        }
    }
}

/// The values of groups, one group after the other.
struct Lists {
    decoder: KeyDecoder,
    /// How many values each group has.
    counts: Vec<usize>,
    /// How often each different value is there.
    copies: Vec<u64>,
}

impl Lists {
    fn push(&mut self, group: usize, key: &[u8], copies: u64) -> Result {
        self.decoder.push(key)?;
        self.copies.push(copies);
        let count = usize::try_from(copies).ok().and_then(|copies| self.counts[group].checked_add(copies));
        self.counts[group] = count.ok_or_else(too_long)?;
        Ok(())
    }

    /// All values, each as often as it is there.
    fn values(&mut self) -> Result<ArrayRef> {
        let values = last(&mut self.decoder)?;
        if self.copies.iter().all(|copies| *copies == 1) {
            return Ok(values);
        }
        let all: usize = self.counts.iter().sum();
        // Offsets of lists are of 31 bits.
        if i32::try_from(all).is_err() {
            return Err(too_long());
        }
        let mut rows = Vec::with_capacity(all);
        for (row, copies) in (0_u32..).zip(&self.copies) {
            rows.extend((0..*copies).map(|_| row));
        }
        take(&values, &UInt32Array::from(rows), None).map_err(|e| failed(&e))
    }

    fn lists(mut self, call: &AggregateCall) -> Result<ArrayRef> {
        let DataType::List(item) = &call.data_type else { return Err(other_type(call)) };
        let values = self.values()?;
        let lengths = self.counts.iter().copied();
        let all: usize = lengths.clone().sum();
        if i32::try_from(all).is_err() {
            return Err(too_long());
        }
        let is_null_if_empty = call.function == AggregateFunction::ArrayAgg;
        let is_there: NullBuffer = lengths.clone().map(|length| length > 0 || !is_null_if_empty).collect();
        let list =
            ListArray::try_new(item.clone(), OffsetBuffer::from_lengths(lengths), values, Some(is_there));
        Ok(Arc::new(list.map_err(|e| failed(&e))?))
    }

    fn texts(mut self, call: &AggregateCall) -> Result<ArrayRef> {
        let values = last(&mut self.decoder)?;
        let values = values.as_string_opt::<i32>().ok_or_else(|| other_type(call))?;
        let separator = call.details.parameter.separator();
        let (mut texts, mut text, mut row) = (StringBuilder::new(), String::new(), 0);
        for count in &self.counts {
            text.clear();
            let mut left = *count;
            while left > 0 {
                let copies = usize::try_from(self.copies[row]).unwrap_or(usize::MAX);
                for copy in 0..copies {
                    if left < *count || copy > 0 {
                        text += separator;
                    }
                    text += values.value(row);
                }
                left -= copies.min(left);
                row += 1;
            }
            if text.len() > i32::MAX as usize - texts.values_slice().len() {
                return Err(too_long());
            }
            texts.append_option((*count > 0).then_some(&text));
        }
        Ok(Arc::new(texts.finish()))
    }
}

/// The keys of the values of a group.
#[derive(Default)]
struct Keys {
    bytes: Vec<u8>,
    /// Where each key ends, and how many values there are up to it.
    ends: Vec<(usize, u64)>,
}

impl Keys {
    fn push(&mut self, key: &[u8], copies: u64) {
        self.bytes.extend_from_slice(key);
        let before = self.count();
        self.ends.push((self.bytes.len(), before.saturating_add(copies)));
    }

    fn count(&self) -> u64 {
        self.ends.last().map_or(0, |(_, count)| *count)
    }

    /// The key of the value with this number, from 0 on.
    fn get(&self, number: u64) -> &[u8] {
        let at = self.ends.partition_point(|(_, count)| *count <= number).min(self.ends.len() - 1);
        let start = if at == 0 { 0 } else { self.ends[at - 1].0 };
        &self.bytes[start..self.ends[at].0]
    }
}

/// What lies in the middle of the values of groups.
struct Middles {
    decoder: KeyDecoder,
    /// For each group the two values that its answer lies between, and how far it is from the first to the second.
    at: Vec<Option<(u32, u32, f64)>>,
    /// How many values were decoded.
    values: u32,
    keys: Keys,
}

impl Middles {
    fn end_group(&mut self, function: AggregateFunction, fraction: f64) -> Result {
        let count = self.keys.count();
        if count == 0 {
            self.at.push(None);
            return Ok(());
        }
        let (lower, upper, weight) = between(function, fraction, count);
        self.decoder.push(self.keys.get(lower))?;
        self.decoder.push(self.keys.get(upper))?;
        self.at.push(Some((self.values, self.values + 1, weight)));
        self.values += 2;
        self.keys.bytes.clear();
        self.keys.ends.clear();
        Ok(())
    }

    fn answers(mut self, call: &AggregateCall) -> Result<ArrayRef> {
        let values = last(&mut self.decoder)?;
        let at = self.at.iter();
        if call.function == AggregateFunction::PercentileDisc {
            let rows: UInt32Array = at.map(|at| at.map(|(lower, ..)| lower)).collect();
            return take(&values, &rows, None).map_err(|e| failed(&e));
        }
        let is_median = call.function == AggregateFunction::Median;
        let of = |(lower, upper, weight): (f64, f64, f64)| lower + (upper - lower) * weight;
        macro_rules! each {
            ($values:expr, $mean:expr) => {{
                let values = $values;
                at.map(|at| {
                    at.map(|(lower, upper, weight)| {
                        let (lower, upper) = (values.value(lower as usize), values.value(upper as usize));
                        $mean(lower, upper, weight)
                    })
                })
                .collect()
            }};
        }
        #[allow(clippy::cast_possible_truncation, reason = "it lies between two numbers of the type")]
        Ok(match values.data_type() {
            DataType::Float64 => {
                let values = values.as_primitive::<Float64Type>();
                let mean = |lower: f64, upper: f64, weight: f64| match (is_median, weight == 0.0) {
                    (_, true) => lower,
                    (true, false) => f64::midpoint(lower, upper),
                    (false, false) => of((lower, upper, weight)),
                };
                let answers: Float64Array = each!(values, mean);
                Arc::new(answers)
            }
            DataType::Float32 => {
                let values = values.as_primitive::<Float32Type>();
                let mean = |lower: f32, upper: f32, weight: f64| match (is_median, weight == 0.0) {
                    (_, true) => lower,
                    (true, false) => f32::midpoint(lower, upper),
                    (false, false) => of((f64::from(lower), f64::from(upper), weight)) as f32,
                };
                let answers: Float32Array = each!(values, mean);
                Arc::new(answers)
            }
            DataType::Decimal128(..) if is_median => {
                let values = values.as_primitive::<Decimal128Type>();
                let answers: Decimal128Array = each!(values, |lower, upper, _| i128::midpoint(lower, upper));
                Arc::new(answers.with_data_type(call.data_type.clone()))
            }
            _ => return Err(other_type(call)),
        })
    }
}

/// Of so many values in their order, the numbers of the two that the answer lies between, and how far it is from the first to the second.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a fraction of a number is not greater than it"
)]
fn between(function: AggregateFunction, fraction: f64, count: u64) -> (u64, u64, f64) {
    let last = count - 1;
    match function {
        AggregateFunction::Median => {
            let upper = count / 2;
            if count.is_multiple_of(2) { (upper - 1, upper, 0.5) } else { (upper, upper, 0.0) }
        }
        AggregateFunction::PercentileDisc => {
            let number = ((fraction * count as f64).ceil() as u64).saturating_sub(1).min(last);
            (number, number, 0.0)
        }
        _ => {
            let at = fraction * last as f64;
            let lower = (at.floor() as u64).min(last);
            let upper = (at.ceil() as u64).min(last);
            // To six digits, as batch engines do.
            let weight = ((at - lower as f64) * 1e6).floor() / 1e6;
            (lower, upper, if lower == upper { 0.0 } else { weight })
        }
    }
}

/// The last column of keys, which is the value.
fn last(decoder: &mut KeyDecoder) -> Result<ArrayRef> {
    decoder.finish()?.pop().ok_or_else(|| Error::Codec("a key without a value".into()))
}

fn too_long() -> Error {
    Error::Codec("the values of a group have more than 2 GiB; take fewer of them, by FILTER (WHERE ..) or by smaller groups".into())
}

fn other_type(call: &AggregateCall) -> Error {
    Error::Plan(format!("`{}` cannot be of type {}; this is a bug in the plan", call.name, call.data_type))
}

#[cfg(test)]
mod tests {
    use super::*;
    use AggregateFunction::{Median, PercentileCont, PercentileDisc};

    #[test]
    fn an_answer_lies_between_two_values() {
        assert_eq!(between(Median, 0.5, 1), (0, 0, 0.0));
        assert_eq!(between(Median, 0.5, 4), (1, 2, 0.5));
        assert_eq!(between(Median, 0.5, 5), (2, 2, 0.0));
        assert_eq!(between(PercentileCont, 0.0, 5), (0, 0, 0.0));
        assert_eq!(between(PercentileCont, 1.0, 5), (4, 4, 0.0));
        assert_eq!(between(PercentileCont, 0.5, 4), (1, 2, 0.5));
        assert_eq!(between(PercentileCont, 0.1, 6), (0, 1, 0.5));
        assert_eq!(between(PercentileDisc, 0.0, 4), (0, 0, 0.0));
        assert_eq!(between(PercentileDisc, 0.5, 4), (1, 1, 0.0));
        assert_eq!(between(PercentileDisc, 0.51, 4), (2, 2, 0.0));
        assert_eq!(between(PercentileDisc, 1.0, 4), (3, 3, 0.0));
    }

    #[test]
    fn keys_are_found_by_the_number_of_their_value() {
        let mut keys = Keys::default();
        keys.push(b"a", 2);
        keys.push(b"bc", 1);
        assert_eq!(keys.count(), 3);
        assert_eq!([0, 1, 2].map(|number| keys.get(number)), [&b"a"[..], b"a", b"bc"]);
    }
}
