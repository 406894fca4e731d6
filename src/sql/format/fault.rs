//! What is wrong with a record, and where.
//!
//! Owns how it is told. Invariant: the reason names the byte, and the field if one is known.

/// A mistake in a record; boxed, as nearly every record has none.
#[derive(Debug)]
pub(in crate::sql) struct Fault(Box<Parts>);

#[derive(Debug)]
struct Parts {
    at: usize,
    message: String,
    /// Names and positions, the innermost first.
    path: Vec<String>,
}

impl Fault {
    #[cold]
    pub fn at(at: usize, message: impl Into<String>) -> Self {
        Fault(Box::new(Parts { at, message: message.into(), path: vec![] }))
    }

    /// It is within a field.
    #[cold]
    pub fn within(mut self, name: &str) -> Self {
        self.0.path.push(format!(".{name}"));
        self
    }

    /// It is within an item of an array.
    #[cold]
    pub fn within_item(mut self, index: usize) -> Self {
        self.0.path.push(format!("[{index}]"));
        self
    }

    /// What is wrong, without its place.
    #[cold]
    pub fn into_message(self) -> String {
        self.0.message
    }

    /// As it is told.
    #[cold]
    pub fn into_reason(self) -> String {
        let Parts { at, message, path } = *self.0;
        let field = path.into_iter().rev().collect::<String>();
        match field.strip_prefix('.').unwrap_or(&field) {
            "" => format!("at byte {at}: {message}"),
            field => format!("field `{field}` at byte {at}: {message}"),
        }
    }
}

impl From<Fault> for String {
    fn from(fault: Fault) -> String {
        fault.into_reason()
    }
}
