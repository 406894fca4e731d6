//! What a reader of the output may rely on, stated in one line at the start.
//!
//! Owns the assessment of replication. Knows no log: it is given what the log reports about its topics.
//! Invariant: nothing is promised that the settings do not give.

use crate::{config::Guarantee, error::listed, log::TopicInfo};

const NEXT_IF_SINGLE: &str = "with three brokers or more give them replication factor 3 and min.insync.replicas 2; --replication-factor sets it for new internal topics";
const NEXT_IF_LAX: &str = "set min.insync.replicas to 2";

/// One topic on which the guarantee rests.
pub type Written = (String, TopicInfo);

/// How many brokers may lose their disks without the loss of an acknowledged record. A setting that cannot be
/// read counts as Kafka's default.
fn survives(info: &TopicInfo) -> u16 {
    let insync = insync(info).unwrap_or(1).max(1);
    info.replication_factor.min(insync).saturating_sub(1)
}

fn insync(info: &TopicInfo) -> Option<u16> {
    info.config.get("min.insync.replicas")?.parse().ok()
}

/// The line for a cluster whose topics are copied between brokers.
#[must_use]
pub fn of_cluster(guarantee: Guarantee, written: &[Written]) -> String {
    let least = written.iter().map(|(_, info)| survives(info)).min().unwrap_or(0);
    let failures = if least == 1 { "failure" } else { "failures" };
    let promise = format!("{}; survives {least} broker {failures}", name(guarantee));
    if least > 0 || written.is_empty() {
        return promise;
    }
    let weak = |single: bool| -> Vec<&str> {
        let weakest = written.iter().filter(|(_, info)| survives(info) == 0);
        weakest
            .filter(|(_, info)| (info.replication_factor <= 1) == single)
            .map(|(topic, _)| &**topic)
            .collect()
    };
    let (single, lax) = (weak(true), weak(false));
    let next = if single.is_empty() { NEXT_IF_LAX } else { NEXT_IF_SINGLE };
    let causes = [("replication factor", single), ("min.insync.replicas", lax)];
    let causes = causes.iter().filter(|(_, topics)| !topics.is_empty());
    let causes: Vec<String> =
        causes.map(|(what, topics)| format!("{what} 1 of {}", listed(topics))).collect();
    format!("{promise}: {} (next: {next})", causes.join(", "))
}

/// The line for a log without copies.
#[must_use]
pub fn of_one_copy(guarantee: Guarantee, log: &str) -> String {
    format!("{}; there is one copy ({log}): what is committed lasts as long as that copy", name(guarantee))
}

/// Settings that can lose acknowledged records although there are copies.
#[must_use]
pub fn warnings(written: &[Written]) -> Vec<String> {
    let mut warnings = vec![];
    for (topic, info) in written {
        let factor = info.replication_factor;
        if factor >= 3 && insync(info) == Some(1) {
            warnings.push(format!(
                "topic `{topic}`: min.insync.replicas is 1 with replication factor {factor}: an acknowledged record may be on one broker only\n  next: set min.insync.replicas to {}",
                factor - 1
            ));
        }
        let unclean = info.config.get("unclean.leader.election.enable");
        if factor > 1 && unclean.is_some_and(|value| value == "true") {
            warnings.push(format!(
                "topic `{topic}`: unclean.leader.election.enable is true: a broker that lags behind may become leader, and acknowledged records are then lost\n  next: set it to false"
            ));
        }
    }
    warnings
}

fn name(guarantee: Guarantee) -> &'static str {
    match guarantee {
        Guarantee::ExactlyOnce => "exactly once",
        Guarantee::AtLeastOnce => "at least once",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(name: &str, replication_factor: u16, config: &[(&str, &str)]) -> Written {
        let config = config.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        (
            name.into(),
            TopicInfo { id: String::new(), partitions: 1, replication_factor, may_write: None, config },
        )
    }

    const ONE: (&str, &str) = ("min.insync.replicas", "1");
    const TWO: (&str, &str) = ("min.insync.replicas", "2");

    #[test]
    fn the_weakest_topics_are_named_with_the_cause() {
        let good = topic("a-changelog", 3, &[TWO]);
        let line = |written: &[Written]| of_cluster(Guarantee::ExactlyOnce, written);
        assert_eq!(line(std::slice::from_ref(&good)), "exactly once; survives 1 broker failure");
        let single = line(&[topic("counts", 1, &[ONE]), good.clone(), topic("a-meta", 1, &[ONE])]);
        assert!(
            single.starts_with(
                "exactly once; survives 0 broker failures: replication factor 1 of counts, a-meta (next: "
            ),
            "{single}"
        );
        let lax = line(&[topic("counts", 3, &[ONE]), good]);
        assert!(
            lax.contains("survives 0 broker failures: min.insync.replicas 1 of counts (next: set"),
            "{lax}"
        );
        let unknown = line(&[topic("counts", 3, &[])]);
        assert!(unknown.contains("survives 0 broker failures: min.insync.replicas 1 of counts"), "{unknown}");
        let many: Vec<Written> = (0..7).map(|i| topic(&format!("t{i}"), 1, &[ONE])).collect();
        assert!(line(&many).contains("t0, t1, t2, t3 and 3 more"), "{}", line(&many));
        assert!(
            of_one_copy(Guarantee::AtLeastOnce, "log in memory")
                .starts_with("at least once; there is one copy (log in memory)")
        );
    }

    #[test]
    fn settings_that_defeat_replication_are_warned_about() {
        let unclean = ("unclean.leader.election.enable", "true");
        let found = warnings(&[
            topic("lax", 3, &[ONE]),
            topic("unclean", 3, &[TWO, unclean]),
            topic("good", 3, &[TWO]),
            topic("single", 1, &[ONE, unclean]),
        ]);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("`lax`: min.insync.replicas is 1") && found[0].contains("next:"));
        assert!(
            found[1].contains("`unclean`: unclean.leader.election.enable is true")
                && found[1].contains("next:")
        );
    }
}
