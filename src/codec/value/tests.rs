//! Types of every serde shape through values: which form they take, what comes back, and what is refused.

use super::*;
use crate::record::Text;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, HashMap},
    fmt::Debug,
};

#[test]
fn values_survive_a_round_trip_and_nothing_else_is_accepted() {
    let value = ("words".to_owned(), Some(7u64), vec![-1i32]);
    let mut out = b"before".to_vec();
    encode_value(&value, &mut out).unwrap();
    let bytes = &out[6..];
    assert_eq!(decode_value::<(String, Option<u64>, Vec<i32>)>(bytes).unwrap(), value);
    assert_eq!(bytes.len(), 1 + value_bytes(&value));
    for (broken, reason) in [
        (&bytes[..0], "it is empty"),
        (&bytes[..4], "end of buffer"),
        (&[&[9], &bytes[1..]].concat(), "format version 9, this program knows version 1"),
        (&[bytes, &[0]].concat(), "1 bytes are left over"),
    ] {
        let e = decode_value::<(String, Option<u64>, Vec<i32>)>(broken).unwrap_err().to_string();
        assert!(e.to_lowercase().contains(reason), "{e}");
    }
}

fn round<V: Serialize + for<'de> Deserialize<'de> + 'static>(value: &V) -> (V, u8) {
    let mut out = vec![];
    encode_value(value, &mut out).unwrap();
    (decode_value(&out).unwrap(), out[0])
}

