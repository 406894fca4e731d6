//! The formats `protobuf` and `protobuf-confluent`: their options.
//!
//! `protobuf` is Flink's name; where Flink names a class of Java, a message and its file are named here. Knows no record. Invariant: a schema
//! that is none, or has no such message, is refused where it is written.

use super::registry::{self, RegistryPlace};
use crate::{
    codec::ProtobufSchema,
    sql::{
        SqlError, SqlOption, SqlResult,
        connector::{Format, Options},
        format::ProtobufOptions,
    },
};

/// Messages without an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProtobufFormat {
    /// The message.
    pub schema: ProtobufSchema,
    /// How it becomes a row.
    pub options: ProtobufOptions,
}

/// Messages whose schemas are in a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProtobufRegistryFormat {
    /// The registry, and the subject there.
    pub place: RegistryPlace,
    /// The full name of the message: records that are another one are bad.
    pub message: Option<String>,
    /// What is written; `None` = the message of the columns.
    pub schema: Option<ProtobufSchema>,
    /// How a message becomes a row.
    pub options: ProtobufOptions,
}

/// What both formats have.
fn common(options: &mut Options<'_>, prefix: &str) -> SqlResult<ProtobufOptions> {
    let key = |name: &str| format!("{prefix}{name}");
    options.refuse(
        &key("message-class-name"),
        "there are no classes of Java here",
        &format!(
            "name the message and its file: '{prefix}message' = 'shop.Order', '{prefix}file' = 'order.proto'"
        ),
    )?;
    options.refuse(
        &key("write-null-string-literal"),
        "NULL in an array or a map has no form in Protobuf",
        "leave it out, and write COALESCE(.., '..') in the query",
    )?;
    let reads_defaults =
        options.choice(&key("read-default-values"), &[("true", true), ("false", false)])?.unwrap_or(false);
    Ok(ProtobufOptions { reads_defaults })
}

fn loaded(
    option: &SqlOption,
    load: impl Fn(&str) -> crate::error::Result<ProtobufSchema>,
) -> SqlResult<ProtobufSchema> {
    load(&option.value).map_err(|e| {
        let what = e.to_string();
        let what = what.strip_prefix("configuration: ").unwrap_or(&what);
        let what = what.strip_prefix("Protobuf schema: ").unwrap_or(what);
        SqlError::at(option.value_span, what.to_owned())
    })
}

fn only_one(first: Option<&SqlOption>, second: &SqlOption) -> SqlResult {
    match first {
        Some(_) => {
            Err(SqlError::at(second.key_span, "the message has one definition").next("leave one of them out"))
        }
        None => Ok(()),
    }
}

/// `'format' = 'protobuf'`; the options begin with this prefix.
pub(super) fn plain(options: &mut Options<'_>, prefix: &str) -> SqlResult<Format> {
    let key = |name: &str| format!("{prefix}{name}");
    let of_rows = common(options, prefix)?;
    let message = options.need(&key("message"), "shop.Order")?;
    let (file, descriptor) = (options.take(&key("file")), options.take(&key("descriptor")));
    let schema = match (file, descriptor) {
        (None, None) => return Err(options.missing(&key("file"), "order.proto")),
        (Some(file), None) => loaded(file, |path| ProtobufSchema::from_file(path, &message.value))?,
        (file, Some(set)) => {
            only_one(file, set)?;
            loaded(set, |path| ProtobufSchema::from_descriptor_set(path, &message.value))?
        }
    };
    Ok(Format::Protobuf(Box::new(ProtobufFormat { schema, options: of_rows })))
}

