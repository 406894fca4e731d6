//! Text and JSON lines, and how encoded rows of any format get into a file.
//!
//! Knows no file name. Invariant: what tasks encoded is written as it is.

use super::content::{Content, FileFormat};
use crate::{
    codec::{Encode, Json},
    error::{Error, Result},
    sink::to_display,
};
use serde::Serialize;
use std::{fs::File, io::Write};

/// One line per row, as `print` shows it.
pub(super) struct Lines;

impl<T: Serialize> FileFormat<T> for Lines {
    fn encode(&self, rows: &[&T]) -> Result<Content> {
        let mut lines = vec![];
        for row in rows {
            lines.extend_from_slice(to_display(*row)?.as_bytes());
            lines.push(b'\n');
        }
        Ok(Content::Lines(lines))
    }

    fn extension(&self) -> &'static str {
        "txt"
    }
}

/// One line per row, with a JSON document, as the codec of topics has it.
pub(super) struct JsonLines;

impl<T: Serialize> FileFormat<T> for JsonLines {
    fn encode(&self, rows: &[&T]) -> Result<Content> {
        let mut lines = vec![];
        for row in rows {
            if !Json.encode(row, &mut lines)? {
                lines.extend_from_slice(b"null");
            }
            lines.push(b'\n');
        }
        Ok(Content::Lines(lines))
    }

    fn extension(&self) -> &'static str {
        "json"
    }
}

/// Writes the contents of one file, all of one format.
pub(super) fn write(contents: &[&Content], file: &mut File) -> Result {
    #[cfg(feature = "parquet")]
    let mut columns = vec![];
    for content in contents {
        match content {
            Content::Lines(lines) => file.write_all(lines).map_err(Error::io("writing lines to a file"))?,
            #[cfg(feature = "parquet")]
            Content::Columns(batch) => columns.push(batch),
        }
    }
    #[cfg(feature = "parquet")]
    if !columns.is_empty() {
        return super::parquet::write(&columns, file);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_json_cannot_express_is_refused_and_no_row_is_lost_for_being_null() {
        fn lines<T: Serialize>(rows: &[&T]) -> Result<String> {
            let Content::Lines(lines) = JsonLines.encode(rows)? else { panic!("JSON is lines") };
            Ok(String::from_utf8(lines).unwrap())
        }
        assert_eq!(lines(&[&Some(1.5), &None]).unwrap(), "1.5\nnull\n");
        let refused = lines(&[&("a", f64::NAN)]).unwrap_err().to_string();
        assert!(refused.contains("JSON has no number NaN in `[1]`"), "{refused}");
    }
}
