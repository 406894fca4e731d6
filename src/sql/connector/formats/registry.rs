//! The registry of a table's schemas: its options, which are those that Flink has for `avro-confluent`.
//!
//! Knows no schema and no record. Invariant: secrets can be in files.

use crate::{
    registry::{RegistryConfig, Subject},
    sql::{SqlError, SqlResult, connector::Options},
};

/// A registry, and the subject of a table's keys or values there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryPlace {
    /// The registry.
    pub registry: RegistryConfig,
    /// What the schema is registered under when the table is written; `None` = as the topic is called.
    pub subject: Option<Subject>,
    /// Whether the schema is registered; otherwise it must be there.
    pub registers: bool,
}

/// The options that begin with this prefix.
pub(super) fn place(options: &mut Options<'_>, prefix: &str) -> SqlResult<RegistryPlace> {
    let key = |name: &str| format!("{prefix}{name}");
    let url = options.need(&key("url"), "http://127.0.0.1:8081")?;
    let mut registry = RegistryConfig::new(&url.value);
    let user = options.secret(&key("basic-auth.user-info"))?;
    options.choice(&key("basic-auth.credentials-source"), &[("USER_INFO", ())])?;
    let token = options.secret(&key("bearer-auth.token"))?;
    options.choice(&key("bearer-auth.credentials-source"), &[("STATIC_TOKEN", ())])?;
    match (user, token) {
        (Some((user, option)), None) => {
            let (name, password) = user.split_once(':').ok_or_else(|| {
                SqlError::at(option.value_span, format!("'{}' has no colon", key("basic-auth.user-info")))
                    .next("write it as 'user:password'")
            })?;
            registry = registry.basic_auth(name, password);
        }
        (None, Some((token, _))) => registry = registry.bearer_token(token),
        (None, None) => {}
        (Some(_), Some((_, token))) => {
            return Err(SqlError::at(token.key_span, "a registry is shown a user or a token, not both")
                .next("leave one of them out"));
        }
    }
    for (name, instead) in [
        ("ssl.truststore", "ssl.ca.location"),
        ("ssl.keystore", "ssl.certificate.location' and '<..>ssl.key.location"),
    ] {
        for part in ["location", "password"] {
            let next = format!(
                "write the certificates as PEM, and name the files: '{prefix}{}'",
                instead.replace("<..>", prefix)
            );
            options.refuse(&key(&format!("{name}.{part}")), "stores of Java are not read", &next)?;
        }
    }
    if let Some(file) = options.take(&key("ssl.ca.location")) {
        registry = registry.ca_file(&file.value);
    }
    match (options.take(&key("ssl.certificate.location")), options.take(&key("ssl.key.location"))) {
        (Some(certificate), Some(key)) => {
            registry = registry.client_certificate(&certificate.value, &key.value);
        }
        (None, None) => {}
        (Some(one), None) | (None, Some(one)) => {
            return Err(SqlError::at(
                one.key_span,
                "a certificate of the client has a key, in a file of its own",
            )
            .next(format!(
                "name both: '{}' and '{}'",
                key("ssl.certificate.location"),
                key("ssl.key.location")
            )));
        }
    }
    let subject = options.take(&key("subject")).map(|subject| Subject::new(&subject.value));
    let registers = options
        .choice(&key("properties.auto.register.schemas"), &[("true", true), ("false", false)])?
        .unwrap_or(true);
    Ok(RegistryPlace { registry, subject, registers })
}
