//! The processes that share the state of an application, as any of them sees the others.
//!
//! Owns a thread that asks the group every few seconds who is in it, what has been committed for each state partition, and how much
//! of the exchange topic is left. Knows no task of this process: what it says is committed, so all processes say the same. Invariant:
//! nothing waits for it, and a log that does not answer makes it silent, not wrong.

use crate::{
    error::{Error, Result},
    log::{Committed, Log},
    record::{BatchTime, Offset, Partition, TopicPartition},
    task::recovery_record::RecoveryRecord,
};
use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use serde::Serialize;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// How often the group is asked.
const EVERY: Duration = Duration::from_secs(2);
/// A process holds results back if its input is so far behind that of the first one, milliseconds.
const BEHIND_MS: i64 = 3_000;

/// All processes, and all state partitions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Processes {
    /// The members of the group, by instance.
    pub members: Vec<Process>,
    /// The state partitions, in order.
    pub state_partitions: Vec<StateOf>,
    /// Who holds results back, if somebody does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_back: Option<HeldBack>,
}

/// A process of the application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Process {
    /// Its instance id.
    pub instance: String,
    /// Where it runs.
    pub host: String,
    /// The state partitions for which it has committed last.
    pub state_partitions: Vec<u32>,
}

/// A state partition, as it was committed last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StateOf {
    /// Which.
    pub partition: u32,
    /// Who has committed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The batch time up to which its input has been taken, milliseconds since the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_time_ms: Option<i64>,
    /// The batch time up to which all its stages have given their results.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed_time_ms: Option<i64>,
    /// Records of the exchange topic that it has still to take.
    pub lag: u64,
}

/// The process whose input is the furthest behind: results of all wait for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HeldBack {
    /// Its instance id.
    pub by: String,
    /// Whether it is in the group.
    pub is_member: bool,
    /// How far it is behind the first one, milliseconds.
    pub behind_ms: i64,
}

impl Processes {
    /// From what the group says.
    #[must_use]
    pub fn of(
        members: Vec<(String, String)>,
        partitions: Vec<(Partition, Option<Committed>, Offset)>,
    ) -> Self {
        let state_of = |(partition, committed, end): (Partition, Option<Committed>, Offset)| {
            let lag = committed.as_ref().map_or(0, |committed| end.0.saturating_sub(committed.offset.0));
            let record = committed.and_then(|c| RecoveryRecord::parse(&c.metadata, "the group").ok());
            let closed = record.as_ref().map(|r| r.closed.iter().copied().min().unwrap_or(r.time));
            StateOf {
                partition: partition.0,
                owner: record.as_ref().map(|record| record.token.instance.to_string()),
                input_time_ms: record.map(|record| record.time.0),
                closed_time_ms: closed.filter(|time| *time >= BatchTime(0)).map(|time| time.0),
                lag,
            }
        };
        let state_partitions: Vec<StateOf> = partitions.into_iter().map(state_of).collect();
        let mut of: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
        for state in &state_partitions {
            of.entry(state.owner.as_deref().unwrap_or_default()).or_default().push(state.partition);
        }
        let process = |(instance, host): (String, String)| {
            let state_partitions = of.get(&*instance).cloned().unwrap_or_default();
            Process { instance, host, state_partitions }
        };
        let mut members: Vec<Process> = members.into_iter().map(process).collect();
        members.sort_by(|a, b| a.instance.cmp(&b.instance));
        let held_back = held_back(&members, &state_partitions);
        Processes { members, state_partitions, held_back }
    }

    /// What a reader should know, if results wait for a process.
    #[must_use]
    pub fn notice(&self) -> Option<String> {
        let HeldBack { by, is_member, behind_ms } = self.held_back.as_ref()?;
        let gone = if *is_member { "" } else { ", which is not in the group" };
        Some(format!(
            "Results wait for the process `{by}`{gone}: its input is {} s behind",
            behind_ms / 1_000
        ))
    }
}

fn held_back(members: &[Process], states: &[StateOf]) -> Option<HeldBack> {
    let times = || states.iter().filter_map(|state| Some((state.input_time_ms?, state.owner.as_deref()?)));
    let (newest, first) = times().max_by_key(|(time, _)| *time)?;
    let (oldest, last) = times().min_by_key(|(time, _)| *time)?;
    let behind_ms = newest - oldest;
    let is_member = members.iter().any(|member| member.instance == last);
    (first != last && behind_ms > BEHIND_MS).then(|| HeldBack { by: last.to_owned(), is_member, behind_ms })
}

