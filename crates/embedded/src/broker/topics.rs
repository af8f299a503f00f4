//! The topics: their names, ids, configs and partitions. Each is a folder named by its id.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::Context;
use kafka_protocol::ResponseError;
use kafka_protocol::protocol::StrBytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::files::{read_if_there, write_atomically};
use super::log::Partition;
use super::refusal::{Answer, Refusal};
use super::settings::{Limits, Settings, Values};

/// What a topic's folder says of it; a folder without it was never finished.
const TOPIC_FILE: &str = "topic.json";

/// Kafka's own limit.
const NAME_BYTES_MAX: usize = 249;

/// A mistaken number must not make a folder for each.
const PARTITIONS_MAX: i32 = 10_000;

#[derive(Debug)]
pub(super) struct Topic {
    pub(super) id: Uuid,
    pub(super) name: StrBytes,
    /// What was set for it.
    pub(super) configs: Values,
    limits: Rc<Limits>,
    pub(super) partitions: Vec<Partition>,
    folder: PathBuf,
}

#[derive(Debug, Deserialize, Serialize)]
struct Stored {
    name: String,
    partitions: i32,
    configs: Values,
}

#[derive(Debug)]
pub(super) struct Topics {
    folder: PathBuf,
    by_id: HashMap<Uuid, Topic>,
    ids: BTreeMap<StrBytes, Uuid>,
}

/// How a request names a topic: by its id in later versions.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Called {
    Name(StrBytes),
    Id(Uuid),
}

impl Called {
    pub(super) fn new(name: &StrBytes, id: Uuid) -> Self {
        if id.is_nil() { Self::Name(name.clone()) } else { Self::Id(id) }
    }
}

