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

use super::member::{Client, Member};
use crate::broker::refusal::Answer;

/// Since this version a member is told its id before it joins, so that one whose answer was lost is not there twice.
const ID_FIRST_SINCE: i16 = 4;

/// Since this version a static leader that came back is told to leave the assignment as it is.
const SKIP_ASSIGNMENT_SINCE: i16 = 9;

/// Where a group is on its way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::broker) enum Phase {
    Empty,
    /// The first members of a group are waited for, some longer if more come.
    Beginning {
        until: Instant,
        more: Duration,
        has_new: bool,
    },
    /// Members are to join again.
    Preparing {
        until: Instant,
    },
    /// Members are to come for their part, and the leader with all of them.
    Completing {
        until: Instant,
    },
    Stable,
}

impl Phase {
    /// Kafka's name of it.
    pub(in crate::broker) fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Beginning { .. } | Self::Preparing { .. } => "PreparingRebalance",
            Self::Completing { .. } => "CompletingRebalance",
            Self::Stable => "Stable",
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
    pub(super) generation: i32,
    leader: StrBytes,
    /// Ids that were given to those who are about to join, and until when they may.
    pending: BTreeMap<StrBytes, Instant>,
    initial_delay: Duration,
}

/// What becomes of a request to join.
#[derive(Debug)]
pub(in crate::broker) enum Joining {
    /// It is to come again under this id.
    AskAgain(StrBytes),
    Answered(oneshot::Receiver<Answer<JoinGroupResponse>>),
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

    pub(super) fn join(
        &mut self,
        request: &JoinGroupRequest,
        client: &Client,
        version: i16,
        now: Instant,
    ) -> Answer<Joining> {
        self.check_protocols(request)?;
        let instance = request.group_instance_id.as_ref();
        if !request.member_id.is_empty() && !self.pending.contains_key(&request.member_id) {
            self.check_member(&request.member_id, instance)?;
            return Ok(Joining::Answered(self.join_again(request, client, now)));
        }
        if let Some(old) = instance.and_then(|instance| self.member_of(instance)).cloned() {
            return Ok(Joining::Answered(self.replace(&old, request, client, version, now)));
        }
        let id = if request.member_id.is_empty() { new_id(request, client) } else { request.member_id.clone() };
        if request.member_id.is_empty() && instance.is_none() && version >= ID_FIRST_SINCE {
            let patience = Member::new(request, client, now).session_timeout;
            self.pending.insert(id.clone(), now + patience);
            return Ok(Joining::AskAgain(id));
        }
        Ok(Joining::Answered(self.join_first(id, request, client, now)))
    }

    fn join_first(&mut self, id: StrBytes, request: &JoinGroupRequest, client: &Client, now: Instant) -> Answered {
        self.pending.remove(&id);
        if self.members.is_empty() {
            self.protocol_type = request.protocol_type.clone();
        }
        if let Phase::Beginning { has_new, .. } = &mut self.phase {
            *has_new = true;
        }
        self.members.insert(id.clone(), Member::new(request, client, now));
        let answered = self.wait_for_all(&id);
        self.rebalance(now);
        answered
    }

    fn join_again(&mut self, request: &JoinGroupRequest, client: &Client, now: Instant) -> Answered {
        let id = &request.member_id;
        let is_leader = *id == self.leader;
        let says_the_same = self.members.get(id).is_some_and(|member| member.says(request));
        if let Some(member) = self.members.get_mut(id) {
            member.update(request, client, now);
        }
        match self.phase {
            // Its answer was lost.
            Phase::Completing { .. } if says_the_same => self.answer_at_once(self.joined(id)),
            Phase::Stable if says_the_same && !is_leader => self.answer_at_once(self.joined(id)),
            _ => {
                let answered = self.wait_for_all(id);
                self.rebalance(now);
                answered
            }
        }
    }

    /// A static member has started again: it takes the place of its former self, and where that is enough nobody else
    /// is troubled.
    fn replace(
        &mut self,
        old: &StrBytes,
        request: &JoinGroupRequest,
        client: &Client,
        version: i16,
        now: Instant,
    ) -> Answered {
        let id = new_id(request, client);
        let mut member = Member::new(request, client, now);
        let former_leader = self.leader.clone();
        if let Some(former) = self.members.remove(old) {
            fence(former, &mut member);
        }
        self.members.insert(id.clone(), member);
        if former_leader == *old {
            self.leader = id.clone();
        }
        if self.phase != Phase::Stable || self.choose_protocol() != self.protocol {
            let answered = self.wait_for_all(&id);
            self.rebalance(now);
            return answered;
        }
        if version >= SKIP_ASSIGNMENT_SINCE {
            let skip = self.leader == id;
            return self.answer_at_once(self.joined(&id).with_skip_assignment(skip));
        }
        // Told its former leader's id, it takes itself for a follower and leaves the assignment alone.
        self.answer_at_once(self.joined(&id).with_members(Vec::new()).with_leader(former_leader))
    }

