//! One Avro schema from several: what a schema refers to is put where it is first used.
//!
//! Pure. Knows no registry. Invariant: names keep their full form, whatever namespace they are put into.

use super::not_json;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The text of a schema and, by name, the texts of those that it refers to; a name that is not used changes nothing.
///
/// # Errors
/// If one of the texts is not JSON.
pub(super) fn joined(text: &str, parts: &[(String, String)]) -> Result<String, String> {
    if parts.is_empty() {
        return Ok(text.to_owned());
    }
    let parse = |text: &str| serde_json::from_str::<Value>(text).map_err(|e| not_json(&e));
    let mut defined = BTreeMap::new();
    for (name, text) in parts {
        let mut part = parse(text).map_err(|why| format!("`{name}`: {why}"))?;
        if let Some(object) = part.as_object_mut() {
            let (namespace, simple) = named(object, "");
            let full = full_name(&namespace, &simple);
            object.insert("namespace".into(), namespace.into());
            object.insert("name".into(), simple.into());
            defined.insert(full, part);
        }
    }
    let mut whole = parse(text)?;
    put(&mut whole, "", &mut defined);
    Ok(whole.to_string())
}

/// Namespace and simple name of a named type.
fn named(object: &Map<String, Value>, enclosing: &str) -> (String, String) {
    let text = |field: &str| object.get(field).and_then(Value::as_str);
    let name = text("name").unwrap_or_default();
    match name.rsplit_once('.') {
        Some((namespace, simple)) => (namespace.to_owned(), simple.to_owned()),
        None => (text("namespace").unwrap_or(enclosing).to_owned(), name.to_owned()),
    }
}

fn full_name(namespace: &str, simple: &str) -> String {
    if namespace.is_empty() { simple.to_owned() } else { format!("{namespace}.{simple}") }
}

/// Puts definitions where a type is named for the first time, and takes them off the list.
fn put(place: &mut Value, namespace: &str, defined: &mut BTreeMap<String, Value>) {
    match place {
        Value::String(name) => {
            let full = if name.contains('.') { name.clone() } else { full_name(namespace, name) };
            let found = defined.remove_entry(&full).or_else(|| defined.remove_entry(name.as_str()));
            if let Some((_, mut definition)) = found {
                put(&mut definition, "", defined);
                *place = definition;
            }
        }
        Value::Array(branches) => branches.iter_mut().for_each(|branch| put(branch, namespace, defined)),
        Value::Object(object) => {
            let own = match object.get("type").and_then(Value::as_str) {
                Some("record" | "error") => named(object, namespace).0,
                _ => namespace.to_owned(),
            };
            if let Some(fields) = object.get_mut("fields").and_then(Value::as_array_mut) {
                let types = fields.iter_mut().filter_map(|field| field.get_mut("type"));
                types.for_each(|of_field| put(of_field, &own, defined));
            }
            for inner in ["items", "values", "type"] {
                if let Some(inner) = object.get_mut(inner) {
                    put(inner, &own, defined);
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_put_where_it_is_first_used_and_only_named_afterwards() {
        let money = ("shop.Money".to_owned(), r#"{"type":"record","name":"Money","namespace":"shop","fields":[{"name":"cents","type":"long"}]}"#.to_owned());
        let plain = ("Plain".to_owned(), r#"{"type":"enum","name":"Plain","symbols":["A"]}"#.to_owned());
        let order = (
            "shop.Order".to_owned(),
            r#"{"type":"record","name":"shop.Order","fields":[{"name":"price","type":"Money"}]}"#.to_owned(),
        );
        let cart = r#"{"type":"record","name":"Cart","namespace":"shop","fields":[
            {"name":"first","type":["null","shop.Order"],"default":null},
            {"name":"more","type":{"type":"array","items":"Order"}},
            {"name":"sum","type":"Money"},
            {"name":"by","type":{"type":"map","values":"Plain"}}]}"#;
        let whole = joined(cart, &[money, plain, order]).unwrap();
        assert_eq!(whole.matches("\"cents\"").count(), 1, "{whole}");
        assert!(whole.contains(r#""items":"Order""#) && whole.contains(r#""type":"Money""#), "{whole}");
        let schema: serde_avro_fast::Schema = whole.parse().unwrap();
        assert!(schema.json().contains("Plain"));
        assert_eq!(joined("{ }", &[]).unwrap(), "{ }", "nothing is changed without need");
        assert!(joined("{", &[("a".into(), "{}".into())]).unwrap_err().starts_with("1:1: not JSON"));
    }
}
