//! Prints a topology for a person.
//!
//! Owns the text form. Knows nothing but the plan. Invariant: the same program prints the same text.

use super::{Role, Topology};
use std::fmt;

impl fmt::Display for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.edge_names();
        for stage in 0..self.stages() {
            let per = if stage == 0 { "source partition" } else { "state partition" };
            writeln!(f, "stage {stage}, one task per {per}")?;
            for (id, node) in self.iter().filter(|(id, _)| self.stage(*id) == stage) {
                if matches!(node.role, Role::Idle) {
                    continue;
                }
                let what = match &node.role {
                    Role::Source(s) => {
                        let pattern = s.pattern.iter().map(|p| format!("/{}/", p.as_str()));
                        let topics = s.topics.iter().cloned().chain(pattern).collect::<Vec<_>>();
                        format!("{} {}", node.kind, topics.join(", "))
                    }
                    Role::Exchange(..) => format!("{} ({})", node.kind, names[&id]),
                    Role::Sink { topics, .. } if !topics.is_empty() => {
                        format!("{} {}", node.kind, topics.join(", "))
                    }
                    // Rows that the process makes or is given itself.
                    Role::Local(_) if node.kind != node.path => format!("{} {}", node.kind, node.path),
                    _ => node.kind.to_string(),
                };
                write!(f, "  {:>2}  {what}", id.0)?;
                if !node.inputs.is_empty() {
                    let inputs: Vec<_> = node.inputs.iter().map(|i| i.node.0.to_string()).collect();
                    write!(f, "  <- {}", inputs.join(", "))?;
                }
                for store in &node.stores {
                    write!(f, "  [store {}: {}]", store.name, store.format)?;
                }
                writeln!(f)?;
            }
        }
        Ok(())
    }
}
