//! One process at a time runs with state; others stand by.
//!
//! Owns who holds the state and whether that is us. A process looks at the group before it joins, and stays
//! outside while another one is in it. If two look at the same moment, both join; then their claims decide,
//! rows of the meta topic: the earlier one goes on, and the later one leaves. Knows no partition. Invariants:
//! nothing is recovered before our claim is confirmed; a claim is confirmed only when no other member of the
//! group has an earlier one, so of two members at most one is; the process that holds the state is never asked
//! to give it up.

use super::{Group, meta::Meta};
use crate::{
    error::{Failure, Reaction, Result, Stage},
    log::{GroupMember, Log, Membership},
    record::Offset,
    runtime::app::App,
};
use std::{collections::BTreeMap, time::Duration};

/// How often a process that waits for the state looks at the group.
pub const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What is known about who holds the state.
#[derive(Debug, Default)]
pub(super) struct Ownership {
    /// When the group was last looked at while nothing was assigned to us.
    looked: Option<Duration>,
    /// Whom we stand by for.
    holder: Option<GroupMember>,
    /// Whether the group was empty at the last look, while we stood by.
    was_empty: bool,
    /// Our member id when our claim was written.
    claimed: Option<String>,
    /// Whether nobody has an earlier one.
    is_confirmed: bool,
}

/// The other members of the group, and the claims of the state if there are any.
pub struct Rivals {
    others: Vec<GroupMember>,
    owners: BTreeMap<String, Offset>,
}

impl Rivals {
    /// A member that has claimed the state for itself.
    #[must_use]
    pub fn owner(&self) -> Option<&GroupMember> {
        self.others.iter().find(|other| self.owners.contains_key(&other.member_id))
    }
}

impl Group {
    /// Whom to stand by for instead of joining, judged by the [other members](others); `None` = nobody. To be asked
    /// once a second: a group that is empty for a single look may be about to be joined again by the process that
    /// holds the state.
    pub fn held_elsewhere(&mut self, others: Vec<GroupMember>) -> Option<&GroupMember> {
        let found = others.into_iter().next();
        let was_empty = std::mem::replace(&mut self.ownership.was_empty, found.is_none());
        if found.is_some() || was_empty {
            self.ownership.holder = found;
        }
        self.ownership.holder.as_ref()
    }

    /// Whether we are outside because another process holds the state.
    #[must_use]
    pub fn stands_by(&self) -> bool {
        self.must_rejoin && self.ownership.holder.is_some()
    }

    /// Whether the state is ours under this membership.
    #[must_use]
    pub fn holds_state(&self, membership: &Membership) -> bool {
        self.ownership.is_confirmed && self.has_claimed(membership)
    }

    /// Whether our claim is written under this membership.
    #[must_use]
    pub fn has_claimed(&self, membership: &Membership) -> bool {
        self.ownership.claimed.as_ref() == Some(&membership.member_id)
    }

    /// Our claim is committed under this membership.
    pub fn claimed(&mut self, membership: &Membership) {
        self.ownership.claimed = Some(membership.member_id.clone());
        self.ownership.is_confirmed = false;
    }

    /// Whether another member has an earlier claim than ours, or has one while we have none: then the state
    /// is its.
    ///
    /// # Errors
    /// If the log does not show our claim yet.
    pub fn earlier_owner(
        &mut self,
        rivals: Rivals,
        membership: &Membership,
    ) -> Result<Option<GroupMember>, Failure> {
        let Rivals { others, owners } = rivals;
        let has_claimed = self.has_claimed(membership);
        if !others.is_empty() {
            let ours = owners.get(&membership.member_id).copied();
            let ours = if has_claimed { Some(ours.ok_or_else(unread)?) } else { None };
            let is_earlier = |other: &GroupMember| {
                let theirs = owners.get(&other.member_id);
                theirs.is_some_and(|theirs| ours.is_none_or(|ours| *theirs < ours))
            };
            if let Some(owner) = others.into_iter().find(is_earlier) {
                self.ownership.holder = Some(owner.clone());
                return Ok(Some(owner));
            }
        }
        self.ownership.is_confirmed = has_claimed;
        Ok(None)
    }

    /// Whether it is time to look whether somebody else holds the state while nothing is assigned to us.
    pub fn must_look_for_owner(&mut self, app: &App) -> bool {
        let is_time = self.ownership.looked.is_none_or(|looked| app.since(looked) >= LOOK_EVERY);
        if is_time {
            self.ownership.looked = Some(app.now());
        }
        is_time
    }
}

/// Asks for the members of the group that do not have our name.
pub fn others(app: &App) -> impl FnOnce(&dyn Log) -> Result<Vec<GroupMember>> + Send + use<> {
    let (group, instance) = (app.config.application_id.clone(), app.env.instance.clone());
    move |log| {
        let mut members = log.members(&group)?;
        members.retain(|member| *member.instance != *instance.0);
        Ok(members)
    }
}

/// Asks who may have an earlier claim of the state than we.
pub fn rivals(app: &App) -> impl FnOnce(&dyn Log) -> Result<Rivals> + Send + use<> {
    let (others, meta) = (others(app), app.names.meta.clone());
    move |log| {
        let others = others(log)?;
        let owners = if others.is_empty() { BTreeMap::new() } else { Meta::owners(log, &meta)? };
        Ok(Rivals { others, owners })
    }
}

fn unread() -> Failure {
    let what = "our claim of the state cannot be read yet";
    Failure::new(Stage::Fetch, Reaction::RetrySame, what)
}
