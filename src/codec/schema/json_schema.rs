//! JSON that a JSON Schema checks.
//!
//! Knows no topic. Invariants: what is not valid is not read, and is not written; a schema fetches nothing but what the registry
//! has under its references.

use super::{
    frame::{self, PREFIX_LEN},
    from_file,
    lookup::Lookup,
    not_json, shortened,
};
use crate::{
    codec::{BadRecord, Decode, Encode, Json, decode_each, null},
    error::{Error, Result},
    record::{Data, RawChunk},
    registry::{RecordPart, Registry, Schema, SchemaId, SchemaKey, SchemaKind, Subject},
};
use boon::{CompileError, Compiler, ErrorKind, SchemaIndex, Schemas as Compiled, UrlLoader, ValidationError};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::{cell::RefCell, fmt, path::Path, sync::Arc};

/// References without a host are relative to this.
const BASE: &str = "json-schema:///";
/// The name of the schema itself among them.
const ROOT: &str = "json-schema:///schema";

/// A JSON Schema (drafts 4 to 2020-12), from its text or a file. A `format` is not checked, unless the draft says so.
///
/// ```
/// use tidegate::codec::JsonSchema;
/// assert!(JsonSchema::parse(r#"{"type":"object","required":["id"]}"#).is_ok());
/// assert!(JsonSchema::parse(r#"{"type":"objekt"}"#).is_err());
/// ```
#[derive(Clone)]
pub struct JsonSchema {
    of: Arc<Parts>,
}

struct Parts {
    registered: Schema,
    compiled: Compiled,
    root: SchemaIndex,
}

impl JsonSchema {
    /// A schema from its text.
    ///
    /// # Errors
    /// [`Error::Config`] with the place in the text, or with what is wrong with the schema.
    pub fn parse(text: &str) -> Result<JsonSchema> {
        Self::of(&Schema::new(SchemaKind::Json, text))
            .map_err(|why| Error::Config(format!("JSON Schema: {why}")))
    }

    /// A schema from a file.
    ///
    /// ```
    /// use tidegate::codec::JsonSchema;
    /// let error = JsonSchema::from_file("no/such/file.json").unwrap_err();
    /// assert!(error.to_string().contains("no/such/file.json"));
    /// ```
    ///
    /// # Errors
    /// If it cannot be read; as [`parse`](Self::parse), with the file.
    pub fn from_file(path: impl AsRef<Path>) -> Result<JsonSchema> {
        from_file(path.as_ref(), |text| Self::of(&Schema::new(SchemaKind::Json, text)))
    }

    /// # Errors
    /// Why it cannot be used.
    fn of(schema: &Schema) -> Result<JsonSchema, String> {
        if schema.kind() != SchemaKind::Json {
            return Err(format!("it is a schema of the kind {}, not a JSON Schema", schema.kind()));
        }
        let (compiled, root) = compile(schema.text(), schema.parts())?;
        Ok(JsonSchema { of: Arc::new(Parts { registered: schema.clone(), compiled, root }) })
    }

    /// # Errors
    /// The first part that is not valid, and why.
    fn check(&self, document: &Value) -> Result<(), String> {
        self.of.compiled.validate(document, self.of.root).map_err(|e| {
            let first = first(&e);
            let place = first.instance_location.to_string();
            let place = if place.is_empty() { "the document".to_owned() } else { format!("`{place}`") };
            shortened(&format!("{place}: {}", told(first)))
        })
    }
}

/// A schema with what it refers to.
///
/// # Errors
/// Why it cannot be used.
fn compile(text: &str, parts: &[(String, String)]) -> Result<(Compiled, SchemaIndex), String> {
    let invalid = |e: CompileError| shortened(&format!("not a valid schema: {}", reason(&e)));
    let document: Value = serde_json::from_str(text).map_err(|e| not_json(&e))?;
    let mut compiler = Compiler::new();
    compiler.use_loader(Box::new(NothingElse));
    for (name, text) in parts {
        let part: Value = serde_json::from_str(text).map_err(|e| format!("`{name}`: {}", not_json(&e)))?;
        for place in places(&document, name) {
            compiler.add_resource(&place, part.clone()).map_err(invalid)?;
        }
    }
    compiler.add_resource(ROOT, document).map_err(invalid)?;
    let mut compiled = Compiled::new();
    let root = compiler.compile(ROOT, &mut compiled).map_err(invalid)?;
    Ok((compiled, root))
}

