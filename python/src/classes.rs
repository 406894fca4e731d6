//! Classes of the program whose objects are rows: named tuples and dataclasses.
//!
//! Owns how such a class is named in values, and how an object of it is made again. Knows no bytes. Invariants: a class is found again by
//! its module and its name there; a value never makes the program import a module that it has not imported itself.

use pyo3::{
    exceptions::{PyLookupError, PyTypeError},
    intern,
    prelude::*,
    sync::MutexExt,
    types::{PyDict, PyString, PyTuple, PyType},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// What kind of class it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    NamedTuple,
    Dataclass,
}

/// A class whose objects are rows.
pub struct Class {
    /// `module:name`.
    pub name: String,
    pub kind: Kind,
    pub fields: Vec<String>,
    object: Py<PyType>,
}

#[derive(Default)]
struct Known {
    /// By the address of the class, which lives as long as it is known; `None` = its objects are no rows.
    by_address: BTreeMap<usize, Option<Arc<Class>>>,
    by_name: BTreeMap<String, Arc<Class>>,
    /// Keeps those alive whose objects are no rows.
    others: Vec<Py<PyType>>,
}

static KNOWN: Mutex<Option<Known>> = Mutex::new(None);

fn known(py: Python<'_>) -> MutexGuard<'static, Option<Known>> {
    KNOWN.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner)
}

/// The class, if its objects are rows.
///
/// # Errors
/// `TypeError` if it could not be found again by its name.
pub fn of(object: &Bound<'_, PyType>) -> PyResult<Option<Arc<Class>>> {
    let (py, address) = (object.py(), object.as_ptr() as usize);
    if let Some(class) = known(py).get_or_insert_default().by_address.get(&address) {
        return Ok(class.clone());
    }
    let class = look(object)?.map(Arc::new);
    let mut known = known(py);
    let known = known.get_or_insert_default();
    match &class {
        Some(class) => drop(known.by_name.insert(class.name.clone(), class.clone())),
        None => known.others.push(object.clone().unbind()),
    }
    known.by_address.insert(address, class.clone());
    Ok(class)
}

/// What is to be known of a class; `None` = its objects are no rows.
fn look(object: &Bound<'_, PyType>) -> PyResult<Option<Class>> {
    let py = object.py();
    let is_tuple = object.is_subclass_of::<PyTuple>()?;
    let (kind, fields) = if is_tuple && object.hasattr(intern!(py, "_fields"))? {
        (Kind::NamedTuple, object.getattr(intern!(py, "_fields"))?.extract::<Vec<String>>()?)
    } else if object.hasattr(intern!(py, "__dataclass_fields__"))? {
        let fields = py.import(intern!(py, "dataclasses"))?.call_method1(intern!(py, "fields"), (object,))?;
        let name =
            |field: PyResult<Bound<'_, PyAny>>| field?.getattr(intern!(py, "name"))?.extract::<String>();
        (Kind::Dataclass, fields.try_iter()?.map(name).collect::<PyResult<_>>()?)
    } else {
        return Ok(None);
    };
    let module = object.getattr(intern!(py, "__module__"))?.extract::<String>()?;
    let name = object.qualname()?.to_string();
    let full = format!("{module}:{name}");
    match find(py, &full)? {
        Some(found) if found.is(object) => {
            Ok(Some(Class { name: full, kind, fields, object: object.clone().unbind() }))
        }
        _ => Err(PyTypeError::new_err(format!(
            "a row cannot hold an object of the class `{name}`: it could not be found again as `{name}` in the module `{module}`\n  next: define the class at the top of its module, under its own name"
        ))),
    }
}

/// What a module that the program has imported calls by this name.
fn find<'py>(py: Python<'py>, full: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
    let Some((module, name)) = full.split_once(':') else { return Ok(None) };
    let modules = py.import(intern!(py, "sys"))?.getattr(intern!(py, "modules"))?;
    let Ok(mut found) = modules.get_item(module) else { return Ok(None) };
    for part in name.split('.') {
        let Ok(next) = found.getattr(part) else { return Ok(None) };
        found = next;
    }
    Ok(Some(found))
}

/// An object of the class of this name with these fields. Fields that the class has no more are left out; those that it has gained have
/// their defaults.
///
/// # Errors
/// `LookupError` if there is no such class; `TypeError` if a field has neither a value nor a default.
pub fn make<'py>(py: Python<'py>, name: &str, fields: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyAny>> {
    let class = known(py).get_or_insert_default().by_name.get(name).cloned();
    let class = match class {
        Some(class) => class,
        None => class_named(py, name)?,
    };
    let object = class.object.bind(py);
    match class.kind {
        Kind::NamedTuple => {
            let given = PyDict::new(py);
            for field in &class.fields {
                if let Some(value) = fields.get_item(field)? {
                    given.set_item(field, value)?;
                }
            }
            object.call((), Some(&given))
        }
        Kind::Dataclass => {
            // Not by calling the class: what its constructor does was done when the object was first made.
            let plain = py.import(intern!(py, "builtins"))?.getattr(intern!(py, "object"))?;
            let made = plain.call_method1(intern!(py, "__new__"), (object,))?;
            for field in &class.fields {
                let value = match fields.get_item(field)? {
                    Some(value) => value,
                    None => default_of(object, field)?,
                };
                plain.call_method1(intern!(py, "__setattr__"), (&made, PyString::new(py, field), value))?;
            }
            Ok(made)
        }
    }
}

fn class_named(py: Python<'_>, name: &str) -> PyResult<Arc<Class>> {
    let found = find(py, name)?.and_then(|found| found.cast_into::<PyType>().ok());
    let class = match found {
        Some(found) => of(&found)?,
        None => None,
    };
    class.ok_or_else(|| {
        PyLookupError::new_err(format!(
            "a value is of the class `{}`, which is no named tuple or dataclass that this program has\n  next: import its module, and keep its name there",
            name.replacen(':', ".", 1)
        ))
    })
}

fn default_of<'py>(class: &Bound<'py, PyType>, field: &str) -> PyResult<Bound<'py, PyAny>> {
    let py = class.py();
    let missing = py.import(intern!(py, "dataclasses"))?.getattr(intern!(py, "MISSING"))?;
    let facts = class.getattr(intern!(py, "__dataclass_fields__"))?.get_item(field)?;
    let default = facts.getattr(intern!(py, "default"))?;
    if !default.is(&missing) {
        return Ok(default);
    }
    let factory = facts.getattr(intern!(py, "default_factory"))?;
    if !factory.is(&missing) {
        return factory.call0();
    }
    Err(PyTypeError::new_err(format!(
        "a stored object of the class `{}` has no field `{field}`, and the class has no default for it\n  next: give the field a default",
        class.qualname()?
    )))
}
