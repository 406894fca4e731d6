//! Messages of Protobuf as values.
//!
//! Knows no topic. Invariant: whatever the bytes are, one record is one message or one bad record.

use super::{
    indexes,
    schema::{ProtobufFile, ProtobufSchema},
};
use crate::{
    codec::{
        BadRecord, Decode, Encode, decode_each, null,
        schema::{frame, lookup::Lookup, shortened},
    },
    error::{Error, Result},
    record::{Data, RawChunk, RawRecord},
    registry::{RecordPart, Registry, SchemaId, SchemaKey, Subject},
};
use prost::Message;
use prost_reflect::{DynamicMessage, MessageDescriptor};
use std::{cell::RefCell, fmt, sync::Arc};

/// Reads values in Protobuf into messages that [`prost`](https://docs.rs/prost/0.14) knows.
///
/// Fields go into the message by their numbers; those that the type has not are skipped.
///
/// ```
/// use tidegate::{SourceOptions, StreamingContext, codec::ProtobufReader, testing::Driver};
///
/// #[derive(Clone, PartialEq, prost::Message)]
/// struct Order {
///     #[prost(int64, tag = "1")]
///     id: i64,
///     #[prost(string, optional, tag = "2")]
///     note: Option<String>,
/// }
///
/// let mut driver = Driver::new(|ssc: &StreamingContext| {
///     let orders = ssc.source::<Order>(SourceOptions::topic("orders"), ProtobufReader::unframed());
///     orders.map(|order| (order.id, order.note.unwrap_or_default())).print();
/// });
/// let written = driver.batch("orders 0 | - | \u{8}\u{7}\u{12}\u{3}new\n")?; // 1: 7, 2: "new"
/// assert_eq!(written.to_string(), "console | (7,new)\n");
/// # Ok::<(), tidegate::Error>(())
/// ```
#[derive(Clone)]
pub struct ProtobufReader {
    schemas: Option<Registered>,
}

impl ProtobufReader {
    /// Reads values that name their schema in a registry, as its serializers write them: before the value, or in a header. They must be
    /// messages of this full name; a record that is another message is bad.
    ///
    /// ```no_run
    /// use prost::Name;
    /// use tidegate::{Config, SourceOptions, StreamingContext, codec::ProtobufReader, registry::{Registry, RegistryConfig}};
    /// # #[derive(Clone, PartialEq, prost::Message)]
    /// # struct Order { #[prost(int64, tag = "1")] id: i64 }
    /// # impl Name for Order { const NAME: &'static str = "Order"; const PACKAGE: &'static str = "shop"; }
    /// let registry = Registry::connect(&RegistryConfig::new("http://127.0.0.1:8081"))?;
    /// let ssc = StreamingContext::new(Config::new("orders", "127.0.0.1:9092"));
    /// let reader = ProtobufReader::new(&registry, &Order::full_name()); // "shop.Order"
    /// let orders = ssc.source::<Order>(SourceOptions::topic("orders"), reader);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[must_use]
    pub fn new(registry: &Registry, message: &str) -> ProtobufReader {
        ProtobufReader { schemas: Some(Registered::new(registry, Some(message))) }
    }

    /// Reads values that name no schema.
    #[must_use]
    pub fn unframed() -> ProtobufReader {
        ProtobufReader { schemas: None }
    }
}

impl<T: Data + Message + Default> Decode<T> for ProtobufReader {
    fn decode(&self, raw: &RawChunk, good: &mut Vec<T>, bad: &mut Vec<BadRecord>) {
        match &self.schemas {
            Some(registered) => {
                let one = RefCell::new(registered.each(|message, key, body| {
                    T::decode(body).map_err(|e| not_a(message.full_name(), Some(key), &e))
                }));
                decode_each(raw, good, bad, |index| (one.borrow_mut())(raw.get(index)));
            }
            None => decode_each(raw, good, bad, |index| {
                let body = raw.get(index).value.ok_or_else(|| null("value"))?;
                T::decode(body)
                    .map_err(|e| shortened(&format!("not a message of the type that is read: {e}")))
            }),
        }
    }