impl Topics {
    pub(super) fn open(folder: PathBuf, settings: &Settings, now_ms: i64) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&folder).with_context(|| format!("can't make the folder {}", folder.display()))?;
        let mut topics = Self { folder, by_id: HashMap::new(), ids: BTreeMap::new() };
        for entry in std::fs::read_dir(&topics.folder)? {
            let path = entry?.path();
            let topic = Topic::open(&path, settings, now_ms);
            match topic.with_context(|| format!("can't open the Kafka topic in {}", path.display()))? {
                Some(topic) => topics.insert(topic),
                // It was being made, or removed, when the process was killed.
                None => std::fs::remove_dir_all(&path)?,
            }
        }
        Ok(topics)
    }

    fn insert(&mut self, topic: Topic) {
        self.ids.insert(topic.name.clone(), topic.id);
        self.by_id.insert(topic.id, topic);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Topic> {
        self.ids.values().filter_map(|id| self.by_id.get(id))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Topic> {
        self.by_id.values_mut()
    }

    fn id(&self, called: &Called) -> Answer<Uuid> {
        match called {
            Called::Name(name) => self.ids.get(name).copied().ok_or(ResponseError::UnknownTopicOrPartition.into()),
            Called::Id(id) => self.by_id.contains_key(id).then_some(*id).ok_or(ResponseError::UnknownTopicId.into()),
        }
    }

    pub(super) fn get(&self, called: &Called) -> Answer<&Topic> {
        let id = self.id(called)?;
        self.by_id.get(&id).ok_or(ResponseError::UnknownTopicId.into())
    }

    pub(super) fn get_mut(&mut self, called: &Called) -> Answer<&mut Topic> {
        let id = self.id(called)?;
        self.by_id.get_mut(&id).ok_or(ResponseError::UnknownTopicId.into())
    }

    pub(super) fn partition(&self, called: &Called, index: i32) -> Answer<&Partition> {
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        self.get(called)?.partitions.get(index).ok_or(ResponseError::UnknownTopicOrPartition.into())
    }

    pub(super) fn partition_mut(&mut self, called: &Called, index: i32) -> Answer<&mut Partition> {
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        self.get_mut(called)?.partitions.get_mut(index).ok_or(ResponseError::UnknownTopicOrPartition.into())
    }

    /// Refuses a name that is taken, or none.
    pub(super) fn check_new(&self, name: &StrBytes) -> Answer<()> {
        check_name(name)?;
        if self.ids.contains_key(name) {
            return Err(Refusal::new(ResponseError::TopicAlreadyExists, format!("Topic '{name}' already exists.")));
        }
        // Their metrics would have one name.
        let plain = |name: &StrBytes| name.replace('.', "_");
        match self.ids.keys().find(|other| plain(other) == plain(name)) {
            Some(other) => {
                let message = format!("Topic '{name}' collides with existing topic: {other}");
                Err(Refusal::new(ResponseError::InvalidTopicException, message))
            }
            None => Ok(()),
        }
    }

    pub(super) fn create(
        &mut self,
        name: &StrBytes,
        partitions: i32,
        configs: Values,
        settings: &Settings,
    ) -> Answer<&Topic> {
        self.check_new(name)?;
        check_partitions(partitions)?;
        let id = Uuid::new_v4();
        let folder = self.folder.join(id.simple().to_string());
        let limits = Rc::new(settings.limits(&configs));
        let mut topic = Topic { id, name: name.clone(), configs, limits, partitions: Vec::new(), folder };
        topic.grow(partitions)?;
        self.insert(topic);
        self.get(&Called::Id(id))
    }

    /// Deletes a topic with everything in it, and wakes those who wait for its records.
    pub(super) fn delete(&mut self, id: Uuid) -> Answer<()> {
        let mut topic = self.by_id.remove(&id).ok_or(ResponseError::UnknownTopicId)?;
        self.ids.remove(&topic.name);
        topic.partitions.iter_mut().for_each(Partition::wake);
        std::fs::remove_file(topic.folder.join(TOPIC_FILE))?;
        std::fs::remove_dir_all(&topic.folder)?;
        Ok(())
    }
}

impl Topic {
    /// Nothing where the folder holds no topic.
    fn open(folder: &Path, settings: &Settings, now_ms: i64) -> anyhow::Result<Option<Self>> {
        let Some(text) = read_if_there(&folder.join(TOPIC_FILE))? else { return Ok(None) };
        let Stored { name, partitions, configs } = serde_json::from_str(&text)?;
        let id = folder.file_name().and_then(|id| id.to_str()).context("a folder without a name")?.parse()?;
        let limits = Rc::new(settings.limits(&configs));
        let mut topic =
            Self { id, name: name.into(), configs, limits, partitions: Vec::new(), folder: folder.to_owned() };
        topic.open_partitions(partitions, now_ms)?;
        Ok(Some(topic))
    }

    fn open_partitions(&mut self, count: i32, now_ms: i64) -> io::Result<()> {
        for index in self.partition_count()..count {
            self.partitions.push(Partition::open(
                self.folder.join(index.to_string()),
                Rc::clone(&self.limits),
                now_ms,
            )?);
        }
        Ok(())
    }

    pub(super) fn partition_count(&self) -> i32 {
        i32::try_from(self.partitions.len()).unwrap_or(i32::MAX)
    }

    /// Adds partitions, up to this number.
    pub(super) fn grow(&mut self, count: i32) -> Answer<()> {
        check_partitions(count)?;
        self.open_partitions(count, 0)?;
        Ok(self.store()?)
    }

    pub(super) fn configure(&mut self, configs: Values, settings: &Settings) -> Answer<()> {
        self.limits = Rc::new(settings.limits(&configs));
        self.partitions.iter_mut().for_each(|partition| partition.limits = Rc::clone(&self.limits));
        self.configs = configs;
        Ok(self.store()?)
    }

    fn store(&self) -> io::Result<()> {
        let stored =
            Stored { name: self.name.to_string(), partitions: self.partition_count(), configs: self.configs.clone() };
        write_atomically(&self.folder.join(TOPIC_FILE), &serde_json::to_vec_pretty(&stored)?)
    }
}

fn check_partitions(count: i32) -> Answer<()> {
    if count <= PARTITIONS_MAX {
        return Ok(());
    }
    let message = format!("{count} partitions are too many: this broker makes at most {PARTITIONS_MAX} of a topic");
    Err(Refusal::new(ResponseError::InvalidPartitions, message))
}

/// Refuses what is no topic's name.
pub(super) fn check_name(name: &StrBytes) -> Answer<()> {
    let refuse =
        |what: &str| Err(Refusal::new(ResponseError::InvalidTopicException, format!("Topic name is invalid: {what}")));
    let is_legal = |letter: u8| letter.is_ascii_alphanumeric() || b"._-".contains(&letter);
    match name.as_str() {
        "" => refuse("the empty string is not allowed"),
        "." | ".." => refuse(&format!("'{name}' is not allowed")),
        name if name.len() > NAME_BYTES_MAX => refuse(&format!("its length is greater than {NAME_BYTES_MAX}")),
        name if !name.bytes().all(is_legal) => refuse(&format!(
            "'{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
        )),
        _ => Ok(()),
    }
}
