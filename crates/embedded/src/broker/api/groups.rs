//! Membership of groups.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::{
    DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsRequest, DescribeGroupsResponse, GroupId,
    HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, LeaveGroupResponse,
    ListGroupsRequest, ListGroupsResponse, SyncGroupRequest, SyncGroupResponse,
};
use kafka_protocol::protocol::StrBytes;
use tokio::time::Instant;

use super::cluster::group_operations;
use crate::broker::groups::{Group, Joiner, Joining, Member, Phase};
use crate::broker::node::{Node, Shared};
use crate::broker::refusal::{Answer, Refusal, code};
use crate::broker::wire::Call;

/// Later versions of LeaveGroup take several members.
const SEVERAL_MEMBERS_SINCE: i16 = 3;

/// Later versions of DescribeGroups say of a group that is not there that it is not; earlier ones that it is dead.
const NOT_FOUND_SINCE: i16 = 6;

/// Later versions of JoinGroup and SyncGroup tell the kind of the group, and may tell none; the latter insists on it.
const JOIN_TYPE_SINCE: i16 = 7;

const SYNC_PROTOCOL_SINCE: i16 = 5;

pub(super) async fn join(node: &Shared, call: &Call, request: JoinGroupRequest) -> JoinGroupResponse {
    let joining = begin_to_join(&mut node.borrow_mut(), call, &request);
    let answer = match joining {
        Ok(Joining::Now(response)) => Ok(response),
        Ok(Joining::Later(answer)) => answer.await.unwrap_or_else(|_| Err(ResponseError::UnknownMemberId.into())),
        Err(refusal) => Err(refusal),
    };
    let response = answer.unwrap_or_else(|refusal| {
        JoinGroupResponse::default()
            .with_error_code(refusal.error.code())
            .with_generation_id(-1)
            .with_protocol_name(None)
            .with_member_id(request.member_id)
    });
    if call.version >= JOIN_TYPE_SINCE {
        return response;
    }
    let protocol = response.protocol_name.clone().unwrap_or_default();
    response.with_protocol_type(None).with_protocol_name(Some(protocol))
}

fn begin_to_join(node: &mut Node, call: &Call, request: &JoinGroupRequest) -> Answer<Joining> {
    check_id(&request.group_id)?;
    let settings = &node.settings;
    let session_ms = u64::try_from(request.session_timeout_ms).unwrap_or_default();
    if !(settings.session_min_ms..=settings.session_max_ms).contains(&session_ms) {
        return Err(ResponseError::InvalidSessionTimeout.into());
    }
    node.groups.join(Joiner { request, client: &call.client, version: call.version, now: Instant::now() })
}

fn check_id(group: &GroupId) -> Answer<()> {
    if group.0.is_empty() { Err(ResponseError::InvalidGroupId.into()) } else { Ok(()) }
}

pub(super) async fn sync(node: &Shared, call: &Call, request: SyncGroupRequest) -> SyncGroupResponse {
    let syncing = check_sync(call, &request).and_then(|()| node.borrow_mut().groups.sync(&request));
    let answer = match syncing {
        Ok(answer) => answer.await.unwrap_or_else(|_| Err(ResponseError::UnknownMemberId.into())),
        Err(refusal) => Err(refusal),
    };
    answer.unwrap_or_else(|refusal| SyncGroupResponse::default().with_error_code(refusal.error.code()))
}

/// Later versions must say what they take the group's protocol to be.
fn check_sync(call: &Call, request: &SyncGroupRequest) -> Answer<()> {
    check_id(&request.group_id)?;
    if call.version >= SYNC_PROTOCOL_SINCE && (request.protocol_type.is_none() || request.protocol_name.is_none()) {
        return Err(ResponseError::InconsistentGroupProtocol.into());
    }
    Ok(())
}

pub(super) fn heartbeat(node: &mut Node, _: &Call, request: HeartbeatRequest) -> HeartbeatResponse {
    let HeartbeatRequest { group_id, generation_id, member_id, group_instance_id, .. } = request;
    let beat = check_id(&group_id)
        .and_then(|()| node.groups.heartbeat(&group_id.0, &member_id, group_instance_id.as_ref(), generation_id));
    HeartbeatResponse::default().with_error_code(code(&beat))
}

