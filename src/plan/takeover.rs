//! What a program takes over from the one that ran before it: names of sources and stores, formats of rows, and what is out of date.
//!
//! Owns the row of the meta topic that says what ran, and the comparison with it. Knows no log and no database. Invariants: a store is
//! never emptied, exchanged for another one or brought back out of date without being refused or told; a source keeps the name that it
//! had as long as it reads one of its topics.

use super::{Fingerprint, Topology, fingerprint::Change};
use crate::{
    operator::NodeId,
    source::{SourceSpec, TopicPattern},
    state::{StoreId, StoreSpec},
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What is durable of the program that ran last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remains {
    /// Its fingerprint, with the stores that it used, under the names that their rows have.
    #[serde(flatten)]
    pub fingerprint: Fingerprint,
    /// The formats of each store, used or not, in the order of their numbers, from 1. A store without an entry was last used by a
    /// version that did not prove that its rows come back.
    #[serde(default)]
    pub formats: BTreeMap<String, Vec<String>>,
    /// The topics of each source, by the source's name.
    #[serde(default)]
    pub sources: BTreeMap<String, ReadTopics>,
    /// Stores that have rows, but were not used.
    #[serde(default)]
    pub unused: BTreeMap<String, Unused>,
}

/// What a source reads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadTopics {
    topics: BTreeSet<String>,
    #[serde(default)]
    pattern: Option<String>,
    /// The format of its records, if this program wrote them itself.
    #[serde(default)]
    format: Option<String>,
}

/// A store whose rows are out of date.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unused {
    /// The last format of its rows.
    format: String,
    /// When the first program started that did not use it, in milliseconds since the epoch.
    since_ms: i64,
}

/// What a start knows besides the program.
pub struct Start<'a> {
    /// The input topics that were read before.
    pub known_topics: &'a [&'a str],
    /// The input topics that there are.
    pub topics: &'a [&'a str],
    /// The time.
    pub now_ms: i64,
    /// Go on even if state is left behind, or is out of date.
    pub accept_state_changes: bool,
}

/// How a program goes on.
pub struct Takeover {
    /// The program, with the names and formats that its rows have.
    pub plan: Topology,
    /// What a later start compares itself with.
    pub remains: Remains,
    /// What changes, one line each; `true` = a warning.
    pub told: Vec<(bool, String)>,
}

/// What a store meets.
enum Fate {
    Keep,
    Changed(Vec<String>),
    Incompatible { was: String, is: String, why: String },
    New,
    OutOfDate { since_ms: i64 },
}

impl Takeover {
    /// A program that runs where none ran before.
    #[must_use]
    pub fn first(plan: Topology, fingerprint: &Fingerprint) -> Self {
        let stores: BTreeMap<_, _> = specs(&plan).map(|s| (s.name.clone(), s.format.clone())).collect();
        let formats = stores.iter().map(|(name, format)| (name.clone(), vec![format.clone()])).collect();
        let sources = plan.sources().map(|(id, s)| (plan.node(id).path.clone(), ReadTopics::of(s))).collect();
        let fingerprint = Fingerprint { stores, ..fingerprint.clone() };
        let remains = Remains { fingerprint, formats, sources, unused: BTreeMap::new() };
        Takeover { plan, remains, told: vec![] }
    }

    /// The program that is [computed](Topology::computed), over what `before` left; `fingerprint` is that of the whole program.
    ///
    /// # Errors
    /// Why it may not go on, with a line per store that changed.
    pub fn of(
        mut plan: Topology,
        fingerprint: &Fingerprint,
        before: &Remains,
        start: &Start<'_>,
    ) -> Result<Self, String> {
        let mut told = vec![];
        let known = before.known_sources(start.known_topics);
        let sources = name_sources(&plan, before, &known, start.topics);
        rename_stores(&mut plan, &sources.names, before)?;
        for (name, durable) in sources.names.values().filter(|(name, durable)| name != durable) {
            told.push((
                false,
                format!(
                    "the source `{name}` goes on as `{durable}`: what is derived from it keeps that name"
                ),
            ));
        }
        let mut formats = before.formats.clone();
        let mut fates: Vec<(String, Fate)> = vec![];
        for spec in plan.nodes.iter_mut().flat_map(|node| &mut node.stores) {
            let fate = fate_of(spec, before);
            formats.insert(spec.name.clone(), spec.formats.clone());
            fates.push((spec.name.clone(), fate));
        }
        let stores: BTreeMap<_, _> = specs(&plan).map(|s| (s.name.clone(), s.format.clone())).collect();
        let mut unused = before.unused.clone();
        unused.retain(|name, _| !stores.contains_key(name));
        let left: Vec<_> =
            before.fingerprint.stores.iter().filter(|(name, _)| !stores.contains_key(*name)).collect();
        for (name, format) in &left {
            unused.insert((*name).clone(), Unused { format: (*format).clone(), since_ms: start.now_ms });
        }
        let left: Vec<&str> = left.iter().map(|(name, _)| name.as_str()).collect();
        let comparison =
            Comparison { fates: &fates, left: &left, split: &sources.split, changed: &sources.changed };
        if let Some(refusal) = comparison.refusal(fingerprint, before, start) {
            return Err(refusal);
        }
        told.extend(tell(&fates, &left));
        let fingerprint = Fingerprint { stores, ..fingerprint.clone() };
        Ok(Takeover { plan, remains: Remains { fingerprint, formats, sources: sources.read, unused }, told })
    }
}

