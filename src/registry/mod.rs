//! A client of a schema registry that speaks Confluent's protocol: schemas by id, by subject, registered, compared.
//!
//! Owns what was fetched, for ever: an id never changes its meaning. Knows no codec and no topic's records. Invariants: a request
//! that no server answers is [`Error::Unreachable`], and may succeed later; one that is refused is [`Error::Registry`], and says why.
//! While no server answers, requests fail at once until it is time to try again.

mod fetched;
mod http;
mod names;
mod reply;
mod settings;

pub use names::{RecordPart, Reference, Schema, SchemaId, SchemaKey, SchemaKind, Subject, SubjectStrategy};
pub use settings::RegistryConfig;

use crate::error::{Error, Result};
use fetched::Fetched;
use http::{Http, Request};
use reply::{Compatibility, Referenced, Registration, Stored, body_of};
use std::{sync::Arc, time::Duration};

/// Most schemas that one schema refers to, directly or not.
const REFERENCES_MAX: usize = 200;

/// A schema registry. Cheap to clone; clones have their connections and what was fetched in common.
///
/// ```no_run
/// use tidegate::registry::{RecordPart, Registry, RegistryConfig, SubjectStrategy};
/// let registry = Registry::connect(&RegistryConfig::new("http://127.0.0.1:8081"))?;
/// let subject = SubjectStrategy::TopicName.subject("orders", RecordPart::Value, "shop.Order");
/// let (id, schema) = registry.latest(&subject)?;
/// println!("{id}: {}", schema.text());
/// # Ok::<(), tidegate::Error>(())
/// ```
#[derive(Clone)]
pub struct Registry {
    of: Arc<Shared>,
}

struct Shared {
    http: Http,
    fetched: Fetched,
    start_timeout: Duration,
}

/// Whether the registry says that it does not have what was asked for.
pub(crate) fn denies(error: &Error) -> bool {
    matches!(error, Error::Registry { code: 404 | 40400..=40499, .. })
}

impl Registry {
    /// Connects, and waits until a server answers, at most for [`RegistryConfig::start_timeout`].
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate::{Error, registry::{Registry, RegistryConfig}};
    /// let nowhere = RegistryConfig::new("http://127.0.0.1:1").start_timeout(Duration::ZERO);
    /// let error = Registry::connect(&nowhere).err().unwrap();
    /// assert!(matches!(error, Error::Unreachable { .. }));
    /// assert!(error.to_string().contains("http://127.0.0.1:1"), "{error}");
    /// ```
    ///
    /// # Errors
    /// [`Error::Config`] for a setting or a file of keys; [`Error::Unreachable`] if no server answers in time; [`Error::Registry`] if
    /// one refuses us.
    pub fn connect(config: &RegistryConfig) -> Result<Registry> {
        let registry = Registry::unasked(config)?;
        registry.wait_until_it_answers()?;
        Ok(registry)
    }

    /// The same, but nothing is asked yet.
    ///
    /// # Errors
    /// [`Error::Config`] for a setting or a file of keys.
    pub(crate) fn unasked(config: &RegistryConfig) -> Result<Registry> {
        let (http, start_timeout) = (Http::new(config)?, config.start_timeout);
        Ok(Registry { of: Arc::new(Shared { http, fetched: Fetched::default(), start_timeout }) })
    }

    /// Waits until a server answers, at most for [`RegistryConfig::start_timeout`].
    ///
    /// # Errors
    /// [`Error::Unreachable`] if none answers in time; [`Error::Registry`] if one refuses us.
    pub(crate) fn wait_until_it_answers(&self) -> Result {
        self.of.http.wait_until_it_answers(self.of.start_timeout)
    }

    /// Asks once whether a server answers, and takes us for who we are; tells where.
    ///
    /// # Errors
    /// As [`Registry::wait_until_it_answers`].
    #[cfg(feature = "sql")]
    pub(crate) fn answers(&self) -> Result<String> {
        self.of.http.wait_until_it_answers(Duration::ZERO)?;
        Ok(format!("{} answers", self.of.http.answering()))
    }

