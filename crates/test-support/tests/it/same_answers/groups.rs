//! Members of groups, and offsets.

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    ConsumerProtocolSubscription, DeleteGroupsRequest, DeleteTopicsRequest, DescribeGroupsRequest, GroupId,
    HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, ListGroupsRequest, OffsetCommitRequest,
    OffsetDeleteRequest, OffsetFetchRequest, SyncGroupRequest,
};
use kafka_protocol::protocol::{Encodable, StrBytes};
use test_support::topic;

use super::admin::make;
use super::compare;
use super::wire::{Both, Side, name, text};

fn group(called: &str) -> GroupId {
    GroupId(text(called))
}

/// A consumer's subscription, as it is told to the leader.
fn subscription(topic: &str) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_i16(0);
    let subscription = ConsumerProtocolSubscription::default().with_topics(vec![text(topic)]).with_user_data(None);
    subscription.encode(&mut bytes, 0).expect("a subscription");
    bytes.freeze()
}

fn join(called: &str, member: &StrBytes, protocols: &[(&str, &str)]) -> JoinGroupRequest {
    let protocol = |(name, topic): &(&str, &str)| {
        JoinGroupRequestProtocol::default().with_name(text(name)).with_metadata(subscription(topic))
    };
    JoinGroupRequest::default()
        .with_group_id(group(called))
        .with_session_timeout_ms(30_000)
        .with_rebalance_timeout_ms(30_000)
        .with_member_id(member.clone())
        .with_protocol_type(text("consumer"))
        .with_protocols(protocols.iter().map(protocol).collect())
}

/// The rebalance timeout is not in version 0, and is ignored there by Kafka as well.
fn of_version(request: JoinGroupRequest, version: i16) -> JoinGroupRequest {
    if version == 0 { request.with_rebalance_timeout_ms(-1) } else { request }
}

/// A member on each side.
#[derive(Clone)]
struct Member {
    ids: Vec<(String, StrBytes)>,
    generation: i32,
}

impl Member {
    fn id(&self, side: &Side) -> StrBytes {
        self.ids.iter().find(|(servers, _)| *servers == side.servers).expect("a side").1.clone()
    }
}

fn member(both: &Both, answers: [Option<JoinGroupResponse>; 2]) -> Member {
    let [ours, kafka] = answers.map(|answer| answer.expect("an answer"));
    let ids = vec![(both.ours.servers.clone(), ours.member_id), (both.kafka.servers.clone(), kafka.member_id)];
    Member { ids, generation: ours.generation_id }
}

/// Joins alone, as clients of this version do.
fn join_alone(both: &mut Both, version: i16, called: &str, protocols: &[(&str, &str)]) -> Member {
    let nobody = StrBytes::default();
    let request = of_version(join(called, &nobody, protocols), version);
    let joined = both.same("a new member", version, |_| request.clone());
    let told = member(both, joined);
    if version < 4 {
        return told;
    }
    let joined = both.same("a member that knows its id", version, |side| {
        of_version(join(called, &told.id(side), protocols), version)
    });
    member(both, joined)
}

