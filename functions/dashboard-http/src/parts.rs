//! The parts of the page: rows in, blocks out.

use std::collections::BTreeMap;

use kafka_sink::GroupLag;
use serde::Serialize;
use stream::GROUP_PREFIX;
use telecom::{Category, Cost, Msisdn, Tariff, UsageKind};

use crate::asked::{Asked, Days, Place, Rank, Slot};
use crate::chart::{Chart, Figure, Series};
use crate::read::{Absent, Marts, Section, View};
use crate::table::{Cell, Column, Table};
use crate::text::{Text, Unit, cents};
use crate::warehouse::{
    BALANCED_RUNS, Balance, Conflict, Loaded, Loads, MAX_REJECTED, Messages, Newest, Rejected, Run, SlotMessages,
    Subscriber, Top, Unmatched, Usage, Waits, WaitsOf,
};

/// A heading with what belongs below it.
#[derive(Debug, Serialize)]
pub(crate) struct Part {
    id: &'static str,
    title: &'static str,
    short_title: &'static str,
    /// Which days it shows, if it goes by days.
    days: String,
    /// Instead of blocks.
    note: Option<Note>,
    /// Side by side where there is room.
    columns: Vec<Vec<Block>>,
}

/// What stands in a frame of its own. The table is that of the figure where there is one, and is absent where a note
/// says why.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Block {
    title: String,
    figure: Option<Figure>,
    table: Option<Table>,
    note: Option<Note>,
}

/// A sentence of ours. What stands between backticks is to be typed.
#[derive(Debug, Serialize)]
pub(crate) struct Note {
    text: String,
    is_wrong: bool,
}

/// A topic that got nothing for so long is told of: files come daily, and customers write.
const SILENT_AFTER_SECONDS: u128 = 24 * 3_600;

/// The stream that is well when nothing comes.
const REJECTED_STREAM: &str = "rejected";

impl Part {
    fn new(id: &'static str, [title, short_title]: [&'static str; 2]) -> Self {
        Self { id, title, short_title, days: String::new(), note: None, columns: Vec::new() }
    }

    /// That of some days.
    fn of_days<T>(
        self,
        section: &Section<Option<(Days, T)>>,
        what: &str,
        show: impl FnOnce(&Days, &T) -> Result<Vec<Vec<Block>>, Note>,
    ) -> Self {
        let (days, rows) = match section {
            Ok(Some((days, rows))) => (days, rows),
            Ok(None) => return Self { note: Some(note(&format!("There {what} in the warehouse yet."))), ..self },
            Err(absent) => return Self { note: Some(said(*absent)), ..self },
        };
        let days_text = days.to_string();
        match show(days, rows) {
            Ok(columns) => Self { days: days_text, columns, ..self },
            Err(note) => Self { days: days_text, note: Some(note), ..self },
        }
    }

    pub(crate) fn into_tables(self) -> impl Iterator<Item = Table> {
        let blocks = self.columns.into_iter().flatten();
        blocks.filter_map(|block| block.table.or_else(|| block.figure.map(Figure::into_table)))
    }

    /// Whether something of it can't be read.
    pub(crate) fn is_wrong(&self) -> bool {
        let notes = self.columns.iter().flatten().map(|block| &block.note).chain([&self.note]);
        notes.flatten().any(|note| note.is_wrong)
    }
}

/// The files that there are; `docs/openapi.yaml` has the same.
pub(crate) const TABLES: [&str; 16] = [
    "balances",
    "calls",
    "conflicts",
    "cost",
    "data",
    "loads",
    "mappings",
    "messages-by-channel",
    "messages-by-sender",
    "rejected",
    "subscribers-by-cost",
    "subscribers-by-data",
    "topics",
    "unmatched",
    "waits",
    "waits-by-channel",
];

impl From<Figure> for Block {
    fn from(figure: Figure) -> Self {
        Self { figure: Some(figure), ..Self::default() }
    }
}

impl From<Table> for Block {
    fn from(table: Table) -> Self {
        Self { table: Some(table), ..Self::default() }
    }
}

