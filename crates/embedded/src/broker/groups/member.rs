//! A member of a group.

use bytes::Bytes;
use kafka_protocol::messages::{JoinGroupRequest, JoinGroupResponse, SyncGroupResponse};
use kafka_protocol::protocol::StrBytes;
use tokio::sync::oneshot;
use tokio::time::{Duration, Instant};

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
    pub(super) fn new(request: &JoinGroupRequest, client: &Client, now: Instant) -> Self {
        let mut member = Self {
            instance: request.group_instance_id.clone(),
            client: client.clone(),
            protocols: Vec::new(),
            assignment: Bytes::new(),
            session_timeout: Duration::ZERO,
            rebalance_timeout: Duration::ZERO,
            deadline: now,
            joining: None,
            syncing: None,
        };
        member.update(request, client, now);
        member
    }

    /// Takes what a member says of itself when it joins again.
    pub(super) fn update(&mut self, request: &JoinGroupRequest, client: &Client, now: Instant) {
        let milliseconds = |number: i32| Duration::from_millis(u64::try_from(number).unwrap_or_default());
        self.client = client.clone();
        self.protocols = request.protocols.iter().map(|p| (p.name.clone(), p.metadata.clone())).collect();
        self.session_timeout = milliseconds(request.session_timeout_ms);
        // Version 0 has none.
        self.rebalance_timeout = milliseconds(if request.rebalance_timeout_ms < 0 {
            request.session_timeout_ms
        } else {
            request.rebalance_timeout_ms
        });
        self.touch(now);
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