/// The addresses that a reference with this name may resolve to: a name without a scheme is relative to the schema, which may
/// say where it is.
fn places(document: &Value, name: &str) -> Vec<String> {
    if name.contains(':') {
        return vec![name.to_owned()];
    }
    let name = name.trim_start_matches('/');
    let id = document.get("$id").or_else(|| document.get("id")).and_then(Value::as_str);
    let beside = id.filter(|id| id.contains(':')).and_then(|id| id.rsplit_once('/'));
    let bases = [Some(BASE.to_owned()), beside.map(|(folder, _)| format!("{folder}/"))];
    bases.into_iter().flatten().map(|base| base + name).collect()
}

/// The first error that says something of its own: others only hold it.
fn first<'e, 's, 'v>(error: &'e ValidationError<'s, 'v>) -> &'e ValidationError<'s, 'v> {
    let mut error = error;
    while let (
        ErrorKind::Group | ErrorKind::Schema { .. } | ErrorKind::Reference { .. } | ErrorKind::AllOf,
        Some(cause),
    ) = (&error.kind, error.causes.first())
    {
        error = cause;
    }
    error
}

/// What an error says; where there are alternatives, also why the first is none.
fn told(error: &ValidationError<'_, '_>) -> String {
    let alternative = match (&error.kind, error.causes.first()) {
        (ErrorKind::AnyOf | ErrorKind::OneOf(None), Some(alternative)) => first(alternative),
        _ => return error.kind.to_string(),
    };
    let (outer, inner) = (error.instance_location.to_string(), alternative.instance_location.to_string());
    let place = if inner == outer { String::new() } else { format!("`{inner}`: ") };
    format!("{}: {place}{}", error.kind, told(alternative))
}

/// Why a schema cannot be used, without the name that it has only here.
fn reason(error: &CompileError) -> String {
    match error {
        CompileError::ValidationError { src, .. } => {
            let first = first(src);
            format!("`{}`: {}", first.instance_location, told(first))
        }
        CompileError::LoadUrlError { src, .. } => src.to_string(),
        other => other.to_string().replace(ROOT, "the schema"),
    }
}

/// What a schema refers to is given with it: nothing is fetched, neither from hosts nor from files.
struct NothingElse;

impl UrlLoader for NothingElse {
    fn load(&self, url: &str) -> Result<Value, Box<dyn std::error::Error>> {
        Err(format!("`{url}` is not among the references that the schema is registered with").into())
    }
}

impl fmt::Debug for JsonSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JsonSchema({})", self.of.registered.text())
    }
}

/// Reads values in JSON that are valid by their schema. What is valid and does not fit into the row is a bad record, too.
///
/// ```
/// use serde::Deserialize;
/// use tidegate::{
///     BadRecordPolicy, SourceOptions, StreamingContext,
///     codec::{JsonSchema, JsonSchemaReader},
///     testing::Driver,
/// };
///
/// #[derive(Clone, Deserialize)]
/// struct Reading {
///     level: f64,
/// }
///
/// // Without a registry: all records have this schema.
/// let schema = JsonSchema::parse(r#"{"type":"object","properties":{"level":{"type":"number","minimum":0}},"required":["level"]}"#)?;
/// let mut driver = Driver::new(move |ssc: &StreamingContext| {
///     let options = SourceOptions::topic("readings").on_bad_record(BadRecordPolicy::Skip);
///     let readings = ssc.source::<Reading>(options, JsonSchemaReader::unframed(schema.clone()));
///     readings.map(|reading| reading.level * 2.0).print();
/// });
/// let written = driver.batch("readings 0 | - | {\"level\":1.5}\nreadings 0 | - | {\"level\":-1}\n")?;
/// assert_eq!(written.to_string(), "console | 3.0\n");
/// # Ok::<(), tidegate::Error>(())
/// ```
#[derive(Clone)]
pub struct JsonSchemaReader {
    schemas: Schemas,
}

#[derive(Clone)]
enum Schemas {
    ById(Arc<Lookup<JsonSchema>>),
    One(JsonSchema),
}

impl JsonSchemaReader {
    /// Reads values that name their schema in a registry: in five bytes before the value, or in a header.
    ///
    /// ```no_run
    /// use tidegate::{codec::JsonSchemaReader, registry::{Registry, RegistryConfig}};
    /// let registry = Registry::connect(&RegistryConfig::new("http://127.0.0.1:8081"))?;
    /// let reader = JsonSchemaReader::new(&registry);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[must_use]
    pub fn new(registry: &Registry) -> JsonSchemaReader {
        JsonSchemaReader {
            schemas: Schemas::ById(Arc::new(Lookup::new(registry, RecordPart::Value, JsonSchema::of))),
        }
    }

    /// Reads values that name no schema, and all have this one.
    #[must_use]
    pub fn unframed(schema: JsonSchema) -> JsonSchemaReader {
        JsonSchemaReader { schemas: Schemas::One(schema) }
    }
}