    fn prepare(&self, raw: &RawChunk) -> Result {
        self.schemas.as_ref().map_or(Ok(()), |registered| registered.lookup.prepare(raw))
    }

    fn prepares(&self) -> bool {
        self.schemas.is_some()
    }
}

/// Reads values in Protobuf into messages whose type is known only when the program runs.
///
/// ```
/// use tidegate::codec::{Decode, DynamicProtobufReader, ProtobufSchema};
/// use tidegate::record::RawChunkBuilder;
/// let text = r#"syntax = "proto3"; message Order { int64 id = 1; }"#;
/// let reader = DynamicProtobufReader::unframed(ProtobufSchema::parse(text, "Order")?);
/// let mut records = RawChunkBuilder::default();
/// records.push_with(0, None, |out| { out.extend([8, 7]); Ok::<_, tidegate::Error>(true) })?;
/// let (mut good, mut bad) = (vec![], vec![]);
/// reader.decode(&records.build(), &mut good, &mut bad);
/// assert_eq!(good[0].get_field_by_name("id").unwrap().as_i64(), Some(7));
/// # Ok::<(), tidegate::Error>(())
/// ```
#[derive(Clone)]
pub struct DynamicProtobufReader {
    schemas: Schemas,
}

#[derive(Clone)]
enum Schemas {
    Registered(Registered),
    One(ProtobufSchema),
}

impl DynamicProtobufReader {
    /// Reads values that name their schema and their message in a registry.
    #[must_use]
    pub fn new(registry: &Registry) -> DynamicProtobufReader {
        DynamicProtobufReader { schemas: Schemas::Registered(Registered::new(registry, None)) }
    }

    /// Reads values that name no schema, and are all of this message.
    #[must_use]
    pub fn unframed(schema: ProtobufSchema) -> DynamicProtobufReader {
        DynamicProtobufReader { schemas: Schemas::One(schema) }
    }
}

impl Decode<DynamicMessage> for DynamicProtobufReader {
    fn decode(&self, raw: &RawChunk, good: &mut Vec<DynamicMessage>, bad: &mut Vec<BadRecord>) {
        match &self.schemas {
            Schemas::Registered(registered) => {
                let one = RefCell::new(registered.each(|message, key, body| {
                    DynamicMessage::decode(message.clone(), body)
                        .map_err(|e| not_a(message.full_name(), Some(key), &e))
                }));
                decode_each(raw, good, bad, |index| (one.borrow_mut())(raw.get(index)));
            }
            Schemas::One(schema) => decode_each(raw, good, bad, |index| {
                let body = raw.get(index).value.ok_or_else(|| null("value"))?;
                DynamicMessage::decode(schema.descriptor().clone(), body)
                    .map_err(|e| not_a(schema.name(), None, &e))
            }),
        }
    }

    fn prepare(&self, raw: &RawChunk) -> Result {
        match &self.schemas {
            Schemas::Registered(registered) => registered.lookup.prepare(raw),
            Schemas::One(_) => Ok(()),
        }
    }

    fn prepares(&self) -> bool {
        matches!(self.schemas, Schemas::Registered(_))
    }
}

fn not_a(message: &str, key: Option<SchemaKey>, error: &prost::DecodeError) -> String {
    let of = key.map_or_else(String::new, |key| format!(", schema {key} of the registry"));
    shortened(&format!("not a message `{message}`{of}: {error}"))
}

/// Values that name their schema, and which of its messages they are.
#[derive(Clone)]
struct Registered {
    lookup: Arc<Lookup<ProtobufFile>>,
    /// The message that they must be.
    name: Option<Arc<str>>,
}

impl Registered {
    fn new(registry: &Registry, name: Option<&str>) -> Self {
        let lookup = Arc::new(Lookup::new(registry, RecordPart::Value, ProtobufFile::of));
        Registered { lookup, name: name.map(Into::into) }
    }