/// Comes back equal, in the described form or not.
fn comes_back<V>(values: impl IntoIterator<Item = V>, first: u8)
where
    V: Serialize + for<'de> Deserialize<'de> + 'static + PartialEq + Debug,
{
    for value in values {
        let (back, form) = round(&value);
        assert_eq!(back, value);
        assert_eq!(form, first, "{value:?}");
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Shape {
    Dot,
    Tag(u8),
    Line(i32, i64),
    Circle { radius: f64, name: Option<String> },
    Group(Vec<Shape>),
}

#[test]
fn the_plain_form_is_that_of_postcard() {
    fn pinned<V: Serialize>(value: &V) {
        let mut ours = vec![];
        plain(value, &mut ours).unwrap();
        assert_eq!(ours, postcard::to_allocvec(value).unwrap());
    }
    pinned(&(u8::MAX, u16::MAX, u32::MAX, u64::MAX, u128::MAX));
    pinned(&(i8::MIN, i16::MIN, i32::MIN, i64::MIN, i128::MIN, -1i64, 64i64, 63u64, 128u32));
    pinned(&(true, 'ä', "text", "", (), 1.5f32, f64::NAN, Some(None::<u8>)));
    pinned(&Shape::Group(vec![
        Shape::Dot,
        Shape::Tag(200),
        Shape::Line(-3, 300),
        Shape::Circle { radius: 0.1, name: Some("c".into()) },
    ]));
    pinned(&BTreeMap::from([("a", vec![1u8, 2]), ("b", vec![])]));
    pinned(&(Text::from("t"), crate::record::Bytes::from(&b"\0\x01"[..]), [7u16; 3]));
    pinned(&(std::time::Duration::from_millis(1500), std::net::IpAddr::from([1, 2, 3, 4])));
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Session {
    #[serde(skip_serializing_if = "Option::is_none")]
    first: Option<u8>,
    clicks: u8,
    pages: Vec<u8>,
}
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Rarely {
    #[serde(skip_serializing_if = "is_42", default = "forty_two")]
    first: u8,
    last: u8,
}
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_42(n: &u8) -> bool {
    *n == 42
}
fn forty_two() -> u8 {
    42
}
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Number(i64),
    Text(String),
    Many(Vec<Untagged>),
}
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Tagged {
    Up,
    Moved { x: i32, at: std::net::IpAddr },
    Grown { by: u64, big: Option<String> },
}
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "t", content = "c")]
enum Adjacent {
    Nothing,
    Number(u8),
    Both(u8, Option<u8>),
}
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Flat {
    id: u8,
    #[serde(flatten)]
    inner: Inner,
    #[serde(flatten)]
    rest: BTreeMap<String, serde_json::Value>,
}
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Inner {
    a: u8,
    b: Option<String>,
}
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Holey {
    First,
    #[serde(skip)]
    #[expect(dead_code, reason = "takes a number when written, and none when read")]
    Never,
    Second,
    Third,
}
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Short(u8, #[serde(skip_serializing_if = "Option::is_none", default)] Option<u8>);

#[test]
fn types_without_a_plain_form_come_back_too() {
    let session = |first, clicks| Session { first, clicks, pages: vec![3, 0] };
    assert_eq!(round(&session(Some(1), 1)), (session(Some(1), 1), DESCRIBED));
    comes_back([Short(1, None), Short(1, Some(2))], DESCRIBED);
    comes_back([session(None, 1), session(Some(2), 2)], DESCRIBED);
    comes_back([Rarely { first: 1, last: 2 }], VALUE_VERSION);
    comes_back([Rarely { first: 42, last: 2 }], DESCRIBED);
    comes_back(
        [Untagged::Number(-1), Untagged::Text("x".into()), Untagged::Many(vec![Untagged::Number(1)])],
        DESCRIBED,
    );
    comes_back(
        [
            Tagged::Up,
            Tagged::Moved { x: -1, at: [1, 2, 3, 4].into() },
            Tagged::Grown { by: u64::MAX, big: None },
        ],
        DESCRIBED,
    );
    comes_back([Adjacent::Nothing, Adjacent::Number(7), Adjacent::Both(1, None)], DESCRIBED);
    let rest = BTreeMap::from([("more".to_owned(), serde_json::json!({"x": [1, -2, 0.5, null, "t", true]}))]);
    comes_back([Flat { id: 1, inner: Inner { a: 2, b: None }, rest }], DESCRIBED);
    comes_back([Holey::First, Holey::Second, Holey::Third], DESCRIBED);
    comes_back(
        [serde_json::json!({"a": {"b": [1, 2.5, "c", u64::MAX]}}), serde_json::Value::Null],
        DESCRIBED,
    );
    comes_back([vec![Some(serde_json::json!(1)), None]], DESCRIBED);
}

#[test]
fn usual_types_are_plain() {
    comes_back([Shape::Dot, Shape::Line(1, 2), Shape::Group(vec![Shape::Tag(1)])], VALUE_VERSION);
    comes_back([(1u8, "x".to_owned(), Some(Some(2i128)), [0.5f64; 2])], VALUE_VERSION);
    comes_back([HashMap::from([("a".to_owned(), 1u8), ("b".to_owned(), 2)])], VALUE_VERSION);
    comes_back([(std::num::NonZeroU32::MIN, std::net::IpAddr::from([1, 2, 3, 4]))], VALUE_VERSION);
    assert!(round(&f64::NAN).0.is_nan());
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Lossy {
    Float(f64),
    Whole(i64),
}
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Unread {
    a: u8,
    #[serde(skip_deserializing)]
    b: u8,
}
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Unwritten {
    #[serde(skip_serializing)]
    a: u8,
    b: u8,
}

#[test]
fn what_cannot_come_back_is_refused_when_it_is_written() {
    let told = |written: Result| written.unwrap_err().to_string();
    let mut out = vec![];
    encode_value(&Lossy::Float(0.5), &mut out).unwrap();
    let before = out.clone();
    let e = told(encode_value(&Lossy::Whole(1), &mut out));
    assert!(e.contains("1 is read back as 1.0") && e.contains("\n  next: "), "{e}");
    assert_eq!(out, before);
    let e = told(encode_value(&Unread { a: 1, b: 2 }, &mut out));
    assert!(e.contains(r#"{"a":1,"b":2} is read back as {"a":1,"b":0}"#), "{e}");
    assert!(told(encode_value(&Unwritten { a: 1, b: 2 }, &mut out)).contains("field `a` has no default"));
    assert!(value_refusal::<Unwritten>().unwrap().contains("field `a` has no default"));
    assert_eq!(value_refusal::<Session>(), None);
    assert_eq!(value_refusal::<Shape>(), None);
}

#[test]
fn keys_that_would_not_come_back_are_refused() {
    assert_eq!(key_refusal::<(Text, i64, Option<u8>)>(), None);
    assert_eq!(key_refusal::<Shape>(), None);
    assert!(key_refusal::<Holey>().is_some());
    assert!(key_refusal::<Session>().unwrap().contains("field `first` is left out"));
    assert!(key_refusal::<Untagged>().unwrap().contains("serde has to look at the value"));
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Old {
    gone: Option<String>,
    count: u32,
    kind: OldKind,
    list: Vec<(u8, char)>,
}
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum OldKind {
    Up,
    At(u8, i8),
    Named { name: String },
}
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct New {
    kind: NewKind,
    #[serde(default)]
    last: Option<i64>,
    list: Vec<(u8, char)>,
    count: u64,
}
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum NewKind {
    Named {
        name: String,
        #[serde(default)]
        more: u8,
    },
    Down,
    Up,
    At(i16, i8),
}

#[test]
fn rows_of_an_earlier_format_are_read_by_the_names_of_their_parts() {
    let formats = [stored_format::<Old>()];
    let (old, new) =
        (Stored::<Old>::new(&formats[0], &formats), Stored::<New>::new(&stored_format::<New>(), &formats));
    let row = |kind| Old { gone: Some("g".into()), count: 300, kind, list: vec![(1, 'x')] };
    for (was, is) in [
        (OldKind::Up, NewKind::Up),
        (OldKind::At(255, -1), NewKind::At(255, -1)),
        (OldKind::Named { name: "n".into() }, NewKind::Named { name: "n".into(), more: 0 }),
    ] {
        let mut bytes = vec![];
        old.encode(&row(was), &mut bytes).unwrap();
        let read = new.decode(&bytes).unwrap();
        assert_eq!(read, New { kind: is, last: None, list: vec![(1, 'x')], count: 300 });
        bytes.clear();
        new.encode(&read, &mut bytes).unwrap();
        assert_eq!((bytes[0], new.decode(&bytes).unwrap()), (2, read));
    }
    let changes = Stored::<New>::changes_since(&formats[0]).unwrap();
    assert_eq!(
        changes,
        [
            "loses field `gone`",
            "`count`: u32 becomes u64",
            "`kind.At.0`: u8 becomes i16",
            "gains field `kind.Named.more`",
            "gains variant `kind.Down`",
            "`kind`: variants in another order",
            "gains field `last`",
            "fields in another order"
        ]
    );
    assert_eq!(
        Stored::<Old>::changes_since(&stored_format::<New>()).unwrap_err(),
        "`kind`: variant `Down` is gone"
    );
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Required {
    count: u64,
    more: u8,
}
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Count {
    count: u64,
}
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Strict {
    count: u64,
}

#[test]
fn formats_whose_rows_could_not_be_read_are_refused() {
    let since = |format: &str| Stored::<Count>::changes_since(format);
    assert!(
        Stored::<Required>::changes_since("{count:u64}").unwrap_err().contains("field `more` has no default")
    );
    assert_eq!(since("{count:u64,more:u8}").unwrap(), ["loses field `more`"]);
    assert!(Stored::<Strict>::changes_since("{count:u64,more:u8}").unwrap_err().contains("no field `more`"));
    assert_eq!(since("{count:i64}").unwrap_err(), "`count`: is of another type");
    assert_eq!(since("u64").unwrap_err(), "is of another type");
    assert!(Stored::<Shape>::changes_since("<Dot|Group([^2])>").unwrap_err().contains("recursion"));
    assert_eq!(since("{count:u32}").unwrap(), ["`count`: u32 becomes u64"]);
}

#[test]
fn damaged_bytes_are_errors() {
    let mut out = vec![];
    encode_value(
        &Flat { id: 1, inner: Inner { a: 2, b: Some("b".into()) }, rest: BTreeMap::new() },
        &mut out,
    )
    .unwrap();
    for cut in 0..out.len() {
        assert!(decode_value::<Flat>(&out[..cut]).is_err(), "{cut}");
    }
    for at in 1..out.len() {
        for byte in [0, 1, 5, 9, 0x7f, 0xff] {
            let mut damaged = out.clone();
            damaged[at] = byte;
            let _ = decode_value::<Flat>(&damaged); // no panic
        }
    }
}
