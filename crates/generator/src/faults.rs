//! The faults of a run. The seed alone decides them before anything is written: so the manifest is known before the
//! first file, and a resumed run makes the same mistakes.

use telecom::{Compression, RecordType};

use crate::draws::{Chance, Draws, Purpose};
use crate::plan::{Again, Plan};

/// The faults of one file.
#[derive(Default)]
pub(crate) struct FileFaults {
    /// Oddities that a reader must tolerate.
    pub(crate) shape: Shape,
    /// A fault that costs the file rows.
    pub(crate) damage: Option<Damage>,
    /// The same bytes again under another name.
    pub(crate) delivered_again: Option<Again>,
    /// Rows (0-based) to be made unusable, in order.
    pub(crate) bad_rows: Vec<BadRow>,
}

#[derive(Default)]
pub(crate) struct Shape {
    pub(crate) crlf: bool,
    pub(crate) byte_order_mark: bool,
    pub(crate) quoted: bool,
    /// Another order of the columns than the usual one.
    pub(crate) column_order: Option<Vec<usize>>,
    pub(crate) compression: Option<Compression>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Damage {
    Empty,
    HeaderOnly,
    BadHeader(HeaderDamage),
    /// The last row ends somewhere in its middle; the draw says where.
    Cut(u32),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeaderDamage {
    /// A column's name is not the one that it should be.
    Misspelt,
    /// A column is there twice.
    Repeated,
    /// The file begins with its first row, which therefore is taken for the header.
    Absent,
}

#[derive(Clone, Copy)]
pub(crate) struct BadRow {
    /// 0-based.
    pub(crate) row: u32,
    pub(crate) fault: RowFault,
    /// Chooses among the ways to make this fault.
    pub(crate) variant: u32,
}

/// How a row is made unusable: each named like the reason code under which it must be rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RowFault {
    BadMsisdn,
    BadNumber,
    BadQuote,
    BadTime,
    ControlCharacter,
    DayOutOfRange,
    FieldTooLong,
    InvalidUtf8,
    Negative,
    RowTooLong,
    TooLarge,
    UnknownType,
    UnterminatedQuote,
    WrongFieldCount,
}

/// Faults of rows and how often each is chosen. Over-long rows are rare because each is as long as hundreds of others.
const ROW_FAULTS: [(u32, RowFault); 14] = [
    (20, RowFault::BadMsisdn),
    (20, RowFault::BadNumber),
    (10, RowFault::BadQuote),
    (20, RowFault::BadTime),
    (10, RowFault::ControlCharacter),
    (10, RowFault::DayOutOfRange),
    (5, RowFault::FieldTooLong),
    (10, RowFault::InvalidUtf8),
    (20, RowFault::Negative),
    (2, RowFault::RowTooLong),
    (20, RowFault::TooLarge),
    (20, RowFault::UnknownType),
    (10, RowFault::UnterminatedQuote),
    (20, RowFault::WrongFieldCount),
];

/// Damage other than a cut, which is as frequent as all of these together.
const DAMAGES: [Damage; 5] = [
    Damage::Empty,
    Damage::HeaderOnly,
    Damage::BadHeader(HeaderDamage::Misspelt),
    Damage::BadHeader(HeaderDamage::Repeated),
    Damage::BadHeader(HeaderDamage::Absent),
];

/// How many oddities of shape share the probability of one.
const SHAPES: u64 = 5;

/// Damage to a whole file is this much rarer than other faults: it takes up to a thousand rows with it.
const DAMAGE_IS_RARER: u64 = 4;

impl RowFault {
    /// The reason code under which the row must be rejected.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::BadMsisdn => "bad_msisdn",
            Self::BadNumber => "bad_number",
            Self::BadQuote => "bad_quote",
            Self::BadTime => "bad_time",
            Self::ControlCharacter => "control_character",
            Self::DayOutOfRange => "day_out_of_range",
            Self::FieldTooLong => "field_too_long",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::Negative => "negative",
            Self::RowTooLong => "row_too_long",
            Self::TooLarge => "too_large",
            Self::UnknownType => "unknown_type",
            Self::UnterminatedQuote => "unterminated_quote",
            Self::WrongFieldCount => "wrong_field_count",
        }
    }
}

impl Damage {
    /// Its name in the manifest.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::HeaderOnly => "header_only",
            Self::BadHeader(_) => "bad_header",
            Self::Cut(_) => "cut",
        }
    }
}

impl FileFaults {
    /// The faults of a set's file of one type.
    pub(crate) fn of(plan: &Plan, record_type: RecordType, set: u64) -> Self {
        if plan.faults <= 0.0 {
            return Self::default();
        }
        let purpose = match record_type {
            RecordType::Data => Purpose::DataFaults,
            RecordType::Voice => Purpose::VoiceFaults,
        };
        let mut draws = plan.draws(purpose, set);
        let chance = Chance::new(plan.faults);
        let shape = Shape::draw(&mut draws, chance.one_in(SHAPES), record_type.columns().len());
        let damage = draws.hits(chance.one_in(DAMAGE_IS_RARER)).then(|| match draws.below(2) {
            0 => Damage::Cut(draws.bits()),
            _ => draws.one_of(&DAMAGES),
        });
        let delivered_again = draws.hits(chance).then(|| draws.one_of(&[Again::Soon, Again::Late]));
        let rows = match damage {
            None => plan.rows_in(set),
            Some(Damage::Cut(_)) => plan.rows_in(set) - 1,
            Some(_) => 0,
        };
        let mut bad_rows = Vec::new();
        for row in 0..rows {
            if draws.hits(chance) {
                bad_rows.push(BadRow { row, fault: draws.weighted(&ROW_FAULTS), variant: draws.bits() });
            }
        }
        Self { shape, damage, delivered_again, bad_rows }
    }

    /// Whether the file is to be left as it is.
    pub(crate) fn is_none(&self) -> bool {
        self.shape.names().is_empty() && self.damage.is_none() && self.bad_rows.is_empty()
    }
}

impl Shape {
    fn draw(draws: &mut Draws, chance: Chance, columns: usize) -> Self {
        Self {
            crlf: draws.hits(chance),
            byte_order_mark: draws.hits(chance),
            quoted: draws.hits(chance),
            column_order: draws.hits(chance).then(|| shuffled(draws, columns)),
            compression: draws.hits(chance).then(|| draws.one_of(&[Compression::Gzip, Compression::Zstd])),
        }
    }

    /// The oddities, by name.
    pub(crate) fn names(&self) -> Vec<&'static str> {
        let compression = match self.compression {
            Some(Compression::Gzip) => "gzip",
            Some(Compression::Zstd) => "zstd",
            None => "",
        };
        [
            (self.crlf, "crlf"),
            (self.byte_order_mark, "byte_order_mark"),
            (self.quoted, "quoted"),
            (self.column_order.is_some(), "column_order"),
            (self.compression.is_some(), compression),
        ]
        .into_iter()
        .filter_map(|(is_there, name)| is_there.then_some(name))
        .collect()
    }

    /// What the file's name has after `.csv`.
    pub(crate) fn suffix(&self) -> &'static str {
        match self.compression {
            Some(Compression::Gzip) => ".gz",
            Some(Compression::Zstd) => ".zst",
            None => "",
        }
    }
}

/// `0..n` in another order than the usual one.
fn shuffled(draws: &mut Draws, n: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    for last in (1..n).rev() {
        order.swap(last, draws.below(last as u32 + 1) as usize);
    }
    if order.is_sorted() {
        order.reverse();
    }
    order
}
