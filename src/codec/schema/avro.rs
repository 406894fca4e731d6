//! Values in Avro.
//!
//! Knows no topic. Invariants: a value is read with the schema that it was written with, and becomes a row by the names of its
//! fields; whatever the bytes are, one record is one row or one bad record, and says where.

use super::{
    avro_schema::AvroSchema,
    frame::{self, PREFIX_LEN},
    lookup::Lookup,
};
use crate::{
    codec::{BadRecord, Decode, Encode, decode_each, null},
    error::{Error, Result},
    record::{Data, RawChunk},
    registry::{RecordPart, Registry, SchemaId, SchemaKey, Subject},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_avro_fast::{
    de::{DeserializerConfig, DeserializerState, read::SliceRead},
    ser::SerializerConfig,
    to_datum,
};
use std::{cell::RefCell, io, sync::Arc};

/// A sequence may have so many items whatever the length of the record: items may take no bytes.
const ITEMS_MIN: usize = 1_000;

/// Reads values in Avro, each with the schema that it was written with.
///
/// Fields go into the row by their names. So a row whose type has a field that older writers did not have, gives it a default
/// (`#[serde(default)]`); one that was renamed has the old name as `#[serde(alias = "..")]`; what the type does not have is skipped.
///
/// ```
/// use serde::Deserialize;
/// use tidegate::{SourceOptions, StreamingContext, codec::{AvroReader, AvroSchema}, testing::Driver};
///
/// #[derive(Clone, Deserialize)]
/// struct Order {
///     id: i64,
///     #[serde(alias = "user")] // its name in older records
///     customer: String,
///     #[serde(default)]
///     note: Option<String>,
/// }
///
/// // Without a registry: all records have this schema.
/// let schema = AvroSchema::parse(
///     r#"{"type":"record","name":"Order","fields":[{"name":"id","type":"long"},{"name":"user","type":"string"}]}"#,
/// )?;
/// let mut driver = Driver::new(move |ssc: &StreamingContext| {
///     let orders = ssc.source::<Order>(SourceOptions::topic("orders"), AvroReader::unframed(schema.clone()));
///     orders.map(|order| (order.id, order.customer, order.note.is_some())).print();
/// });
/// let written = driver.batch("orders 0 | - | \u{2}\u{6}Ann\n")?; // 1, and three bytes of text
/// assert_eq!(written.to_string(), "console | (1,Ann,false)\n");
/// # Ok::<(), tidegate::Error>(())
/// ```
#[derive(Clone)]
pub struct AvroReader {
    schemas: Schemas,
}

#[derive(Clone)]
enum Schemas {
    ById(Arc<Lookup<AvroSchema>>),
    One(AvroSchema),
}

impl AvroReader {
    /// Reads values that name their schema in a registry, as its serializers write them: in five bytes before the value, or in a
    /// header.
    ///
    /// ```no_run
    /// use tidegate::{Config, SourceOptions, StreamingContext, codec::AvroReader, registry::{Registry, RegistryConfig}};
    /// # #[derive(Clone, serde::Deserialize)]
    /// # struct Order { id: i64 }
    /// let registry = Registry::connect(&RegistryConfig::new("http://127.0.0.1:8081"))?;
    /// let ssc = StreamingContext::new(Config::new("orders", "127.0.0.1:9092"));
    /// let orders = ssc.source::<Order>(SourceOptions::topic("orders"), AvroReader::new(&registry));
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[must_use]
    pub fn new(registry: &Registry) -> AvroReader {
        AvroReader {
            schemas: Schemas::ById(Arc::new(Lookup::new(registry, RecordPart::Value, AvroSchema::of))),
        }
    }

    /// Reads values that name no schema, and all have this one.
    #[must_use]
    pub fn unframed(schema: AvroSchema) -> AvroReader {
        AvroReader { schemas: Schemas::One(schema) }
    }
}

impl<T: Data + DeserializeOwned> Decode<T> for AvroReader {
    fn decode(&self, raw: &RawChunk, good: &mut Vec<T>, bad: &mut Vec<BadRecord>) {
        match &self.schemas {
            Schemas::ById(lookup) => {
                let one = RefCell::new(
                    lookup.each(|key, schema, body, prefix| read(schema, Some(key), body, prefix)),
                );
                decode_each(raw, good, bad, |index| (one.borrow_mut())(raw.get(index)));
            }
            Schemas::One(schema) => decode_each(raw, good, bad, |index| {
                let body = raw.get(index).value.ok_or_else(|| null("value"))?;
                read(schema, None, body, 0)
            }),
        }
    }

    fn prepare(&self, raw: &RawChunk) -> Result {
        match &self.schemas {
            Schemas::ById(lookup) => lookup.prepare(raw),
            Schemas::One(_) => Ok(()),
        }
    }

    fn prepares(&self) -> bool {
        matches!(self.schemas, Schemas::ById(_))
    }
}

fn state<'s, 'b>(schema: &'s AvroSchema, body: &'b [u8]) -> DeserializerState<'s, SliceRead<'b>> {
    let mut config = DeserializerConfig::new(schema.parsed());
    config.max_seq_size = body.len().max(ITEMS_MIN);
    DeserializerState::with_config(SliceRead::new(body), config)
}

/// How many bytes were not read.
fn left(state: DeserializerState<'_, SliceRead<'_>>) -> usize {
    let left = io::copy(&mut state.into_reader(), &mut io::sink()).unwrap_or(0);
    usize::try_from(left).unwrap_or(usize::MAX)
}

fn read<T: DeserializeOwned>(
    schema: &AvroSchema,
    key: Option<SchemaKey>,
    body: &[u8],
    prefix: usize,
) -> Result<T, String> {
    let mut first = state(schema, body);
    let what = || {
        let name = schema.name();
        key.map_or_else(|| format!("`{name}`"), |key| format!("`{name}`, schema {key} of the registry"))
    };
    if let Ok(row) = T::deserialize(first.deserializer()) {
        return match left(first) {
            0 => Ok(row),
            left => Err(format!(
                "{left} bytes are left behind a value of {}, from byte {} on",
                what(),
                prefix + body.len() - left
            )),
        };
    }
    // Once more, to say where.
    let mut again = state(schema, body);
    let Err(error) = serde_path_to_error::deserialize::<_, T>(again.deserializer()) else {
        return Err(format!("not a value of {}", what()));
    };
    let at = prefix + body.len() - left(again);
    let field = match error.path().to_string() {
        path if path == "." => String::new(),
        path => format!("field `{path}`, "),
    };
    Err(super::shortened(&format!("not a value of {}: {field}byte {at}: {}", what(), error.inner())))
}

/// Writes values in Avro.
///
/// ```
/// use tidegate::codec::{AvroReader, AvroSchema, AvroWriter, Decode, Encode};
/// use tidegate::record::RawChunkBuilder;
/// let schema = AvroSchema::parse("\"double\"")?;
/// let mut records = RawChunkBuilder::default();
/// let writer = AvroWriter::unframed(schema.clone());
/// records.push_with(0, None, |out| writer.encode(&1.5, out))?;
/// let (mut good, mut bad): (Vec<f64>, _) = (vec![], vec![]);
/// AvroReader::unframed(schema).decode(&records.build(), &mut good, &mut bad);
/// assert_eq!((good, bad.len()), (vec![1.5], 0));
/// # Ok::<(), tidegate::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct AvroWriter {
    schema: AvroSchema,
    prefix: Option<[u8; PREFIX_LEN]>,
}