    fn answer_at_once(&self, response: JoinGroupResponse) -> Answered {
        let (sender, receiver) = oneshot::channel();
        answer(sender, Ok(response));
        receiver
    }

    fn wait_for_all(&mut self, id: &StrBytes) -> Answered {
        let (sender, receiver) = oneshot::channel();
        if let Some(member) = self.members.get_mut(id) {
            member.joining = Some(sender);
        }
        receiver
    }

    /// Has everybody join again, or goes on with it.
    fn rebalance(&mut self, now: Instant) {
        match self.phase {
            Phase::Empty => {
                let more = self.rebalance_timeout().saturating_sub(self.initial_delay);
                self.phase = Phase::Beginning { until: now + self.initial_delay, more, has_new: false };
            }
            Phase::Completing { .. } | Phase::Stable => {
                for member in self.members.values_mut() {
                    member.assignment = Bytes::new();
                    if let Some(syncing) = member.syncing.take() {
                        answer(syncing, Err(ResponseError::RebalanceInProgress.into()));
                    }
                }
                self.phase = Phase::Preparing { until: now + self.rebalance_timeout() };
            }
            Phase::Beginning { .. } | Phase::Preparing { .. } => {}
        }
        self.go_on(now);
    }

    /// Ends the joining when there is nobody left to wait for, or no time.
    fn go_on(&mut self, now: Instant) {
        let all_are_here = self.pending.is_empty() && self.members.values().all(|member| member.joining.is_some());
        match &mut self.phase {
            Phase::Beginning { until, more, has_new } if *until <= now => {
                if *has_new && !more.is_zero() {
                    let delay = self.initial_delay.min(*more);
                    self.phase = Phase::Beginning { until: now + delay, more: *more - delay, has_new: false };
                } else {
                    self.begin_generation(now);
                }
            }
            Phase::Preparing { until } if all_are_here || *until <= now => self.begin_generation(now),
            _ => {}
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
                self.phase = Phase::Preparing { until: now + self.rebalance_timeout() };
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
        self.phase = Phase::Completing { until: now + self.rebalance_timeout() };
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
        if matches!(self.phase, Phase::Beginning { .. } | Phase::Preparing { .. }) {
            return Err(ResponseError::RebalanceInProgress.into());
        }
        let (sender, receiver) = oneshot::channel();
        self.members.get_mut(id).ok_or(ResponseError::UnknownMemberId)?.syncing = Some(sender);
        if matches!(self.phase, Phase::Completing { .. }) && *id == self.leader {
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
            Phase::Beginning { .. } | Phase::Preparing { .. } => Err(ResponseError::RebalanceInProgress.into()),
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
            Phase::Completing { .. } | Phase::Stable => self.rebalance(now),
            _ => self.go_on(now),
        }
    }

    /// Does what was to be done by now.
    pub(super) fn expire(&mut self, now: Instant) {
        let (members, pending) = (self.members.len(), self.pending.len());
        self.pending.retain(|_, until| *until > now);
        self.members.retain(|_, member| !member.is_overdue(now));
        if let Phase::Completing { until } = self.phase
            && until <= now
        {
            self.members.retain(|_, member| member.syncing.is_some());
        }
        if self.members.len() < members {
            self.miss(now);
        } else if self.pending.len() < pending || self.phase_ends().is_some_and(|until| until <= now) {
            self.go_on(now);
        }
    }

    fn phase_ends(&self) -> Option<Instant> {
        match self.phase {
            Phase::Empty | Phase::Stable => None,
            Phase::Beginning { until, .. } | Phase::Preparing { until } | Phase::Completing { until } => Some(until),
        }
    }

    /// When there is something to do, if nothing happens before.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let waits = |member: &&Member| member.joining.is_none() && member.syncing.is_none();
        let sessions = self.members.values().filter(waits).map(|member| member.deadline);
        sessions.chain(self.pending.values().copied()).chain(self.phase_ends()).min()
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
            Phase::Completing { .. } => Err(ResponseError::RebalanceInProgress.into()),
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

type Answered = oneshot::Receiver<Answer<JoinGroupResponse>>;

/// Answers a waiting request. Whose client has gone away is missed when its session ends.
fn answer<T>(waiting: oneshot::Sender<Answer<T>>, answer: Answer<T>) {
    if waiting.send(answer).is_err() {
        tracing::debug!("a member of a consumer group did not wait for its answer");
    }
}

/// The former self of a static member is shut out; what it had goes over.
fn fence(former: Member, member: &mut Member) {
    member.assignment = former.assignment;
    if let Some(joining) = former.joining {
        answer(joining, Err(ResponseError::FencedInstanceId.into()));
    }
    if let Some(syncing) = former.syncing {
        answer(syncing, Err(ResponseError::FencedInstanceId.into()));
    }
}

fn new_id(request: &JoinGroupRequest, client: &Client) -> StrBytes {
    let name = request.group_instance_id.as_ref().unwrap_or(&client.id);
    StrBytes::from_string(format!("{name}-{}", Uuid::new_v4()))
}