pub(crate) fn usage(usage: &Section<Option<(Days, Vec<Usage>)>>, tariff: &Tariff) -> Part {
    Part::new("usage", ["Usage"; 2]).of_days(usage, "is no usage", |days, rows| {
        if rows.is_empty() {
            return Err(note("No usage in these days."));
        }
        let chart = |name, what, unit, series| Chart { name, what, more: "", unit, days, series };
        let kinds = |category: Category| {
            let kinds = UsageKind::ALL.into_iter().filter(|kind| kind.category() == category);
            kinds.map(|kind| of_kind(days, rows, kind)).collect()
        };
        let mut costs = BTreeMap::<Slot, Cost>::new();
        for row in rows {
            *costs.entry(row.slot).or_default() += tariff.cost(row.slot.day, [(row.kind, row.totals)]);
        }
        let values = per_slot(days, costs.into_iter().map(|(slot, cost)| (slot, cents(cost))));
        let costs = vec![Series { name: Text::new("Cost"), values }];
        let charts = [
            chart("data", "Data", Unit::Bytes, kinds(Category::Data)),
            chart("calls", "Calls", Unit::Seconds, kinds(Category::Call)),
            chart("cost", "Cost", Unit::Cents, costs),
        ];
        Ok(charts.into_iter().map(|chart| vec![chart.bars().into()]).collect())
    })
}

fn of_kind(days: &Days, rows: &[Usage], kind: UsageKind) -> Series {
    let rows = rows.iter().filter(|row| row.kind == kind);
    let values = rows.map(|row| (row.slot, row.totals.bytes() + u128::from(row.totals.seconds)));
    Series { name: Text::new(kind.usage_type()), values: per_slot(days, values) }
}

pub(crate) fn subscribers(top: &Section<Option<(Days, Top)>>, asked: Asked) -> Part {
    Part::new("subscribers", ["Top subscribers", "Subscribers"]).of_days(top, "is no usage", |days, top| {
        if top.by_cost.is_empty() && top.by_data.is_empty() {
            return Err(note("No usage in these days."));
        }
        let link = |rank| {
            move |place, msisdn| {
                let subscriber = Place::new(rank, place, msisdn, days);
                format!("?{}", Asked { subscriber, ..asked }.query())
            }
        };
        let by_cost = ranking("subscribers-by-cost", "By cost", &top.by_cost, link(Rank::Cost));
        let by_data = ranking("subscribers-by-data", "By data", &top.by_data, link(Rank::Data));
        Ok(vec![vec![by_cost.into()], vec![by_data.into()]])
    })
}

fn ranking(
    name: &'static str,
    caption: &str,
    subscribers: &[Subscriber],
    link: impl Fn(u8, Msisdn) -> String,
) -> Table {
    let rows = (1..).zip(subscribers).map(|(place, subscriber)| {
        vec![
            Cell::word(subscriber.msisdn.masked().to_string()).leading_to(link(place, subscriber.msisdn)),
            Cell::exact(Unit::Cents, cents(subscriber.cost)),
            Cell::short(Unit::Bytes, subscriber.bytes),
            Cell::short(Unit::Seconds, subscriber.seconds),
            Cell::exact(Unit::Things, subscriber.events),
        ]
    });
    let columns = vec![
        Column::of_names("MSISDN"),
        Column::of(Unit::Cents, "Cost"),
        Column::of(Unit::Bytes, "Data"),
        Column::of(Unit::Seconds, "Calls"),
        Column::of(Unit::Things, "Records"),
    ];
    Table { name, caption: caption.to_owned(), columns, rows: rows.collect() }
}

pub(crate) fn messages(messages: &Section<Option<(Days, Messages)>>) -> Part {
    Part::new("messages", ["Messages"; 2]).of_days(messages, "are no messages", |days, messages| {
        if messages.by_channel.is_empty() {
            return Err(note("No messages in these days."));
        }
        let chart = |name, more, rows| {
            let series = headings(days, rows);
            Chart { name, what: "Messages", more, unit: Unit::Things, days, series }.bars().into()
        };
        let by_channel = chart("messages-by-channel", " and channel", &messages.by_channel);
        let by_sender = chart("messages-by-sender", " and sender", &messages.by_sender);
        Ok(vec![vec![by_channel], vec![by_sender]])
    })
}

/// The headings by their messages, the lesser ones summed at the end.
fn headings(days: &Days, rows: &[SlotMessages]) -> Vec<Series> {
    let mut sums = BTreeMap::<Option<&Text>, u128>::new();
    for row in rows {
        *sums.entry(row.heading.as_ref()).or_default() += row.messages;
    }
    let mut headings: Vec<_> = sums.into_iter().collect();
    headings.sort_by_key(|&(heading, sum)| (heading.is_none(), std::cmp::Reverse(sum), heading));
    let series = headings.into_iter().map(|(heading, _)| {
        let of_heading = rows.iter().filter(|row| row.heading.as_ref() == heading);
        let values = per_slot(days, of_heading.map(|row| (row.slot, row.messages)));
        Series { name: heading.cloned().unwrap_or_else(|| Text::new("all others")), values }
    });
    series.collect()
}

