//! What a plain fold makes of the topic: one pass over the records, each line of each source by itself.

use std::collections::{BTreeMap, HashMap, HashSet};

use stream::Lane;
use telecom::{Action, FileName, Source, SourceId, Totals};

use super::stream::{Published, Stream};
use crate::store::FileAccount;
use crate::{Buckets, RowKey};

/// What has to come out.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Expected {
    pub(crate) usage: BTreeMap<RowKey, Totals>,
    pub(crate) accounts: Vec<FileAccount>,
    pub(crate) refused: HashSet<(Lane, i64)>,
}

/// What has become of a line.
#[derive(Clone, Copy, PartialEq)]
enum Line {
    Counted,
    TakenBack,
}

/// One pass over a lane. A line of a source is always in the same one.
#[derive(Default)]
struct Pass {
    lines: HashMap<(SourceId, u64), Line>,
    seen: HashSet<Source>,
    accounts: BTreeMap<(SourceId, Option<FileName>), FileAccount>,
}

/// The fold of a stream whose store went on to the next rules at these offsets, lane by lane, if it did.
pub(crate) fn expected(stream: &Stream, buckets: Buckets, next_rules_from: Option<&HashMap<Lane, i64>>) -> Expected {
    let mut expected = Expected::default();
    let mut accounts = BTreeMap::new();
    for (lane, records) in &stream.lanes {
        let mut pass = Pass::default();
        let rules = |published: &Published| match next_rules_from {
            Some(from) if published.offset() >= from[lane] => 2,
            _ => 1,
        };
        for record in records.iter().map(|published| published.read_by(rules(published))) {
            let Some(usage) = record.usage else { continue };
            let sign = match usage.source {
                None => 1,
                Some(source) if stream.inherited.is_some_and(|inherited| inherited.source() == source.id) => {
                    expected.refused.insert((lane.clone(), record.offset));
                    0
                }
                Some(source) => match usage.action {
                    Action::Count => pass.count(source),
                    Action::Withdraw => pass.take_back(source),
                },
            };
            let event = usage.event;
            let totals: &mut Totals =
                expected.usage.entry(buckets.key(event.msisdn, event.day, event.kind)).or_default();
            match sign {
                1 => totals.add_event(&event).expect("a small sum"),
                0 => {}
                _ => totals.take_event(&event).expect("it was added"),
            }
        }
        for ((_, file), account) in pass.accounts {
            accounts.entry((file, account.source_id)).and_modify(|sum| add(sum, &account)).or_insert(account);
        }
    }
    expected.usage.retain(|_, totals| totals.events > 0);
    expected.accounts = accounts.into_values().collect();
    expected
}

impl Pass {
    fn count(&mut self, source: Source) -> i8 {
        let account = self.accounts.entry((source.id, source.file)).or_insert(FileAccount {
            file: source.file,
            source_id: source.id,
            first_line: source.line,
            counted: 0,
            duplicates: 0,
            withdrawn: 0,
            repeats: 0,
        });
        if !self.seen.insert(source) {
            account.repeats += 1;
            return 0;
        }
        if self.lines.contains_key(&(source.id, source.line)) {
            account.duplicates += 1;
            return 0;
        }
        account.counted += 1;
        self.lines.insert((source.id, source.line), Line::Counted);
        1
    }

    fn take_back(&mut self, source: Source) -> i8 {
        // By name, the first that still has a counted line gives it.
        match self.lines.insert((source.id, source.line), Line::TakenBack) {
            Some(Line::Counted) => {
                let mut accounts = self.accounts.range_mut((source.id, None)..);
                let (_, account) = accounts
                    .find(|((id, _), account)| *id == source.id && account.counted > 0)
                    .expect("a counted line");
                account.counted -= 1;
                account.withdrawn += 1;
                -1
            }
            _ => 0,
        }
    }
}

fn add(sum: &mut FileAccount, other: &FileAccount) {
    sum.first_line = sum.first_line.min(other.first_line);
    sum.counted += other.counted;
    sum.duplicates += other.duplicates;
    sum.withdrawn += other.withdrawn;
    sum.repeats += other.repeats;
}