fn sync(
    version: i16,
    called: &str,
    member: &Member,
    side: &Side,
    assignments: &[(&StrBytes, &'static str)],
) -> SyncGroupRequest {
    let part = |(id, part): &(&StrBytes, &'static str)| {
        SyncGroupRequestAssignment::default()
            .with_member_id((*id).clone())
            .with_assignment(Bytes::from_static(part.as_bytes()))
    };
    let protocol = |protocol: &'static str| (version >= 5).then(|| text(protocol));
    SyncGroupRequest::default()
        .with_protocol_type(protocol("consumer"))
        .with_protocol_name(protocol("range"))
        .with_group_id(group(called))
        .with_generation_id(member.generation)
        .with_member_id(member.id(side))
        .with_assignments(assignments.iter().map(part).collect())
}

fn heartbeat(called: &str, member: &Member, side: &Side, generation: i32) -> HeartbeatRequest {
    HeartbeatRequest::default()
        .with_group_id(group(called))
        .with_generation_id(generation)
        .with_member_id(member.id(side))
}

fn leave(called: &str, version: i16, id: StrBytes) -> LeaveGroupRequest {
    let request = LeaveGroupRequest::default().with_group_id(group(called));
    if version < 3 {
        request.with_member_id(id)
    } else {
        request.with_members(vec![MemberIdentity::default().with_member_id(id)])
    }
}

fn describe(called: &str, version: i16) -> DescribeGroupsRequest {
    DescribeGroupsRequest::default().with_groups(vec![group(called)]).with_include_authorized_operations(version >= 3)
}

#[tokio::test]
async fn a_member_joins_and_leaves() {
    compare(|both| {
        let wanted = make(both, 2, &[]);
        for version in 0..=9 {
            let (sync_version, beat_version, leave_version) = (version.min(5), version.min(4), version.min(5));
            let called = topic("group");
            let protocols: &[(&str, &str)] = &[("range", &wanted), ("other", &wanted)];
            let refused = |request: JoinGroupRequest| move |_: &Side| of_version(request.clone(), version);
            let nobody = StrBytes::default();
            both.same("of no group", version, refused(join("", &nobody, protocols)));
            both.same(
                "too short a session",
                version,
                refused(join(&called, &nobody, protocols).with_session_timeout_ms(5)),
            );
            both.same("a member nobody knows", version, refused(join(&called, &text("nobody"), protocols)));
            both.same("without protocols", version, refused(join(&called, &nobody, &[])));

            let joined = join_alone(both, version, &called, protocols);
            both.same("described before its assignment", version.min(6), |_| describe(&called, version.min(6)));
            both.same("a heartbeat before it", beat_version, |side| {
                heartbeat(&called, &joined, side, joined.generation)
            });
            both.same("an assignment", sync_version, |side| {
                sync(sync_version, &called, &joined, side, &[(&joined.id(side), "part")])
            });
            both.same("without the group's protocol", 5, |side| {
                sync(5, &called, &joined, side, &[]).with_protocol_type(None)
            });
            both.same("with another protocol", 5, |side| {
                sync(5, &called, &joined, side, &[]).with_protocol_name(Some(text("other")))
            });
            both.same("the same again", sync_version, |side| sync(sync_version, &called, &joined, side, &[]));
            both.same("a heartbeat", beat_version, |side| heartbeat(&called, &joined, side, joined.generation));
            both.same("of another generation", beat_version, |side| heartbeat(&called, &joined, side, 77));
            both.same("of another group", beat_version, |side| heartbeat(&topic("other"), &joined, side, 1));
            both.same("described", version.min(6), |_| describe(&called, version.min(6)));
            let strange = |side: &Side| of_version(join(&called, &joined.id(side), &[("strange", "t")]), version);
            both.same("another protocol, alone", version, strange);
            both.same("which is the group's now", version.min(6), |_| describe(&called, version.min(6)));
            let again = |side: &Side| of_version(join(&called, &joined.id(side), protocols), version);
            let joined = both.same("it joins again", version, again);
            let joined = member(both, joined);
            both.same("an assignment", sync_version, |side| {
                sync(sync_version, &called, &joined, side, &[(&joined.id(side), "part")])
            });
            let mut foreign = join(&called, &nobody, protocols);
            foreign.protocol_type = text("connect");
            both.same("another kind of group", version, refused(foreign));
            both.same("nobody leaves", leave_version, |_| leave(&called, leave_version, text("nobody")));
            both.same("it leaves", leave_version, |side| leave(&called, leave_version, joined.id(side)));
            both.same("it is gone", beat_version, |side| heartbeat(&called, &joined, side, joined.generation));
            both.same("described when it is empty", version.min(6), |_| describe(&called, version.min(6)));
        }
        for version in 0..=6 {
            both.same("described without having been", version, |_| describe("no-such", version));
        }
    })
    .await;
}

/// A second connection to both, for a second member.
fn another(both: &Both) -> Both {
    Both::new(&both.ours.servers, &both.kafka.servers)
}

#[tokio::test]
async fn two_members_share_and_one_goes() {
    compare(|both| {
        let wanted = make(both, 2, &[]);
        let called = topic("group");
        let protocols: &[(&str, &str)] = &[("range", &wanted)];
        let version = 7;
        let first = join_alone(both, version, &called, protocols);
        both.same("alone", 5, |side| sync(5, &called, &first, side, &[(&first.id(side), "all")]));

        let mut other = another(both);
        let told = other.same("a second one", version, |_| join(&called, &StrBytes::default(), protocols));
        let second = member(&other, told);
        for side in [&mut other.ours, &mut other.kafka] {
            let request = join(&called, &second.id(side), protocols);
            side.send(version, &request);
        }
        // The first is told so by its heartbeat, and joins again.
        for side in [&mut both.ours, &mut both.kafka] {
            let beat = heartbeat(&called, &first, side, first.generation);
            while side.ask(4, &beat).expect("an answer").error_code == 0 {}
        }
        both.same("the heartbeat meanwhile", 4, |side| heartbeat(&called, &first, side, first.generation));
        both.same("no assignment meanwhile", 5, |side| sync(5, &called, &first, side, &[]));
        let joined = both.same_as(
            "the first again",
            version,
            |side| join(&called, &first.id(side), protocols),
            |answer| {
                // Either may lead.
                assert_eq!(answer.members.len(), if answer.leader == answer.member_id { 2 } else { 0 });
                answer.members.clear();
                answer.leader = text("");
            },
        );
        let generation = joined[0].as_ref().expect("an answer").generation_id;
        let seconds = [&mut other.ours, &mut other.kafka].map(|side| {
            let answer = side.answer::<JoinGroupRequest>(version).expect("an answer");
            assert_eq!((answer.error_code, answer.generation_id), (0, generation));
            answer.leader == answer.member_id
        });
        let (first, second) = (Member { generation, ..first }, Member { generation, ..second });
        // The leader assigns, and the other gets its part, whoever comes first.
        for (at, second_leads) in seconds.into_iter().enumerate() {
            let (one, two) =
                if at == 0 { (&mut both.ours, &mut other.ours) } else { (&mut both.kafka, &mut other.kafka) };
            let parts = [(first.id(one), "one"), (second.id(two), "two")];
            let parts: Vec<(&StrBytes, &'static str)> = parts.iter().map(|(id, part)| (id, *part)).collect();
            let requests = [
                sync(5, &called, &first, one, if second_leads { &[] } else { &parts }),
                sync(5, &called, &second, two, if second_leads { &parts } else { &[] }),
            ];
            let order = if second_leads { [0, 1] } else { [1, 0] };
            for index in order {
                let side: &mut Side = if index == 0 { one } else { two };
                side.send(5, &requests[index]);
            }
            let parts = [one.answer::<SyncGroupRequest>(5), two.answer::<SyncGroupRequest>(5)];
            let parts = parts.map(|answer| answer.expect("an answer").assignment);
            assert_eq!(parts, [Bytes::from_static(b"one"), Bytes::from_static(b"two")]);
        }
        both.same("the second leaves", 5, |side| leave(&called, 5, second.id(side)));
        both.same("which the first hears of", 4, |side| heartbeat(&called, &first, side, generation));
        both.same("and has all again", version, |side| join(&called, &first.id(side), protocols));
        other.finish();
    })
    .await;
}

#[tokio::test]
async fn a_static_member_comes_back() {
    compare(|both| {
        let wanted = make(both, 1, &[]);
        for version in 5..=9 {
            let called = topic("group");
            let static_member =
                |id: StrBytes| join(&called, &id, &[("range", &wanted)]).with_group_instance_id(Some(text("instance")));
            let joined = both.same("it joins", version, |_| static_member(text("")));
            let first = member(both, joined);
            let synced = |both: &mut Both, what: &str, member: &Member| {
                both.same(what, 5, |side| {
                    sync(5, &called, member, side, &[(&member.id(side), "part")])
                        .with_group_instance_id(Some(text("instance")))
                });
            };
            synced(both, "its part", &first);
            let joined = both.same("it starts again", version, |_| static_member(text("")));
            let second = member(both, joined);
            let second = Member { generation: first.generation, ..second };
            synced(both, "its part again", &second);
            both.same("its former self", 4, |side| {
                heartbeat(&called, &first, side, first.generation).with_group_instance_id(Some(text("instance")))
            });
            both.same("another instance", 4, |side| {
                heartbeat(&called, &second, side, first.generation).with_group_instance_id(Some(text("other")))
            });
            let changed =
                join(&called, &text(""), &[("range", "another-topic")]).with_group_instance_id(Some(text("instance")));
            both.same("with another wish", version, |_| changed.clone());
            let gone = MemberIdentity::default().with_group_instance_id(Some(text("instance")));
            both.same("it is told to leave", 5, |_| {
                LeaveGroupRequest::default().with_group_id(group(&called)).with_members(vec![gone.clone()])
            });
            both.same("again", 5, |_| {
                LeaveGroupRequest::default().with_group_id(group(&called)).with_members(vec![gone.clone()])
            });
        }
    })
    .await;
}

fn commit(called: &str, topic: &str, partition: i32, offset: i64, note: &str) -> OffsetCommitRequest {
    let part = OffsetCommitRequestPartition::default()
        .with_partition_index(partition)
        .with_committed_offset(offset)
        .with_committed_metadata(Some(text(note)));
    let topic = OffsetCommitRequestTopic::default().with_name(name(topic)).with_partitions(vec![part]);
    OffsetCommitRequest::default()
        .with_group_id(group(called))
        .with_generation_id_or_member_epoch(-1)
        .with_topics(vec![topic])
}

fn fetch(called: &str, version: i16, topic: Option<&str>) -> OffsetFetchRequest {
    if version >= 8 {
        let topics = topic.map(|topic| {
            vec![OffsetFetchRequestTopics::default().with_name(name(topic)).with_partition_indexes(vec![0, 1, 7])]
        });
        let group = OffsetFetchRequestGroup::default().with_group_id(group(called)).with_topics(topics);
        let group = if version >= 9 { group.with_member_id(None).with_member_epoch(-1) } else { group };
        return OffsetFetchRequest::default().with_groups(vec![group]);
    }
    let topics = topic.map(|topic| {
        vec![OffsetFetchRequestTopic::default().with_name(name(topic)).with_partition_indexes(vec![0, 1, 7])]
    });
    OffsetFetchRequest::default().with_group_id(group(called)).with_topics(topics)
}

#[tokio::test]
async fn offsets() {
    compare(|both| {
        for version in 2..=9 {
            let wanted = make(both, 2, &[]);
            let called = topic("group");
            both.same("committed", version, |_| commit(&called, &wanted, 0, 11, "a note"));
            both.same("of no partition", version, |_| commit(&called, &wanted, 9, 11, ""));
            both.same("of no topic", version, |_| commit(&called, "no-such", 0, 11, ""));
            both.same("of no group", version, |_| commit("", &wanted, 0, 11, ""));
            both.same("with too long a note", version, |_| commit(&called, &wanted, 1, 11, &"x".repeat(4097)));
            both.same("of a generation", version, |_| {
                commit(&called, &wanted, 1, 3, "").with_generation_id_or_member_epoch(1).with_member_id(text("m"))
            });
            both.same("of a new group's generation", version, |_| {
                commit(&topic("new"), &wanted, 1, 3, "").with_generation_id_or_member_epoch(1)
            });
            for version in 1..=9 {
                both.same("asked for", version, |_| fetch(&called, version, Some(&wanted)));
                both.same("asked for of no topic", version, |_| fetch(&called, version, Some("no-such")));
                both.same("asked for of no group", version, |_| fetch("no-such", version, Some(&wanted)));
                if version >= 2 {
                    both.same("all", version, |_| fetch(&called, version, None));
                }
            }
            let joined = join_alone(both, 7, &called, &[("range", &wanted)]);
            both.same("before an assignment", version, |side| {
                commit(&called, &wanted, 0, 20, "")
                    .with_generation_id_or_member_epoch(joined.generation)
                    .with_member_id(joined.id(side))
            });
            both.same("its part", 5, |side| sync(5, &called, &joined, side, &[(&joined.id(side), "part")]));
            both.same("of a member", version, |side| {
                commit(&called, &wanted, 0, 21, "")
                    .with_generation_id_or_member_epoch(joined.generation)
                    .with_member_id(joined.id(side))
            });
            both.same("of another member", version, |_| {
                commit(&called, &wanted, 0, 22, "")
                    .with_generation_id_or_member_epoch(joined.generation)
                    .with_member_id(text("m"))
            });
            both.same("of another generation", version, |side| {
                commit(&called, &wanted, 0, 23, "")
                    .with_generation_id_or_member_epoch(9)
                    .with_member_id(joined.id(side))
            });
            both.same("from outside", version, |_| commit(&called, &wanted, 0, 24, ""));
            both.same("then", 7, |_| fetch(&called, 7, None));
            let delete = |called: &str, topic: &str, partition: i32| {
                let part = OffsetDeleteRequestPartition::default().with_partition_index(partition);
                let topic = OffsetDeleteRequestTopic::default().with_name(name(topic)).with_partitions(vec![part]);
                OffsetDeleteRequest::default().with_group_id(group(called)).with_topics(vec![topic])
            };
            both.same("deleted, though it is wanted", 0, |_| delete(&called, &wanted, 0));
            let groups = |called: &str| DeleteGroupsRequest::default().with_groups_names(vec![group(called)]);
            both.same("deleted with members", version.min(2), |_| groups(&called));
            both.same("it leaves", 5, |side| leave(&called, 5, joined.id(side)));
            both.same("deleted", 0, |_| delete(&called, &wanted, 0));
            both.same("deleted of no partition", 0, |_| delete(&called, &wanted, 5));
            both.same("deleted of no topic", 0, |_| delete(&called, "no-such", 5));
            both.same("deleted of no group", 0, |_| delete("no-such", &wanted, 0));
            both.same("then", 7, |_| fetch(&called, 7, None));
            both.same("the group is deleted", version.min(2), |_| groups(&called));
            both.same("the group is deleted again", version.min(2), |_| groups(&called));
        }
    })
    .await;
}

#[tokio::test]
async fn offsets_go_with_their_topic() {
    compare(|both| {
        let wanted = make(both, 1, &[]);
        let called = topic("group");
        both.same("committed", 7, |_| commit(&called, &wanted, 0, 5, ""));
        let delete = DeleteTopicsRequest::default().with_topic_names(vec![name(&wanted)]).with_timeout_ms(30_000);
        both.same("the topic is deleted", 5, |_| delete.clone());
        both.settle(&wanted, false);
        super::admin::tried(
            both,
            "and made again",
            7,
            super::admin::create(&[super::admin::new_topic(&wanted, 1, 1, &[])]),
        );
        both.settle(&wanted, true);
        // Kafka forgets them a moment later.
        let asked = fetch(&called, 7, None);
        while !both.kafka.ask(7, &asked).expect("an answer").topics.is_empty() {}
        both.same("then", 7, |_| asked.clone());
    })
    .await;
}

#[tokio::test]
async fn groups_are_listed() {
    compare(|both| {
        let wanted = make(both, 1, &[]);
        let (empty, stable) = (topic("group"), topic("group"));
        both.same("committed", 7, |_| commit(&empty, &wanted, 0, 5, ""));
        let joined = join_alone(both, 7, &stable, &[("range", &wanted)]);
        both.same("its part", 5, |side| sync(5, &stable, &joined, side, &[(&joined.id(side), "part")]));
        for version in 0..=5 {
            let list = |states: &[&str], types: &[&str]| {
                let words = |words: &[&str]| words.iter().map(|word| text(word)).collect();
                ListGroupsRequest::default().with_states_filter(words(states)).with_types_filter(words(types))
            };
            let mut listed = |what: &str, request: ListGroupsRequest| {
                both.same_as(
                    what,
                    version,
                    |_| request.clone(),
                    |answer| {
                        // Other tests have groups, too.
                        answer.groups.retain(|group| [&empty, &stable].iter().any(|ours| **ours == *group.group_id.0));
                        answer.groups.sort_by_key(|group| group.group_state.clone());
                        answer.groups.sort_by_key(|group| group.protocol_type.clone());
                    },
                );
            };
            listed("all", list(&[], &[]));
            if version >= 4 {
                listed("stable ones", list(&["Stable"], &[]));
                listed("empty ones", list(&["empty"], &[]));
            }
            if version >= 5 {
                listed("classic ones", list(&[], &["classic"]));
                listed("those of the next protocol", list(&[], &["consumer"]));
            }
        }
    })
    .await;
}
