use std::collections::BTreeMap;
use std::future::Future;

use anyhow::{Context, bail};
use stream::Lane;
use telecom::{Day, FileName, Msisdn, SourceId, Totals, UsageKind};

use crate::rules::Design;
use crate::upkeep::{self, SLICES};
use crate::{
    Buckets, Claim, CountError, Counted, Expired, LaneBatch, LaneMemory, LaneProgress, LaneState, Postgres, Quiet,
    QuietSource, RecordRules, RowKey, Scylla, Setup, SourceEntry, TowerHour, count,
};

/// What the counting protocol asks of a database: a register per row, entry and lane, which keeps the value with the
/// highest `upto`.
///
/// **Every write is absolute**, and loses to what is stored if its `upto` is lower: so it can be sent again, come
/// late, or come twice. Writes of a register with one `upto` have one value: any of them may stay. A write that returns has
/// been made durable, whole; one that fails may have been made in part, or may be made later. A read sees every write that had returned when it began. No call needs to be atomic or
/// isolated beyond the single register.
pub trait UsageStore: Sync {
    /// How the subscribers are spread over buckets.
    fn buckets(&self) -> impl Future<Output = anyhow::Result<Buckets>> + Send;

    /// The lane's progress, and by what the store counts; `None` where the store does not know the lane.
    fn read_lane(&self, lane: &Lane) -> impl Future<Output = anyhow::Result<Option<LaneState>>> + Send;

    /// The lane's entries of these sources, which ascend; those it has none of are left out.
    fn read_sources(
        &self,
        lane: &Lane,
        ids: &[SourceId],
    ) -> impl Future<Output = anyhow::Result<Vec<(SourceId, SourceEntry)>>> + Send;

    /// For each of these sources, which ascend, the first claim that was ever made on it: this one if there was none.
    fn claim_sources(
        &self,
        claims: &[(SourceId, Claim)],
    ) -> impl Future<Output = anyhow::Result<Vec<(SourceId, Claim)>>> + Send;

    /// The claims on these sources, which ascend; those that nobody has claimed are left out.
    fn read_claims(&self, ids: &[SourceId]) -> impl Future<Output = anyhow::Result<Vec<(SourceId, Claim)>>> + Send;

    /// The lane's rows with these keys, which ascend; those it has none of are left out.
    fn read_rows(
        &self,
        lane: &Lane,
        keys: &[RowKey],
    ) -> impl Future<Output = anyhow::Result<Vec<(RowKey, StoredRow)>>> + Send;

    /// Writes rows, by ascending key, all of which hold the lane below `upto`.
    fn write_rows(
        &self,
        lane: &Lane,
        upto: i64,
        rows: &[(RowKey, Totals)],
    ) -> impl Future<Output = anyhow::Result<()>> + Send;

    /// Writes entries, by ascending source, each with the `upto` it has.
    fn write_sources(
        &self,
        lane: &Lane,
        entries: &[(SourceId, &SourceEntry)],
    ) -> impl Future<Output = anyhow::Result<()>> + Send;

    /// Writes the lane's progress, whose `upto` is its `next_offset`.
    fn write_lane(&self, lane: &Lane, progress: &LaneProgress) -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// One lane's totals of a subscriber's day and kind: a function of the lane's records below `upto`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoredRow {
    /// The sums.
    pub totals: Totals,
    /// They hold the lane's records below this offset.
    pub upto: i64,
}

/// A subscriber's usage of one kind on one day, summed over the lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DailyUsage {
    /// The day of the events.
    pub day: Day,
    /// What was used.
    pub kind: UsageKind,
    /// How much.
    pub totals: Totals,
}

/// What became of a file's accepted rows, summed over the lanes: once all have been handled, `counted + duplicates +
/// withdrawn` is the number of those from `first_line` on. It is there as long as the entries of its source are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileAccount {
    /// The file's name; `None` for records that gave none.
    pub file: Option<FileName>,
    /// The file's content.
    pub source_id: SourceId,
    /// The first of its rows that the account knows: a file that went on after a pause of weeks is known from there. 0 where an
    /// earlier version began the account, which knows all of them.
    pub first_line: u64,
    /// Rows that are counted.
    pub counted: u64,
    /// Rows that had already been counted from a file of the same content under another name.
    pub duplicates: u64,
    /// Rows that were counted and have been taken back.
    pub withdrawn: u64,
    /// Records that brought a row again: the file was published more than once.
    pub repeats: u64,
}

/// The configured store.
#[derive(Clone, Debug)]
pub enum Store {
    /// PostgreSQL.
    Postgres(Postgres),
    /// ScyllaDB or Cassandra.
    Scylla(Scylla),
}

