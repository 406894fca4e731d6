//! Tables of generated rows.
//!
//! Owns the options of `datagen`, which are Flink's. Knows no row.

use super::{DatagenTable, FieldGenerator, Options};
use crate::sql::{SqlError, SqlOption, SqlResult, TableDefinition};
use std::collections::BTreeMap;

/// Rows a second of a generated table, as in Flink.
const ROWS_PER_SECOND: u64 = 10_000;

/// The options of `datagen`.
pub(super) fn table(table: &TableDefinition, options: &mut Options<'_>) -> SqlResult<DatagenTable> {
    let rows_per_second = options.number("rows-per-second", "10")?.unwrap_or(ROWS_PER_SECOND);
    let rows_max = options.number("number-of-rows", "1000")?;
    let mut fields: Vec<(String, FieldGenerator)> = vec![];
    let mut settings = BTreeMap::<&str, Vec<(&str, &SqlOption)>>::new();
    for (rest, option) in options.take_prefixed("fields.") {
        let Some((name, setting)) = rest.rsplit_once('.') else {
            return Err(SqlError::at(option.key_span, "which setting of the column?")
                .next("write 'fields.<column>.kind', '.start', '.end', '.min', '.max' or '.length'"));
        };
        if !table.columns.iter().any(|column| column.name == name) {
            return Err(SqlError::at(option.key_span, format!("there is no column `{name}`")));
        }
        settings.entry(name).or_default().push((setting, option));
    }
    for (name, settings) in settings {
        fields.push((name.to_owned(), generator(&settings)?));
    }
    Ok(DatagenTable { rows_per_second, rows_max, fields })
}

fn generator(settings: &[(&str, &SqlOption)]) -> SqlResult<FieldGenerator> {
    let (mut is_sequence, mut start, mut end) = (false, None, None);
    let (mut min, mut max, mut length) = (None, None, None);
    for (setting, option) in settings {
        let wrong = |what: &str| {
            SqlError::at(option.value_span, format!("'{setting}' must be {what}, but is '{}'", option.value))
        };
        match *setting {
            "kind" if option.value == "sequence" => is_sequence = true,
            "kind" if option.value == "random" => {}
            "kind" => return Err(wrong("'sequence' or 'random'")),
            "start" => start = Some(option.value.parse().map_err(|_| wrong("a number"))?),
            "end" => end = Some(option.value.parse().map_err(|_| wrong("a number"))?),
            "min" => min = Some(option.value.parse().map_err(|_| wrong("a number"))?),
            "max" => max = Some(option.value.parse().map_err(|_| wrong("a number"))?),
            "length" => length = Some(option.value.parse().map_err(|_| wrong("a number of characters"))?),
            _ => {
                return Err(SqlError::at(option.key_span, format!("a column has no setting '{setting}'"))
                    .next("it has 'kind', 'start', 'end', 'min', 'max' and 'length'"));
            }
        }
    }
    Ok(if is_sequence {
        FieldGenerator::Sequence { start: start.unwrap_or(0), end: end.unwrap_or(i64::MAX) }
    } else {
        FieldGenerator::Random { min, max, length }
    })
}
