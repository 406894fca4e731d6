//! No two files of a folder use each other, directly or through other files.
//!
//! Reads imports and paths. Invariants: a re-export counts as the file that it comes from; the face of a
//! folder (`mod.rs`) and the files below it may know each other; a file that holds part of a type's methods
//! (`impl X`) does not thereby use the file of the type.

use super::{Complaints, code, words};
use std::collections::{BTreeMap, BTreeSet};

/// The import cycles of the sources.
pub fn cycles(sources: &[(String, String)]) -> Complaints {
    let complaint = |(files, uses): (Vec<&str>, Vec<String>)| {
        format!("{} use each other:\n    {}", files.join(", "), uses.join("\n    "))
    };
    import_cycles(sources).into_iter().map(complaint).collect()
}

/// The files of each cycle, with the uses that form it.
fn import_cycles(sources: &[(String, String)]) -> BTreeMap<Vec<&str>, Vec<String>> {
    let files: Vec<File<'_>> = sources.iter().filter_map(|(path, text)| File::read(path, text)).collect();
    let modules: BTreeMap<&[String], usize> =
        files.iter().enumerate().map(|(n, file)| (&file.module[..], n)).collect();
    let tree = Tree { files: &files, modules };
    let edges: Vec<BTreeMap<usize, BTreeSet<String>>> = (0..files.len()).map(|n| tree.edges(n)).collect();
    let reached: Vec<BTreeSet<usize>> = (0..files.len()).map(|n| reachable(&edges, n)).collect();
    let mut found = BTreeMap::new();
    for (n, file) in files.iter().enumerate().filter(|(n, _)| reached[*n].contains(n)) {
        let cycle: Vec<usize> =
            reached[n].iter().copied().filter(|other| reached[*other].contains(&n)).collect();
        let uses: &mut Vec<String> = found.entry(cycle.iter().map(|n| files[*n].path).collect()).or_default();
        for (other, items) in edges[n].iter().filter(|(other, _)| cycle.contains(other)) {
            let items: Vec<&str> = items.iter().map(String::as_str).collect();
            uses.push(format!("{} uses {} of {}", file.path, items.join(", "), files[*other].path));
        }
    }
    found
}

fn reachable(edges: &[BTreeMap<usize, BTreeSet<String>>], from: usize) -> BTreeSet<usize> {
    let (mut seen, mut todo) = (BTreeSet::new(), vec![from]);
    while let Some(n) = todo.pop() {
        todo.extend(edges[n].keys().copied().filter(|next| seen.insert(*next)));
    }
    seen
}

/// A file of `src/`: its place among the modules, and what its text names.
struct File<'a> {
    path: &'a str,
    /// Module names, from the crate root on.
    module: Vec<String>,
    /// `mod.rs`.
    is_face: bool,
    code: String,
    /// Paths after `use`, and whether they are re-exports.
    imports: Vec<(bool, Vec<String>)>,
    /// Paths in the code.
    paths: Vec<Vec<String>>,
}

impl<'a> File<'a> {
    fn read(path: &'a str, text: &str) -> Option<Self> {
        let mut module: Vec<String> =
            path.strip_prefix("src/")?.strip_suffix(".rs")?.split('/').map(str::to_owned).collect();
        if ["lib", "main"].contains(&module[0].as_str()) {
            return None;
        }
        let is_face = module.pop_if(|name| name == "mod").is_some();
        let code = code(text);
        let (mut imports, mut body, mut open) = (vec![], String::new(), None::<(bool, String)>);
        for line in code.lines().map(str::trim) {
            if open.is_none()
                && let Some((before, tree)) = line.split_once("use ").filter(|(b, _)| is_visibility(b))
            {
                open = Some((!before.is_empty(), tree.to_owned()));
            } else if let Some((_, tree)) = &mut open {
                tree.push_str(line);
            } else {
                body.push_str(line);
                body.push('\n');
            }
            if let Some((is_export, tree)) = open.take_if(|(_, tree)| tree.ends_with(';')) {
                imports.extend(leaves(tree.trim_end_matches(';')).into_iter().map(|leaf| (is_export, leaf)));
            }
        }
        let paths = ["super::", "crate::", "self::"].iter().flat_map(|first| paths(&body, first)).collect();
        Some(File { path, module, is_face, code, imports, paths })
    }

