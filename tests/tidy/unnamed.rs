//! Every public item is named somewhere: in code other than its definition, or in an example that shows users
//! how to use it.
//!
//! Compares names, not types, so it may miss some items. Invariant: what only tests name is on a list, with
//! the reason.

use super::{Complaints, code, words};
use std::collections::BTreeMap;

/// Folders that exist for tests.
const FOR_TESTS: [&str; 2] = ["src/testing/", "src/sim/"];
/// Items that only tests name, and why they exist.
const ONLY_TESTS: [(&str, &str); 1] =
    [("kept_bytes", "no call of the boundary shows what a log in memory still holds")];
const KINDS: [&str; 7] = ["fn", "struct", "enum", "trait", "type", "const", "static"];

/// Public items of the sources that neither code nor an example names. `shown` are the texts of examples and
/// documents.
pub fn unnamed(sources: &[(String, String)], shown: &[(String, String)]) -> Complaints {
    let mut count: BTreeMap<&str, i32> = BTreeMap::new();
    let codes: Vec<(&str, String)> = sources.iter().map(|(path, text)| (path.as_str(), uses(text))).collect();
    let fences: Vec<String> = sources.iter().map(|(_, text)| fences(text)).collect();
    let shown = shown.iter().map(|(_, text)| text.as_str()).chain(fences.iter().map(String::as_str));
    for text in codes.iter().map(|(_, code)| code.as_str()).chain(shown) {
        words(text).for_each(|(word, _)| *count.entry(word).or_default() += 1);
    }
    let all = codes.iter().flat_map(|(path, code)| code.lines().map(|line| (*path, line)));
    let all: Vec<(&str, &str)> = all.filter_map(|(path, line)| Some((path, defined(line)?))).collect();
    for (_, name) in &all {
        *count.entry(name).or_default() -= 1;
    }
    let is_known = |name: &str| ONLY_TESTS.iter().any(|(known, _)| *known == name);
    let bad = all.iter().filter(|(path, name)| {
        count[name] <= 0 && !FOR_TESTS.iter().any(|folder| path.starts_with(folder)) && !is_known(name)
    });
    let gone = ONLY_TESTS.iter().filter(|(name, _)| count.get(name).is_none_or(|n| *n > 0));
    bad.map(|(path, name)| format!("{path}: `{name}` is public, and neither code nor an example names it"))
        .chain(gone.map(|(name, _)| format!("`{name}` is gone, or is named elsewhere: take it off the list")))
        .collect()
}

/// The code without re-exports and without the headers of `impl` blocks.
fn uses(text: &str) -> String {
    let (mut kept, mut skips) = (String::new(), None);
    for line in code(text).lines() {
        let start = line.trim_start();
        if skips.is_none() {
            let is_export =
                start.starts_with("pub use ") || start.starts_with("pub(") && start.contains(") use ");
            let is_head = start.starts_with("impl<") || start.starts_with("impl ");
            skips = if is_export { Some(';') } else { is_head.then_some('{') };
        }
        match skips {
            Some(end) if line.contains(end) => skips = None,
            Some(_) => {}
            None => {
                kept.push_str(line);
                kept.push('\n');
            }
        }
    }
    kept
}

/// The lines of code in doc comments.
fn fences(text: &str) -> String {
    let (mut kept, mut inside) = (String::new(), false);
    for line in text.lines().map(str::trim_start) {
        let Some(line) = line.strip_prefix("///").or_else(|| line.strip_prefix("//!")) else { continue };
        if line.trim_start().starts_with("```") {
            inside = !inside;
        } else if inside {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

/// The name of a public item that a line defines.
fn defined(line: &str) -> Option<&str> {
    let line = line.trim_start().strip_prefix("pub ")?;
    let mut names =
        words(line).map(|(word, _)| word).skip_while(|w| ["unsafe", "async"].contains(w)).peekable();
    let kind = names.next().filter(|kind| KINDS.contains(kind))?;
    // `pub const fn name`, `pub static mut NAME`
    names.find(|name| kind == "fn" || !["fn", "mut"].contains(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        let file = |text: &str| ("src/log/a.rs".to_owned(), text.to_owned());
        let kept = ONLY_TESTS.map(|(name, _)| format!("pub fn {name}() {{}}\n")).concat();
        let shown = [("README.md".to_owned(), "`shown`".to_owned())];
        unnamed(&[file(text), file(&kept)], &shown)
    }

    #[test]
    fn an_item_that_nothing_names_is_found() {
        for line in [
            "pub fn lost() {}",
            "    pub const fn lost(&self) -> u8 {",
            "pub struct Lost<T>(T);",
            "pub const LOST: u8 = 1;",
        ] {
            assert_eq!(found(line).len(), 1, "{line}");
        }
        assert_eq!(
            found("pub struct Lost;\nimpl Lost {\n}\nimpl Drop for Lost {\n}\npub use Lost;").len(),
            1
        );
        assert_eq!(found("/// See [`lost`].\npub fn lost() {}\n").len(), 1, "prose names nothing");
        assert_eq!(found("pub fn lost() {}\n#[cfg(test)]\nmod tests {\n    fn f() { lost() }\n}\n").len(), 1);
    }

    #[test]
    fn code_and_examples_name_an_item() {
        assert!(found("pub fn used() {}\nfn f() { used() }").is_empty());
        assert!(found("pub fn shown() {}").is_empty());
        assert!(found("/// ```\n/// used();\n/// ```\npub fn used() {}").is_empty());
        assert!(found("pub(crate) fn hidden() {}").is_empty(), "rustc sees these");
    }

    #[test]
    fn an_exception_must_still_be_one() {
        let used =
            ONLY_TESTS.map(|(name, _)| format!("pub fn {name}() {{}}\nfn f() {{ {name}() }}\n")).concat();
        assert_eq!(unnamed(&[("src/log/a.rs".to_owned(), used)], &[]).len(), ONLY_TESTS.len());
    }
}
