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
    log::{GroupMember, Membership},
    runtime::app::App,
};
use std::time::Duration;

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

impl Group {
    /// Whom to stand by for instead of joining; `None` = nobody. To be asked once a second: a group that is
    /// empty for a single look may be about to be joined again by the process that holds the state.
    ///
    /// # Errors
    /// If the log does not answer.
    pub fn held_elsewhere(&mut self, app: &App) -> Result<Option<&GroupMember>> {
        if !app.plan.has_state_partitions() {
            return Ok(None);
        }
        let found = others(app)?.into_iter().next();
        let was_empty = std::mem::replace(&mut self.ownership.was_empty, found.is_none());
        if found.is_some() || was_empty {
            self.ownership.holder = found;
        }
        Ok(self.ownership.holder.as_ref())
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
    /// If the log does not answer, or does not show our claim yet.
    pub fn earlier_owner(&mut self, app: &App, membership: &Membership) -> Result<Option<GroupMember>> {
        let (others, has_claimed) = (others(app)?, self.has_claimed(membership));
        if !others.is_empty() {
            let owners = Meta::owners(app.env.log.as_ref(), &app.names.meta)?;
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

/// The members of the group that do not have our name.
fn others(app: &App) -> Result<Vec<GroupMember>> {
    let mut members = app.env.log.members(&app.config.application_id)?;
    members.retain(|member| *member.instance != *app.env.instance.0);
    Ok(members)
}

fn unread() -> Failure {
    let what = "our claim of the state cannot be read yet";
    Failure::new(Stage::Fetch, Reaction::RetrySame, what)
}
