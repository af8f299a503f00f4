//! A classic consumer group: members join, the leader assigns, everybody takes its part, until one comes or goes.

use std::collections::BTreeMap;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::{JoinGroupRequest, JoinGroupResponse, SyncGroupRequest, SyncGroupResponse};
use kafka_protocol::protocol::StrBytes;
use tokio::sync::oneshot;
use tokio::time::{Duration, Instant};
use uuid::Uuid;

use super::member::{Client, Member, answer};
use crate::broker::refusal::Answer;

/// Since this version a member is told its id before it joins, so that one whose answer was lost is not there twice.
const ID_FIRST_SINCE: i16 = 4;

/// Since this version a static leader that came back is told to leave the assignment as it is.
const SKIP_ASSIGNMENT_SINCE: i16 = 9;

/// Where a group is on its way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::broker) enum Phase {
    Empty,
    /// Members are to join: all by then, or, the first of all, whoever comes.
    Joining {
        until: Instant,
        is_first: bool,
    },
    /// Members are to come for their part, and the leader with all of them.
    Syncing {
        until: Instant,
    },
    Stable,
}

impl Phase {
    /// Kafka's name of it.
    pub(in crate::broker) fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Joining { .. } => "PreparingRebalance",
            Self::Syncing { .. } => "CompletingRebalance",
            Self::Stable => "Stable",
        }
    }

    fn ends(self) -> Option<Instant> {
        match self {
            Self::Empty | Self::Stable => None,
            Self::Joining { until, .. } | Self::Syncing { until } => Some(until),
        }
    }
}

#[derive(Debug)]
pub(in crate::broker) struct Group {
    pub(in crate::broker) phase: Phase,
    pub(in crate::broker) protocol_type: StrBytes,
    /// What all members do, chosen when they had joined.
    pub(in crate::broker) protocol: StrBytes,
    pub(in crate::broker) members: BTreeMap<StrBytes, Member>,
    generation: i32,
    leader: StrBytes,
    /// Ids that were given to those who are about to join, and until when they may.
    pending: BTreeMap<StrBytes, Instant>,
    initial_delay: Duration,
}

/// Who asks to join, and when.
#[derive(Clone, Copy, Debug)]
pub(in crate::broker) struct Joiner<'a> {
    pub(in crate::broker) request: &'a JoinGroupRequest,
    pub(in crate::broker) client: &'a Client,
    pub(in crate::broker) version: i16,
    pub(in crate::broker) now: Instant,
}

/// The answer to who asks to join, now or when all have.
#[derive(Debug)]
pub(in crate::broker) enum Joining {
    Now(JoinGroupResponse),
    Later(oneshot::Receiver<Answer<JoinGroupResponse>>),
}

pub(in crate::broker) type Syncing = oneshot::Receiver<Answer<SyncGroupResponse>>;

impl Group {
    pub(super) fn new(initial_delay: Duration) -> Self {
        Self {
            phase: Phase::Empty,
            protocol_type: StrBytes::default(),
            protocol: StrBytes::default(),
            members: BTreeMap::new(),
            generation: 0,
            leader: StrBytes::default(),
            pending: BTreeMap::new(),
            initial_delay,
        }
    }

    pub(super) fn join(&mut self, joiner: Joiner<'_>) -> Answer<Joining> {
        let Joiner { request, now, .. } = joiner;
        let (id, instance) = (&request.member_id, request.group_instance_id.as_ref());
        self.check_protocols(request)?;
        if let Some(old) = instance.and_then(|instance| self.member_of(instance)).filter(|_| id.is_empty()).cloned() {
            return Ok(self.replace(&old, joiner));
        }
        if self.pending.remove(id).is_none() && !id.is_empty() {
            self.check_member(id, instance)?;
            return Ok(self.join_again(joiner));
        }
        let (id, member) = (if id.is_empty() { joiner.new_id() } else { id.clone() }, Member::new(joiner));
        if request.member_id.is_empty() && instance.is_none() && joiner.version >= ID_FIRST_SINCE {
            self.pending.insert(id.clone(), now + member.session_timeout);
            let error = ResponseError::MemberIdRequired.code();
            let nothing = JoinGroupResponse::default().with_error_code(error).with_generation_id(-1);
            return Ok(Joining::Now(nothing.with_protocol_name(None).with_member_id(id)));
        }
        if self.members.is_empty() {
            self.protocol_type = request.protocol_type.clone();
        }
        self.members.insert(id.clone(), member);
        if let Phase::Joining { until, is_first: true } = &mut self.phase {
            *until = now + self.initial_delay;
        }
        Ok(self.join_with_all(&id, now))
    }

