//! Values of JSON as columns.
//!
//! Owns which value has which type. Knows no grammar. Invariants: a value that is not of the type is NULL; a list or map with one that is not is
//! NULL as a whole, and so is one in a row; a row has the fields that fit.

use super::tree::Node;
use arrow::{
    array::{
        Array, ArrayRef, BinaryArray, BooleanArray, Int64Array, ListArray, MapArray, NullArray, StringArray,
        StructArray,
    },
    buffer::{NullBuffer, OffsetBuffer},
    compute::{CastOptions, cast_with_options},
    datatypes::{DataType, FieldRef, Fields},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use datafusion_common::{Result as PlanResult, exec_err};
use std::{borrow::Cow, sync::Arc};

type Cells<'n, 't> = [Option<&'n Node<'t>>];

/// The columns of texts: a row for each that is not NULL or blank.
pub fn of_texts(texts: &StringArray, data_type: &DataType) -> PlanResult<ArrayRef> {
    let is_there = |text: Option<&str>| text.is_some_and(|text| !text.trim_ascii().is_empty());
    let nodes: Vec<Option<Node<'_>>> =
        texts.iter().map(|text| text.filter(|_| is_there(text)).and_then(Node::parse)).collect();
    let cells: Vec<Option<&Node<'_>>> = nodes.iter().map(Option::as_ref).collect();
    match data_type {
        DataType::Struct(fields) => {
            // What is no object is a row of NULLs.
            let are_there: Vec<bool> = texts.iter().map(is_there).collect();
            row(&cells, fields, are_there)
        }
        other => column(&cells, other),
    }
}

/// A column of these values.
fn column(cells: &Cells<'_, '_>, data_type: &DataType) -> PlanResult<ArrayRef> {
    match data_type {
        DataType::Struct(fields) => {
            row(cells, fields, cells.iter().map(|cell| matches!(cell, Some(Node::Object(_)))).collect())
        }
        DataType::List(item) => list(cells, item),
        DataType::Map(entries, is_sorted) => map(cells, entries, *is_sorted),
        DataType::Utf8 => {
            Ok(Arc::new(cells.iter().map(|cell| cell.and_then(Node::text)).collect::<StringArray>()))
        }
        DataType::Boolean => {
            let value = |cell: Option<&Node<'_>>| match cell {
                Some(Node::Boolean(value)) => Some(*value),
                _ => None,
            };
            Ok(Arc::new(cells.iter().copied().map(value).collect::<BooleanArray>()))
        }
        DataType::Binary => {
            let value = |cell: Option<&Node<'_>>| match cell {
                Some(Node::Text(text)) => STANDARD.decode(text.as_bytes()).ok(),
                _ => None,
            };
            let values: Vec<Option<Vec<u8>>> = cells.iter().copied().map(value).collect();
            Ok(Arc::new(BinaryArray::from_iter(values)))
        }
        DataType::Null => Ok(Arc::new(NullArray::new(cells.len()))),
        integer if integer.is_integer() => {
            let value = |cell: Option<&Node<'_>>| match cell {
                Some(Node::Number(number)) => number.parse::<i64>().ok(),
                _ => None,
            };
            converted(
                &(Arc::new(cells.iter().copied().map(value).collect::<Int64Array>()) as ArrayRef),
                data_type,
            )
        }
        other => {
            let texts = cells.iter().map(|cell| cell.and_then(|node| scalar(node, other)));
            converted(&(Arc::new(texts.collect::<StringArray>()) as ArrayRef), other)
        }
    }
}

/// The text of a value that is converted.
fn scalar<'n>(node: &'n Node<'_>, data_type: &DataType) -> Option<Cow<'n, str>> {
    match (node, data_type) {
        // Only what is none of these is a number between quotes.
        (Node::Text(text), DataType::Float32 | DataType::Float64) => {
            let is_special =
                ["NaN", "Infinity", "+INF", "INF", "-INF", "-Infinity", "+Infinity"].contains(&&**text);
            is_special.then(|| Cow::Owned(text.replace("INF", "Infinity")))
        }
        (Node::Number(number), DataType::Timestamp(..)) => {
            let seconds = chrono::DateTime::from_timestamp(number.parse().ok()?, 0)?;
            Some(Cow::Owned(seconds.to_rfc3339()))
        }
        (Node::Text(text), DataType::Date32) => {
            Some(Cow::Borrowed(text.split(['T', ' ']).next().unwrap_or_default()))
        }
        (Node::Number(_), DataType::Date32) | (Node::Boolean(_), _) => None,
        (Node::Text(text), _) => Some(Cow::Borrowed(text)),
        (Node::Number(number), _) => Some(Cow::Borrowed(number)),
        _ => None,
    }
}