fn specs(plan: &Topology) -> impl Iterator<Item = &StoreSpec> {
    plan.nodes.iter().flat_map(|node| &node.stores)
}

impl Remains {
    /// The same with all state gone: each store of the program that runs next is a new one.
    #[must_use]
    pub fn without_stores(&self) -> Self {
        let (stores, store_placements) = (BTreeMap::new(), BTreeMap::new());
        let fingerprint = Fingerprint { stores, store_placements, ..self.fingerprint.clone() };
        let (formats, unused) = (BTreeMap::new(), BTreeMap::new());
        Remains { fingerprint, formats, unused, sources: self.sources.clone() }
    }

    /// What is known of the sources. An earlier version kept nothing of them: then a topic that was read, and that stands in the name
    /// of a store, is the only one of its source.
    fn known_sources(&self, topics: &[&str]) -> BTreeMap<String, ReadTopics> {
        if !self.sources.is_empty() {
            return self.sources.clone();
        }
        let has_state =
            |topic: &&&str| self.fingerprint.stores.keys().any(|s| s.starts_with(&format!("{topic}.")));
        let source = |topic: &&str| {
            let topics = [(*topic).to_owned()].into();
            ((*topic).to_owned(), ReadTopics { topics, ..ReadTopics::default() })
        };
        topics.iter().filter(has_state).map(source).collect()
    }
}

impl ReadTopics {
    fn of(source: &SourceSpec) -> Self {
        let pattern = source.pattern.as_ref().map(|p| p.as_str().to_owned());
        ReadTopics { topics: source.topics.iter().cloned().collect(), pattern, format: source.format.clone() }
    }

    /// What it reads, as text: topics, and a pattern as `/pattern/`.
    #[must_use]
    pub fn told(&self) -> String {
        let pattern = self.pattern.as_ref().map(|pattern| format!("/{pattern}/"));
        self.topics.iter().cloned().chain(pattern).collect::<Vec<_>>().join(", ")
    }

    fn has(&self, topic: &str) -> bool {
        let pattern = self.pattern.as_ref().and_then(|text| TopicPattern::new(text).ok());
        self.topics.contains(topic) || pattern.is_some_and(|p| p.matches(topic))
    }
}

/// Sources and what they were called before.
struct Sources {
    /// The name of each source in the program, and the durable one.
    names: BTreeMap<NodeId, (String, String)>,
    /// What every known source reads, by its durable name.
    read: BTreeMap<String, ReadTopics>,
    /// Sources of before whose topics are read by several now, although state is derived from them.
    split: Vec<String>,
    /// Sources whose own records may still wait in another format: their name, that format and the present one.
    changed: Vec<(String, String, String)>,
}

/// Names the sources. One is the same as before if it reads a topic of exactly one source of before, and no other source does.
fn name_sources(
    plan: &Topology,
    before: &Remains,
    known: &BTreeMap<String, ReadTopics>,
    topics: &[&str],
) -> Sources {
    let reads = |source: &SourceSpec, known: &ReadTopics| {
        topics.iter().any(|topic| source.reads(topic) && known.has(topic))
    };
    let readers = |known| plan.sources().filter(|(_, source)| reads(source, known)).count();
    let mut names = BTreeMap::new();
    for (id, source) in plan.sources() {
        let name = plan.node(id).path.clone();
        let mut same = known.iter().filter(|(_, known)| reads(source, known));
        let durable = match (same.next(), same.next()) {
            (Some((one, known)), None) if readers(known) == 1 => one.clone(),
            _ => name.clone(),
        };
        names.insert(id, (name, durable));
    }
    let has_state = |name: &str| before.fingerprint.stores.keys().any(|s| with_source(s, name, "") != *s);
    let split = known.iter().filter(|(name, known)| readers(known) > 1 && has_state(name));
    let split = split.map(|(name, _)| name.clone()).collect();
    let mut changed = vec![];
    for (id, source) in plan.sources() {
        let was = known.get(&names[&id].1).and_then(|known| known.format.as_ref());
        if let (Some(was), Some(is)) = (was, &source.format)
            && was != is
        {
            changed.push((names[&id].1.clone(), was.clone(), is.clone()));
        }
    }
    let mut read = known.clone();
    read.extend(plan.sources().map(|(id, source)| (names[&id].1.clone(), ReadTopics::of(source))));
    Sources { names, read, split, changed }
}

