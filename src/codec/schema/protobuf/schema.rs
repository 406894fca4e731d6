//! A message type of Protobuf: from the text of a `.proto` file, a compiled descriptor set, or a registry.
//!
//! Knows no record. Invariants: a schema that exists can be used; types that Protobuf itself brings (`google/protobuf/*.proto`) are there
//! without being given. An import that is not there matters only if a type of it is used, as many files import options of other tools.

use super::{indexes, syntax};
use crate::{
    codec::schema::from_file,
    error::{Error, Result},
    registry::{Reference, Registry, Schema, SchemaId, SchemaKind, Subject},
};
use prost_reflect::{DescriptorPool, FileDescriptor, MessageDescriptor};
use prost_types::FileDescriptorProto;
use std::{
    collections::BTreeMap,
    fmt, fs,
    path::{Path, PathBuf},
    sync::Arc,
};

/// What a text is called that is in no file.
const NAME: &str = "schema.proto";
/// Most files that one file imports, directly or not.
const IMPORTS_MAX: usize = 200;

/// A message type of Protobuf.
///
/// ```
/// use tidegate::codec::ProtobufSchema;
/// let text = r#"syntax = "proto3"; package shop; message Order { int64 id = 1; optional string note = 2; }"#;
/// let schema = ProtobufSchema::parse(text, "shop.Order")?;
/// assert_eq!(schema.name(), "shop.Order");
/// let wrong = ProtobufSchema::parse("syntax = \"proto3\";\nmessage Order { int64 id; }", "Order").unwrap_err();
/// assert!(wrong.to_string().contains("2:25: expected `=`, found `;`"), "{wrong}");
/// # Ok::<(), tidegate::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct ProtobufSchema {
    message: MessageDescriptor,
    /// What is registered; `None` = there is no text.
    text: Option<Arc<Texts>>,
}

/// The text of a file, and those of the files that it imports: each after those that it imports itself.
#[derive(PartialEq, Eq)]
struct Texts {
    text: String,
    imports: Vec<String>,
    others: Vec<(String, String, Vec<String>)>,
}

impl ProtobufSchema {
    /// A message, by its full name, of the text of a `.proto` file that imports none but Protobuf's own.
    ///
    /// # Errors
    /// [`Error::Config`] with the place in the text, or with what is wrong.
    pub fn parse(text: &str, message: &str) -> Result<ProtobufSchema> {
        Self::of_text(text, message).map_err(|why| Error::Config(format!("Protobuf schema: {why}")))
    }

    fn of_text(text: &str, message: &str) -> Result<ProtobufSchema, String> {
        let file = syntax::parse(NAME, text)?;
        let texts = Texts { text: text.to_owned(), imports: own_imports(&file), others: vec![] };
        Self::of_files(vec![file], NAME, message, Some(texts))
    }

    /// A message, by its full name, of a `.proto` file. Files that it imports are looked for from its folder on, and from those above.
    ///
    /// ```
    /// use tidegate::codec::ProtobufSchema;
    /// let dir = tempfile::tempdir().unwrap();
    /// std::fs::create_dir(dir.path().join("shop")).unwrap();
    /// let text = "syntax = \"proto3\"; message Money { int64 cents = 1; }";
    /// std::fs::write(dir.path().join("shop/money.proto"), text).unwrap();
    /// let file = dir.path().join("shop/order.proto");
    /// let text = "syntax = \"proto3\"; import \"shop/money.proto\"; message Order { Money price = 1; }";
    /// std::fs::write(&file, text).unwrap();
    /// assert_eq!(ProtobufSchema::from_file(&file, "Order")?.name(), "Order");
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    ///
    /// # Errors
    /// If it cannot be read; as [`parse`](Self::parse), with the file.
    pub fn from_file(path: impl AsRef<Path>, message: &str) -> Result<ProtobufSchema> {
        let path = path.as_ref();
        from_file(path, |text| {
            let name = path.file_name().map_or(NAME.to_owned(), |name| name.to_string_lossy().into_owned());
            let file = syntax::parse(&name, text)?;
            let mut found = Found { from: path, files: vec![], others: vec![] };
            found.add_imports(&file, &mut vec![])?;
            let texts = Texts { text: text.to_owned(), imports: own_imports(&file), others: found.others };
            let mut files = found.files;
            files.push(file);
            Self::of_files(files, &name, message, Some(texts))
        })
    }