    fn join_again(&mut self, joiner: Joiner<'_>) -> Joining {
        let id = &joiner.request.member_id;
        let says_the_same = self.members.get(id).is_some_and(|member| member.says(joiner.request));
        if let Some(member) = self.members.get_mut(id) {
            member.update(joiner);
        }
        match self.phase {
            // Its answer was lost.
            Phase::Syncing { .. } if says_the_same => Joining::Now(self.joined(id)),
            Phase::Stable if says_the_same && *id != self.leader => Joining::Now(self.joined(id)),
            _ => self.join_with_all(id, joiner.now),
        }
    }

    /// A static member has started again: it takes the place of its former self, and where that is enough nobody else
    /// is troubled.
    fn replace(&mut self, old: &StrBytes, joiner: Joiner<'_>) -> Joining {
        let (id, mut member) = (joiner.new_id(), Member::new(joiner));
        if let Some(former) = self.members.remove(old) {
            member.assignment = former.assignment.clone();
            former.fence();
        }
        self.members.insert(id.clone(), member);
        let former_leader = self.leader.clone();
        if former_leader == *old {
            self.leader = id.clone();
        }
        if self.phase != Phase::Stable || self.choose_protocol() != self.protocol {
            return self.join_with_all(&id, joiner.now);
        }
        let joined = self.joined(&id);
        Joining::Now(match joiner.version {
            SKIP_ASSIGNMENT_SINCE.. => joined.with_skip_assignment(self.leader == id),
            // Told its former leader's id, it takes itself for a follower and leaves the assignment alone.
            _ => joined.with_members(Vec::new()).with_leader(former_leader),
        })
    }

    fn join_with_all(&mut self, id: &StrBytes, now: Instant) -> Joining {
        let (sender, receiver) = oneshot::channel();
        if let Some(member) = self.members.get_mut(id) {
            member.joining = Some(sender);
        }
        self.rebalance(now);
        Joining::Later(receiver)
    }

    /// Has everybody join again, or goes on with it.
    fn rebalance(&mut self, now: Instant) {
        match self.phase {
            Phase::Empty => self.phase = Phase::Joining { until: now + self.initial_delay, is_first: true },
            Phase::Syncing { .. } | Phase::Stable => {
                for member in self.members.values_mut() {
                    member.assignment = Bytes::new();
                    if let Some(syncing) = member.syncing.take() {
                        answer(syncing, Err(ResponseError::RebalanceInProgress.into()));
                    }
                }
                self.phase = Phase::Joining { until: now + self.rebalance_timeout(), is_first: false };
            }
            Phase::Joining { .. } => {}
        }
        self.go_on(now);
    }

    /// Ends the joining when there is nobody left to wait for, or no time.
    fn go_on(&mut self, now: Instant) {
        let all_are_here = self.pending.is_empty() && self.members.values().all(|member| member.joining.is_some());
        if let Phase::Joining { until, is_first } = self.phase
            && (until <= now || all_are_here && !is_first)
        {
            self.begin_generation(now);
        }
    }

    fn begin_generation(&mut self, now: Instant) {
        // Static members are given the time of their session to come back.
        self.members.retain(|_, member| member.joining.is_some() || member.instance.is_some());
        let is_here = |(_, member): &(&StrBytes, &Member)| member.joining.is_some();
        let leads_on = self.members.get(&self.leader).is_some_and(|leader| leader.joining.is_some());
        match self.members.iter().find(is_here) {
            Some((first, _)) if !leads_on => self.leader = first.clone(),
            None if !self.members.is_empty() => {
                self.phase = Phase::Joining { until: now + self.rebalance_timeout(), is_first: false };
                return;
            }
            _ => {}
        }
        self.generation += 1;
        if self.members.is_empty() {
            (self.phase, self.protocol, self.leader) = (Phase::Empty, StrBytes::default(), StrBytes::default());
            return;
        }
        self.protocol = self.choose_protocol();
        self.phase = Phase::Syncing { until: now + self.rebalance_timeout() };
        let ids: Vec<StrBytes> = self.members.keys().cloned().collect();
        for id in ids {
            let response = self.joined(&id);
            if let Some(member) = self.members.get_mut(&id) {
                member.touch(now);
                if let Some(joining) = member.joining.take() {
                    answer(joining, Ok(response));
                }
            }
        }
    }