impl<T: Data + DeserializeOwned> Decode<T> for JsonSchemaReader {
    fn decode(&self, raw: &RawChunk, good: &mut Vec<T>, bad: &mut Vec<BadRecord>) {
        match &self.schemas {
            Schemas::ById(lookup) => {
                let one = RefCell::new(lookup.each(|key, schema, body, _| read(schema, Some(key), body)));
                decode_each(raw, good, bad, |index| (one.borrow_mut())(raw.get(index)));
            }
            Schemas::One(schema) => decode_each(raw, good, bad, |index| {
                read(schema, None, raw.get(index).value.ok_or_else(|| null("value"))?)
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

fn read<T: DeserializeOwned>(schema: &JsonSchema, key: Option<SchemaKey>, body: &[u8]) -> Result<T, String> {
    let document: Value = serde_json::from_slice(body).map_err(|e| format!("not JSON: {e}"))?;
    schema.check(&document).map_err(|why| match key {
        Some(key) => format!("not valid by schema {key} of the registry: {why}"),
        None => format!("not valid by its schema: {why}"),
    })?;
    T::deserialize(&document).or_else(|_| {
        // Once more, to say where.
        let error = match serde_path_to_error::deserialize::<_, T>(&document) {
            Ok(row) => return Ok(row),
            Err(error) => error,
        };
        Err(shortened(&format!("valid, but not the expected row: `{}`: {}", error.path(), error.inner())))
    })
}

/// Writes values in JSON that are valid by a schema; others are bad records.
///
/// ```
/// use tidegate::codec::{Encode, JsonSchema, JsonSchemaWriter};
/// let schema = JsonSchema::parse(r#"{"type":"array","maxItems":2}"#)?;
/// let writer = JsonSchemaWriter::unframed(schema);
/// let mut out = vec![];
/// assert!(writer.encode(&[1, 2], &mut out)?);
/// assert_eq!(out, b"[1,2]");
/// assert!(writer.encode(&[1, 2, 3], &mut out).is_err());
/// # Ok::<(), tidegate::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct JsonSchemaWriter {
    schema: JsonSchema,
    prefix: Option<[u8; PREFIX_LEN]>,
}

impl JsonSchemaWriter {
    /// Registers the schema under the subject, here and now, and writes values with its id before them.
    ///
    /// ```no_run
    /// use tidegate::{codec::{JsonSchema, JsonSchemaWriter}, registry::{Registry, RegistryConfig, Subject}};
    /// let registry = Registry::connect(&RegistryConfig::new("http://127.0.0.1:8081"))?;
    /// let schema = JsonSchema::from_file("schemas/alert.schema.json")?;
    /// let writer = JsonSchemaWriter::register(&registry, &Subject::new("alerts-value"), &schema)?;
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Registry::register`].
    pub fn register(registry: &Registry, subject: &Subject, schema: &JsonSchema) -> Result<JsonSchemaWriter> {
        let id = registry.register(subject, &schema.of.registered)?;
        Ok(Self::framed(schema.clone(), id))
    }

    /// Writes values with the newest schema of the subject; registers nothing.
    ///
    /// # Errors
    /// Those of [`Registry::latest`]; [`Error::Config`] if it is no JSON Schema.
    pub fn latest(registry: &Registry, subject: &Subject) -> Result<JsonSchemaWriter> {
        let (id, schema) = registry.latest(subject)?;
        let schema = JsonSchema::of(&schema)
            .map_err(|why| Error::Config(format!("the newest schema of subject `{subject}`: {why}")))?;
        Ok(Self::framed(schema, id))
    }

    fn framed(schema: JsonSchema, id: SchemaId) -> JsonSchemaWriter {
        JsonSchemaWriter { schema, prefix: Some(frame::prefix(id)) }
    }

    /// Writes values alone; whoever reads them knows the schema.
    #[must_use]
    pub fn unframed(schema: JsonSchema) -> JsonSchemaWriter {
        JsonSchemaWriter { schema, prefix: None }
    }
}

impl<T: Serialize> Encode<T> for JsonSchemaWriter {
    fn encode(&self, value: &T, out: &mut Vec<u8>) -> Result<bool> {
        let before = out.len();
        out.extend_from_slice(self.prefix.as_ref().map_or(&[], |prefix| &prefix[..]));
        let begin = out.len();
        if !Json.encode(value, out)? {
            out.truncate(before);
            return Ok(false);
        }
        let document = serde_json::from_slice(&out[begin..])
            .map_err(|e| Error::Codec(format!("what was written is not JSON: {e}")))?;
        self.schema
            .check(&document)
            .map_err(|why| Error::Codec(format!("the value is not valid by its JSON Schema: {why}")))?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::RawChunkBuilder;
    use serde::Deserialize;

    const READING: &str = r#"{"type":"object","required":["id","level"],
        "properties":{"id":{"type":"integer"},"level":{"type":"number","minimum":0,"maximum":10}}}"#;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Reading {
        id: u8,
        level: f64,
    }

    #[test]
    fn a_value_is_read_only_if_it_is_valid_and_fits() {
        let values: [(&str, &str); 6] = [
            (r#"{"id":1,"level":2.5,"more":true}"#, ""),
            (r#"{"id":1,"level":11}"#, "not valid by its schema: `/level`: must be <=10, but got 11"),
            (r#"{"id":1}"#, "the document: missing properties 'level'"),
            (r#"{"id":"#, "not JSON: EOF while parsing a value at line 1 column 6"),
            (
                r#"{"id":300,"level":1}"#,
                "valid, but not the expected row: `id`: invalid value: integer `300`",
            ),
            (r#"{"id":1,"level":1} x"#, "not JSON: trailing characters at line 1 column 20"),
        ];
        let mut records = RawChunkBuilder::default();
        for (value, _) in values {
            let write = |out: &mut Vec<u8>| {
                out.extend(value.as_bytes());
                Ok::<_, ()>(true)
            };
            records.push_with(0, None, write).unwrap();
        }
        let (mut good, mut bad): (Vec<Reading>, _) = (vec![], vec![]);
        let reader = JsonSchemaReader::unframed(JsonSchema::parse(READING).unwrap());
        reader.decode(&records.build(), &mut good, &mut bad);
        assert_eq!(good, [Reading { id: 1, level: 2.5 }]);
        for (bad, (_, told)) in bad.iter().zip(&values[1..]) {
            assert!(bad.reason.contains(told), "{}", bad.reason);
        }
        assert_eq!(bad.len(), 5);
    }

    #[test]
    fn only_valid_values_are_written_and_nulls_stay_nulls() {
        let writer = JsonSchemaWriter::framed(JsonSchema::parse(READING).unwrap(), SchemaId(7));
        let mut out = vec![];
        assert!(writer.encode(&Reading { id: 1, level: 10.0 }, &mut out).unwrap());
        assert_eq!(out, b"\0\0\0\0\x07{\"id\":1,\"level\":10.0}");
        let told = writer.encode(&Reading { id: 1, level: -1.0 }, &mut vec![]).unwrap_err().to_string();
        assert!(told.contains("`/level`"), "{told}");
        let told = writer.encode(&Reading { id: 1, level: f64::NAN }, &mut vec![]).unwrap_err().to_string();
        assert!(told.contains("JSON has no number"), "{told}");
        out.clear();
        assert!(!writer.encode(&None::<Reading>, &mut out).unwrap() && out.is_empty());
    }

    #[test]
    fn references_are_relative_to_where_the_schema_says_that_it_is() {
        for id in ["", r#""$id":"https://example.com/all/reading.json","#, r#""$id":"urn:example:reading","#]
        {
            let text = format!(
                "{{{id}\"properties\":{{\"level\":{{\"$ref\":\"{}\"}}}}}}",
                if id.contains("urn") { "json-schema:///least.json" } else { "least.json" }
            );
            let (compiled, root) =
                compile(&text, &[("least.json".to_owned(), r#"{"minimum":0}"#.to_owned())]).unwrap();
            assert!(compiled.validate(&serde_json::json!({"level": 0}), root).is_ok(), "{id}");
            assert!(compiled.validate(&serde_json::json!({"level": -1}), root).is_err(), "{id}");
        }
    }

    #[test]
    fn where_there_are_alternatives_it_is_told_why_the_first_is_none() {
        let schema = JsonSchema::parse(
            r#"{"properties":{"unit":{"anyOf":[{"enum":["m","cm"]},{"properties":{"name":{"type":"string"}},"type":"object"}]}}}"#,
        );
        let told = schema.unwrap().check(&serde_json::json!({"unit": "mm"})).unwrap_err();
        assert_eq!(told, "`/unit`: anyOf failed: value must be one of 'm', 'cm'");
        let told = JsonSchema::parse(r#"{"type":"strang"}"#).unwrap_err().to_string();
        assert!(told.contains("`/type`: anyOf failed: value must be one of 'array'"), "{told}");
    }

    #[test]
    fn what_a_schema_refers_to_is_never_fetched() {
        let told = JsonSchema::parse(r#"{"$ref":"http://127.0.0.1:1/other.json"}"#).unwrap_err().to_string();
        assert!(told.contains("not a valid schema"), "{told}");
        let told = JsonSchema::parse(r#"{"$ref":"file:///etc/hostname"}"#).unwrap_err().to_string();
        assert!(told.contains("not among the references"), "{told}");
        let told = JsonSchema::parse("{\n \"type\" 1}").unwrap_err().to_string();
        assert!(told.contains("2:9: not JSON"), "{told}");
    }
}