    /// Whether the file holds methods of a type: `impl Name` or `impl<..> Name<..>`, not of a trait.
    fn extends(&self, name: &str) -> bool {
        self.code.lines().any(|line| {
            let Some(mut rest) = line.trim().strip_prefix("impl") else { return false };
            let mut depth = 0;
            rest = rest.trim_start_matches(|c| {
                depth += i32::from(c == '<') - i32::from(c == '>');
                depth > 0 || c == '>' || c == ' '
            });
            let ours = words(rest).next().is_some_and(|(first, _)| first == name);
            ours && !rest.contains(" for ")
        })
    }
}

fn is_visibility(before: &str) -> bool {
    before.is_empty() || before == "pub " || (before.starts_with("pub(") && before.ends_with(") "))
}

/// The single paths of an import: `a::{b, c::{d as e}}` has `a::b` and `a::c::d`; the new name comes last,
/// after `as`.
fn leaves(tree: &str) -> Vec<Vec<String>> {
    let Some((before, inside)) = tree.split_once('{') else {
        let names = tree.replace(" as ", "::as::");
        return vec![names.split("::").map(|name| name.trim().to_owned()).collect()];
    };
    let inside = inside.trim_end().strip_suffix('}').unwrap_or(inside);
    let (mut found, mut depth, mut start) = (vec![], 0, 0);
    for (at, c) in inside.char_indices().chain([(inside.len(), ',')]) {
        depth += i32::from(c == '{') - i32::from(c == '}');
        if c == ',' && depth == 0 {
            let part = inside[start..at].trim();
            start = at + 1;
            if !part.is_empty() {
                found.extend(leaves(&format!("{before}{part}")));
            }
        }
    }
    found
}

/// The paths in a text that begin with a word such as `super::`.
fn paths(body: &str, first: &str) -> Vec<Vec<String>> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let starts = body.match_indices(first).filter(|(at, _)| !body[..*at].ends_with(is_part));
    let path = |(at, _): (usize, &str)| {
        let rest = &body[at..];
        let path = &rest[..rest.find(|c| !is_part(c)).unwrap_or(rest.len())];
        path.split("::").filter(|name| !name.is_empty()).map(str::to_owned).collect()
    };
    starts.map(path).collect()
}

struct Tree<'f, 'a> {
    files: &'f [File<'a>],
    modules: BTreeMap<&'f [String], usize>,
}

impl Tree<'_, '_> {
    /// The files of the same folder of `src/` that a file uses, with what it uses from them.
    fn edges(&self, from: usize) -> BTreeMap<usize, BTreeSet<String>> {
        let file = &self.files[from];
        let imports = file.imports.iter().filter(|(is_export, _)| !is_export).map(|(_, path)| path);
        let mut edges: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
        for path in imports.chain(&file.paths) {
            let Some((to, item)) = self.absolute(file, path).and_then(|path| self.resolve(&path, 0)) else {
                continue;
            };
            let other = &self.files[to];
            let is_family = other.is_face && file.module.starts_with(&other.module)
                || file.is_face && other.module.starts_with(&file.module);
            let is_other = to != from && !is_family && other.module[0] == file.module[0];
            if is_other && !item.as_deref().is_some_and(|name| file.extends(name)) {
                edges.entry(to).or_default().insert(item.unwrap_or_else(|| "the module".into()));
            }
        }
        edges
    }

    /// A path in a file, from the crate root on; `None` = a path of another crate.
    fn absolute(&self, file: &File<'_>, path: &[String]) -> Option<Vec<String>> {
        let (first, rest) = path.split_first()?;
        let base = match first.as_str() {
            "crate" => vec![],
            "self" => file.module.clone(),
            "super" => file.module[..file.module.len() - 1].to_vec(),
            _ => {
                let child = [&file.module[..], &path[..1]].concat();
                return self.modules.contains_key(&child[..]).then(|| [&file.module[..], path].concat());
            }
        };
        Some([base, rest.to_vec()].concat())
    }