    /// Decodes one record after the other with `one`: its message, its schema, and the message's bytes.
    fn each<'r, T>(
        &self,
        mut one: impl FnMut(&MessageDescriptor, SchemaKey, &'r [u8]) -> Result<T, String>,
    ) -> impl FnMut(RawRecord<'r>) -> Result<T, String> {
        let mut last: Option<(SchemaKey, Vec<u8>, Result<MessageDescriptor, String>)> = None;
        move |record| {
            let framed = self.lookup.split_message(&record)?;
            let (key, indexes) = (framed.key, framed.indexes);
            if last.as_ref().is_none_or(|(of, at, _)| (*of, &at[..]) != (key, indexes)) {
                let file = self.lookup.get(key).map_err(|reason| reason.to_string());
                let found = file.and_then(|file| {
                    file.message_called(indexes, self.name.as_deref())
                        .map_err(|why| format!("schema {key} of the registry: {why}"))
                });
                last = Some((key, indexes.to_vec(), found));
            }
            match &last {
                Some((_, _, Ok(message))) => one(message, key, framed.body),
                Some((_, _, Err(reason))) => Err(reason.clone()),
                None => Err(format!("schema {key} was not looked up")),
            }
        }
    }
}

/// Writes messages of Protobuf: those that [`prost`](https://docs.rs/prost/0.14) knows, and dynamic ones.
///
/// ```
/// use tidegate::codec::{Encode, ProtobufWriter};
/// #[derive(Clone, PartialEq, prost::Message)]
/// struct Order { #[prost(int64, tag = "1")] id: i64 }
/// let mut out = vec![];
/// ProtobufWriter::unframed().encode(&Order { id: 7 }, &mut out)?;
/// assert_eq!(out, [8, 7]);
/// # Ok::<(), tidegate::Error>(())
/// ```
#[derive(Clone)]
pub struct ProtobufWriter {
    /// The id of the schema, and which of its messages is written.
    prefix: Arc<[u8]>,
    name: Arc<str>,
}