impl Store {
    /// Opens the store that `USAGE_STORE` names: `postgres://user:password@host/database` or
    /// `scylla://user:password@host:9042,host2:9042/keyspace`. It connects when it is first used.
    ///
    /// # Errors
    /// When the address is malformed or of another kind of database. The message never shows the address, which has a
    /// password in it.
    pub fn connect(url: &str) -> anyhow::Result<Self> {
        match url.split_once("://").map(|(scheme, _)| scheme) {
            Some("postgres" | "postgresql") => Ok(Self::Postgres(Postgres::new(url)?)),
            Some("scylla") => Ok(Self::Scylla(Scylla::new(url)?)),
            _ => bail!(
                "USAGE_STORE is malformed: expected scylla://host/keyspace or postgres://user:password@host/database"
            ),
        }
    }

    /// Makes the store's tables where they are missing, for the default number of buckets and the default rules.
    ///
    /// # Errors
    /// As for [`set_up`](Self::set_up).
    pub async fn init(&self) -> anyhow::Result<()> {
        self.set_up(&Setup::default()).await
    }

    /// Makes the store's tables; or brings those of an earlier version up to date; or lets the store count by other rules.
    /// Does nothing where all that is done.
    ///
    /// # Errors
    /// When the database can't be reached or refuses; when the store has another number of buckets; when records wait that
    /// were to be counted as the store is now.
    pub async fn set_up(&self, setup: &Setup) -> anyhow::Result<()> {
        match self {
            Self::Postgres(store) => {
                store.make(setup).await?;
                upkeep::adopt::<Design>(store, &setup.rules, &setup.ends).await
            }
            Self::Scylla(store) => {
                store.make(setup).await?;
                upkeep::adopt::<Design>(store, &setup.rules, &setup.ends).await
            }
        }
    }

    /// Makes the lanes of a topic known. Records of an unknown lane are not counted: the number of a topic's partitions
    /// decides which lane a subscriber's records are in, so it may not change within an epoch.
    ///
    /// # Errors
    /// When the epoch knows the topic with another number of partitions.
    pub async fn add_lanes(&self, epoch: u32, topic: &str, partitions: i32) -> anyhow::Result<()> {
        match self {
            Self::Postgres(store) => store.add_lanes(epoch, topic, partitions).await,
            Self::Scylla(store) => store.add_lanes(epoch, topic, partitions).await,
        }
    }

    /// Counts a batch: see [`count`](crate::count()).
    ///
    /// # Errors
    /// See [`CountError`]; the batch is to be delivered again.
    pub async fn count(&self, memory: &mut LaneMemory, batch: &LaneBatch) -> Result<Counted, CountError> {
        match self {
            Self::Postgres(store) => count(store, memory, batch).await,
            // The driver's futures are large.
            Self::Scylla(store) => Box::pin(count(store, memory, batch)).await,
        }
    }

    /// A subscriber's usage from the day `from` to the day `to`, both included, by day and kind.
    ///
    /// # Errors
    /// When the database can't be reached or refuses.
    pub async fn usage_of(&self, msisdn: Msisdn, from: Day, to: Day) -> anyhow::Result<Vec<DailyUsage>> {
        let rows = match self {
            Self::Postgres(store) => store.usage_of(msisdn, from, to).await?,
            Self::Scylla(store) => store.usage_of(msisdn, from, to).await?,
        };
        sum_over_lanes(rows)
    }

    /// Every account, by file name, of at least the last [35 days](crate::KEPT_MS).
    ///
    /// # Errors
    /// When the database can't be reached or refuses.
    pub async fn file_accounts(&self) -> anyhow::Result<Vec<FileAccount>> {
        let entries = match self {
            Self::Postgres(store) => store.all_sources().await?,
            Self::Scylla(store) => store.all_sources().await?,
        };
        Ok(account(&entries))
    }

    /// What in the database's settings or this user's rights breaks the protocol: each in a line that says what to do.
    ///
    /// # Errors
    /// When the database can't be reached or refuses, or the store has not been made.
    pub async fn faults(&self) -> anyhow::Result<Vec<String>> {
        match self {
            Self::Postgres(store) => store.faults().await,
            Self::Scylla(store) => store.faults().await,
        }
    }

    /// Every known lane and its progress.
    ///
    /// # Errors
    /// When the database can't be reached or refuses.
    pub async fn lanes(&self) -> anyhow::Result<Vec<(Lane, LaneProgress)>> {
        match self {
            Self::Postgres(store) => store.lanes().await,
            Self::Scylla(store) => store.lanes().await,
        }
    }

    /// Adds to the live activity of towers, by ascending hour, each once: blindly, whatever has been added before.
    ///
    /// These counters are a few seconds old and **approximate**: what a failed call has added is not known, and it must
    /// not be sent again; a call that never comes leaves a gap. Nothing is ever priced from them.
    ///
    /// # Errors
    /// When the database can't be reached or refuses.
    pub async fn add_tower_activity(&self, activity: &[(TowerHour, Totals)]) -> anyhow::Result<()> {
        if activity.is_empty() {
            return Ok(());
        }
        match self {
            Self::Postgres(store) => store.add_tower_activity(activity).await,
            Self::Scylla(store) => store.add_tower_activity(activity).await,
        }
    }

