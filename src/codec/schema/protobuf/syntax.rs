//! A `.proto` file as a descriptor.
//!
//! Owns the grammar of `proto2` and `proto3`, as the language's specification has it (protobuf.dev/reference/protobuf/proto3-spec). Knows
//! no other file: names of types are resolved when descriptors are put together. Invariants: a text is a descriptor or a mistake with its
//! place; what says nothing about values (services, extensions, reserved names, options of other tools) is passed over.

use super::words::{Mistake, Word, Words};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, EnumOptions, EnumValueDescriptorProto, FieldDescriptorProto,
    FieldOptions, FileDescriptorProto, MessageOptions, OneofDescriptorProto,
    field_descriptor_proto::{Label, Type},
};
use std::mem;

/// How deep messages may be nested.
const DEPTH_MAX: usize = 32;

/// The descriptor of a file of this name.
///
/// # Errors
/// What is wrong, with line and column.
pub(super) fn parse(name: &str, text: &str) -> Result<FileDescriptorProto, String> {
    let parsed = Parser::new(text).and_then(Parser::file);
    let mut file = parsed.map_err(|mistake| mistake.told(text))?;
    file.name = Some(name.to_owned());
    Ok(file)
}

struct Parser<'t> {
    words: Words<'t>,
    /// The word that is looked at, and where it begins.
    word: Word<'t>,
    at: usize,
    is_proto3: bool,
}

/// The value of an option.
enum Constant {
    /// A name or a number, with its sign.
    Plain(String),
    Text(Vec<u8>),
    /// Something in braces.
    Other,
}

type Parsed<T = ()> = Result<T, Mistake>;

impl<'t> Parser<'t> {
    fn new(text: &'t str) -> Parsed<Self> {
        let mut words = Words::new(text);
        let (at, word) = words.next()?;
        Ok(Parser { words, word, at, is_proto3: false })
    }