    /// The schema that an id stands for. It is fetched once.
    ///
    /// ```no_run
    /// use tidegate::registry::{Registry, RegistryConfig, SchemaId};
    /// let registry = Registry::connect(&RegistryConfig::new("http://127.0.0.1:8081"))?;
    /// let schema = registry.schema(SchemaId(7).into())?;
    /// assert_eq!(schema.text(), registry.schema(SchemaId(7).into())?.text()); // the second time from memory
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Registry`] if there is none; [`Error::Unreachable`] if no server answers.
    pub fn schema(&self, key: SchemaKey) -> Result<Arc<Schema>> {
        if let Some(known) = self.of.fetched.get(&key) {
            return known;
        }
        let path = match key {
            SchemaKey::Id(SchemaId(id)) => format!("/schemas/ids/{id}"),
            SchemaKey::Guid(_) => format!("/schemas/guids/{key}"),
        };
        let answer = self.of.http.call(&Request::get(path, format!("fetching schema {key}")));
        let answer = answer.inspect_err(|error| {
            let knows_no_guids =
                matches!((key, error), (SchemaKey::Guid(_), Error::Registry { status: 404, .. }));
            if denies(error) || knows_no_guids {
                self.of.fetched.deny(key, error.clone());
            }
        })?;
        let schema = self.with_parts(answer.parsed::<Stored>()?.schema()?)?;
        Ok(self.of.fetched.add(key, schema))
    }

    /// The newest schema of a subject, with its id.
    ///
    /// # Errors
    /// [`Error::Registry`] if the subject has none; [`Error::Unreachable`] if no server answers.
    pub fn latest(&self, subject: &Subject) -> Result<(SchemaId, Arc<Schema>)> {
        let path = format!("/subjects/{}/versions/latest", subject.escaped());
        let what = format!("fetching the newest schema of subject `{subject}`");
        let found: Referenced = self.of.http.call(&Request::get(path, what))?.parsed()?;
        let schema = self.with_parts(found.stored.schema()?)?;
        Ok((found.id, self.of.fetched.add(found.id.into(), schema)))
    }

    /// Registers a schema under a subject, unless it is there; gives its id. A program does this once, before it starts.
    ///
    /// ```no_run
    /// use tidegate::registry::{Registry, RegistryConfig, Schema, SchemaKind, Subject};
    /// let registry = Registry::connect(&RegistryConfig::new("http://127.0.0.1:8081"))?;
    /// let subject = Subject::new("readings-value");
    /// let schema = Schema::new(SchemaKind::Avro, r#"{"type":"record","name":"Reading","fields":[{"name":"level","type":"double"}]}"#);
    /// if let Err(why) = registry.check(&subject, &schema)? {
    ///     eprintln!("readers of older records would fail: {why}");
    /// }
    /// let id = registry.register(&subject, &schema)?;
    /// assert_eq!(registry.latest(&subject)?.0, id);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Registry`] if the registry refuses it: not compatible, not valid, no permission; [`Error::Unreachable`].
    pub fn register(&self, subject: &Subject, schema: &Schema) -> Result<SchemaId> {
        let path = format!("/subjects/{}/versions", subject.escaped());
        let what = format!("registering a schema of the kind {} under subject `{subject}`", schema.kind());
        let reply: Registration = self.of.http.call(&Request::post(path, body_of(schema), what))?.parsed()?;
        Ok(reply.id)
    }

    /// The id that a schema has under a subject, where somebody else registers what is written.
    ///
    /// ```no_run
    /// use tidegate::registry::{Registry, RegistryConfig, Schema, SchemaKind, Subject};
    /// let registry = Registry::connect(&RegistryConfig::new("http://127.0.0.1:8081"))?;
    /// let schema = Schema::new(SchemaKind::Avro, "\"double\"");
    /// let id = registry.id_of(&Subject::new("levels-value"), &schema)?;
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Registry`] if it is not among the schemas of the subject; [`Error::Unreachable`] if no server answers.
    pub fn id_of(&self, subject: &Subject, schema: &Schema) -> Result<SchemaId> {
        let path = format!("/subjects/{}", subject.escaped());
        let what = format!("looking up a schema of the kind {} under subject `{subject}`", schema.kind());
        let reply: Registration = self.of.http.call(&Request::post(path, body_of(schema), what))?.parsed()?;
        Ok(reply.id)
    }

    /// The version that a schema has under a subject.
    ///
    /// # Errors
    /// As [`Registry::id_of`].
    #[cfg(feature = "protobuf")]
    pub(crate) fn version_of(&self, subject: &Subject, schema: &Schema) -> Result<u32> {
        let path = format!("/subjects/{}", subject.escaped());
        let what = format!("looking up a schema of the kind {} under subject `{subject}`", schema.kind());
        let reply: Registration = self.of.http.call(&Request::post(path, body_of(schema), what))?.parsed()?;
        reply.version.ok_or_else(|| {
            Error::Codec(format!("the registry does not say which version of `{subject}` a schema is"))
        })
    }

    /// Whether a schema may follow the newest one of a subject, by the level of compatibility that the registry has for it; the
    /// inner error is the registry's reason. A subject without a schema accepts any.
    ///
    /// # Errors
    /// [`Error::Registry`] if the registry cannot compare, for example because the schema is not valid; [`Error::Unreachable`].
    pub fn check(&self, subject: &Subject, schema: &Schema) -> Result<Result<(), String>> {
        let path = format!("/compatibility/subjects/{}/versions/latest?verbose=true", subject.escaped());
        let what = format!("comparing a schema with the newest one of subject `{subject}`");
        match self.of.http.call(&Request::post(path, body_of(schema), what)) {
            Err(error) if denies(&error) => Ok(Ok(())),
            answer => Ok(answer?.parsed::<Compatibility>()?.verdict()),
        }
    }

    /// The schema together with the texts that it refers to: those that others refer to come first.
    fn with_parts(&self, mut schema: Schema) -> Result<Schema> {
        let mut parts = vec![];
        self.add_parts(schema.references(), &mut vec![], &mut parts)?;
        schema.set_parts(parts);
        Ok(schema)
    }

    fn add_parts(
        &self,
        references: &[Reference],
        seen: &mut Vec<Reference>,
        parts: &mut Vec<(String, String)>,
    ) -> Result {
        for reference in references {
            if seen.contains(reference) {
                continue;
            }
            seen.push(reference.clone());
            let Reference { name, subject, version } = reference;
            if seen.len() > REFERENCES_MAX {
                return Err(Error::Codec(format!(
                    "a schema refers to more than {REFERENCES_MAX} others, the last one `{name}` of subject `{subject}`"
                )));
            }
            let path = format!("/subjects/{}/versions/{version}", subject.escaped());
            let what = format!(
                "fetching version {version} of subject `{subject}`, which is referred to as `{name}`"
            );
            let found: Referenced = self.of.http.call(&Request::get(path, what))?.parsed()?;
            let part = found.stored.schema()?;
            self.add_parts(part.references(), seen, parts)?;
            parts.push((name.clone(), part.text().to_owned()));
        }
        Ok(())
    }
}