pub(crate) fn waits(waits: &Section<Option<(Days, Vec<Waits>)>>) -> Part {
    Part::new("waits", ["Response times in rooms", "Response times"]).of_days(
        waits,
        "are no messages",
        |days, waits| {
            if waits.is_empty() {
                return Err(note("No customer was answered in these days."));
            }
            let values = |of: fn(&Waits) -> u128| {
                let rows = waits.iter().filter_map(|wait| match wait.of {
                    WaitsOf::Slot(slot) => Some((slot, of(wait))),
                    WaitsOf::Period | WaitsOf::Channel(_) => None,
                });
                per_slot(days, rows)
            };
            let series = vec![
                Series { name: Text::new("median"), values: values(|wait| wait.median_seconds) },
                Series { name: Text::new("nine of ten within"), values: values(|wait| wait.p90_seconds) },
            ];
            let (name, what, unit) = ("waits", "Wait for the first answer", Unit::Seconds);
            let chart = Chart { name, what, more: "", unit, days, series };
            Ok(vec![vec![chart.lines().into()], vec![channels(waits).into()]])
        },
    )
}

fn channels(waits: &[Waits]) -> Table {
    let rows = waits.iter().filter_map(|wait| {
        let name = match &wait.of {
            WaitsOf::Channel(channel) => Cell::name(channel),
            WaitsOf::Period => Cell::word("all channels"),
            WaitsOf::Slot(_) => return None,
        };
        let [median, p90] = [wait.median_seconds, wait.p90_seconds].map(|value| Cell::short(Unit::Seconds, value));
        Some(vec![name, Cell::exact(Unit::Things, wait.answers), median, p90])
    });
    let columns = vec![
        Column::of_names("Channel"),
        Column::of(Unit::Things, "Answers"),
        Column::of(Unit::Seconds, "Median"),
        Column::of(Unit::Seconds, "Nine of ten within"),
    ];
    Table { name: "waits-by-channel", caption: "Wait by channel".to_owned(), columns, rows: rows.collect() }
}

pub(crate) fn pipeline(View { lags, marts }: &View) -> Part {
    let Marts { loads, rejected, conflicts, .. } = marts;
    let of_loads = |rows: fn(&Loads) -> bool, title: &str, empty: &str, table: fn(&Loads) -> Table| {
        block(title, loads, rows, empty, table)
    };
    let decide = || Some(note("Decide with `trunkline files accept|replace|drop NAME`."));
    let conflicts = block(
        CONFLICTS,
        conflicts,
        |files| files.is_empty(),
        "No file waits for a decision.",
        |files| conflicts_table(files),
    );
    let conflicts = if conflicts.table.is_some() { Block { note: decide(), ..conflicts } } else { conflicts };
    let nobody = "No mapping has committed anything yet.";
    let columns = vec![
        vec![
            block(MAPPINGS, lags, |lags| lags.is_empty(), nobody, |lags| mappings(lags)),
            of_loads(|loads| loads.topics.is_empty(), TOPICS, "Nothing has been loaded yet.", topics),
            conflicts,
            unmatched(&marts.unmatched),
        ],
        vec![
            of_loads(|loads| loads.runs.is_empty(), "Loads", "There has been no load yet.", runs),
            of_loads(|it| it.balances.is_empty(), "Balances", "No load has had anything to count yet.", balances),
            block("Rejected", rejected, |rows| rows.is_empty(), "Nothing has been rejected.", |rows| reasons(rows)),
        ],
    ];
    Part { columns, ..Part::new("pipeline", ["Pipeline"; 2]) }
}

const MAPPINGS: &str = "Mappings, records behind";
const TOPICS: &str = "Loaded, by topic";
const CONFLICTS: &str = "Files that wait for a decision";
const UNMATCHED: &str = "Files that nobody takes";

/// A table, or why there is none.
fn block<T>(
    title: &str,
    section: &Section<T>,
    is_empty: impl FnOnce(&T) -> bool,
    empty: &str,
    table: impl FnOnce(&T) -> Table,
) -> Block {
    let note = match section {
        Ok(rows) if is_empty(rows) => note(empty),
        Ok(rows) => return table(rows).into(),
        Err(absent) => said(*absent),
    };
    Block { title: title.to_owned(), note: Some(note), ..Block::default() }
}

