//! A chunk's rows in memory: one vector per column.

use std::ops::Range;

use stream::Lane;
use telecom::{Action, EventTime};

use super::Row;
use crate::table::{Kind, LoadedTopic, Table};

/// The accepted rows of a chunk, in the order in which they were pushed.
///
/// A row of call data takes some 300 bytes ([`memory_bytes`](Self::memory_bytes) has the exact figure), so the 200,000
/// of a chunk some 60 MB.
#[derive(Debug)]
pub struct Columns {
    stream: LoadedTopic,
    action: Action,
    table: &'static Table,
    lane: Lane,
    /// The hour of each row's event: civil hours since 1970-01-01 00:00; 0 for a row without a time.
    hours: Vec<i32>,
    /// One per column of [`Table::record_columns`].
    cells: Vec<Cells>,
}

/// One column's values.
#[derive(Debug)]
pub(crate) struct Cells {
    /// Which rows have a value, if the column is nullable.
    present: Option<Vec<bool>>,
    /// A row without a value has an empty one here.
    values: Values,
}

/// Values in the type of the column's kind.
#[derive(Debug)]
pub(crate) enum Values {
    /// Text or bytes, one after the other, and where each ends.
    Bytes {
        all: Vec<u8>,
        ends: Vec<usize>,
    },
    /// Numbers; civil times and moments in microseconds since 1970.
    Numbers(Vec<i64>),
    Booleans(Vec<bool>),
}

/// One value of a row, to be pushed to its column.
#[derive(Debug)]
pub(crate) enum Value<'a> {
    Bytes(&'a [u8]),
    Number(i64),
    Boolean(bool),
}

impl Columns {
    /// No rows yet, for a lane of the stream's topic.
    pub fn new(stream: LoadedTopic, lane: &Lane) -> Self {
        Self::of(stream, Action::Count, stream.table(), lane)
    }

    /// No rows yet, for those that take others back; `None` if the stream has no such rows.
    pub fn withdrawn(stream: LoadedTopic, lane: &Lane) -> Option<Self> {
        stream.withdrawn_table().map(|table| Self::of(stream, Action::Withdraw, table, lane))
    }

    fn of(stream: LoadedTopic, action: Action, table: &'static Table, lane: &Lane) -> Self {
        let cells = table.record_columns().map(|column| Cells::new(column.kind, column.is_nullable)).collect();
        Self { stream, action, table, lane: lane.clone(), hours: Vec::new(), cells }
    }

    /// Adds a row of the same stream and action, whose offset is above those before.
    ///
    /// # Panics
    /// When the row goes to another table.
    pub fn push(&mut self, row: &Row<'_>) {
        assert_eq!((row.stream(), row.action()), (self.stream, self.action), "a row goes to its own table");
        self.hours.push(row.time().map_or(0, hour));
        let mut cells = self.cells.iter_mut();
        let mut next =
            |value: Option<Value<'_>>| cells.next().expect("a row has no more values than columns").push(value);
        row.values(&mut next);
        next(Some(Value::Number(self.lane.epoch.into())));
        next(Some(Value::Number(self.lane.partition.into())));
        next(Some(Value::Number(row.offset())));
        next(row.timestamp_us().map(Value::Number));
        assert!(cells.next().is_none(), "a row has a value for each column");
    }

    /// What they are rows of.
    pub fn stream(&self) -> LoadedTopic {
        self.stream
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.hours.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.hours.is_empty()
    }

    /// How much memory they use.
    pub fn memory_bytes(&self) -> usize {
        self.hours.capacity() * size_of::<i32>() + self.cells.iter().map(Cells::memory_bytes).sum::<usize>()
    }

    /// Where they go.
    pub fn table(&self) -> &'static Table {
        self.table
    }

    pub(crate) fn lane(&self) -> &Lane {
        &self.lane
    }

    pub(crate) fn hours(&self) -> &[i32] {
        &self.hours
    }

    pub(crate) fn cells(&self) -> &[Cells] {
        &self.cells
    }
}

impl Cells {
    fn new(kind: Kind, is_nullable: bool) -> Self {
        let values = match kind {
            Kind::Text | Kind::Bytes => Values::Bytes { all: Vec::new(), ends: Vec::new() },
            Kind::Integer | Kind::BigInt | Kind::CivilTime | Kind::Moment => Values::Numbers(Vec::new()),
            Kind::Boolean => Values::Booleans(Vec::new()),
        };
        Self { present: is_nullable.then(Vec::new), values }
    }

    fn push(&mut self, value: Option<Value<'_>>) {
        match &mut self.present {
            Some(present) => present.push(value.is_some()),
            None => assert!(value.is_some(), "a column that is not nullable has a value in each row"),
        }
        match (&mut self.values, value) {
            (Values::Bytes { all, ends }, value) => {
                match value {
                    Some(Value::Bytes(bytes)) => all.extend_from_slice(bytes),
                    None => {}
                    Some(other) => panic!("{other:?} is not text"),
                }
                ends.push(all.len());
            }
            (Values::Numbers(numbers), Some(Value::Number(number))) => numbers.push(number),
            (Values::Numbers(numbers), None) => numbers.push(0),
            (Values::Booleans(booleans), Some(Value::Boolean(boolean))) => booleans.push(boolean),
            (Values::Booleans(booleans), None) => booleans.push(false),
            (Values::Numbers(_) | Values::Booleans(_), Some(_)) => panic!("a value has its column's type"),
        }
    }

    /// Which rows have a value; `None` if all have one.
    pub(crate) fn present(&self) -> Option<&[bool]> {
        self.present.as_deref()
    }

    pub(crate) fn is_present(&self, row: usize) -> bool {
        self.present.as_ref().is_none_or(|present| present[row])
    }

    pub(crate) fn values(&self) -> &Values {
        &self.values
    }

    fn memory_bytes(&self) -> usize {
        let values = match &self.values {
            Values::Bytes { all, ends } => all.capacity() + ends.capacity() * size_of::<usize>(),
            Values::Numbers(numbers) => numbers.capacity() * size_of::<i64>(),
            Values::Booleans(booleans) => booleans.capacity(),
        };
        values + self.present.as_ref().map_or(0, Vec::capacity)
    }
}

/// The civil hours since 1970-01-01 00:00.
fn hour(time: EventTime) -> i32 {
    time.day.epoch_days() * 24 + i32::from(time.hour)
}

/// The range of a row's bytes within those of its column.
pub(crate) fn span(ends: &[usize], row: usize) -> Range<usize> {
    let start = row.checked_sub(1).map_or(0, |before| ends[before]);
    start..ends[row]
}
