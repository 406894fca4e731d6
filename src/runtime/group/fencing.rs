//! Ends the transactions that processes have left open that are gone.
//!
//! An open transaction holds back whoever reads behind it, and whoever asks for the offsets in it, until the log ends it after its
//! timeout. A process that takes partitions over ends it at once: a producer under the name of their last owner becomes ready, which
//! aborts what is open there and fences what may still come. Knows no batch. Invariants: who is in the group is left alone; one that
//! lives all the same, cut off from the group, gets a new producer and joins anew, as after any other expulsion; whoever cannot be
//! fenced is waited for.

use crate::{
    config::Guarantee,
    error::Result,
    log::{Log, ProducerSpec, RequestSizes},
    record::{InstanceId, Token, TopicPartition},
    runtime::{app::App, names::transactional_id},
    task::recovery_record::RecoveryRecord,
};
use std::collections::BTreeSet;

/// Whose transactions were ended, as of which of their batches.
#[derive(Debug, Default)]
pub struct Fencing {
    fenced: BTreeSet<String>,
}

/// A process that is gone.
pub struct Gone {
    /// The last token that it has committed on a partition that is ours now.
    token: Token,
    producer: ProducerSpec,
}

impl Fencing {
    /// Asks which of the last owners of these partitions may have left a transaction open: neither we, nor one that was fenced, nor a
    /// member of the group.
    pub fn looking_for_gone(
        &self,
        app: &App,
        at: &[TopicPartition],
    ) -> impl FnOnce(&dyn Log) -> Result<Vec<Gone>> + Send + use<> {
        let is_needed = app.config.guarantee == Guarantee::ExactlyOnce
            && !crate::failpoint::passes("mutant-nobody-is-gone");
        let (group, ours, at) = (app.config.application_id.clone(), app.env.instance.clone(), at.to_vec());
        let (fenced, spec) = (self.fenced.clone(), app.producer_spec(RequestSizes::default()));
        move |log| {
            if !is_needed {
                return Ok(vec![]);
            }
            let committed = log.last_committed(&group, &at)?;
            let tokens = at.iter().zip(committed).filter_map(|(at, committed)| {
                // What is not a record of ours is refused later.
                RecoveryRecord::parse(&committed?.metadata, &at.to_string()).ok().map(|record| record.token)
            });
            let mut owners: Vec<Token> =
                tokens.filter(|t| t.instance != ours && !fenced.contains(&t.to_string())).collect();
            owners.sort_by_key(|token| (token.instance.clone(), token.incarnation, token.batch));
            owners.reverse();
            owners.dedup_by_key(|token| token.instance.clone());
            if owners.is_empty() {
                return Ok(vec![]);
            }
            let members = log.members(&group)?;
            if !crate::failpoint::passes("mutant-fence-members") {
                owners.retain(|token| !members.iter().any(|member| *member.instance == *token.instance.0));
            }
            let gone = owners.into_iter().map(|token| {
                let producer = ProducerSpec {
                    transactional_id: Some(transactional_id(&group, &token.instance)),
                    ..spec.clone()
                };
                Gone { token, producer }
            });
            Ok(gone.collect())
        }
    }

    /// Takes note of one that was fenced.
    pub fn has_fenced(&mut self, gone: &Gone) {
        self.fenced.insert(gone.token.to_string());
    }
}

impl Gone {
    /// Which process.
    #[must_use]
    pub fn instance(&self) -> &InstanceId {
        &self.token.instance
    }

    /// Ends what it has left open.
    pub fn fencing(&self) -> impl FnOnce(&dyn Log) -> Result + Send + use<> {
        let spec = self.producer.clone();
        move |log| Ok(log.producer(&spec)?.init()?)
    }
}