fn mappings(lags: &[GroupLag]) -> Table {
    let rows = lags.iter().map(|lag| {
        let function = lag.group.strip_prefix(GROUP_PREFIX).unwrap_or(&lag.group);
        let function = function.strip_suffix(&lag.topic).map_or(function, |function| function.trim_end_matches('-'));
        let members = Cell::exact(Unit::Things, lag.members as u128);
        let members = match lag.members {
            0 if lag.records > 0 => members.shown("none".to_owned()).toned("bad"),
            _ => members,
        };
        let (function, topic) = (Text::new(function), Text::new(&lag.topic));
        vec![Cell::name(&function), Cell::name(&topic), Cell::exact(Unit::Things, lag.records.into()), members]
    });
    let columns = vec![
        Column::of_names("Function"),
        Column::of_names("Topic"),
        Column::of(Unit::Things, "Behind"),
        Column::of(Unit::Things, "Consumers"),
    ];
    Table { name: "mappings", caption: MAPPINGS.to_owned(), columns, rows: rows.collect() }
}

fn topics(loads: &Loads) -> Table {
    let rows = loads.topics.iter().map(|loaded| {
        let (at, age) = match &loaded.newest {
            None => (Cell::none(), Cell::none()),
            Some(Newest { at, age_seconds }) => {
                let age = Cell::short(Unit::Seconds, age_seconds.unsigned_abs().into());
                (Cell::name(at), if *age_seconds < 0 { age.ahead() } else { age })
            }
        };
        let ago = Cell::short(Unit::Seconds, loaded.loaded_seconds_ago);
        let state = match is_silent(loaded) {
            true => Cell::word("silent").toned("bad"),
            false => Cell::word("well").toned("good"),
        };
        vec![Cell::name(&loaded.topic), state, at, age, ago]
    });
    let columns = vec![
        Column::of_names("Topic"),
        Column::of_names("State"),
        Column::of_names("Newest record (UTC)"),
        Column::of(Unit::Seconds, "Age"),
        Column::of(Unit::Seconds, "Loaded ago"),
    ];
    Table { name: "topics", caption: TOPICS.to_owned(), columns, rows: rows.collect() }
}

/// Whether nothing has come from where something should.
pub(crate) fn is_silent(loaded: &Loaded) -> bool {
    loaded.loaded_seconds_ago >= SILENT_AFTER_SECONDS && loaded.stream.whole() != REJECTED_STREAM
}

fn conflicts_table(conflicts: &[Conflict]) -> Table {
    let rows = conflicts.iter().map(|conflict| {
        let why = match conflict.reason.whole() {
            "changed" => Cell::word("same name, other rows"),
            "shares" => Cell::word("shares most rows"),
            "withdrawn" => Cell::word("was replaced before"),
            _ => Cell::name(&conflict.reason),
        };
        let [rows, shared] = [conflict.rows, conflict.shared_rows].map(|rows| Cell::exact(Unit::Things, rows));
        let waits = conflict.waiting_seconds.map_or_else(Cell::none, |seconds| Cell::short(Unit::Seconds, seconds));
        vec![Cell::name(&conflict.file), Cell::name(&conflict.other), why, rows, shared, waits]
    });
    let columns = vec![
        Column::of_names("File"),
        Column::of_names("Other file"),
        Column::of_names("Why"),
        Column::of(Unit::Things, "Rows"),
        Column::of(Unit::Things, "Shared"),
        Column::of(Unit::Seconds, "Waits"),
    ];
    Table { name: "conflicts", caption: CONFLICTS.to_owned(), columns, rows: rows.collect() }
}

/// What lies on the servers and is not taken. A note says so where not all of it is shown.
fn unmatched(unmatched: &Section<Unmatched>) -> Block {
    let empty = "Every file on the servers is taken.";
    let block = block(UNMATCHED, unmatched, |files| files.names.is_empty(), empty, unmatched_table);
    match unmatched {
        Ok(files) if files.files > files.names.len() as u128 => {
            Block { note: Some(note(&format!("{} in all, of which these are the first.", files.files))), ..block }
        }
        _ => block,
    }
}

fn unmatched_table(unmatched: &Unmatched) -> Table {
    let rows = unmatched.names.iter();
    let rows = rows.map(|file| vec![Cell::name(&file.name), Cell::short(Unit::Seconds, file.noted_seconds_ago)]);
    let columns = vec![Column::of_names("File"), Column::of(Unit::Seconds, "Known for")];
    Table { name: "unmatched", caption: UNMATCHED.to_owned(), columns, rows: rows.collect() }
}