    /// A message, by its full name, of a compiled descriptor set (`protoc --include_imports --descriptor_set_out=..`). It has no text, so
    /// it cannot be registered.
    ///
    /// # Errors
    /// If it cannot be read, is no descriptor set, or has no such message.
    pub fn from_descriptor_set(path: impl AsRef<Path>, message: &str) -> Result<ProtobufSchema> {
        let path = path.as_ref();
        let what = || format!("the descriptor set {} cannot be read", path.display());
        let bytes = fs::read(path).map_err(Error::io(what()))?;
        let mut pool = DescriptorPool::global();
        let added = pool.decode_file_descriptor_set(&bytes[..]).map_err(|e| e.to_string());
        let found = added.and_then(|()| message_of(&pool, message));
        match found {
            Ok(message) => Ok(ProtobufSchema { message, text: None }),
            Err(why) => Err(Error::Config(format!("{}: {why}", path.display()))),
        }
    }

    fn of_files(
        files: Vec<FileDescriptorProto>,
        file: &str,
        message: &str,
        texts: Option<Texts>,
    ) -> Result<ProtobufSchema, String> {
        let pool = pool_of(files)?;
        let found = message_of(&pool, message)?;
        let has_texts = found.parent_file().name() == file;
        let text = texts.filter(|_| has_texts).map(Arc::new);
        Ok(ProtobufSchema { message: found, text })
    }

    /// The full name of the message.
    #[must_use]
    pub fn name(&self) -> &str {
        self.message.full_name()
    }

    /// The text of the file that defines it, if it came from one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        self.text.as_ref().map(|texts| texts.text.as_str())
    }

    /// The descriptor of the message, of which [`DynamicMessage`](prost_reflect::DynamicMessage)s are made.
    #[must_use]
    pub fn descriptor(&self) -> &MessageDescriptor {
        &self.message
    }

    /// Which message of its file it is.
    pub(crate) fn indexes(&self) -> Vec<u8> {
        indexes::of(&self.message)
    }

    /// Registers the text under a subject, and each file that it imports under its path; or only looks them up.
    ///
    /// # Errors
    /// [`Error::Config`] if there is no text; those of [`Registry::register`] and [`Registry::id_of`].
    pub(crate) fn register(
        &self,
        registry: &Registry,
        subject: &Subject,
        registers: bool,
    ) -> Result<SchemaId> {
        let Some(texts) = &self.text else {
            return Err(Error::Config(format!(
                "the message `{}` has no text that could be registered under `{subject}`\n  next: give the `.proto` file that defines it instead of a descriptor set or of a file that imports it",
                self.name()
            )));
        };
        let mut versions = BTreeMap::new();
        let with_references = |text: &str, imports: &[String], versions: &BTreeMap<String, u32>| {
            let references = imports.iter().filter_map(|path| {
                let version = *versions.get(path)?;
                Some(Reference { name: path.clone(), subject: Subject::new(path), version })
            });
            Schema::new(SchemaKind::Protobuf, text).with_references(references)
        };
        for (path, text, imports) in &texts.others {
            let (subject, schema) = (Subject::new(path), with_references(text, imports, &versions));
            if registers {
                registry.register(&subject, &schema)?;
            }
            versions.insert(path.clone(), registry.version_of(&subject, &schema)?);
        }
        let schema = with_references(&texts.text, &texts.imports, &versions);
        if registers { registry.register(subject, &schema) } else { registry.id_of(subject, &schema) }
    }
}

impl fmt::Debug for ProtobufSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProtobufSchema({})", self.name())
    }
}

/// Files that are imported, found on the disk.
struct Found<'p> {
    from: &'p Path,
    files: Vec<FileDescriptorProto>,
    others: Vec<(String, String, Vec<String>)>,
}

