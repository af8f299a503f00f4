//! A member of a group.

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{JoinGroupRequest, JoinGroupResponse, SyncGroupResponse};
use kafka_protocol::protocol::StrBytes;
use tokio::sync::oneshot;
use tokio::time::{Duration, Instant};

use super::group::Joiner;
use crate::broker::refusal::Answer;

/// Whose connection a request came on.
#[derive(Clone, Debug)]
pub(in crate::broker) struct Client {
    pub(in crate::broker) id: StrBytes,
    pub(in crate::broker) host: StrBytes,
}

#[derive(Debug)]
pub(in crate::broker) struct Member {
    /// The name that a static member keeps when it starts again.
    pub(in crate::broker) instance: Option<StrBytes>,
    pub(in crate::broker) client: Client,
    /// What it can do, the best first, each with what the leader is told of it.
    pub(super) protocols: Vec<(StrBytes, Bytes)>,
    pub(super) assignment: Bytes,
    pub(super) session_timeout: Duration,
    pub(super) rebalance_timeout: Duration,
    /// When it is taken for dead, unless it waits for an answer.
    pub(super) deadline: Instant,
    pub(super) joining: Option<oneshot::Sender<Answer<JoinGroupResponse>>>,
    pub(super) syncing: Option<oneshot::Sender<Answer<SyncGroupResponse>>>,
}

impl Member {
    pub(super) fn new(joiner: Joiner<'_>) -> Self {
        let mut member = Self {
            instance: joiner.request.group_instance_id.clone(),
            client: joiner.client.clone(),
            protocols: Vec::new(),
            assignment: Bytes::new(),
            session_timeout: Duration::ZERO,
            rebalance_timeout: Duration::ZERO,
            deadline: joiner.now,
            joining: None,
            syncing: None,
        };
        member.update(joiner);
        member
    }

    /// Takes what a member says of itself when it joins again.
    pub(super) fn update(&mut self, joiner: Joiner<'_>) {
        let Joiner { request, client, now, .. } = joiner;
        let milliseconds = |number: i32| u64::try_from(number).map(Duration::from_millis);
        self.client = client.clone();
        self.protocols = request.protocols.iter().map(|p| (p.name.clone(), p.metadata.clone())).collect();
        self.session_timeout = milliseconds(request.session_timeout_ms).unwrap_or_default();
        // Version 0 has none.
        self.rebalance_timeout = milliseconds(request.rebalance_timeout_ms).unwrap_or(self.session_timeout);
        self.touch(now);
    }

    /// The former self of a static member is shut out.
    pub(super) fn fence(self) {
        if let Some(joining) = self.joining {
            answer(joining, Err(ResponseError::FencedInstanceId.into()));
        }
        if let Some(syncing) = self.syncing {
            answer(syncing, Err(ResponseError::FencedInstanceId.into()));
        }
    }

    /// It is alive.
    pub(super) fn touch(&mut self, now: Instant) {
        self.deadline = now + self.session_timeout;
    }

    pub(super) fn is_overdue(&self, now: Instant) -> bool {
        self.deadline <= now && self.joining.is_none() && self.syncing.is_none()
    }

    /// What the leader is told of it under a protocol.
    pub(in crate::broker) fn metadata(&self, protocol: &str) -> Option<&Bytes> {
        self.protocols.iter().find(|(name, _)| name.as_str() == protocol).map(|(_, metadata)| metadata)
    }

    pub(in crate::broker) fn assignment(&self) -> &Bytes {
        &self.assignment
    }

    /// Whether it says the same of itself as before.
    pub(super) fn says(&self, request: &JoinGroupRequest) -> bool {
        let said = request.protocols.iter().map(|protocol| (&protocol.name, &protocol.metadata));
        self.protocols.iter().map(|(name, metadata)| (name, metadata)).eq(said)
    }
}

/// Answers a waiting request. Whose client has gone away is missed when its session ends.
pub(super) fn answer<T>(waiting: oneshot::Sender<Answer<T>>, answer: Answer<T>) {
    if waiting.send(answer).is_err() {
        tracing::debug!("a member of a consumer group did not wait for its answer");
    }
}