    /// What a member is told of the generation; the leader is told of all members.
    fn joined(&self, id: &StrBytes) -> JoinGroupResponse {
        let described = |(id, member): (&StrBytes, &Member)| {
            JoinGroupResponseMember::default()
                .with_member_id(id.clone())
                .with_group_instance_id(member.instance.clone())
                .with_metadata(member.metadata(&self.protocol).cloned().unwrap_or_default())
        };
        let members = if *id == self.leader { self.members.iter().map(described).collect() } else { Vec::new() };
        JoinGroupResponse::default()
            .with_generation_id(self.generation)
            .with_protocol_type(Some(self.protocol_type.clone()))
            .with_protocol_name(Some(self.protocol.clone()))
            .with_leader(self.leader.clone())
            .with_member_id(id.clone())
            .with_members(members)
    }

    pub(super) fn sync(&mut self, request: &SyncGroupRequest, now: Instant) -> Answer<Syncing> {
        let id = &request.member_id;
        self.check_member(id, request.group_instance_id.as_ref())?;
        self.check_generation(request.generation_id)?;
        let differs = |said: &Option<StrBytes>, ours: &StrBytes| said.as_ref().is_some_and(|said| said != ours);
        if differs(&request.protocol_type, &self.protocol_type) || differs(&request.protocol_name, &self.protocol) {
            return Err(ResponseError::InconsistentGroupProtocol.into());
        }
        if matches!(self.phase, Phase::Joining { .. }) {
            return Err(ResponseError::RebalanceInProgress.into());
        }
        let (sender, receiver) = oneshot::channel();
        self.members.get_mut(id).ok_or(ResponseError::UnknownMemberId)?.syncing = Some(sender);
        if matches!(self.phase, Phase::Syncing { .. }) && *id == self.leader {
            self.assign(request);
        }
        if self.phase == Phase::Stable {
            self.hand_out(now);
        }
        Ok(receiver)
    }

    fn assign(&mut self, request: &SyncGroupRequest) {
        for (id, member) in &mut self.members {
            let part = request.assignments.iter().find(|part| part.member_id == *id);
            member.assignment = part.map(|part| part.assignment.clone()).unwrap_or_default();
        }
        self.phase = Phase::Stable;
    }

    /// Gives everybody who waits for it its part.
    fn hand_out(&mut self, now: Instant) {
        for member in self.members.values_mut() {
            let Some(syncing) = member.syncing.take() else { continue };
            member.touch(now);
            let response = SyncGroupResponse::default()
                .with_protocol_type(Some(self.protocol_type.clone()))
                .with_protocol_name(Some(self.protocol.clone()))
                .with_assignment(member.assignment.clone());
            answer(syncing, Ok(response));
        }
    }

    pub(super) fn heartbeat(
        &mut self,
        id: &StrBytes,
        instance: Option<&StrBytes>,
        generation: i32,
        now: Instant,
    ) -> Answer<()> {
        self.check_member(id, instance)?;
        self.check_generation(generation)?;
        self.members.get_mut(id).ok_or(ResponseError::UnknownMemberId)?.touch(now);
        match self.phase {
            Phase::Joining { .. } => Err(ResponseError::RebalanceInProgress.into()),
            _ => Ok(()),
        }
    }

    /// A member goes, known by its id or by the name of its instance.
    pub(super) fn leave(&mut self, id: &StrBytes, instance: Option<&StrBytes>, now: Instant) -> Answer<()> {
        if instance.is_none() && self.pending.remove(id).is_some() {
            self.go_on(now);
            return Ok(());
        }
        let named = instance.and_then(|instance| self.member_of(instance)).cloned();
        let id = if id.is_empty() { named.ok_or(ResponseError::UnknownMemberId)? } else { id.clone() };
        self.check_member(&id, instance)?;
        self.members.remove(&id);
        self.miss(now);
        Ok(())
    }