    /// A tower's live activity from one hour of a day to another, both included: ascending, the hours that have any.
    ///
    /// # Errors
    /// When the database can't be reached or refuses.
    pub async fn tower_activity(
        &self,
        tower_id: u32,
        from: (Day, u8),
        to: (Day, u8),
    ) -> anyhow::Result<Vec<(TowerHour, Totals)>> {
        match self {
            Self::Postgres(store) => store.tower_activity(tower_id, from, to).await,
            Self::Scylla(store) => store.tower_activity(tower_id, from, to).await,
        }
    }

    /// By what the store counts.
    ///
    /// # Errors
    /// When the database can't be reached or refuses.
    pub async fn rules(&self) -> anyhow::Result<RecordRules> {
        match self {
            Self::Postgres(store) => upkeep::Upkeep::read_rules(store).await,
            Self::Scylla(store) => upkeep::Upkeep::read_rules(store).await,
        }
    }

    /// Notes how long the lanes' logs are, once a night; says of how many lanes. `at_ms` is the time at which the asking for
    /// `ends` was begun.
    ///
    /// # Errors
    /// When the database can't be reached or refuses.
    pub async fn mark(&self, at_ms: i64, ends: &[(Lane, i64)]) -> anyhow::Result<u64> {
        match self {
            Self::Postgres(store) => upkeep::mark(store, at_ms, ends).await,
            Self::Scylla(store) => upkeep::mark(store, at_ms, ends).await,
        }
    }

    /// What the marks say of each lane at this moment.
    ///
    /// # Errors
    /// When the database can't be reached or refuses.
    pub async fn quiet(&self, now_ms: i64) -> anyhow::Result<Quiet> {
        match self {
            Self::Postgres(store) => Quiet::read::<Design>(store, now_ms).await,
            Self::Scylla(store) => Quiet::read::<Design>(store, now_ms).await,
        }
    }

    /// How many parts [`quiet_sources`](Self::quiet_sources) are read in.
    pub const PARTS: u8 = SLICES;

    /// The sources of one of the [parts](Self::PARTS) of which nothing more has been delivered for long.
    ///
    /// # Errors
    /// When the database can't be reached or refuses.
    pub async fn quiet_sources(&self, quiet: &Quiet, part: u8) -> anyhow::Result<Vec<QuietSource>> {
        match self {
            Self::Postgres(store) => upkeep::quiet_sources::<Design>(store, quiet, part).await,
            Self::Scylla(store) => upkeep::quiet_sources::<Design>(store, quiet, part).await,
        }
    }

    /// Deletes sources that [may go](QuietSource::may_go), unless something more of them has been delivered since.
    ///
    /// # Errors
    /// When the database can't be reached or refuses: the next call finds what is left.
    pub async fn expire(&self, sources: &[QuietSource]) -> anyhow::Result<Expired> {
        match self {
            Self::Postgres(store) => upkeep::expire(store, sources).await,
            Self::Scylla(store) => upkeep::expire(store, sources).await,
        }
    }
}

/// One lane's part of a subscriber's usage.
pub(crate) type LaneUsage = (Day, UsageKind, Totals);

fn sum_over_lanes(rows: Vec<LaneUsage>) -> anyhow::Result<Vec<DailyUsage>> {
    let mut sums = BTreeMap::<_, Totals>::new();
    for (day, kind, totals) in rows {
        let sum = sums.entry((day, kind)).or_default();
        *sum = sum.checked_add(totals).context("a subscriber's day has more usage than 64 bits hold")?;
    }
    // A row may hold nothing: its records were all duplicates of another epoch's, say.
    let used = sums.into_iter().filter(|(_, totals)| totals.events > 0);
    Ok(used.map(|((day, kind), totals)| DailyUsage { day, kind, totals }).collect())
}

pub(crate) fn account(entries: &[(SourceId, SourceEntry)]) -> Vec<FileAccount> {
    let mut accounts = BTreeMap::new();
    for (source_id, entry) in entries {
        for (file, count) in &entry.files {
            let account = accounts.entry((*file, *source_id)).or_insert(FileAccount {
                file: *file,
                source_id: *source_id,
                first_line: count.first_line,
                counted: 0,
                duplicates: 0,
                withdrawn: 0,
                repeats: 0,
            });
            account.first_line = account.first_line.min(count.first_line);
            account.counted += count.counted.saturating_sub(count.withdrawn);
            account.duplicates += count.duplicates;
            account.withdrawn += count.withdrawn;
            account.repeats += count.repeats;
        }
    }
    accounts.into_values().collect()
}
