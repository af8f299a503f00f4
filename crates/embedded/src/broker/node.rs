//! All that the broker knows. One thread has it, so that nothing of it is locked.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use kafka_protocol::messages::BrokerId;
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::files::{read_if_there, write_atomically};
use super::groups::Groups;
use super::producer_ids::ProducerIds;
use super::refusal::Answer;
use super::settings::Settings;
use super::topics::Topics;

/// The only node's number; any will do.
pub(super) const NODE_ID: BrokerId = BrokerId(1);

/// The broker as its connections see it. It is borrowed for moments, never while something is waited for.
pub(super) type Shared = Rc<RefCell<Node>>;

#[derive(Debug)]
pub(super) struct Node {
    pub(super) settings: Settings,
    pub(super) cluster_id: StrBytes,
    pub(super) host: StrBytes,
    pub(super) port: i32,
    pub(super) topics: Topics,
    pub(super) groups: Groups,
    pub(super) producer_ids: ProducerIds,
}

impl Node {
    pub(super) fn open(folder: &Path, settings: Settings, port: u16) -> anyhow::Result<Self> {
        let cluster_id = cluster_id(folder).with_context(|| format!("can't use the folder {}", folder.display()))?;
        Ok(Self {
            cluster_id: StrBytes::from_string(cluster_id),
            host: StrBytes::from_static_str("127.0.0.1"),
            port: port.into(),
            topics: Topics::open(folder.join("topics"), &settings, now_ms())?,
            groups: Groups::open(folder.join("group-offsets"), settings.initial_rebalance_delay)?,
            producer_ids: ProducerIds::open(folder.join("producer-ids"))?,
            settings,
        })
    }

    /// Deletes what topics need not keep.
    pub(super) fn retain(&mut self) -> Answer<()> {
        for topic in self.topics.iter_mut() {
            for partition in &mut topic.partitions {
                partition.retain(now_ms())?;
            }
        }
        Ok(())
    }
}

/// The log knows its cluster by this name.
fn cluster_id(folder: &Path) -> anyhow::Result<String> {
    let path = folder.join("cluster-id");
    if let Some(id) = read_if_there(&path)? {
        return Ok(id);
    }
    let id = format!("trunkline-{}", Uuid::new_v4().simple());
    write_atomically(&path, id.as_bytes())?;
    Ok(id)
}

/// Kafka's time: milliseconds since 1970.
pub(super) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
