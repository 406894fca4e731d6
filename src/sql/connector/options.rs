//! The options of a table, taken one by one.
//!
//! Owns which of them are taken, and how what is left over is told. Knows no connector. Invariant: an option that nobody takes is a
//! mistake, with the option that was probably meant.

use crate::sql::{Span, SqlError, SqlOption, SqlResult, TableDefinition};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

/// The options of one table.
pub struct Options<'t> {
    table: &'t TableDefinition,
    left: BTreeMap<&'t str, &'t SqlOption>,
    /// Those that were asked for, whether they are there or not.
    known: BTreeSet<String>,
}

impl<'t> Options<'t> {
    /// All options of a table.
    #[must_use]
    pub fn of(table: &'t TableDefinition) -> Self {
        let left = table.options.iter().map(|(key, option)| (key.as_str(), option)).collect();
        Options { table, left, known: BTreeSet::new() }
    }

    /// An option, if it is there.
    pub fn take(&mut self, key: &str) -> Option<&'t SqlOption> {
        self.known.insert(key.to_owned());
        self.left.remove(key)
    }

    /// An option that must be there.
    ///
    /// # Errors
    /// If it is not.
    pub fn need(&mut self, key: &str, example: &str) -> SqlResult<&'t SqlOption> {
        self.take(key).ok_or_else(|| self.missing(key, example))
    }

    /// The mistake of a table that lacks an option.
    #[must_use]
    pub fn missing(&self, key: &str, example: &str) -> SqlError {
        SqlError::at(self.table.span, format!("table `{}` lacks the option '{key}'", self.table.name))
            .next(format!("add '{key}' = '{example}' to WITH (..)"))
    }

    /// An option that has one of several values.
    ///
    /// # Errors
    /// If it has another value.
    pub fn choice<T: Copy>(&mut self, key: &str, choices: &[(&str, T)]) -> SqlResult<Option<T>> {
        let Some(option) = self.take(key) else { return Ok(None) };
        let chosen = choices.iter().find(|(name, _)| option.value.eq_ignore_ascii_case(name));
        chosen.map(|(_, choice)| Some(*choice)).ok_or_else(|| {
            let names: Vec<String> = choices.iter().map(|(name, _)| format!("'{name}'")).collect();
            SqlError::at(option.value_span, format!("'{key}' cannot be '{}'", option.value))
                .next(format!("choose one of {}", names.join(", ")))
        })
    }

    /// An option that is a number.
    ///
    /// # Errors
    /// If it is not a number of this type.
    pub fn number<T: std::str::FromStr>(&mut self, key: &str, example: &str) -> SqlResult<Option<T>> {
        let Some(option) = self.take(key) else { return Ok(None) };
        option.value.parse().map(Some).map_err(|_| {
            SqlError::at(option.value_span, format!("'{key}' must be a number, but is '{}'", option.value))
                .next(format!("write '{key}' = '{example}'"))
        })
    }

    /// An option that is there, but cannot be honoured.
    ///
    /// # Errors
    /// If it is there.
    pub fn refuse(&mut self, key: &str, why: &str, next: &str) -> SqlResult {
        let Some(option) = self.take(key) else { return Ok(()) };
        Err(SqlError::at(option.key_span, format!("the option '{key}' is not supported"))
            .because(why)
            .next(next))
    }

    /// An option that is a secret: the value itself, or with `.file` behind the key the file that it is in, without the newline at its end.
    ///
    /// # Errors
    /// If the file cannot be read, or both are there.
    pub fn secret(&mut self, key: &str) -> SqlResult<Option<(String, &'t SqlOption)>> {
        let in_file = format!("{key}.file");
        match (self.take(key), self.take(&in_file)) {
            (Some(option), None) => Ok(Some((option.value.clone(), option))),
            (None, Some(option)) => {
                let text = fs::read_to_string(&option.value).map_err(|e| {
                    SqlError::at(option.value_span, format!("the file {} cannot be read: {e}", option.value))
                })?;
                Ok(Some((text.trim_end_matches(['\r', '\n']).to_owned(), option)))
            }
            (None, None) => Ok(None),
            (Some(_), Some(file)) => {
                Err(SqlError::at(file.key_span, format!("'{key}' and '{in_file}' are the same option"))
                    .next("write one of them"))
            }
        }
    }

    /// All options whose key begins with `prefix`, with the rest of the key.
    pub fn take_prefixed(&mut self, prefix: &str) -> Vec<(&'t str, &'t SqlOption)> {
        let keys: Vec<&str> = self.left.keys().copied().filter(|key| key.starts_with(prefix)).collect();
        keys.into_iter().filter_map(|key| Some((&key[prefix.len()..], self.left.remove(key)?))).collect()
    }

    /// Whether there is an option whose key begins with `prefix`.
    #[must_use]
    pub fn has_any(&self, prefix: &str) -> bool {
        self.left.keys().any(|key| key.starts_with(prefix))
    }

    /// No more options: those that nobody took are mistakes.
    ///
    /// # Errors
    /// If one is left.
    pub fn end(self, connector: &str) -> SqlResult {
        let Some((key, option)) = self.left.first_key_value() else { return Ok(()) };
        let error =
            SqlError::at(option.key_span, format!("the connector '{connector}' has no option '{key}'"));
        let near = self.known.iter().map(|known| (strsim::damerau_levenshtein(known, key), known)).min();
        Err(match near {
            Some((distance, known)) if distance <= 3 => error.next(format!("did you mean '{known}'?")),
            _ => {
                let known: Vec<String> = self.known.iter().map(|key| format!("'{key}'")).collect();
                error.next(format!("it has {}", known.join(", ")))
            }
        })
    }

    /// Where the table is declared.
    #[must_use]
    pub fn span(&self) -> Span {
        self.table.span
    }
}