impl Found<'_> {
    fn place(&self, import: &str) -> Option<PathBuf> {
        let folders = self.from.ancestors().skip(1);
        folders.map(|folder| folder.join(import)).find(|place| place.is_file())
    }

    fn add_imports(&mut self, file: &FileDescriptorProto, above: &mut Vec<String>) -> Result<(), String> {
        for import in own_imports(file) {
            if above.contains(&import) {
                return Err(format!("the file {import} imports itself"));
            }
            let Some(place) = self.place(&import) else { continue };
            if self.others.iter().any(|(path, ..)| *path == import) {
                continue;
            }
            if self.others.len() + above.len() >= IMPORTS_MAX {
                return Err(format!("more than {IMPORTS_MAX} files are imported"));
            }
            let told = |why: String| format!("{}: {why}", place.display());
            let text = fs::read_to_string(&place).map_err(|e| told(e.to_string()))?;
            let part = syntax::parse(&import, &text).map_err(told)?;
            above.push(import.clone());
            self.add_imports(&part, above)?;
            above.pop();
            self.others.push((import, text, own_imports(&part)));
            self.files.push(part);
        }
        Ok(())
    }
}

/// What a file imports that Protobuf does not bring.
fn own_imports(file: &FileDescriptorProto) -> Vec<String> {
    let known = DescriptorPool::global();
    file.dependency.iter().filter(|path| known.get_file_by_name(path).is_none()).cloned().collect()
}

/// All files put together, and Protobuf's own.
fn pool_of(mut files: Vec<FileDescriptorProto>) -> Result<DescriptorPool, String> {
    let mut pool = DescriptorPool::global();
    let names: Vec<String> = files.iter().map(|file| file.name().to_owned()).collect();
    let mut missing = vec![];
    for file in &mut files {
        let is_here = |path: &String| names.contains(path) || pool.get_file_by_name(path).is_some();
        missing.extend(file.dependency.iter().filter(|path| !is_here(path)).cloned());
        let public: Vec<String> = (file.public_dependency.iter())
            .filter_map(|index| file.dependency.get(usize::try_from(*index).ok()?).cloned())
            .collect();
        file.dependency.retain(is_here);
        let position = |path: &String| file.dependency.iter().position(|other| other == path);
        let public = public.iter().filter_map(|path| i32::try_from(position(path)?).ok());
        file.public_dependency = public.collect();
        file.weak_dependency.clear();
    }
    pool.add_file_descriptor_protos(files).map_err(|e| match &missing[..] {
        [] => e.to_string(),
        missing => format!("{e}; there is no file for its import of {}", missing.join(", ")),
    })?;
    Ok(pool)
}

fn message_of(pool: &DescriptorPool, name: &str) -> Result<MessageDescriptor, String> {
    pool.get_message_by_name(name).filter(|found| !found.is_map_entry()).ok_or_else(|| {
        let known = DescriptorPool::global();
        let others = pool.all_messages().filter(|message| !message.is_map_entry());
        let others = others.filter(|message| known.get_message_by_name(message.full_name()).is_none());
        let others: Vec<String> =
            others.take(20).map(|message| format!("`{}`", message.full_name())).collect();
        match &others[..] {
            [] => "there is no message in it".to_owned(),
            others => format!("there is no message `{name}` in it, but {}", others.join(", ")),
        }
    })
}

/// A file of a registry: records say which of its messages they are.
pub(crate) struct ProtobufFile {
    file: FileDescriptor,
}

impl ProtobufFile {
    /// # Errors
    /// Why it cannot be used.
    pub fn of(schema: &Schema) -> Result<ProtobufFile, String> {
        if schema.kind() != SchemaKind::Protobuf {
            return Err(format!("it is a schema of the kind {}, not one in Protobuf", schema.kind()));
        }
        let mut files = vec![];
        for (name, text) in schema.parts() {
            files.push(syntax::parse(name, text).map_err(|why| format!("`{name}`: {why}"))?);
        }
        let mut name = NAME.to_owned();
        while files.iter().any(|file| file.name() == name) {
            name.insert(0, '_');
        }
        files.push(syntax::parse(&name, schema.text())?);
        let pool = pool_of(files)?;
        let file = pool.get_file_by_name(&name).ok_or("it is gone")?;
        Ok(ProtobufFile { file })
    }