/// Gives stores the names that follow from the durable names of their sources; one that is known under its own name keeps it.
fn rename_stores(
    plan: &mut Topology,
    renamed: &BTreeMap<NodeId, (String, String)>,
    before: &Remains,
) -> Result<(), String> {
    let is_known =
        |name: &str| before.fingerprint.stores.contains_key(name) || before.unused.contains_key(name);
    let mut sources_of: Vec<BTreeSet<NodeId>> = vec![];
    for (id, node) in plan.iter() {
        let mut sources: BTreeSet<NodeId> =
            node.inputs.iter().flat_map(|input| sources_of[input.node.0].clone()).collect();
        sources.extend(renamed.contains_key(&id).then_some(id));
        sources_of.push(sources);
    }
    for (node, sources) in plan.nodes.iter_mut().zip(sources_of) {
        for (name, durable) in sources.iter().map(|id| &renamed[id]).filter(|(name, durable)| name != durable)
        {
            for store in node.stores.iter_mut().filter(|store| !is_known(&store.name)) {
                store.name = with_source(&store.name, name, durable);
            }
        }
    }
    let mut names: BTreeMap<StoreId, &str> = BTreeMap::new();
    for spec in specs(plan) {
        if let Some(other) = names.insert(StoreId::of(&spec.name), &spec.name) {
            return Err(format!(
                "with the names that its sources had before, this program has two stores `{other}` and `{}`\n  next: name one of the operations: `.named(\"...\")`",
                spec.name
            ));
        }
    }
    Ok(())
}

/// A store's name with the name of a source in it replaced.
fn with_source(store: &str, name: &str, durable: &str) -> String {
    let found = store.match_indices(name).find(|(at, _)| {
        let (before, after) = (&store[..*at], &store[at + name.len()..]);
        (before.is_empty() || before.ends_with('+')) && after.starts_with(['.', '+'])
    });
    match found {
        Some((at, _)) => format!("{}{durable}{}", &store[..at], &store[at + name.len()..]),
        None => store.to_owned(),
    }
}

/// Compares a store with what `before` knows of it, and gives it the formats of its rows.
fn fate_of(spec: &mut StoreSpec, before: &Remains) -> Fate {
    let used = before.fingerprint.stores.get(&spec.name);
    let unused = before.unused.get(&spec.name);
    let Some(was) = used.or(unused.map(|unused| &unused.format)) else { return Fate::New };
    let proved = before.formats.get(&spec.name);
    let formats = proved.cloned().unwrap_or_else(|| vec![was.clone()]);
    let mut changes = vec![];
    for earlier in formats.iter().filter(|format| **format != spec.format) {
        match (spec.changes_since)(earlier) {
            Ok(_) if proved.is_none() && spec.format.contains("-> described ") => {
                let why = "they were written by a version that could not keep them exactly".into();
                return Fate::Incompatible { was: earlier.clone(), is: spec.format.clone(), why };
            }
            Ok(found) if earlier == was => changes = found,
            Ok(_) => {}
            Err(why) => {
                return Fate::Incompatible { was: earlier.clone(), is: spec.format.clone(), why };
            }
        }
    }
    spec.formats = formats;
    if !spec.formats.contains(&spec.format) {
        spec.formats.push(spec.format.clone());
    }
    match unused {
        Some(Unused { since_ms, .. }) if used.is_none() => Fate::OutOfDate { since_ms: *since_ms },
        _ if changes.is_empty() => Fate::Keep,
        _ => Fate::Changed(changes),
    }
}

/// What a start has to judge.
struct Comparison<'a> {
    fates: &'a [(String, Fate)],
    /// Stores that are not used any more.
    left: &'a [&'a str],
    split: &'a [String],
    changed: &'a [(String, String, String)],
}