impl ProtobufWriter {
    /// Registers the file of a message under the subject, here and now, and writes values with its id and the message's indexes before
    /// them. Files that it imports are registered under their paths.
    ///
    /// ```no_run
    /// use tidegate::{
    ///     codec::{ProtobufSchema, ProtobufWriter},
    ///     registry::{RecordPart, Registry, RegistryConfig, SubjectStrategy},
    /// };
    /// let registry = Registry::connect(&RegistryConfig::new("http://127.0.0.1:8081"))?;
    /// let schema = ProtobufSchema::from_file("protos/shop/order.proto", "shop.Order")?;
    /// let subject = SubjectStrategy::TopicName.subject("orders", RecordPart::Value, schema.name());
    /// let writer = ProtobufWriter::register(&registry, &subject, &schema)?;
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Config`] if the message came without a text; those of [`Registry::register`].
    pub fn register(
        registry: &Registry,
        subject: &Subject,
        schema: &ProtobufSchema,
    ) -> Result<ProtobufWriter> {
        let id = schema.register(registry, subject, true)?;
        Ok(Self::framed(id, &schema.indexes(), schema.name()))
    }

    /// Writes values with the newest schema of the subject, as messages of this full name; registers nothing.
    ///
    /// # Errors
    /// Those of [`Registry::latest`]; [`Error::Config`] if it is no schema in Protobuf, or has no such message.
    pub fn latest(registry: &Registry, subject: &Subject, message: &str) -> Result<ProtobufWriter> {
        let (id, schema) = registry.latest(subject)?;
        let found = ProtobufFile::of(&schema).and_then(|file| {
            let found = file.message_by_name(message)?;
            if file.defines(&found) {
                Ok(indexes::of(&found))
            } else {
                Err(format!("`{message}` is a message of a file that it imports"))
            }
        });
        match found {
            Ok(indexes) => Ok(Self::framed(id, &indexes, message)),
            Err(why) => Err(Error::Config(format!("the newest schema of subject `{subject}`: {why}"))),
        }
    }

    /// Writes values alone; whoever reads them knows the message.
    #[must_use]
    pub fn unframed() -> ProtobufWriter {
        ProtobufWriter { prefix: [].into(), name: "message".into() }
    }

    fn framed(id: SchemaId, indexes: &[u8], name: &str) -> ProtobufWriter {
        ProtobufWriter { prefix: [&frame::prefix(id)[..], indexes].concat().into(), name: name.into() }
    }
}

impl fmt::Debug for ProtobufWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProtobufWriter({})", self.name)
    }
}

impl<T: Message> Encode<T> for ProtobufWriter {
    fn encode(&self, value: &T, out: &mut Vec<u8>) -> Result<bool> {
        out.extend_from_slice(&self.prefix);
        value
            .encode(out)
            .map_err(|e| Error::Codec(format!("the value has no form as a message `{}`: {e}", self.name)))?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        codec::Pairs,
        record::{RawChunk, RawChunkBuilder},
    };

    #[derive(Clone, PartialEq, Message)]
    struct Order {
        #[prost(int64, tag = "1")]
        id: i64,
        #[prost(string, optional, tag = "2")]
        note: Option<String>,
    }

    const ORDER: &str = r#"syntax = "proto3"; message Order { int64 id = 1; optional string note = 2; }"#;

    fn chunk(records: &[(&[u8], Option<&[u8]>)]) -> RawChunk {
        let mut all = RawChunkBuilder::default();
        for (key, value) in records {
            let write = |out: &mut Vec<u8>| {
                out.extend(value.unwrap_or_default());
                Ok::<_, ()>(value.is_some())
            };
            all.push_with(0, Some(key), write).unwrap();
        }
        all.build()
    }

    #[test]
    fn keys_and_values_are_messages_and_poison_costs_only_itself() {
        let order = Order { id: 300, note: Some("é".into()) };
        let mut bytes = vec![];
        ProtobufWriter::unframed().encode(&order, &mut bytes).unwrap();
        assert_eq!(bytes, b"\x08\xac\x02\x12\x02\xc3\xa9");
        let records = chunk(&[
            (b"\x08\x01", Some(&bytes)),
            (b"\x08\x01", Some(b"\x12\x02\xc3\x28")),
            (b"\x08", Some(&bytes)),
            (b"", None),
            (b"", Some(b"")),
        ]);
        let codec = Pairs(ProtobufReader::unframed(), ProtobufReader::unframed());
        let (mut good, mut bad): (Vec<(Order, Order)>, _) = (vec![], vec![]);
        codec.decode(&records, &mut good, &mut bad);
        let key = |id| Order { id, note: None };
        assert_eq!(good, [(key(1), order), (key(0), key(0))]);
        let told: Vec<(usize, &str)> = bad.iter().map(|bad| (bad.index, &bad.reason[..])).collect();
        assert_eq!(told.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [1, 2, 3]);
        assert!(told[0].1.contains("Order.note"), "{told:?}");
        assert!(told[1].1.starts_with("key: not a message"), "{told:?}");
        assert_eq!(told[2].1, null("value"));
    }

    #[test]
    fn a_dynamic_message_is_written_as_it_was_read() {
        let schema = ProtobufSchema::parse(ORDER, "Order").unwrap();
        let bytes = b"\x08\xac\x02\x12\x00";
        let reader = DynamicProtobufReader::unframed(schema);
        let (mut good, mut bad) = (vec![], vec![]);
        reader.decode(&chunk(&[(b"", Some(bytes)), (b"", Some(b"\x08"))]), &mut good, &mut bad);
        assert_eq!((good.len(), bad.len()), (1, 1));
        assert!(bad[0].reason.starts_with("not a message `Order`: "), "{}", bad[0].reason);
        let mut out = vec![];
        ProtobufWriter::unframed().encode(&good[0], &mut out).unwrap();
        assert_eq!(out, bytes);
    }
}