/// Asks until it is dropped.
pub struct Watch(#[expect(dead_code, reason = "its end ends the thread")] Sender<()>);

impl Watch {
    /// Asks about the processes of `group`, whose state partitions are those of the topic `exchange`; `tell` gets the answers.
    ///
    /// # Errors
    /// If the system cannot start a thread.
    pub fn start(
        log: Arc<dyn Log>,
        group: String,
        exchange: Vec<TopicPartition>,
        tell: impl Fn(Processes) + Send + 'static,
    ) -> Result<Self> {
        let (stop, stopped) = bounded::<()>(0);
        let work = move || {
            let mut held_back_by: Option<String> = None;
            while stopped.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                match ask(log.as_ref(), &group, &exchange) {
                    Ok(processes) => {
                        let by = processes.held_back.as_ref().map(|held_back| held_back.by.clone());
                        match processes.notice().filter(|_| by != held_back_by) {
                            Some(notice) => tracing::warn!("{notice}"),
                            None if by != held_back_by => {
                                tracing::info!("results wait for no process any more");
                            }
                            None => {}
                        }
                        held_back_by = by;
                        tell(processes);
                    }
                    Err(e) => tracing::debug!("the processes of the group are not known: {e}"),
                }
            }
        };
        let thread = std::thread::Builder::new().name("processes".into());
        thread.spawn(work).map_err(Error::io("starting the thread processes"))?;
        Ok(Watch(stop))
    }
}

fn ask(log: &dyn Log, group: &str, exchange: &[TopicPartition]) -> Result<Processes> {
    let members = log.members(group)?;
    let committed = log.last_committed(group, exchange)?;
    let mut partitions = vec![];
    for (at, committed) in exchange.iter().zip(committed) {
        let end = committed.as_ref().map_or(Ok(Offset(0)), |_| log.end_offset(at))?;
        partitions.push((at.partition, committed, end));
    }
    Ok(Processes::of(members.into_iter().map(|m| (m.instance, m.host)).collect(), partitions))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{BatchId, Incarnation, InstanceId, Token};

    fn committed(instance: &str, time: i64, closed: &[i64], offset: u64) -> Committed {
        let token =
            Token { instance: InstanceId(instance.into()), incarnation: Incarnation(1), batch: BatchId(1) };
        let mut record = RecoveryRecord::new(token, BatchTime(time), "00ff");
        record.closed = closed.iter().copied().map(BatchTime).collect();
        Committed { offset: Offset(offset), leader_epoch: None, metadata: record.to_metadata().unwrap() }
    }

    #[test]
    fn the_process_that_is_behind_is_named_with_what_each_has() {
        let member = |name: &str| (name.to_owned(), "10.0.0.1".to_owned());
        let state = |partition, committed| (Partition(partition), committed, Offset(9));
        let partitions = || {
            vec![
                state(0, Some(committed("a", 60_000, &[50_000, 49_000], 4))),
                state(1, Some(committed("b", 50_000, &[50_000, 50_000], 9))),
                state(2, Some(committed("a", 60_000, &[], 9))),
                state(3, None),
            ]
        };
        let seen = Processes::of(vec![member("b"), member("a")], partitions());
        let owned: Vec<_> = seen.members.iter().map(|m| (&*m.instance, &m.state_partitions[..])).collect();
        assert_eq!(owned, [("a", &[0, 2][..]), ("b", &[1][..])]);
        let states: Vec<_> =
            seen.state_partitions.iter().map(|s| (s.input_time_ms, s.closed_time_ms, s.lag)).collect();
        assert_eq!(states[0], (Some(60_000), Some(49_000), 5));
        assert_eq!(states[2], (Some(60_000), Some(60_000), 0));
        assert_eq!(states[3], (None, None, 0));
        assert_eq!(seen.notice().unwrap(), "Results wait for the process `b`: its input is 10 s behind");
        let gone = Processes::of(vec![member("a")], partitions());
        assert!(gone.notice().unwrap().contains("`b`, which is not in the group: its input"));
        let level = Processes::of(vec![member("a")], vec![state(0, Some(committed("a", 60_000, &[], 1)))]);
        assert_eq!((level.notice(), level.held_back), (None, None));
    }
}
