//! One store's committed rows in a database: the bytes beneath a typed table.
//!
//! Owns the store's name, its id and the handle to the database. Knows no type and no staged change. Invariant: codec
//! errors name the store.

use super::{Backend, Placement, Store, StoreId, StoreSpec, VisitPrefixed, VisitRow, changelog};
use crate::{
    codec::{Stored, format_of, key_refusal, stored_format, value_refusal},
    error::{Error, Result},
    record::Value,
};
use std::sync::Arc;

/// The rows of one store, by encoded key.
#[derive(Clone)]
pub(super) struct Keyspace {
    name: Arc<str>,
    id: StoreId,
    backend: Arc<dyn Backend>,
}

impl Keyspace {
    pub fn new(name: impl Into<Arc<str>>, backend: Arc<dyn Backend>) -> Self {
        let name = name.into();
        Keyspace { id: StoreId::of(&name), name, backend }
    }

    /// Adds the store's name to an error.
    pub fn failed(&self) -> impl Fn(Error) -> Error + '_ {
        move |e| match e {
            Error::Codec(what) => Error::State(format!("store `{}`: {what}", self.name)),
            other => other,
        }
    }

    /// Looks up keys with one multi-get, like [`Backend::get_many`].
    pub fn get_many(&self, keys: &[&[u8]], visit: &mut dyn FnMut(usize, Option<&[u8]>) -> Result) -> Result {
        self.backend.get_many(self.id, keys, visit)
    }

    /// One key's row, read by `read`.
    pub fn get<T>(&self, key: &[u8], mut read: impl FnMut(Option<&[u8]>) -> Result<T>) -> Result<T> {
        let mut found = None;
        self.get_many(&[key], &mut |_, value| {
            found = Some(read(value)?);
            Ok(())
        })?;
        Ok(found.expect("a backend answers for every key"))
    }

    /// Visits rows in the order of their keys, like [`Backend::scan`].
    pub fn scan(&self, from: Option<&[u8]>, visit: &mut VisitRow<'_>) -> Result {
        self.backend.scan(self.id, from, visit)
    }

    /// Visits rows by the beginnings of their keys, like [`Backend::scan_prefixes`].
    pub fn scan_prefixes(&self, prefixes: &[&[u8]], visit: &mut VisitPrefixed<'_>) -> Result {
        self.backend.scan_prefixes(self.id, prefixes, visit)
    }

    /// Begins the key of a changelog row of this store.
    pub fn begin_changelog_key(&self, out: &mut Vec<u8>) {
        changelog::store_key(self.id, out);
    }
}

/// How the plan declares a store that is opened with `open`.
pub(super) fn spec<K: Value, V: Value, S: Store>(
    kind: &'static str,
    name: String,
    open: fn(Keyspace, Stored<V>) -> S,
) -> StoreSpec {
    let before_values = format!("{kind} {} -> ", format_of::<K>());
    let of_values = stored_format::<V>();
    let format = format!("{before_values}{of_values}");
    let values_of = {
        let before_values = before_values.clone();
        move |format: &str| format.strip_prefix(&before_values).unwrap_or(format).to_owned()
    };
    StoreSpec {
        name,
        placement: Placement::Key,
        refusal: key_refusal::<K>().or_else(value_refusal::<V>),
        formats: vec![format.clone()],
        format,
        changes_since: Arc::new(move |earlier| match earlier.strip_prefix(&before_values) {
            Some(values) => Stored::<V>::changes_since(values),
            None => Err("the kind of the store, or its key, is another one".into()),
        }),
        open: Arc::new(move |name, backend, formats| {
            let formats: Vec<String> = formats.iter().map(|format| values_of(format)).collect();
            Box::new(open(Keyspace::new(name, backend), Stored::new(&of_values, &formats)))
        }),
    }
}
