//! What the ids in records mean to a codec.
//!
//! Owns the schemas in the form that the codec works with. Knows no record but its frame. Invariants: an id is asked for once and then
//! known for ever; one that the registry denies is asked for again, so that it may still be registered; what is remembered of such
//! ids is bounded.

use super::frame;
use crate::{
    error::{Error, Result},
    record::{RawChunk, RawRecord},
    registry::{RecordPart, Registry, Schema, SchemaKey, denies},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, PoisonError, RwLock},
};

/// Most ids that are remembered as bad.
const BAD_MAX: usize = 10_000;

/// A schema in the form of a codec, or why there is none.
pub(crate) type Found<S> = Result<Arc<S>, Arc<str>>;

/// What is made of a schema.
type Parse<S> = Box<dyn Fn(&Schema) -> Result<S, String> + Send + Sync>;

pub(crate) struct Lookup<S> {
    registry: Registry,
    /// Of which part of records.
    part: RecordPart,
    parse: Parse<S>,
    known: RwLock<Known<S>>,
}

struct Known<S> {
    schemas: BTreeMap<SchemaKey, Arc<S>>,
    bad: BTreeMap<SchemaKey, Bad>,
}

#[derive(Clone)]
struct Bad {
    reason: Arc<str>,
    /// The registry may have it later; otherwise it has one that we cannot use.
    is_denied: bool,
}

impl<S> Lookup<S> {
    /// Of the schemas of this part of records; `parse` makes of them what the codec works with.
    pub fn new(
        registry: &Registry,
        part: RecordPart,
        parse: impl Fn(&Schema) -> Result<S, String> + Send + Sync + 'static,
    ) -> Self {
        let known = Known { schemas: BTreeMap::new(), bad: BTreeMap::new() };
        Lookup { registry: registry.clone(), part, parse: Box::new(parse), known: RwLock::new(known) }
    }

    /// The schema of a record's part, the part without its prefix, and how long that is.
    ///
    /// # Errors
    /// Why there is none.
    #[cfg(any(feature = "avro", feature = "json-schema"))]
    #[inline]
    pub fn split<'r>(&self, record: &RawRecord<'r>) -> Result<(SchemaKey, &'r [u8], usize), String> {
        frame::split(record, self.part)
    }

    /// The same, where the record says which message of the schema it is.
    ///
    /// # Errors
    /// Why it does not.
    #[cfg(feature = "protobuf")]
    #[inline]
    pub fn split_message<'r>(&self, record: &RawRecord<'r>) -> Result<frame::FramedMessage<'r>, String> {
        frame::split_message(record, self.part)
    }

    /// Gets all schemas that these records need and that are not known.
    ///
    /// # Errors
    /// If one cannot be had now.
    pub fn prepare(&self, raw: &RawChunk) -> Result {
        let (mut asked, mut last) = (BTreeSet::new(), None);
        for record in raw.iter() {
            let Ok(key) = frame::key(&record, self.part) else { continue };
            if last == Some(key) || !asked.insert(key) {
                continue;
            }
            last = Some(key);
            if self.is_settled(key) {
                continue;
            }
            let asked = self.ask(key).map_err(|e| match e {
                Error::Unreachable { target, step, cause, next } => {
                    let cause =
                        format!("{cause}; the record at offset {} waits for schema {key}", record.offset);
                    Error::Unreachable { target, step, cause, next }
                }
                other => other,
            });
            drop(asked?); // a schema that is denied makes bad records
        }
        Ok(())
    }

    fn is_settled(&self, key: SchemaKey) -> bool {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.schemas.contains_key(&key) || known.bad.get(&key).is_some_and(|bad| !bad.is_denied)
    }

    /// # Errors
    /// If it cannot be had now.
    fn ask(&self, key: SchemaKey) -> Result<Found<S>> {
        let bad = match self.registry.schema(key) {
            Ok(schema) => match (self.parse)(&schema) {
                Ok(parsed) => {
                    let parsed = Arc::new(parsed);
                    let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
                    known.bad.remove(&key);
                    known.schemas.insert(key, parsed.clone());
                    return Ok(Ok(parsed));
                }
                Err(why) => {
                    Bad { reason: format!("schema {key} of the registry: {why}").into(), is_denied: false }
                }
            },
            // A registry that knows no globally unique ids answers like any server.
            Err(e)
                if denies(&e)
                    || matches!((key, &e), (SchemaKey::Guid(_), Error::Registry { status: 404, .. })) =>
            {
                let reason = format!("schema {key}: {}", one_line(&e));
                Bad { reason: reason.into(), is_denied: true }
            }
            // What the registry has, but nobody can use, is not waited for.
            Err(e @ Error::Codec(_)) => Bad { reason: format!("schema {key}: {e}").into(), is_denied: false },
            Err(e) => return Err(e),
        };
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.bad.len() >= BAD_MAX {
            known.bad.clear();
        }
        known.bad.insert(key, bad.clone());
        Ok(Err(bad.reason))
    }

    /// The schema of an id. It is asked for only if nobody has prepared the record.
    pub fn get(&self, key: SchemaKey) -> Found<S> {
        {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(schema) = known.schemas.get(&key) {
                return Ok(schema.clone());
            }
            if let Some(bad) = known.bad.get(&key) {
                return Err(bad.reason.clone());
            }
        }
        self.ask(key).unwrap_or_else(|e| Err(format!("schema {key} cannot be had: {}", one_line(&e)).into()))
    }

    /// Decodes one record after the other with `one`: the schema, the value without prefix, how long the prefix is.
    #[cfg(any(feature = "avro", feature = "json-schema"))]
    pub fn each<'r, T>(
        &self,
        mut one: impl FnMut(SchemaKey, &S, &'r [u8], usize) -> Result<T, String>,
    ) -> impl FnMut(RawRecord<'r>) -> Result<T, String> {
        let mut last: Option<(SchemaKey, Found<S>)> = None;
        move |record| {
            let (key, body, prefix_len) = self.split(&record)?;
            if last.as_ref().is_none_or(|(of, _)| *of != key) {
                last = Some((key, self.get(key)));
            }
            match &last {
                Some((_, Ok(schema))) => one(key, schema, body, prefix_len),
                Some((_, Err(reason))) => Err(reason.to_string()),
                None => Err(format!("schema {key} was not looked up")),
            }
        }
    }
}

/// A reason without the next step, which is for people who start programs.
fn one_line(error: &Error) -> String {
    let text = error.to_string();
    text.lines().next().unwrap_or_default().to_owned()
}