    /// The message that indexes stand for.
    ///
    /// # Errors
    /// If the file has none there.
    pub fn message(&self, indexes: &[u8]) -> Result<MessageDescriptor, String> {
        indexes::message(&self.file, indexes)
    }

    /// The same, if it has this name; any, if there is none.
    ///
    /// # Errors
    /// If it is another one.
    pub fn message_called(&self, indexes: &[u8], name: Option<&str>) -> Result<MessageDescriptor, String> {
        let found = self.message(indexes)?;
        match name {
            Some(name) if found.full_name() != name => {
                Err(format!("it is a message `{}`, not `{name}`", found.full_name()))
            }
            _ => Ok(found),
        }
    }

    /// Whether the message is one of this file, not of one that it imports.
    pub fn defines(&self, message: &MessageDescriptor) -> bool {
        message.parent_file() == self.file
    }

    /// The message of this name.
    ///
    /// # Errors
    /// If there is none.
    pub fn message_by_name(&self, name: &str) -> Result<MessageDescriptor, String> {
        message_of(self.file.parent_pool(), name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use prost_reflect::{Cardinality, Kind};

    const EVERYTHING: &str = r#"
// All that the language has.
syntax = "proto2";
package a.b;
import "google/protobuf/timestamp.proto";
import public "validate/validate.proto"; // options only
option java_package = "x";
option (validate.all) = { rules: [ { min: 1 }, { max: -2 } ] };
message M {
  optional group Part = 9 { optional int32 x = 1; }
  required .a.b.M.Inner inner = 1;
  repeated E kinds = 2 [packed = true, (validate.field).ints = { min: 0x10 }];
  optional string text = 3 [default = "a\n\x41" "b", json_name = "T", deprecated = true];
  optional int64 hex = 4 [default = -0x1F];
  map<string, Inner> by_name = 5;
  oneof choice { google.protobuf.Timestamp at = 6; bytes raw = 7; }
  optional bytes bin = 8 [default = "\000\377"];
  message Inner { optional M.E e = 1 [default = B]; optional double d = 2 [default = inf]; }
  enum E { option allow_alias = true; A = 0; B = 1; ALSO_B = 1; reserved 5, 7 to max; }
  extensions 100 to 199;
  reserved 20, "gone";
  ;
}
extend M { optional int32 more = 100; }
service S { rpc Get(M) returns (M) { option (x) = { get: "/v1" }; } }
"#;

    #[test]
    fn a_text_becomes_the_descriptor_that_it_describes() {
        let schema = ProtobufSchema::parse(EVERYTHING, "a.b.M").unwrap();
        let field = |name: &str| schema.descriptor().get_field_by_name(name).unwrap();
        assert_eq!(field("inner").cardinality(), Cardinality::Required);
        assert!(field("kinds").is_packed() && matches!(field("kinds").kind(), Kind::Enum(_)));
        assert_eq!(field("text").default_value().as_str(), Some("a\nAb"));
        assert_eq!(field("text").json_name(), "T");
        assert_eq!(field("hex").default_value().as_i64(), Some(-31));
        assert!(field("by_name").is_map());
        assert_eq!(field("at").containing_oneof().unwrap().name(), "choice");
        assert_eq!(field("bin").default_value().as_bytes().unwrap()[..], [0, 255]);
        assert!(field("part").is_group());
        let inner = ProtobufSchema::parse(EVERYTHING, "a.b.M.Inner").unwrap();
        let default = inner.descriptor().get_field_by_name("e").unwrap().default_value();
        assert_eq!(default.as_enum_number(), Some(1));
    }

    #[test]
    fn proto3_has_presence_where_it_says_so() {
        let text = r#"syntax = "proto3"; message M { int32 a = 1; optional int32 b = 2; repeated int32 c = 3;
            repeated int32 d = 4 [packed = false]; optional M m = 5; }"#;
        let schema = ProtobufSchema::parse(text, "M").unwrap();
        let field = |name: &str| schema.descriptor().get_field_by_name(name).unwrap();
        let presence = ["a", "b", "m"].map(|name| field(name).supports_presence());
        assert_eq!(presence, [false, true, true]);
        assert!(field("c").is_packed() && !field("d").is_packed());
        assert!(field("b").containing_oneof().unwrap().is_synthetic());
    }

    fn check(text: &str, told: &Expect) {
        told.assert_eq(&ProtobufSchema::parse(text, "M").unwrap_err().to_string());
    }

    #[test]
    fn mistakes_are_told_with_line_and_column() {
        check(
            "syntax = \"proto3\";\nmessage M {\n  int64 id = x;\n}",
            &expect!["configuration: Protobuf schema: 3:14: expected number of a field, found `x`"],
        );
        check(
            "syntax = \"proto4\";",
            &expect![
                "configuration: Protobuf schema: 1:10: the syntax \"proto4\" is none of proto2 and proto3"
            ],
        );
        check(
            "edition = \"2023\";",
            &expect![
                "configuration: Protobuf schema: 1:1: editions are not read; write syntax = \"proto3\", or compile a descriptor set without them"
            ],
        );
        check(
            "message M { int32 a = 1; }",
            &expect![
                "configuration: Protobuf schema: 1:13: expected `optional`, `required` or `repeated`, which each field of proto2 has, found `int32`"
            ],
        );
        check(
            "syntax = \"proto3\"; message M { required int32 a = 1; }",
            &expect!["configuration: Protobuf schema: 1:32: proto3 has no `required`"],
        );
        check(
            "syntax = \"proto3\"; message M { map<double, int32> a = 1; }",
            &expect![
                "configuration: Protobuf schema: 1:36: `double` is no type of keys; integers, bool and string are"
            ],
        );
        check(
            "syntax = \"proto3\"; /* M",
            &expect!["configuration: Protobuf schema: 1:20: the comment does not end"],
        );
        check(
            "syntax = \"proto3",
            &expect!["configuration: Protobuf schema: 1:10: the text has no closing quote"],
        );
        check(
            "syntax = \"proto3\"; message M { Money a = 1; }",
            &expect!["configuration: Protobuf schema: name 'Money' is not defined"],
        );
        check(
            "syntax = \"proto3\"; import \"shop/money.proto\"; message M { Money a = 1; }",
            &expect![
                "configuration: Protobuf schema: name 'Money' is not defined; there is no file for its import of shop/money.proto"
            ],
        );
        check(
            "syntax = \"proto3\"; message M { int32 a = 1; int32 b = 1; }",
            &expect!["configuration: Protobuf schema: field number '1' is already used"],
        );
        check(
            "syntax = \"proto3\"; message N { message O {} }",
            &expect!["configuration: Protobuf schema: there is no message `M` in it, but `N`, `N.O`"],
        );
        check(
            "{\"a\":1}",
            &expect![
                "configuration: Protobuf schema: 1:1: expected `message`, `enum`, `import`, `package`, `option`, `service` or `extend`, found `{`"
            ],
        );
    }

    #[test]
    fn any_text_is_a_descriptor_or_a_mistake() {
        // Each beginning of a text that has everything, and each text with one byte changed.
        for end in (0..EVERYTHING.len()).filter(|end| EVERYTHING.is_char_boundary(*end)) {
            let _ = syntax::parse("a", &EVERYTHING[..end]);
        }
        for at in 0..EVERYTHING.len() {
            for other in [b'{', b'}', b'=', b'"', b'1', b'x', b'\\'] {
                let mut text = EVERYTHING.as_bytes().to_vec();
                text[at] = other;
                let _ = syntax::parse("a", std::str::from_utf8(&text).unwrap());
            }
        }
        let deep = format!("{}{}", "message M {".repeat(5_000), "}".repeat(5_000));
        assert!(syntax::parse("a", &deep).unwrap_err().contains("deeper than 32"));
    }
}
