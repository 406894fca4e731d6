//! The formats `avro` and `avro-confluent`.
//!
//! Owns their options, which are Flink's. Knows no record and asks no registry. Invariants: secrets can be in files; a schema that is no
//! schema is refused where it is written.

use super::registry::{self, RegistryPlace};
use crate::{
    codec::AvroSchema,
    sql::{
        SqlError, SqlOption, SqlResult,
        connector::{Format, Options},
        format::SchemaOptions,
    },
};

/// Where the schemas of a table's keys or values are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryFormat {
    /// The registry, and the subject there.
    pub place: RegistryPlace,
    /// The schema that is written; `None` = that of the columns.
    pub schema: Option<String>,
    /// How the schema of the columns is written.
    pub options: SchemaOptions,
}

/// `'<prefix>timestamp_mapping.legacy'`, which is true in Flink.
fn schema_options(options: &mut Options<'_>, prefix: &str) -> SqlResult<SchemaOptions> {
    let key = format!("{prefix}timestamp_mapping.legacy");
    let is_legacy = options.choice(&key, &[("true", true), ("false", false)])?.unwrap_or(true);
    Ok(SchemaOptions { has_local_times: !is_legacy })
}

/// `'format' = 'avro'`; the options begin with this prefix.
pub(super) fn plain(options: &mut Options<'_>, prefix: &str) -> SqlResult<Format> {
    options.choice(&format!("{prefix}encoding"), &[("binary", ())])?;
    options.refuse(&format!("{prefix}codec"), "records are not compressed one by one", "leave it out")?;
    Ok(Format::Avro(schema_options(options, prefix)?))
}

/// `'format' = 'avro-confluent'`; the options begin with this prefix.
pub(super) fn confluent(options: &mut Options<'_>, prefix: &str) -> SqlResult<Format> {
    let key = |name: &str| format!("{prefix}{name}");
    let place = registry::place(options, prefix)?;
    let schema = options.take(&key("schema")).map(checked_schema).transpose()?;
    let options = schema_options(options, prefix)?;
    Ok(Format::AvroConfluent(Box::new(RegistryFormat { place, schema, options })))
}

fn checked_schema(option: &SqlOption) -> SqlResult<String> {
    AvroSchema::parse(&option.value).map_err(|e| {
        let what = e.to_string();
        SqlError::at(option.value_span, what.strip_prefix("Avro schema: ").unwrap_or(&what).to_owned())
            .next("write a schema of Avro, as JSON")
    })?;
    Ok(option.value.clone())
}

#[cfg(test)]
mod tests {
    use crate::sql::{Script, SourceText};
    use expect_test::{Expect, expect};

    /// What is told of a table with these columns and options that is written.
    fn check(columns: &str, options: &str, expected: &Expect) {
        let text = format!(
            "CREATE TABLE s (a BIGINT) WITH ('connector' = 'kafka', 'topic' = 's', 'format' = 'json');
CREATE TABLE t ({columns}) WITH ('connector' = 'kafka', 'topic' = 't',
  {options});
INSERT INTO t SELECT a FROM s;"
        );
        let told = Script::parse(SourceText::new("q.sql", text)).err().map(|e| e.to_string() + "\n");
        expected.assert_eq(&told.unwrap_or_else(|| "no mistake".into()));
    }

    const REGISTRY: &str = "'format' = 'avro-confluent', 'avro-confluent.url' = 'http://r'";

