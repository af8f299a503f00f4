//! How the versions of a row follow from its changes, in whatever order these came. Pure.

use jiff::Timestamp;

use crate::change::Cell;
use crate::moment::{Moment, Position};

/// One version of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) moment: Moment,
    /// The operation's letter.
    pub(crate) op: String,
    /// A value for each of the table's columns.
    pub(crate) values: Vec<Option<String>>,
    /// Which of them the change did not tell.
    pub(crate) unchanged: Vec<bool>,
    pub(crate) valid_from: Timestamp,
    pub(crate) valid_to: Option<Timestamp>,
}

impl Version {
    /// A version as its change tells it; what depends on others is not known yet.
    pub(crate) fn new(moment: Moment, op: &str, cells: Vec<Cell>) -> Self {
        let unchanged = cells.iter().map(|cell| *cell == Cell::Unchanged).collect();
        let values = cells.into_iter().map(|cell| if let Cell::Value(value) = cell { value } else { None }).collect();
        Self { moment, op: op.to_owned(), values, unchanged, valid_from: moment.at, valid_to: None }
    }

    pub(crate) fn position(&self) -> Position {
        self.moment.position
    }
}

/// Completes the versions of one row, which ascend and have no gaps, by what is before and after each:
///
/// - what a change did not tell is the value of the version before, NULL if there is none;
/// - a version begins at its change's time, but not before the one before it began, as clocks may be set back;
/// - it ends where the next one begins, or where an end (a deletion or truncation) between the two says, but not before
///   it began.
///
/// If the first one is `settled`, it has all of that but its end: what was before it is already in it. Of the ends those
/// before the first version don't matter.
pub(crate) fn complete(versions: &mut [Version], is_first_settled: bool, ends: &[Moment]) {
    for index in 0..versions.len() {
        let (before, rest) = versions.split_at_mut(index);
        let version = &mut rest[0];
        if index == 0 && is_first_settled {
            continue;
        }
        let before = before.last();
        version.valid_from = before.map_or(version.moment.at, |before| before.valid_from.max(version.moment.at));
        for column in (0..version.values.len()).filter(|column| version.unchanged[*column]) {
            version.values[column] = before.and_then(|before| before.values[column].clone());
        }
    }
    for index in 0..versions.len() {
        let next = versions.get(index + 1).map(|next| (next.position(), next.valid_from));
        let version = &mut versions[index];
        let is_between = |end: &&Moment| {
            end.position > version.position() && next.is_none_or(|(position, _)| end.position < position)
        };
        let ended = ends.iter().filter(is_between).map(|end| end.at.max(version.valid_from)).min();
        let replaced = next.map(|(_, valid_from)| valid_from);
        version.valid_to = ended.into_iter().chain(replaced).min();
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    /// A moment at this place and second.
    fn moment(lsn: i64, second: i64) -> Moment {
        let position = Position { stream_lsn: lsn, is_streamed: true, source_lsn: lsn };
        Moment { position, at: Timestamp::from_second(second).unwrap() }
    }

    fn version(lsn: i64, second: i64, value: Option<&str>) -> Version {
        let cell = value.map_or(Cell::Unchanged, |value| Cell::Value(Some(value.to_owned())));
        Version::new(moment(lsn, second), "u", vec![cell])
    }

    fn check(mut versions: Vec<Version>, ends: &[Moment], expect: Expect) {
        complete(&mut versions, false, ends);
        let shown: Vec<_> = versions
            .iter()
            .map(|version| {
                let to = version.valid_to.map_or("…".to_owned(), |to| to.as_second().to_string());
                let value = version.values[0].as_deref().unwrap_or("NULL");
                format!("{}–{to} {value}", version.valid_from.as_second())
            })
            .collect();
        expect.assert_eq(&shown.join(", "));
        // Going on from a settled version is the same as beginning anew.
        for from in 1..versions.len() {
            let mut again = versions[from..].to_vec();
            complete(&mut again, true, ends);
            assert_eq!(again, versions[from..]);
        }
    }

    #[test]
    fn versions_follow_one_another() {
        check(vec![], &[], expect![""]);
        check(vec![version(1, 10, Some("a"))], &[], expect!["10–… a"]);
        check(vec![version(1, 10, Some("a")), version(2, 20, Some("b"))], &[], expect!["10–20 a, 20–… b"]);
        check(vec![version(1, 10, Some("a")), version(2, 10, Some("b"))], &[], expect!["10–10 a, 10–… b"]);
    }

    #[test]
    fn an_end_ends_what_was_there() {
        let versions = || vec![version(1, 10, Some("a")), version(5, 50, Some("b"))];
        check(versions(), &[moment(7, 70)], expect!["10–50 a, 50–70 b"]);
        check(versions(), &[moment(3, 30), moment(4, 40)], expect!["10–30 a, 50–… b"]);
        check(versions(), &[moment(0, 5)], expect!["10–50 a, 50–… b"]);
        check(versions(), &[moment(2, 60), moment(6, 20)], expect!["10–50 a, 50–50 b"]);
    }

    #[test]
    fn what_is_not_told_is_as_before() {
        check(vec![version(1, 10, None)], &[], expect!["10–… NULL"]);
        check(
            vec![version(1, 10, Some("a")), version(2, 20, None), version(3, 30, None), version(4, 40, Some("b"))],
            &[],
            expect!["10–20 a, 20–30 a, 30–40 a, 40–… b"],
        );
    }

    #[test]
    fn a_clock_that_is_set_back_makes_no_overlap() {
        check(
            vec![version(1, 10, Some("a")), version(2, 5, Some("b")), version(3, 20, Some("c"))],
            &[],
            expect!["10–10 a, 10–20 b, 20–… c"],
        );
    }
}