    /// The file that a path leads to, through re-exports, and the item in it.
    fn resolve(&self, path: &[String], depth: u8) -> Option<(usize, Option<String>)> {
        let (to, len) =
            (1..=path.len()).rev().find_map(|len| Some((*self.modules.get(&path[..len])?, len)))?;
        let Some(item) = path.get(len).filter(|item| *item != "self") else { return Some((to, None)) };
        let file = &self.files[to];
        for (_, export) in file.imports.iter().filter(|(is_export, _)| *is_export && depth < 8) {
            if export.last() == Some(item) {
                let named = export.iter().position(|name| name == "as").unwrap_or(export.len());
                let from = self.absolute(file, &export[..named])?;
                return self.resolve(&from, depth + 1);
            }
        }
        Some((to, Some(item.clone())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let sources: Vec<_> = files.iter().map(|(p, t)| ((*p).to_owned(), (*t).to_owned())).collect();
        import_cycles(&sources).into_keys().map(|files| files.join(" ")).collect()
    }

    #[test]
    fn cycles_are_found_through_imports_paths_and_faces() {
        let both = ["src/log/a.rs src/log/b.rs"];
        let b = ("src/log/b.rs", "use crate::{\n    error::Error,\n    log::a::A,\n};");
        assert_eq!(found(&[("src/log/a.rs", "use super::b::B;"), b]), both);
        assert_eq!(found(&[("src/log/a.rs", "fn f() { super::b::g() }"), b]), both);
        let face = ("src/log/mod.rs", "mod a;\nmod b;\npub use b::{B, C as D};\n");
        assert_eq!(found(&[face, ("src/log/a.rs", "use super::{\n    Log, D,\n};"), b]), both);
        assert_eq!(found(&[face, ("src/log/a.rs", "use super::Log;"), b]).len(), 0);
        let deep = ("src/log/in/b.rs", "use crate::log::a::A;");
        let inner = ("src/log/in/mod.rs", "mod b;\npub use b::B;");
        assert_eq!(
            found(&[("src/log/a.rs", "use super::in::B;"), inner, deep]),
            ["src/log/a.rs src/log/in/b.rs"]
        );
        let three = [
            ("src/log/a.rs", "use super::b::B;"),
            ("src/log/b.rs", "use super::c;"),
            ("src/log/c.rs", "type T = super::a::A;"),
        ];
        assert_eq!(found(&three), ["src/log/a.rs src/log/b.rs src/log/c.rs"]);
    }

    #[test]
    fn faces_other_folders_tests_and_parts_of_a_type_form_no_cycle() {
        let face = ("src/log/mod.rs", "mod a;\nuse a::A;\npub struct Log;");
        assert_eq!(found(&[face, ("src/log/a.rs", "use super::Log;")]).len(), 0);
        let of_a = ("src/log/a.rs", "use super::b::B;\npub struct A(B);");
        let of_b = |text| found(&[of_a, ("src/log/b.rs", text)]).len();
        assert_eq!(of_b("use super::a::A;\nimpl A {\n}"), 0);
        assert_eq!(of_b("use super::a::A;\nimpl<T: Into<u8>> A<T> {\n}"), 0);
        assert_eq!(of_b("use super::a::A;\nimpl Drop for A {\n}"), 1);
        assert_eq!(of_b("use super::a::{A, other};\nimpl A {\n}"), 1);
        assert_eq!(of_b("#[cfg(test)]\nmod tests {\n    use super::super::a::A;\n}\n"), 0);
        assert_eq!(of_b("// use super::a::A;"), 0);
        assert_eq!(found(&[of_a, ("src/sink/b.rs", "use crate::log::a::A;")]).len(), 0);
    }
}