impl Comparison<'_> {
    fn any(&self, is: impl Fn(&Fate) -> bool) -> bool {
        self.fates.iter().any(|(_, fate)| is(fate))
    }

    /// Why the program may not go on; `None` = it may.
    fn refusal(&self, now: &Fingerprint, before: &Remains, start: &Start<'_>) -> Option<String> {
        let moves = now.moves_since(&before.fingerprint);
        let needs_name = !moves.is_empty() || self.any(|fate| matches!(fate, Fate::Incompatible { .. }));
        let is_new = self.any(|fate| matches!(fate, Fate::New));
        let asked = !start.accept_state_changes;
        let resets = asked && is_new && !(self.left.is_empty() && self.split.is_empty());
        let is_old = asked && self.any(|fate| matches!(fate, Fate::OutOfDate { .. }));
        let splits = asked && !self.split.is_empty();
        let rereads = asked && !self.changed.is_empty();
        if !needs_name && !resets && !is_old && !splits && !rereads {
            return None;
        }
        let mut lines = vec!["this program cannot go on from the existing state:".to_owned()];
        lines.extend(moves);
        let mut sorted: Vec<&(String, Fate)> = self.fates.iter().collect();
        sorted.sort_by(|a, b| a.0.cmp(&b.0));
        lines.extend(sorted.iter().map(|(name, fate)| line(name, fate)));
        lines.extend(self.left.iter().map(|name| format!("  unused        {name}")));
        lines.extend(
            self.split
                .iter()
                .map(|name| format!("  split         {name}: several sources read its topics now")),
        );
        lines.extend(self.changed.iter().map(|(name, was, is)| {
            format!("  changed rows  {name}: those that wait in its topic are {was}, the program reads {is}")
        }));
        lines.extend(now.edge_changes_since(&before.fingerprint).iter().map(edge_line));
        if needs_name {
            lines.push("  next: give a changed store a new name (it is then built from new records), or start under a new application id".into());
        }
        if let Some(name) = self.left.first().filter(|_| resets) {
            lines.push(format!("  next: to go on with the rows of an unused store, give its name to the operation: `.named(\"{name}\")`; to begin a new one empty, start once with --accept-state-changes"));
        }
        if splits {
            lines.push("  next: a state over all topics needs one source that reads them, or `union`; to go on with states as they are named here, start once with --accept-state-changes".into());
        }
        if rereads {
            lines.push("  next: let the former program process what its receiver has stored, then start once with --accept-state-changes; or give the receiver a new name".into());
        }
        if is_old {
            lines.push("  next: give an operation whose state is out of date a new name (it is then built from new records), or start once with --accept-state-changes: it goes on with the old rows, and what other versions read meanwhile is missing in them".into());
        }
        Some(lines.join("\n"))
    }
}

fn edge_line(change: &Change) -> String {
    match change {
        Change::New(n) => format!("  new edge      {n}"),
        Change::Unused(n) => format!("  unused edge   {n}"),
        Change::Incompatible { name, was, is } => {
            format!("  changed edge  {name}: rows were {was}, are {is}")
        }
    }
}

fn line(name: &str, fate: &Fate) -> String {
    match fate {
        Fate::Keep => format!("  keep          {name}"),
        Fate::Changed(changes) => format!("  changed       {name}: {}", changes.join(", ")),
        Fate::New => format!("  new           {name} (starts empty)"),
        Fate::OutOfDate { since_ms } => {
            format!("  out of date   {name} (not used since {})", instant(*since_ms))
        }
        Fate::Incompatible { was, is, why } => {
            format!("  incompatible  {name}: rows are {was}, the program reads {is}: {why}")
        }
    }
}

fn tell(fates: &[(String, Fate)], left: &[&str]) -> Vec<(bool, String)> {
    let mut told: Vec<(bool, String)> = vec![];
    for (name, fate) in fates {
        match fate {
            Fate::Keep | Fate::Incompatible { .. } => {}
            Fate::Changed(changes) => told.push((
                false,
                format!("the rows of store `{name}` change: {}; each is rewritten when it changes", changes.join(", ")),
            )),
            Fate::New => {
                told.push((false, format!("store `{name}` is new: it is built from the records that are read from now on")));
            }
            Fate::OutOfDate { since_ms } => told.push((
                true,
                format!(
                    "store `{name}` goes on although nothing was written to it since {}: what was read since then is missing in it",
                    instant(*since_ms)
                ),
            )),
        }
    }
    let unused = |name: &&str| {
        (
            true,
            format!(
                "store `{name}` is used by nothing any more; its rows are kept, and are out of date from now on"
            ),
        )
    };
    told.extend(left.iter().map(unused));
    told
}

fn instant(ms: i64) -> String {
    let at = chrono::DateTime::from_timestamp_millis(ms);
    at.map_or_else(|| format!("{ms} ms"), |at| at.format("%Y-%m-%d %H:%M:%S UTC").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_source_is_replaced_as_a_whole() {
        for (store, is) in [
            ("a+b.count", "a.count"),
            ("x+a+b.count.mark", "x+a.count.mark"),
            ("a+b", "a+b"),
            ("a+b+c.join", "a+c.join"),
            ("aa+b.count", "aa+b.count"),
            ("a+bb.count", "a+bb.count"),
            ("counts", "counts"),
            ("counts.a+b", "counts.a+b"),
        ] {
            assert_eq!(with_source(store, "a+b", "a"), is, "{store}");
        }
    }
}