/// `'format' = 'protobuf-confluent'`; the options begin with this prefix.
pub(super) fn confluent(options: &mut Options<'_>, prefix: &str) -> SqlResult<Format> {
    let key = |name: &str| format!("{prefix}{name}");
    let of_rows = common(options, prefix)?;
    let place = registry::place(options, prefix)?;
    let message = options.take(&key("message"));
    let (text, file) = (options.take(&key("schema")), options.take(&key("file")));
    let name = || match message {
        Some(message) => Ok(message.value.clone()),
        None => Err(options.missing(&key("message"), "shop.Order")),
    };
    let schema = match (text, file) {
        (None, None) => None,
        (Some(text), None) => {
            let name = name()?;
            Some(loaded(text, |text| ProtobufSchema::parse(text, &name))?)
        }
        (text, Some(file)) => {
            only_one(text, file)?;
            let name = name()?;
            Some(loaded(file, |path| ProtobufSchema::from_file(path, &name))?)
        }
    };
    let message = message.map(|message| message.value.clone());
    let format = ProtobufRegistryFormat { place, message, schema, options: of_rows };
    Ok(Format::ProtobufConfluent(Box::new(format)))
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

    const REGISTRY: &str = "'format' = 'protobuf-confluent', 'protobuf-confluent.url' = 'http://r'";

    #[test]
    fn mistakes_in_options_are_told_where_they_are() {
        check(
            "a BIGINT",
            "'format' = 'protobuf'",
            &expect![[r"
            q.sql:2:14: table `t` lacks the option 'protobuf.message'
              2 | CREATE TABLE t (a BIGINT) WITH ('connector' = 'kafka', 'topic' = 't',
                |              ^
              next: add 'protobuf.message' = 'shop.Order' to WITH (..)
        "]],
        );
        check(
            "a BIGINT",
            "'format' = 'protobuf', 'protobuf.message' = 'Order'",
            &expect![[r"
            q.sql:2:14: table `t` lacks the option 'protobuf.file'
              2 | CREATE TABLE t (a BIGINT) WITH ('connector' = 'kafka', 'topic' = 't',
                |              ^
              next: add 'protobuf.file' = 'order.proto' to WITH (..)
        "]],
        );
        check(
            "a BIGINT",
            "'format' = 'protobuf', 'protobuf.message-class-name' = 'com.example.Order'",
            &expect![[r"
            q.sql:3:26: the option 'protobuf.message-class-name' is not supported
              3 |   'format' = 'protobuf', 'protobuf.message-class-name' = 'com.example.Order');
                |                          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
              there are no classes of Java here
              next: name the message and its file: 'protobuf.message' = 'shop.Order', 'protobuf.file' = 'order.proto'
        "]],
        );
        check(
            "a BIGINT",
            "'format' = 'protobuf', 'protobuf.write-null-string-literal' = 'null'",
            &expect![[r"
            q.sql:3:26: the option 'protobuf.write-null-string-literal' is not supported
              3 |   'format' = 'protobuf', 'protobuf.write-null-string-literal' = 'null');
                |                          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
              NULL in an array or a map has no form in Protobuf
              next: leave it out, and write COALESCE(.., '..') in the query
        "]],
        );
    }

    #[test]
    fn a_message_has_one_definition_or_a_registry() {
        check(
            "a BIGINT",
            "'format' = 'protobuf', 'protobuf.message' = 'Order', 'protobuf.file' = '/no/such/file'",
            &expect![[r"
            q.sql:3:74: the schema /no/such/file cannot be read: No such file or directory (os error 2)
              3 |   'format' = 'protobuf', 'protobuf.message' = 'Order', 'protobuf.file' = '/no/such/file');
                |                                                                          ^^^^^^^^^^^^^^^
        "]],
        );
        check(
            "a BIGINT",
            "'format' = 'protobuf', 'protobuf.message' = 'O', 'protobuf.file' = 'a', 'protobuf.descriptor' = 'b'",
            &expect![[r"
            q.sql:3:75: the message has one definition
              3 |   'format' = 'protobuf', 'protobuf.message' = 'O', 'protobuf.file' = 'a', 'protobuf.descriptor' = 'b');
                |                                                                           ^^^^^^^^^^^^^^^^^^^^^
              next: leave one of them out
        "]],
        );
        check(
            "a BIGINT",
            "'format' = 'protobuf-confluent'",
            &expect![[r"
            q.sql:2:14: table `t` lacks the option 'protobuf-confluent.url'
              2 | CREATE TABLE t (a BIGINT) WITH ('connector' = 'kafka', 'topic' = 't',
                |              ^
              next: add 'protobuf-confluent.url' = 'http://127.0.0.1:8081' to WITH (..)
        "]],
        );
    }

    #[test]
    fn mistakes_in_schemas_are_told_before_the_start() {
        let with = |schema: &str| {
            format!(
                "{REGISTRY}, 'protobuf-confluent.message' = 'M',\n  'protobuf-confluent.schema' = '{schema}'"
            )
        };
        check(
            "a BIGINT",
            &with("syntax = \"proto3\"; message M { int64 a; }"),
            &expect![[r#"
            q.sql:4:33: 1:39: expected `=`, found `;`
              4 |   'protobuf-confluent.schema' = 'syntax = "proto3"; message M { int64 a; }');
                |                                 ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
        "#]],
        );
        check(
            "a BIGINT",
            &with("syntax = \"proto3\"; message M { int32 a = 1; }"),
            &expect![[r"
            q.sql:2:14: table `t`: column `a`: int32 cannot be BIGINT
              2 | CREATE TABLE t (a BIGINT) WITH ('connector' = 'kafka', 'topic' = 't',
                |              ^
        "]],
        );
        check(
            "`a b` BIGINT",
            REGISTRY,
            &expect![[r"
            q.sql:2:14: table `t`: column `a b`: names in Protobuf are letters, digits and underscores, and do not begin with a digit
              2 | CREATE TABLE t (`a b` BIGINT) WITH ('connector' = 'kafka', 'topic' = 't',
                |              ^
        "]],
        );
        check("a BIGINT", REGISTRY, &expect![["no mistake"]]);
        check(
            "a BIGINT",
            &with("syntax = \"proto3\"; message M { optional int64 a = 1; }"),
            &expect![["no mistake"]],
        );
    }
}