    #[test]
    fn mistakes_in_options_are_told_where_they_are() {
        let with = |more: &str| format!("{REGISTRY},\n  {more}");
        check(
            "a BIGINT",
            "'format' = 'avro-confluent'",
            &expect![[r"
            q.sql:2:14: table `t` lacks the option 'avro-confluent.url'
              2 | CREATE TABLE t (a BIGINT) WITH ('connector' = 'kafka', 'topic' = 't',
                |              ^
              next: add 'avro-confluent.url' = 'http://127.0.0.1:8081' to WITH (..)
        "]],
        );
        check(
            "a BIGINT",
            "'format' = 'avro', 'avro.encoding' = 'json'",
            &expect![[r"
            q.sql:3:40: 'avro.encoding' cannot be 'json'
              3 |   'format' = 'avro', 'avro.encoding' = 'json');
                |                                        ^^^^^^
              next: choose one of 'binary'
        "]],
        );
        check(
            "a BIGINT",
            "'format' = 'avor'",
            &expect![[r"
            q.sql:3:14: 'format' cannot be 'avor'
              3 |   'format' = 'avor');
                |              ^^^^^^
              next: choose one of 'json', 'csv', 'raw', 'text', 'debezium-json', 'avro', 'avro-confluent', 'protobuf', 'protobuf-confluent'
        "]],
        );
        check(
            "a BIGINT",
            "'format' = 'avro-confluent', 'avro-confluent.url' = 'r:8081'",
            &expect![[r"
            q.sql:2:14: table `t`: configuration: `r:8081` is not the URL of a schema registry
              next: begin it with http:// or https://
              2 | CREATE TABLE t (a BIGINT) WITH ('connector' = 'kafka', 'topic' = 't',
                |              ^
        "]],
        );
        check(
            "a BIGINT",
            &with("'avro-confluent.urll' = 'http://r'"),
            &expect![[r"
            q.sql:4:3: the connector 'kafka' has no option 'avro-confluent.urll'
              4 |   'avro-confluent.urll' = 'http://r');
                |   ^^^^^^^^^^^^^^^^^^^^^
              next: did you mean 'avro-confluent.url'?
        "]],
        );
        check(
            "a BIGINT",
            &with("'avro-confluent.ssl.truststore.location' = '/a.jks'"),
            &expect![[r"
            q.sql:4:3: the option 'avro-confluent.ssl.truststore.location' is not supported
              4 |   'avro-confluent.ssl.truststore.location' = '/a.jks');
                |   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
              stores of Java are not read
              next: write the certificates as PEM, and name the files: 'avro-confluent.ssl.ca.location'
        "]],
        );
    }

    #[test]
    fn mistakes_in_what_a_registry_is_shown() {
        let with = |more: &str| format!("{REGISTRY},\n  {more}");
        check(
            "a BIGINT",
            &with("'avro-confluent.ssl.key.location' = '/a.pem'"),
            &expect![[r"
            q.sql:4:3: a certificate of the client has a key, in a file of its own
              4 |   'avro-confluent.ssl.key.location' = '/a.pem');
                |   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
              next: name both: 'avro-confluent.ssl.certificate.location' and 'avro-confluent.ssl.key.location'
        "]],
        );
        check(
            "a BIGINT",
            &with("'avro-confluent.bearer-auth.token' = 'x', 'avro-confluent.basic-auth.user-info' = 'a:b'"),
            &expect![[r"
                q.sql:4:3: a registry is shown a user or a token, not both
                  4 |   'avro-confluent.bearer-auth.token' = 'x', 'avro-confluent.basic-auth.user-info' = 'a:b');
                    |   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
                  next: leave one of them out
            "]],
        );
        check(
            "a BIGINT",
            &with("'avro-confluent.bearer-auth.token.file' = '/no/such/file'"),
            &expect![[r"
            q.sql:4:45: the file /no/such/file cannot be read: No such file or directory (os error 2)
              4 |   'avro-confluent.bearer-auth.token.file' = '/no/such/file');
                |                                             ^^^^^^^^^^^^^^^
        "]],
        );
        check(
            "a BIGINT",
            &with("'avro-confluent.basic-auth.user-info' = 'ann'"),
            &expect![[r"
            q.sql:4:43: 'avro-confluent.basic-auth.user-info' has no colon
              4 |   'avro-confluent.basic-auth.user-info' = 'ann');
                |                                           ^^^^^
              next: write it as 'user:password'
        "]],
        );
        check(
            "a BIGINT",
            &with("'avro-confluent.ssl.ca.location' = '/no/such/file'"),
            &expect![[r"
            q.sql:2:14: table `t`: the file of authorities /no/such/file of the schema registry cannot be read: No such file or directory (os error 2)
              2 | CREATE TABLE t (a BIGINT) WITH ('connector' = 'kafka', 'topic' = 't',
                |              ^
        "]],
        );
        check(
            "a BIGINT",
            &with("'avro-confluent.schema' = '{\"type\":\"record\"'"),
            &expect![[r#"
            q.sql:4:29: configuration: Avro schema: 1:16: not JSON: EOF while parsing an object
              4 |   'avro-confluent.schema' = '{"type":"record"');
                |                             ^^^^^^^^^^^^^^^^^^
              next: write a schema of Avro, as JSON
        "#]],
        );
    }

    #[test]
    fn columns_that_a_schema_cannot_take_are_told_before_the_start() {
        check(
            "`a b` BIGINT",
            "'format' = 'avro'",
            &expect![[r"
            q.sql:2:14: table `t`: column `a b`: names in Avro are letters, digits and underscores, and do not begin with a digit
              2 | CREATE TABLE t (`a b` BIGINT) WITH ('connector' = 'kafka', 'topic' = 't',
                |              ^
        "]],
        );
        let schema = r#"'avro-confluent.schema' = '{"type":"record","name":"R","fields":[{"name":"a","type":"int"}]}'"#;
        check(
            "a BIGINT",
            &format!("{REGISTRY},\n  {schema}"),
            &expect![[r"
            q.sql:2:14: table `t`: column `a`: BIGINT cannot be int
              2 | CREATE TABLE t (a BIGINT) WITH ('connector' = 'kafka', 'topic' = 't',
                |              ^
        "]],
        );
        check("a BIGINT", REGISTRY, &expect![["no mistake"]]);
    }

    #[test]
    fn secrets_are_not_shown() {
        let text = "CREATE TABLE s (a BIGINT) WITH ('connector' = 'kafka', 'topic' = 's', 'format' = 'avro-confluent',
            'avro-confluent.url' = 'http://r', 'avro-confluent.basic-auth.user-info' = 'ann:canary');
            CREATE TABLE t (a BIGINT) WITH ('connector' = 'blackhole');
            EXPLAIN INSERT INTO t SELECT a FROM s;
            DESCRIBE s;
            INSERT INTO t SELECT a FROM s;";
        let script = Script::parse(SourceText::new("q.sql", text)).unwrap();
        let shown = script.answers().join("\n") + &script.explained() + &script.topology();
        assert!(shown.contains("BIGINT") && !shown.contains("canary"), "{shown}");
    }
}