    /// Goes on without members that have gone.
    fn miss(&mut self, now: Instant) {
        match self.phase {
            Phase::Syncing { .. } | Phase::Stable => self.rebalance(now),
            _ => self.go_on(now),
        }
    }

    /// Does what was to be done by now.
    pub(super) fn expire(&mut self, now: Instant) {
        let (members, pending) = (self.members.len(), self.pending.len());
        self.pending.retain(|_, until| *until > now);
        self.members.retain(|_, member| !member.is_overdue(now));
        if matches!(self.phase, Phase::Syncing { until } if until <= now) {
            self.members.retain(|_, member| member.syncing.is_some());
        }
        if self.members.len() < members {
            self.miss(now);
        } else if self.pending.len() < pending || self.phase.ends().is_some_and(|until| until <= now) {
            self.go_on(now);
        }
    }

    /// When there is something to do, if nothing happens before.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let waits = |member: &&Member| member.joining.is_none() && member.syncing.is_none();
        let sessions = self.members.values().filter(waits).map(|member| member.deadline);
        sessions.chain(self.pending.values().copied()).chain(self.phase.ends()).min()
    }

    /// Whether offsets may be committed under this id and generation.
    pub(super) fn check_commit(&self, id: &StrBytes, instance: Option<&StrBytes>, generation: i32) -> Answer<()> {
        if generation < 0 && self.phase == Phase::Empty {
            return Ok(());
        }
        if generation < 0 && id.is_empty() && instance.is_none() {
            return Err(ResponseError::UnknownMemberId.into());
        }
        self.check_member(id, instance)?;
        self.check_generation(generation)?;
        match self.phase {
            Phase::Syncing { .. } => Err(ResponseError::RebalanceInProgress.into()),
            _ => Ok(()),
        }
    }

    fn check_generation(&self, generation: i32) -> Answer<()> {
        if generation == self.generation { Ok(()) } else { Err(ResponseError::IllegalGeneration.into()) }
    }

    fn check_member(&self, id: &StrBytes, instance: Option<&StrBytes>) -> Answer<()> {
        if let Some(instance) = instance
            && self.member_of(instance).ok_or(ResponseError::UnknownMemberId)? != id
        {
            return Err(ResponseError::FencedInstanceId.into());
        }
        if self.members.contains_key(id) { Ok(()) } else { Err(ResponseError::UnknownMemberId.into()) }
    }

    fn member_of(&self, instance: &StrBytes) -> Option<&StrBytes> {
        self.members.iter().find(|(_, member)| member.instance.as_ref() == Some(instance)).map(|(id, _)| id)
    }

    /// Everybody must be able to do one thing that the others can.
    fn check_protocols(&self, request: &JoinGroupRequest) -> Answer<()> {
        let can = |member: &Member| request.protocols.iter().any(|p| member.metadata(&p.name).is_some());
        let fits = if self.members.is_empty() {
            !request.protocol_type.is_empty() && !request.protocols.is_empty()
        } else {
            request.protocol_type == self.protocol_type && self.members.values().all(can)
        };
        if fits { Ok(()) } else { Err(ResponseError::InconsistentGroupProtocol.into()) }
    }

    /// Of what all can do, that which most like best.
    fn choose_protocol(&self) -> StrBytes {
        let all_can = |name: &StrBytes| self.members.values().all(|member| member.metadata(name).is_some());
        let favourite =
            |member: &Member| member.protocols.iter().map(|(name, _)| name.clone()).find(|name| all_can(name));
        let mut votes: BTreeMap<StrBytes, usize> = BTreeMap::new();
        for name in self.members.values().filter_map(favourite) {
            *votes.entry(name).or_default() += 1;
        }
        votes.into_iter().max_by_key(|(_, votes)| *votes).map(|(name, _)| name).unwrap_or_default()
    }

    fn rebalance_timeout(&self) -> Duration {
        self.members.values().map(|member| member.rebalance_timeout).max().unwrap_or_default()
    }
}

impl Joiner<'_> {
    fn new_id(self) -> StrBytes {
        let name = self.request.group_instance_id.as_ref().unwrap_or(&self.client.id);
        StrBytes::from_string(format!("{name}-{}", Uuid::new_v4()))
    }
}
