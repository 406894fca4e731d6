//! Encoded keys sort as their values do and decode to what was encoded, in whatever shape serde presents them.

use proptest::{collection::vec, prelude::*};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{collections::BTreeMap, fmt::Debug};
use tidegate::{
    Text,
    codec::{decode_key, encode_key},
    record::Bytes,
};

fn bytes<K: Serialize>(key: &K) -> Vec<u8> {
    let mut out = vec![];
    encode_key(key, &mut out).unwrap();
    out
}

fn check<K: Ord + Serialize + DeserializeOwned + Debug>(a: &K, b: &K) -> Result<(), TestCaseError> {
    let (x, y) = (bytes(a), bytes(b));
    prop_assert_eq!(a.cmp(b), x.cmp(&y), "{:?} {:?}", x, y);
    prop_assert!(
        a == b || !x.starts_with(&y) && !y.starts_with(&x),
        "one begins with the other: {:?} {:?}",
        x,
        y
    );
    prop_assert_eq!(&decode_key::<K>(&x).unwrap(), a);
    for end in 0..x.len() {
        prop_assert!(decode_key::<K>(&x[..end]).is_err());
    }
    prop_assert!(decode_key::<K>(&[&x[..], &[0]].concat()).is_err());
    Ok(())
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Shape {
    Dot,
    Named(String),
    Pair(i16, Option<Box<Shape>>),
    Record { tags: Vec<String>, unit: () },
}
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Unit;
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct New(u32);
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct All {
    numbers: (i8, u16, i32, u64, i128, u128),
    flag: bool,
    letter: char,
    text: Text,
    bytes: Bytes,
    new: New,
    unit: Unit,
    array: [u8; 3],
    map: BTreeMap<String, i8>,
    #[expect(clippy::option_option, reason = "a key may contain one")]
    nested: Option<Option<u8>>,
    shape: Shape,
}

/// Short strings over few letters, with zero bytes and 0xff, so that common prefixes are frequent.
fn raw() -> impl Strategy<Value = Vec<u8>> {
    vec(prop::sample::select(vec![0u8, 1, b'a', 0xfe, 0xff]), 0..6)
}
fn text() -> impl Strategy<Value = String> {
    vec(prop::sample::select(vec!['\0', '\u{1}', 'a', 'b', 'ä', '\u{10ffff}']), 0..6)
        .prop_map(|letters| letters.into_iter().collect())
}
fn shape() -> impl Strategy<Value = Shape> {
    let leaf = prop_oneof![
        Just(Shape::Dot),
        text().prop_map(Shape::Named),
        vec(text(), 0..3).prop_map(|tags| Shape::Record { tags, unit: () })
    ];
    leaf.prop_recursive(3, 8, 1, |inner| {
        (any::<i16>(), prop::option::of(inner.prop_map(Box::new))).prop_map(|(n, next)| Shape::Pair(n, next))
    })
}
prop_compose! {
    fn all()(
        numbers in (-2..3i8, 0..3u16, any::<i32>(), any::<u64>(), any::<i128>(), any::<u128>()),
        flag in any::<bool>(), letter in any::<char>(), text in text(), bytes in raw(), new in any::<u32>(),
        array in any::<[u8; 3]>(), map in prop::collection::btree_map(text(), any::<i8>(), 0..3),
        nested in prop::option::of(prop::option::of(0..2u8)), shape in shape(),
    ) -> All {
        All { numbers, flag, letter, text: text.into(), bytes: bytes.into(), new: New(new), unit: Unit, array, map, nested, shape }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn integers(a in any::<(i64, u32, i8)>(), b in any::<(i64, u32, i8)>()) {
        check(&a, &b)?;
        check(&a.0, &b.0)?;
    }
    #[test]
    fn texts_and_what_follows_them(a in (text(), -1..2i8), b in (text(), -1..2i8)) {
        check(&a, &b)?;
        check(&Text::from(a.0), &Text::from(b.0))?;
    }
    #[test]
    fn byte_strings(a in (raw(), raw()), b in (raw(), raw())) {
        check(&(Bytes::from(a.0.clone()), Bytes::from(a.1.clone())), &(Bytes::from(b.0.clone()), Bytes::from(b.1.clone())))?;
        check(&a, &b)?;
    }
    #[test]
    fn sequences_options_and_enums(a in (vec(shape(), 0..3), any::<Option<bool>>()), b in (vec(shape(), 0..3), any::<Option<bool>>())) {
        check(&a, &b)?;
    }
    #[test]
    fn everything(a in all(), b in all(), n in 0..11usize) {
        check(&a, &b)?;
        // Neighbours that agree in all but one of the later fields.
        let mut c = a.clone();
        match n {
            0 => c.numbers.5 = b.numbers.5,
            1 => c.letter = b.letter,
            2 => c.text = b.text,
            3 => c.bytes = b.bytes,
            4 => c.new = b.new,
            5 => c.map = b.map,
            6 => c.nested = b.nested,
            7 => c.shape = b.shape,
            8 => c.numbers.4 = b.numbers.4,
            9 => c.array = b.array,
            _ => c.flag = b.flag,
        }
        check(&a, &c)?;
    }
    #[test]
    fn floats_sort_by_value(a in any::<f64>(), b in any::<f64>()) {
        prop_assert_eq!(a.partial_cmp(&b).unwrap(), bytes(&a).cmp(&bytes(&b)));
        prop_assert!(decode_key::<f64>(&bytes(&a)).unwrap().total_cmp(&(a + 0.0)).is_eq(), "{a}: the sign of zero is not kept");
    }
    #[test]
    fn any_bytes_decode_or_fail_and_never_panic(junk in vec(any::<u8>(), 0..40)) {
        if let Ok(key) = decode_key::<All>(&junk) {
            prop_assert_eq!(&bytes(&key), &junk);
        }
        let _ = decode_key::<(Vec<Shape>, char, String, bool)>(&junk);
    }
}

#[test]
fn the_layout_is_fixed() {
    assert_eq!(bytes(&1u16), [0, 1]);
    assert_eq!(bytes(&-1i32), [0x7f, 0xff, 0xff, 0xff]);
    assert_eq!(bytes(&"a\0b"), b"a\0\xffb\0\0");
    assert_eq!(bytes(&("tide", Some(true), 'a')), b"tide\0\0\x01\x01\0\0\0a");
    assert_eq!(bytes(&vec![1u8, 2]), [1, 1, 1, 2, 0]);
    assert_eq!(bytes(&Shape::Pair(0, None)), [2, 0x80, 0, 0]);
    assert_eq!(bytes(&(0.0f64, f32::NAN)), bytes(&(-0.0f64, -f32::NAN)));
}

#[test]
fn a_field_that_may_be_omitted_is_refused() {
    #[derive(Serialize)]
    struct Sparse {
        #[serde(skip_serializing_if = "Option::is_none")]
        sometimes: Option<u8>,
    }
    let mut out = b"before".to_vec();
    let e = encode_key(&(1u8, Sparse { sometimes: None }), &mut out).unwrap_err().to_string();
    assert!(e.contains("field `sometimes` is left out"), "{e}");
    assert_eq!(out, b"before");
}

#[test]
fn an_enum_of_more_than_255_variants_keeps_its_order() {
    struct Nth(u32);
    impl Serialize for Nth {
        fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
            s.serialize_unit_variant("Nth", self.0, "")
        }
    }
    let numbers = [0, 1, 254, 255, 256, 70_000, u32::MAX];
    assert!(numbers.map(|n| bytes(&Nth(n))).is_sorted());
}