pub(super) fn leave(node: &mut Node, call: &Call, request: LeaveGroupRequest) -> LeaveGroupResponse {
    if let Err(refusal) = check_id(&request.group_id) {
        return LeaveGroupResponse::default().with_error_code(refusal.error.code());
    }
    let mut leave = |member: &MemberIdentity| {
        code(&node.groups.leave(&request.group_id.0, &member.member_id, member.group_instance_id.as_ref()))
    };
    if call.version < SEVERAL_MEMBERS_SINCE {
        let error = leave(&MemberIdentity::default().with_member_id(request.member_id));
        return LeaveGroupResponse::default().with_error_code(error);
    }
    let answer = |member: MemberIdentity| {
        let error = leave(&member);
        MemberResponse::default()
            .with_member_id(member.member_id)
            .with_group_instance_id(member.group_instance_id)
            .with_error_code(error)
    };
    LeaveGroupResponse::default().with_members(request.members.into_iter().map(answer).collect())
}

pub(super) fn describe_groups(node: &mut Node, call: &Call, request: DescribeGroupsRequest) -> DescribeGroupsResponse {
    let operations = group_operations(request.include_authorized_operations);
    let describe = |id: GroupId| match node.groups.get(&id.0) {
        None if call.version >= NOT_FOUND_SINCE => not_found().with_group_id(id),
        group => group.map_or_else(dead, described).with_group_id(id).with_authorized_operations(operations),
    };
    DescribeGroupsResponse::default().with_groups(request.groups.into_iter().map(describe).collect())
}

fn described(group: &Group) -> DescribedGroup {
    // Until all have their part there is nothing to be told of it.
    let is_stable = group.phase == Phase::Stable;
    let member = |(id, member): (&StrBytes, &Member)| {
        let metadata = member.metadata(&group.protocol).filter(|_| is_stable);
        DescribedGroupMember::default()
            .with_member_id(id.clone())
            .with_group_instance_id(member.instance.clone())
            .with_client_id(member.client.id.clone())
            .with_client_host(member.client.host.clone())
            .with_member_metadata(metadata.cloned().unwrap_or_default())
            .with_member_assignment(member.assignment().clone())
    };
    DescribedGroup::default()
        .with_group_state(StrBytes::from_static_str(group.phase.name()))
        .with_protocol_type(group.protocol_type.clone())
        .with_protocol_data(if is_stable { group.protocol.clone() } else { StrBytes::default() })
        .with_members(group.members.iter().map(member).collect())
}

fn dead() -> DescribedGroup {
    DescribedGroup::default().with_group_state(StrBytes::from_static_str("Dead"))
}

fn not_found() -> DescribedGroup {
    let error = ResponseError::GroupIdNotFound;
    dead().with_error_code(error.code()).with_error_message(Some(error.to_string().into()))
}

pub(super) fn list_groups(node: &mut Node, _: &Call, request: ListGroupsRequest) -> ListGroupsResponse {
    let is_among =
        |names: &[StrBytes], name: &str| names.is_empty() || names.iter().any(|other| other.eq_ignore_ascii_case(name));
    let wanted = |(_, group): &(&StrBytes, &Group)| {
        is_among(&request.states_filter, group.phase.name()) && is_among(&request.types_filter, "classic")
    };
    let groups = node.groups.iter().filter(wanted).map(|(id, group)| {
        ListedGroup::default()
            .with_group_id(GroupId(id.clone()))
            .with_protocol_type(group.protocol_type.clone())
            .with_group_state(StrBytes::from_static_str(group.phase.name()))
            .with_group_type(StrBytes::from_static_str("classic"))
    });
    ListGroupsResponse::default().with_groups(groups.collect())
}

pub(super) fn delete_groups(node: &mut Node, _: &Call, request: DeleteGroupsRequest) -> DeleteGroupsResponse {
    let results = request.groups_names.into_iter().map(|id| {
        let outcome: Result<(), Refusal> = node.groups.delete(&id.0);
        DeletableGroupResult::default().with_error_code(code(&outcome)).with_group_id(id)
    });
    DeleteGroupsResponse::default().with_results(results.collect())
}
