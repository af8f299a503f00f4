//! Consumer groups: who is in them, and how far they are.

mod group;
mod member;
mod offsets;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::SyncGroupRequest;
use kafka_protocol::protocol::StrBytes;
use tokio::sync::Notify;
use tokio::time::{Duration, Instant};
use uuid::Uuid;

use super::refusal::Answer;
pub(super) use group::{Group, Joiner, Joining, Phase, Syncing};
pub(super) use member::{Client, Member};
pub(super) use offsets::{Committed, Offsets, Place};

/// Earlier versions of OffsetCommit don't know that a group may be missing.
const NOT_FOUND_SINCE: i16 = 9;

/// All groups that have, or had, members or offsets.
#[derive(Debug)]
pub(super) struct Groups {
    by_id: BTreeMap<StrBytes, Group>,
    pub(super) offsets: Offsets,
    initial_delay: Duration,
    /// Says that something may be to be done earlier than it was.
    pub(super) changed: Rc<Notify>,
}

impl Groups {
    pub(super) fn open(file: PathBuf, initial_delay: Duration) -> anyhow::Result<Self> {
        let offsets = Offsets::open(file)?;
        let by_id = offsets.groups().map(|id| (id.clone(), Group::new(initial_delay))).collect();
        Ok(Self { by_id, offsets, initial_delay, changed: Rc::default() })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&StrBytes, &Group)> {
        self.by_id.iter()
    }

    pub(super) fn get(&self, id: &StrBytes) -> Option<&Group> {
        self.by_id.get(id)
    }

    fn known(&mut self, id: &StrBytes) -> Answer<&mut Group> {
        self.by_id.get_mut(id).ok_or(ResponseError::UnknownMemberId.into())
    }

    pub(super) fn join(&mut self, joiner: Joiner<'_>) -> Answer<Joining> {
        let id = &joiner.request.group_id.0;
        if !joiner.request.member_id.is_empty() {
            self.known(id)?;
        }
        let group = self.by_id.entry(id.clone()).or_insert_with(|| Group::new(self.initial_delay));
        let joining = group.join(joiner);
        self.changed.notify_one();
        joining
    }

    pub(super) fn sync(&mut self, request: &SyncGroupRequest) -> Answer<Syncing> {
        let syncing = self.known(&request.group_id.0)?.sync(request, Instant::now());
        self.changed.notify_one();
        syncing
    }

    pub(super) fn heartbeat(
        &mut self,
        group: &StrBytes,
        member: &StrBytes,
        instance: Option<&StrBytes>,
        generation: i32,
    ) -> Answer<()> {
        self.known(group)?.heartbeat(member, instance, generation, Instant::now())
    }

    pub(super) fn leave(&mut self, group: &StrBytes, member: &StrBytes, instance: Option<&StrBytes>) -> Answer<()> {
        let left = self.known(group)?.leave(member, instance, Instant::now());
        self.changed.notify_one();
        left
    }

    /// Whether a member, or anybody if there is none, may commit offsets; the first commit makes the group.
    pub(super) fn check_commit(
        &mut self,
        group: &StrBytes,
        member: &StrBytes,
        instance: Option<&StrBytes>,
        generation: i32,
        version: i16,
    ) -> Answer<()> {
        match self.by_id.get(group) {
            Some(group) => group.check_commit(member, instance, generation),
            None if generation >= 0 && version >= NOT_FOUND_SINCE => Err(ResponseError::GroupIdNotFound.into()),
            None if generation >= 0 => Err(ResponseError::IllegalGeneration.into()),
            None => {
                self.by_id.insert(group.clone(), Group::new(self.initial_delay));
                Ok(())
            }
        }
    }

    /// Deletes a group without members, and its offsets.
    pub(super) fn delete(&mut self, id: &StrBytes) -> Answer<()> {
        let group = self.by_id.get(id).ok_or(ResponseError::GroupIdNotFound)?;
        if group.phase != Phase::Empty {
            return Err(ResponseError::NonEmptyGroup.into());
        }
        self.offsets.delete(|group, _| group == id)?;
        self.by_id.remove(id);
        Ok(())
    }

    /// A deleted topic has no offsets.
    pub(super) fn forget_topic(&mut self, topic: Uuid) -> Answer<()> {
        Ok(self.offsets.delete(|_, place| place.0 == topic)?)
    }

    /// Does what was to be done by now, and says when there is more.
    pub(super) fn expire(&mut self) -> Option<Instant> {
        let now = Instant::now();
        self.by_id.values_mut().for_each(|group| group.expire(now));
        self.by_id.values().filter_map(Group::next_deadline).min()
    }
}