/// The values in another type, or NULL.
fn converted(values: &ArrayRef, data_type: &DataType) -> PlanResult<ArrayRef> {
    Ok(cast_with_options(values, data_type, &CastOptions { safe: true, ..CastOptions::default() })?)
}

fn row(cells: &Cells<'_, '_>, fields: &Fields, are_there: Vec<bool>) -> PlanResult<ArrayRef> {
    let of_field = |field: &FieldRef| {
        let values: Vec<_> =
            cells.iter().map(|cell| cell.and_then(|node| node.field(field.name()))).collect();
        column(&values, field.data_type())
    };
    let columns = fields.iter().map(of_field).collect::<PlanResult<Vec<_>>>()?;
    Ok(Arc::new(StructArray::try_new_with_length(
        fields.clone(),
        columns,
        Some(NullBuffer::from(are_there)),
        cells.len(),
    )?))
}

/// Items of lists, one behind the other, and which of them is whose.
struct Items<'n, 't> {
    nodes: Vec<Option<&'n Node<'t>>>,
    lengths: Vec<usize>,
    are_there: Vec<bool>,
}

impl<'n, 't> Items<'n, 't> {
    fn new(cells: &Cells<'n, 't>, items: impl Fn(&'n Node<'t>) -> Option<Vec<&'n Node<'t>>>) -> Self {
        let mut all = Items { nodes: vec![], lengths: vec![], are_there: vec![] };
        for cell in cells {
            let items = cell.and_then(&items);
            all.are_there.push(items.is_some());
            let before = all.nodes.len();
            all.nodes.extend(items.into_iter().flatten().map(Some));
            all.lengths.push(all.nodes.len() - before);
        }
        all
    }

    /// The values; a list of which one is not of the type is not there.
    fn values(&mut self, data_type: &DataType) -> PlanResult<ArrayRef> {
        let values = column(&self.nodes, data_type)?;
        let mut at = 0;
        for (length, is_there) in self.lengths.iter().zip(&mut self.are_there) {
            let fits = |at: usize| values.is_valid(at) || matches!(self.nodes[at], Some(Node::Null));
            *is_there = *is_there && (at..at + length).all(fits);
            at += length;
        }
        Ok(values)
    }

    fn offsets(&self) -> OffsetBuffer<i32> {
        OffsetBuffer::from_lengths(self.lengths.iter().copied())
    }

    fn nulls(self) -> NullBuffer {
        NullBuffer::from(self.are_there)
    }
}

fn list(cells: &Cells<'_, '_>, item: &FieldRef) -> PlanResult<ArrayRef> {
    let mut items = Items::new(cells, |node| match node {
        Node::List(items) => Some(items.iter().collect()),
        _ => None,
    });
    let values = items.values(item.data_type())?;
    Ok(Arc::new(ListArray::try_new(item.clone(), items.offsets(), values, Some(items.nulls()))?))
}

fn map(cells: &Cells<'_, '_>, entries: &FieldRef, is_sorted: bool) -> PlanResult<ArrayRef> {
    let DataType::Struct(fields) = entries.data_type() else { return exec_err!("a map without entries") };
    if fields.len() != 2 || *fields[0].data_type() != DataType::Utf8 {
        return exec_err!("keys of a map are strings in JSON");
    }
    let mut items = Items::new(cells, |node| match node {
        Node::Object(fields) => Some(fields.iter().map(|(_, value)| value).collect()),
        _ => None,
    });
    let names = cells.iter().flat_map(|cell| match cell {
        Some(Node::Object(fields)) => fields.iter().map(|(name, _)| Some(&**name)).collect(),
        _ => vec![],
    });
    let names = Arc::new(names.collect::<StringArray>());
    let values = items.values(fields[1].data_type())?;
    let of_entries = StructArray::try_new(fields.clone(), vec![names, values], None)?;
    Ok(Arc::new(MapArray::try_new(
        entries.clone(),
        items.offsets(),
        of_entries,
        Some(items.nulls()),
        is_sorted,
    )?))
}