    fn step(&mut self) -> Parsed<Word<'t>> {
        let (at, word) = self.words.next()?;
        self.at = at;
        Ok(mem::replace(&mut self.word, word))
    }

    fn expected<T>(&self, what: &str) -> Parsed<T> {
        Mistake::new(self.at, format!("expected {what}, found {}", self.word.shown()))
    }

    fn is(&self, symbol: char) -> bool {
        self.word == Word::Symbol(symbol)
    }

    /// Takes a symbol, if it comes.
    fn takes(&mut self, symbol: char) -> Parsed<bool> {
        let comes = self.is(symbol);
        if comes {
            self.step()?;
        }
        Ok(comes)
    }

    fn symbol(&mut self, symbol: char) -> Parsed {
        if self.takes(symbol)? { Ok(()) } else { self.expected(&format!("`{symbol}`")) }
    }

    fn name(&mut self, what: &str) -> Parsed<&'t str> {
        let Word::Name(name) = self.word else { return self.expected(what) };
        self.step()?;
        Ok(name)
    }

    /// A name with points in it, and perhaps before it.
    fn full_name(&mut self, what: &str) -> Parsed<String> {
        let mut full = String::new();
        if self.takes('.')? {
            full.push('.');
        }
        loop {
            full.push_str(self.name(what)?);
            if !self.takes('.')? {
                return Ok(full);
            }
            full.push('.');
        }
    }

    /// A text, which may be in several parts.
    fn text(&mut self, what: &str) -> Parsed<Vec<u8>> {
        let mut all = vec![];
        let mut is_there = false;
        while let Word::Text(part) = &self.word {
            all.extend_from_slice(part);
            is_there = true;
            self.step()?;
        }
        if is_there { Ok(all) } else { self.expected(what) }
    }

    fn utf8(&mut self, what: &str) -> Parsed<String> {
        let at = self.at;
        let text = self.text(what)?;
        String::from_utf8(text).or_else(|_| Mistake::new(at, "the text is not UTF-8"))
    }

    /// A whole number of 32 bits, perhaps with a sign.
    fn number(&mut self, what: &str) -> Parsed<i32> {
        let at = self.at;
        let sign = if self.takes('-')? { -1 } else { 1 };
        let Word::Number(digits) = self.word else { return self.expected(what) };
        match whole(digits).and_then(|value| i32::try_from(sign * value).ok()) {
            Some(value) => {
                self.step()?;
                Ok(value)
            }
            None => Mistake::new(at, format!("`{digits}` is no {what} of 32 bits")),
        }
    }

    fn file(mut self) -> Parsed<FileDescriptorProto> {
        let mut file = FileDescriptorProto::default();
        if matches!(self.word, Word::Name("syntax")) {
            self.step()?;
            self.symbol('=')?;
            let at = self.at;
            let syntax = self.utf8("\"proto2\" or \"proto3\"")?;
            match syntax.as_str() {
                "proto2" => {}
                "proto3" => self.is_proto3 = true,
                _ => {
                    return Mistake::new(at, format!("the syntax \"{syntax}\" is none of proto2 and proto3"));
                }
            }
            file.syntax = Some(syntax);
            self.symbol(';')?;
        }
        loop {
            let at = self.at;
            match self.step()? {
                Word::End => return Ok(file),
                Word::Symbol(';') => {}
                Word::Name("edition") => {
                    return Mistake::new(
                        at,
                        "editions are not read; write syntax = \"proto3\", or compile a descriptor set without them",
                    );
                }
                Word::Name("import") => {
                    let index = i32::try_from(file.dependency.len()).unwrap_or(i32::MAX);
                    match self.word {
                        Word::Name("public") => file.public_dependency.push(index),
                        Word::Name("weak") => file.weak_dependency.push(index),
                        _ => {}
                    }
                    if matches!(self.word, Word::Name("public" | "weak")) {
                        self.step()?;
                    }
                    file.dependency.push(self.utf8("the path of a file")?);
                    self.symbol(';')?;
                }
                Word::Name("package") => {
                    file.package = Some(self.full_name("a package")?);
                    self.symbol(';')?;
                }
                Word::Name("option") => drop(self.option_statement()?),
                Word::Name("message") => file.message_type.push(self.message(0)?),
                Word::Name("enum") => file.enum_type.push(self.enumeration()?),
                Word::Name("service" | "extend") => {
                    self.full_name("a name")?;
                    self.skip_block()?;
                }
                other => {
                    let what = "`message`, `enum`, `import`, `package`, `option`, `service` or `extend`";
                    return Mistake::new(at, format!("expected {what}, found {}", other.shown()));
                }
            }
        }
    }

    /// Passes over what is in braces.
    fn skip_block(&mut self) -> Parsed {
        let at = self.at;
        self.symbol('{')?;
        let mut depth = 1;
        while depth > 0 {
            match self.step()? {
                Word::Symbol('{') => depth += 1,
                Word::Symbol('}') => depth -= 1,
                Word::End => return Mistake::new(at, "the brace is not closed"),
                _ => {}
            }
        }
        Ok(())
    }

    /// Passes over a statement, to its semicolon.
    fn skip_statement(&mut self) -> Parsed {
        loop {
            if self.is('{') {
                self.skip_block()?;
                continue;
            }
            match self.word {
                Word::End => return self.expected("`;`"),
                Word::Symbol(';') => return self.step().map(drop),
                _ => drop(self.step()?),
            }
        }
    }

    fn option_statement(&mut self) -> Parsed<(String, Constant)> {
        let option = self.option()?;
        self.symbol(';')?;
        Ok(option)
    }

    /// A name, which is empty if it is none of the language, and a value.
    fn option(&mut self) -> Parsed<(String, Constant)> {
        let mut name = String::new();
        let mut is_own = false;
        loop {
            if self.takes('(')? {
                is_own = true;
                self.full_name("the name of an option")?;
                self.symbol(')')?;
            } else {
                name.push_str(self.name("the name of an option")?);
            }
            if !self.takes('.')? {
                break;
            }
            name.push('.');
        }
        self.symbol('=')?;
        if is_own {
            name.clear();
        }
        Ok((name, self.constant()?))
    }

    fn constant(&mut self) -> Parsed<Constant> {
        if self.is('{') {
            self.skip_block()?;
            return Ok(Constant::Other);
        }
        if self.is('[') {
            while !self.takes(']')? {
                if self.word == Word::End {
                    return self.expected("`]`");
                }
                self.step()?;
            }
            return Ok(Constant::Other);
        }
        if matches!(self.word, Word::Text(_)) {
            return Ok(Constant::Text(self.text("a value")?));
        }
        let sign = if self.takes('-')? {
            "-"
        } else {
            self.takes('+')?;
            ""
        };
        match self.word {
            Word::Number(digits) => {
                self.step()?;
                // Descriptors have decimal digits.
                let value = whole(digits).map_or_else(|| digits.to_owned(), |value| value.to_string());
                Ok(Constant::Plain(format!("{sign}{value}")))
            }
            Word::Name(_) => Ok(Constant::Plain(format!("{sign}{}", self.full_name("a value")?))),
            _ => self.expected("a value"),
        }
    }

    /// Options in brackets, if there are any.
    fn options(&mut self) -> Parsed<Vec<(String, Constant)>> {
        let mut options = vec![];
        if self.takes('[')? {
            loop {
                options.push(self.option()?);
                if !self.takes(',')? {
                    break;
                }
            }
            self.symbol(']')?;
        }
        Ok(options)
    }

    fn message(&mut self, depth: usize) -> Parsed<DescriptorProto> {
        let at = self.at;
        let name = self.name("the name of a message")?.to_owned();
        if depth >= DEPTH_MAX {
            return Mistake::new(at, format!("messages are nested deeper than {DEPTH_MAX}"));
        }
        self.symbol('{')?;
        let mut message = DescriptorProto { name: Some(name), ..DescriptorProto::default() };
        while !self.takes('}')? {
            self.member(&mut message, depth)?;
        }
        add_synthetic(&mut message);
        Ok(message)
    }

    fn member(&mut self, message: &mut DescriptorProto, depth: usize) -> Parsed {
        match self.word {
            Word::Symbol(';') => self.step().map(drop),
            Word::Name("message") => {
                self.step()?;
                message.nested_type.push(self.message(depth + 1)?);
                Ok(())
            }
            Word::Name("enum") => {
                self.step()?;
                message.enum_type.push(self.enumeration()?);
                Ok(())
            }
            Word::Name("extend") => {
                self.step()?;
                self.full_name("a message")?;
                self.skip_block()
            }
            Word::Name("extensions" | "reserved") => self.skip_statement(),
            Word::Name("option") => {
                let at = self.at;
                self.step()?;
                match self.option_statement()? {
                    (name, Constant::Plain(value))
                        if name == "message_set_wire_format" && value == "true" =>
                    {
                        Mistake::new(at, "message sets are not read")
                    }
                    _ => Ok(()),
                }
            }
            Word::Name("oneof") => {
                self.step()?;
                self.oneof(message, depth)
            }
            _ => self.field(message, depth, None),
        }
    }

    fn oneof(&mut self, message: &mut DescriptorProto, depth: usize) -> Parsed {
        let name = self.name("the name of a oneof")?.to_owned();
        let index = i32::try_from(message.oneof_decl.len()).unwrap_or(i32::MAX);
        message.oneof_decl.push(OneofDescriptorProto { name: Some(name), options: None });
        self.symbol('{')?;
        while !self.takes('}')? {
            match self.word {
                Word::Symbol(';') => drop(self.step()?),
                Word::Name("option") => {
                    self.step()?;
                    self.option_statement()?;
                }
                _ => self.field(message, depth, Some(index))?,
            }
        }
        Ok(())
    }

    fn field(&mut self, message: &mut DescriptorProto, depth: usize, oneof: Option<i32>) -> Parsed {
        let at = self.at;
        let label = match self.word {
            Word::Name("optional") => Some(Label::Optional),
            Word::Name("required") => Some(Label::Required),
            Word::Name("repeated") => Some(Label::Repeated),
            _ => None,
        };
        if label.is_some() {
            if oneof.is_some() {
                return Mistake::new(at, "a field of a oneof has no label");
            }
            self.step()?;
        } else if !self.is_proto3 && oneof.is_none() && !matches!(self.word, Word::Name("map")) {
            return self.expected("`optional`, `required` or `repeated`, which each field of proto2 has");
        }
        if label == Some(Label::Required) && self.is_proto3 {
            return Mistake::new(at, "proto3 has no `required`");
        }
        let type_at = self.at;
        let of = self.full_name("a field, or `}`")?;
        if of == "group" {
            return self.group(message, depth, (label, oneof));
        }
        let entry = if of == "map" && self.is('<') { Some(self.map_types()?) } else { None };
        if entry.is_some() && (label.is_some() || oneof.is_some()) {
            return Mistake::new(at, "a map has no label and is in no oneof");
        }
        let name = self.name("the name of a field")?.to_owned();
        self.symbol('=')?;
        let number = self.number("number of a field")?;
        let mut field = FieldDescriptorProto {
            number: Some(number),
            label: Some(label.unwrap_or(Label::Optional).into()),
            oneof_index: oneof,
            ..FieldDescriptorProto::default()
        };
        if label == Some(Label::Optional) && self.is_proto3 {
            field.proto3_optional = Some(true);
        }
        if let Some((key, value)) = entry {
            let entry = format!("{}Entry", camel(&name));
            message.nested_type.push(map_entry(&entry, &key, &value));
            field.label = Some(Label::Repeated.into());
            field.r#type = Some(Type::Message.into());
            field.type_name = Some(entry);
        } else {
            set_type(&mut field, &of);
        }
        field.name = Some(name);
        self.field_options(&mut field, type_at)?;
        self.symbol(';')?;
        message.field.push(field);
        Ok(())
    }

    /// A message that is a field too.
    fn group(
        &mut self,
        message: &mut DescriptorProto,
        depth: usize,
        (label, oneof): (Option<Label>, Option<i32>),
    ) -> Parsed {
        let at = self.at;
        if self.is_proto3 {
            return Mistake::new(at, "proto3 has no groups");
        }
        let Word::Name(name) = self.word else { return self.expected("the name of a group") };
        // The number comes between the name and the body.
        self.step()?;
        self.symbol('=')?;
        let number = self.number("number of a field")?;
        self.options()?;
        self.symbol('{')?;
        if depth >= DEPTH_MAX {
            return Mistake::new(at, format!("messages are nested deeper than {DEPTH_MAX}"));
        }
        let mut body = DescriptorProto { name: Some(name.to_owned()), ..DescriptorProto::default() };
        while !self.takes('}')? {
            self.member(&mut body, depth + 1)?;
        }
        message.nested_type.push(body);
        message.field.push(FieldDescriptorProto {
            name: Some(name.to_ascii_lowercase()),
            number: Some(number),
            label: Some(label.unwrap_or(Label::Optional).into()),
            oneof_index: oneof,
            r#type: Some(Type::Group.into()),
            type_name: Some(name.to_owned()),
            ..FieldDescriptorProto::default()
        });
        Ok(())
    }

    fn map_types(&mut self) -> Parsed<(String, String)> {
        self.symbol('<')?;
        let at = self.at;
        let key = self.full_name("the type of the keys")?;
        if !matches!(
            scalar(&key),
            Some(of) if !matches!(of, Type::Double | Type::Float | Type::Bytes)
        ) {
            return Mistake::new(at, format!("`{key}` is no type of keys; integers, bool and string are"));
        }
        self.symbol(',')?;
        let value = self.full_name("the type of the values")?;
        self.symbol('>')?;
        Ok((key, value))
    }

    fn field_options(&mut self, field: &mut FieldDescriptorProto, at: usize) -> Parsed {
        for (name, value) in self.options()? {
            match (name.as_str(), value) {
                ("default", _) if self.is_proto3 => {
                    return Mistake::new(at, "proto3 has no defaults of one's own");
                }
                ("default", Constant::Plain(value)) => field.default_value = Some(value),
                ("default", Constant::Text(value)) => {
                    field.default_value = Some(match field.r#type() {
                        Type::Bytes if field.r#type.is_some() => value.escape_ascii().to_string(),
                        _ => String::from_utf8_lossy(&value).into_owned(),
                    });
                }
                ("json_name", Constant::Text(value)) => {
                    field.json_name = Some(String::from_utf8_lossy(&value).into_owned());
                }
                ("packed", Constant::Plain(value)) => {
                    let packed = Some(value == "true");
                    field.options = Some(FieldOptions { packed, ..FieldOptions::default() });
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn enumeration(&mut self) -> Parsed<EnumDescriptorProto> {
        let name = self.name("the name of an enum")?.to_owned();
        let mut of = EnumDescriptorProto { name: Some(name), ..EnumDescriptorProto::default() };
        self.symbol('{')?;
        while !self.takes('}')? {
            match self.word {
                Word::Symbol(';') => drop(self.step()?),
                Word::Name("reserved") => self.skip_statement()?,
                Word::Name("option") => {
                    self.step()?;
                    if let (name, Constant::Plain(value)) = self.option_statement()?
                        && name == "allow_alias"
                    {
                        let allow_alias = Some(value == "true");
                        of.options = Some(EnumOptions { allow_alias, ..EnumOptions::default() });
                    }
                }
                _ => {
                    let name = self.name("a value of the enum, or `}`")?.to_owned();
                    self.symbol('=')?;
                    let number = self.number("number of a value")?;
                    self.options()?;
                    self.symbol(';')?;
                    of.value.push(EnumValueDescriptorProto {
                        name: Some(name),
                        number: Some(number),
                        options: None,
                    });
                }
            }
        }
        Ok(of)
    }
}

/// Each `optional` of proto3 is alone in a oneof, behind those that are written.
fn add_synthetic(message: &mut DescriptorProto) {
    for index in 0..message.field.len() {
        if message.field[index].proto3_optional != Some(true) {
            continue;
        }
        let mut name = format!("_{}", message.field[index].name());
        let is_taken = |message: &DescriptorProto, name: &str| {
            message.field.iter().any(|field| field.name() == name)
                || message.oneof_decl.iter().any(|oneof| oneof.name() == name)
        };
        while is_taken(message, &name) {
            name.insert(0, 'X');
        }
        message.field[index].oneof_index = i32::try_from(message.oneof_decl.len()).ok();
        message.oneof_decl.push(OneofDescriptorProto { name: Some(name), options: None });
    }
}

/// A whole number: decimal, octal behind a zero, or hexadecimal.
fn whole(digits: &str) -> Option<i128> {
    if let Some(hex) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        return i128::from_str_radix(hex, 16).ok();
    }
    let radix = if digits.len() > 1 && digits.starts_with('0') { 8 } else { 10 };
    i128::from_str_radix(digits, radix).ok()
}

fn scalar(name: &str) -> Option<Type> {
    Some(match name {
        "double" => Type::Double,
        "float" => Type::Float,
        "int32" => Type::Int32,
        "int64" => Type::Int64,
        "uint32" => Type::Uint32,
        "uint64" => Type::Uint64,
        "sint32" => Type::Sint32,
        "sint64" => Type::Sint64,
        "fixed32" => Type::Fixed32,
        "fixed64" => Type::Fixed64,
        "sfixed32" => Type::Sfixed32,
        "sfixed64" => Type::Sfixed64,
        "bool" => Type::Bool,
        "string" => Type::String,
        "bytes" => Type::Bytes,
        _ => return None,
    })
}

/// A type by its name; whether it is a message or an enum is found out when names are resolved.
fn set_type(field: &mut FieldDescriptorProto, name: &str) {
    match scalar(name) {
        Some(of) => field.r#type = Some(of.into()),
        None => field.type_name = Some(name.to_owned()),
    }
}

/// The message that stands for an entry of a map.
fn map_entry(name: &str, key: &str, value: &str) -> DescriptorProto {
    let field = |name: &str, number: i32, of: &str| {
        let mut field = FieldDescriptorProto {
            name: Some(name.to_owned()),
            number: Some(number),
            label: Some(Label::Optional.into()),
            ..FieldDescriptorProto::default()
        };
        set_type(&mut field, of);
        field
    };
    DescriptorProto {
        name: Some(name.to_owned()),
        field: vec![field("key", 1, key), field("value", 2, value)],
        options: Some(MessageOptions { map_entry: Some(true), ..MessageOptions::default() }),
        ..DescriptorProto::default()
    }
}

/// `user_name` as `UserName`.
fn camel(name: &str) -> String {
    let mut out = String::new();
    for part in name.split('_') {
        let mut rest = part.chars();
        out.extend(rest.next().map(|first| first.to_ascii_uppercase()));
        out.push_str(rest.as_str());
    }
    out
}