fn runs(loads: &Loads) -> Table {
    let rows = loads.runs.iter().map(|run| {
        let took = run.took_seconds.map_or_else(Cell::none, |seconds| Cell::short(Unit::Seconds, seconds));
        let status = Cell::name(&run.status).toned(tone(&run.status)).with(&run.message);
        vec![Cell::name(&run.started_at), status, took]
    });
    let columns = vec![Column::of_names("Began (UTC)"), Column::of_names("Status"), Column::of(Unit::Seconds, "Took")];
    Table { name: "loads", caption: "Loads".to_owned(), columns, rows: rows.collect() }
}

/// That of a run's status, which is not told by its colour alone.
pub(crate) fn tone(status: &Text) -> &'static str {
    match status.whole() {
        "succeeded" => "good",
        "failed" | "interrupted" => "bad",
        _ => "soft",
    }
}

/// When a run ended.
pub(crate) fn when(run: &Run) -> String {
    match run.ended_seconds_ago {
        Some(seconds) => format!("{} ago", Unit::Seconds.short(seconds)),
        None => format!("since {} UTC", run.started_at.short()),
    }
}

fn balances(loads: &Loads) -> Table {
    let rows = loads.balances.iter().map(|balance| {
        let Balance { layer, table, rows_in, rows_out, duplicates, rejected, withdrawn, is_balanced } = balance;
        let figures = [rows_in, rows_out, duplicates, rejected, withdrawn].map(|rows| Cell::exact(Unit::Things, *rows));
        let is_balanced = match is_balanced {
            true => Cell::word("even").toned("good"),
            false => Cell::word("broken").toned("bad"),
        };
        [Cell::name(layer), Cell::name(table)].into_iter().chain(figures).chain([is_balanced]).collect()
    });
    let figures = ["In", "Out", "Duplicates", "Rejected", "Withdrawn"].map(|head| Column::of(Unit::Things, head));
    let names = ["Layer", "Table"].map(Column::of_names);
    Table {
        name: "balances",
        caption: format!("Balances of the last {BALANCED_RUNS} loads"),
        columns: names.into_iter().chain(figures).chain([Column::of_names("Balance")]).collect(),
        rows: rows.collect(),
    }
}

fn reasons(rejected: &[Rejected]) -> Table {
    let rows = rejected.iter().map(|row| {
        let found = if row.by_loader { "by the loader" } else { "by the functions" };
        vec![Cell::name(&row.reason), Cell::word(found), Cell::exact(Unit::Things, row.rows)]
    });
    let newest = Unit::Things.exact(MAX_REJECTED.unsigned_abs().into());
    let caption = format!("Rejected, by reason (newest {newest} records)");
    let columns = vec![Column::of_names("Reason"), Column::of_names("Found"), Column::of(Unit::Things, "Rows")];
    Table { name: "rejected", caption, columns, rows: rows.collect() }
}

fn per_slot(days: &Days, values: impl Iterator<Item = (Slot, u128)>) -> Vec<Option<u128>> {
    let mut by_slot = BTreeMap::<Slot, u128>::new();
    for (slot, value) in values {
        *by_slot.entry(slot).or_default() += value;
    }
    days.slots().iter().map(|slot| by_slot.get(slot).copied()).collect()
}

fn note(text: &str) -> Note {
    Note { text: text.to_owned(), is_wrong: false }
}

fn said(absent: Absent) -> Note {
    let is_wrong = matches!(absent, Absent::Away | Absent::TooSlow);
    let text = match absent {
        Absent::NotMade => {
            "This is made by the first load: run `trunkline load --now`, or wait for the next full hour."
        }
        Absent::Away => "This can't be read just now; the function's log says why. Try again.",
        Absent::TooSlow => "There was no answer in time. Try again, or ask for fewer days.",
        Absent::Unset(variable) => return note(&format!("This needs `{variable}`, which is not set.")),
    };
    Note { text: text.to_owned(), is_wrong }
}

#[cfg(test)]
mod tests {
    use super::TABLES;

    #[test]
    fn the_files_are_those_of_openapi() {
        let openapi = include_str!("../../../docs/openapi.yaml");
        let files: Vec<_> =
            openapi.lines().filter_map(|line| line.trim().strip_prefix("- ")?.strip_suffix(".csv")).collect();
        assert_eq!(files, TABLES);
    }
}
