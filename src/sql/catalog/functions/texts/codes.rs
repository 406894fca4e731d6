//! Digests of texts and bytes, and other ways to write them: hexadecimal, base64 and binary digits, as in Spark.
//!
//! Owns what they give. Invariants: a text is its UTF-8 bytes; NULL gives NULL.

use crate::sql::catalog::functions::plain::{
    Argument::{Bytes, Integer, Text},
    function,
};
use arrow::{
    array::{ArrayRef, AsArray, BinaryArray, Int64Array, StringArray},
    datatypes::{DataType, Int64Type},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use datafusion_common::{Result as PlanResult, exec_err};
use datafusion_expr::ScalarUDF;
use md5::{Digest, Md5};
use sha2::{Sha224, Sha256, Sha384, Sha512};
use std::{fmt::Write, sync::Arc};

/// All of them.
pub fn functions() -> Vec<ScalarUDF> {
    vec![
        function("md5", &[&[Bytes]], DataType::Utf8, |of| {
            each(of, |bytes| Some(lower_hex(&Md5::digest(bytes))))
        }),
        function("sha2", &[&[Bytes, Integer]], DataType::Utf8, sha2),
        function("crc32", &[&[Bytes]], DataType::Int64, |of| {
            let values = of[0].as_binary::<i32>().iter();
            Ok(Arc::new(
                values
                    .map(|bytes| bytes.map(|bytes| i64::from(crc32fast::hash(bytes))))
                    .collect::<Int64Array>(),
            ))
        }),
        function("hex", &[&[Integer], &[Bytes]], DataType::Utf8, hex),
        function("unhex", &[&[Text]], DataType::Binary, |of| {
            let values: Vec<Option<Vec<u8>>> =
                of[0].as_string::<i32>().iter().map(|text| unhex(text?)).collect();
            Ok(Arc::new(BinaryArray::from_iter(values)))
        }),
        function("base64", &[&[Bytes]], DataType::Utf8, |of| each(of, |bytes| Some(STANDARD.encode(bytes)))),
        function("unbase64", &[&[Text]], DataType::Binary, unbase64),
        function("bin", &[&[Integer]], DataType::Utf8, |of| {
            let values = of[0].as_primitive::<Int64Type>().iter();
            Ok(Arc::new(values.map(|value| value.map(|value| format!("{value:b}"))).collect::<StringArray>()))
        }),
    ]
}

#[allow(clippy::unnecessary_wraps, reason = "functions of arrays may fail")]
fn each(arguments: &[ArrayRef], text: impl Fn(&[u8]) -> Option<String>) -> PlanResult<ArrayRef> {
    let values = arguments[0].as_binary::<i32>().iter();
    Ok(Arc::new(values.map(|bytes| bytes.and_then(&text)).collect::<StringArray>()))
}

fn lower_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // a text takes everything
        text
    })
}

/// The digest of so many bits; 0 means 256, and of another number there is none.
#[allow(clippy::unnecessary_wraps, reason = "functions of arrays may fail")]
fn sha2(arguments: &[ArrayRef]) -> PlanResult<ArrayRef> {
    let bits = arguments[1].as_primitive::<Int64Type>();
    let digest = |(bytes, bits): (Option<&[u8]>, Option<i64>)| {
        let bytes = bytes?;
        Some(match bits? {
            224 => lower_hex(&Sha224::digest(bytes)),
            0 | 256 => lower_hex(&Sha256::digest(bytes)),
            384 => lower_hex(&Sha384::digest(bytes)),
            512 => lower_hex(&Sha512::digest(bytes)),
            _ => return None,
        })
    };
    Ok(Arc::new(arguments[0].as_binary::<i32>().iter().zip(bits).map(digest).collect::<StringArray>()))
}

/// An integer as 64 bits without leading zeros, or each byte with two digits.
fn hex(arguments: &[ArrayRef]) -> PlanResult<ArrayRef> {
    if *arguments[0].data_type() == DataType::Binary {
        return each(arguments, |bytes| Some(lower_hex(bytes).to_uppercase()));
    }
    let values = arguments[0].as_primitive::<Int64Type>().iter();
    Ok(Arc::new(values.map(|value| value.map(|value| format!("{value:X}"))).collect::<StringArray>()))
}

/// The bytes of hexadecimal digits; `None` = there is another character.
fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |c: char| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut digits: Vec<u8> = text.chars().map(digit).collect::<Option<_>>()?;
    if digits.len() % 2 == 1 {
        digits.insert(0, 0);
    }
    Some(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

fn unbase64(arguments: &[ArrayRef]) -> PlanResult<ArrayRef> {
    let decode = |text: Option<&str>| match text.map(|text| STANDARD.decode(text)).transpose() {
        Ok(bytes) => Ok(bytes),
        Err(e) => exec_err!("`unbase64` of a text that is not base64: {e}"),
    };
    let values = arguments[0].as_string::<i32>().iter().map(decode).collect::<PlanResult<Vec<_>>>()?;
    Ok(Arc::new(BinaryArray::from_iter(values)))
}