impl AvroWriter {
    /// Registers the schema under the subject, here and now, and writes values with its id before them.
    ///
    /// ```no_run
    /// use tidegate::{
    ///     codec::{AvroSchema, AvroWriter},
    ///     registry::{RecordPart, Registry, RegistryConfig, SubjectStrategy},
    /// };
    /// let registry = Registry::connect(&RegistryConfig::new("http://127.0.0.1:8081"))?;
    /// let schema = AvroSchema::from_file("schemas/reading.avsc")?;
    /// let subject = SubjectStrategy::TopicName.subject("readings", RecordPart::Value, schema.name());
    /// let writer = AvroWriter::register(&registry, &subject, &schema)?;
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Registry::register`].
    pub fn register(registry: &Registry, subject: &Subject, schema: &AvroSchema) -> Result<AvroWriter> {
        let id = registry.register(subject, schema.registered())?;
        Ok(Self::framed(schema.clone(), id))
    }

    /// Writes values with the newest schema of the subject; registers nothing.
    ///
    /// ```no_run
    /// use tidegate::{codec::AvroWriter, registry::{Registry, RegistryConfig, Subject}};
    /// let registry = Registry::connect(&RegistryConfig::new("http://127.0.0.1:8081"))?;
    /// let writer = AvroWriter::latest(&registry, &Subject::new("readings-value"))?;
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Registry::latest`]; [`Error::Config`] if it is no schema in Avro.
    pub fn latest(registry: &Registry, subject: &Subject) -> Result<AvroWriter> {
        let (id, schema) = registry.latest(subject)?;
        let schema = AvroSchema::of(&schema)
            .map_err(|why| Error::Config(format!("the newest schema of subject `{subject}`: {why}")))?;
        Ok(Self::framed(schema, id))
    }

    fn framed(schema: AvroSchema, id: SchemaId) -> AvroWriter {
        AvroWriter { schema, prefix: Some(frame::prefix(id)) }
    }

    /// Writes values alone; whoever reads them knows the schema.
    #[must_use]
    pub fn unframed(schema: AvroSchema) -> AvroWriter {
        AvroWriter { schema, prefix: None }
    }
}

impl<T: Serialize> Encode<T> for AvroWriter {
    fn encode(&self, value: &T, out: &mut Vec<u8>) -> Result<bool> {
        out.extend_from_slice(self.prefix.as_ref().map_or(&[], |prefix| &prefix[..]));
        let mut config = SerializerConfig::new(self.schema.parsed());
        config.allow_slow_sequence_to_bytes();
        to_datum(value, &mut *out, &mut config).map_err(|e| {
            Error::Codec(format!("the value has no form in the Avro schema `{}`: {e}", self.schema.name()))
        })?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{RawChunkBuilder, Text};
    use proptest::prelude::*;
    use serde::Deserialize;
    use std::collections::BTreeMap;

    const OLD: &str = r#"{"type":"record","name":"Order","namespace":"shop","fields":[
        {"name":"id","type":"long"},{"name":"user","type":"string"},{"name":"price","type":"double"}]}"#;
    const NEW: &str = r#"{"type":"record","name":"Order","namespace":"shop","fields":[
        {"name":"note","type":["null","string"],"default":null},
        {"name":"price","type":"double"},{"name":"customer","type":"string"},{"name":"id","type":"long"},
        {"name":"kind","type":{"type":"enum","name":"Kind","symbols":["Small","Large"]},"default":"Small"},
        {"name":"lines","type":{"type":"array","items":"int"}},{"name":"tags","type":{"type":"map","values":"string"}}]}"#;

    #[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
    enum Kind {
        #[default]
        Small,
        Large,
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Order {
        id: i64,
        #[serde(alias = "user")]
        customer: Text,
        price: f64,
        #[serde(default)]
        note: Option<String>,
        #[serde(default)]
        kind: Kind,
        #[serde(default)]
        lines: Vec<i32>,
        #[serde(default)]
        tags: BTreeMap<String, String>,
    }

    #[derive(Serialize)]
    struct OldOrder {
        id: i64,
        user: &'static str,
        price: f64,
    }

    #[derive(Clone, Debug, PartialEq, Deserialize)]
    struct Narrow {
        price: f64,
    }

    #[derive(Debug, Deserialize)]
    struct Deep {
        #[allow(dead_code, reason = "only its depth matters")]
        next: Option<Box<Deep>>,
    }

    fn order() -> Order {
        Order {
            id: -7,
            customer: "Ann with a name that is not short".into(),
            price: 2.5,
            note: Some("soon".into()),
            kind: Kind::Large,
            lines: vec![1, -2],
            tags: BTreeMap::from([("a".to_owned(), "b".to_owned())]),
        }
    }

    fn bytes(schema: &str, value: &impl Serialize) -> Vec<u8> {
        let mut out = vec![];
        AvroWriter::unframed(AvroSchema::parse(schema).unwrap()).encode(value, &mut out).unwrap();
        out
    }

    fn decode(schema: &str, values: &[&[u8]]) -> (Vec<Order>, Vec<BadRecord>) {
        let mut records = RawChunkBuilder::default();
        for value in values {
            let write = |out: &mut Vec<u8>| {
                out.extend_from_slice(value);
                Ok::<_, ()>(true)
            };
            records.push_with(0, None, write).unwrap();
        }
        let (mut good, mut bad) = (vec![], vec![]);
        let reader = AvroReader::unframed(AvroSchema::parse(schema).unwrap());
        reader.decode(&records.build(), &mut good, &mut bad);
        (good, bad)
    }

    #[test]
    fn rows_come_back_and_older_ones_get_defaults_and_new_names() {
        let new = bytes(NEW, &order());
        assert_eq!(decode(NEW, &[&new]), (vec![order()], vec![]));
        let old = bytes(OLD, &OldOrder { id: 3, user: "Bob", price: 0.5 });
        let expected = Order {
            id: 3,
            customer: "Bob".into(),
            price: 0.5,
            note: None,
            kind: Kind::Small,
            lines: vec![],
            tags: BTreeMap::new(),
        };
        assert_eq!(decode(OLD, &[&old]), (vec![expected], vec![]));
        let (mut good, mut bad): (Vec<Narrow>, _) = (vec![], vec![]);
        let mut records = RawChunkBuilder::default();
        let write = |out: &mut Vec<u8>| {
            out.extend_from_slice(&new);
            Ok::<_, ()>(true)
        };
        records.push_with(0, None, write).unwrap();
        let reader = AvroReader::unframed(AvroSchema::parse(NEW).unwrap());
        reader.decode(&records.build(), &mut good, &mut bad);
        assert_eq!((good, bad), (vec![Narrow { price: 2.5 }], vec![]));
    }

    #[test]
    fn a_poison_record_anywhere_costs_only_itself_and_says_where() {
        let good = bytes(NEW, &order());
        let longer = [&good[..], &[1, 2, 3]].concat();
        let poisons: [(&[u8], &str); 5] = [
            (&good[..good.len() - 3], "field `tags"),
            (&longer, "3 bytes are left"),
            (b"", "byte 0"),
            (&[0xff; 12], "field `note`"),
            (&[2, 200, 1, b'x'], "field `note`, byte 3"),
        ];
        for (poison, told) in poisons {
            for place in 0..3 {
                let mut values = vec![&good[..]; 2];
                values.insert(place, poison);
                let (rows, bad) = decode(NEW, &values);
                assert_eq!(rows, [order(), order()], "{told}");
                assert_eq!(bad.len(), 1);
                let BadRecord { index, reason } = &bad[0];
                assert!(
                    *index == place && reason.contains(told) && reason.contains("`shop.Order`"),
                    "{reason}"
                );
            }
        }
    }

    #[test]
    fn sequences_without_an_end_are_refused_soon() {
        let schema = AvroSchema::parse(r#"{"type":"array","items":"null"}"#).unwrap();
        let endless = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]; // i64::MAX items of no bytes
        let told = read::<Vec<()>>(&schema, None, &endless, 0).unwrap_err();
        assert!(told.contains("not a value of `array`"), "{told}");
        let deep = r#"{"type":"record","name":"Deep","fields":[{"name":"next","type":["null","Deep"]}]}"#;
        assert!(read::<Deep>(&AvroSchema::parse(deep).unwrap(), None, &vec![2; 100_000], 0).is_err());
    }

    #[test]
    fn a_value_that_the_schema_has_no_place_for_is_an_error_and_so_is_a_schema_that_is_none() {
        let mut out = vec![];
        let writer = AvroWriter::unframed(AvroSchema::parse(OLD).unwrap());
        let error = writer.encode(&order(), &mut out).unwrap_err().to_string();
        assert!(error.contains("`shop.Order`"), "{error}");
        let wrong = |text: &str| AvroSchema::parse(text).unwrap_err().to_string();
        assert!(wrong("{").contains("1:1: not JSON"), "{}", wrong("{"));
        assert!(wrong(r#"{"type":"record","name":"A"}"#).contains("not a valid schema"));
        let missing = AvroSchema::from_file("no/such.avsc").unwrap_err().to_string();
        assert!(missing.contains("no/such.avsc"), "{missing}");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let schema = AvroSchema::parse(NEW).unwrap();
            if let Err(reason) = read::<Order>(&schema, None, &body, 5) {
                prop_assert!(reason.len() < 400 && reason.contains("`shop.Order`"));
            }
        }
    }
}
