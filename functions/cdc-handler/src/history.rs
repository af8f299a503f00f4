//! Computes the versions of a row from its changes, in whatever order these came. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::change::Cell;
use crate::envelope::Op;
use crate::moment::{Moment, Position};

/// One version of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) moment: Moment,
    /// The operation's letter.
    pub(crate) op: String,
    /// A value for each of the table's columns.
    pub(crate) values: Vec<Option<String>>,
    /// Which of them the change left out.
    pub(crate) unchanged: Vec<bool>,
    /// The key that the row had before, if the change gave it another.
    pub(crate) base_key: Option<i64>,
    pub(crate) valid_from: Timestamp,
    pub(crate) valid_to: Option<Timestamp>,
    /// When an unusable change came: from then on, until the version ends, the row's values are unknown.
    pub(crate) stale_since: Option<Timestamp>,
}

impl Version {
    /// A version with the values of its change; what depends on other versions is still open.
    pub(crate) fn new(moment: Moment, op: Op, base_key: Option<i64>, cells: Vec<Cell>) -> Self {
        let unchanged = cells.iter().map(|cell| *cell == Cell::Unchanged).collect();
        let values = cells.into_iter().map(|cell| if let Cell::Value(value) = cell { value } else { None }).collect();
        let op = op.letter().to_owned();
        Self { moment, op, values, unchanged, base_key, valid_from: moment.at, valid_to: None, stale_since: None }
    }

    /// The key that the row had before the change. A created row was not there, unless the change gave it another key.
    pub(crate) fn base(&self, key: i64) -> Option<i64> {
        if self.op == Op::Created.letter() { self.base_key } else { Some(key) }
    }

    pub(crate) fn position(&self) -> Position {
        self.moment.position
    }
}

/// Versions by key and place.
pub(crate) type Versions = BTreeMap<i64, BTreeMap<Position, Version>>;

/// What ends rows, or makes their values unknown.
#[derive(Debug, Default)]
pub(crate) struct Ends {
    /// All rows end.
    pub(crate) truncations: Vec<Moment>,
    /// The row of a key ends.
    pub(crate) deletions: BTreeMap<i64, Vec<Moment>>,
    /// The row of a key has an unusable change.
    pub(crate) unusable: BTreeMap<i64, Vec<Moment>>,
}

impl Ends {
    fn of(&self, key: i64) -> impl Iterator<Item = &Moment> {
        self.truncations.iter().chain(self.deletions.get(&key).into_iter().flatten())
    }

    fn unusable_of(&self, key: i64) -> impl Iterator<Item = &Moment> {
        self.unusable.get(&key).into_iter().flatten()
    }

    /// Whether the row of a key that was there at an earlier place is gone at a later one.
    fn is_gone(&self, key: i64, since: Position, place: Position) -> bool {
        self.of(key).any(|end| since < end.position && end.position < place)
    }
}

/// Completes the versions of some rows from what is before and after. From the place `since` of each row on, no version
/// of it is missing.
///
/// - A value that a change left out is that of the row before it, under the key that it had then; NULL if there was no
///   such row, or if it is unknown. The row before may be among the `others`, which are complete and stay as they are.
/// - A version begins at its change's time, but not before its predecessor began, as clocks may be set back.
/// - It ends where the next one begins, or at an end (a deletion or truncation) between the two, but not before it
///   began.
/// - It is stale from the first unusable change on that came before its end.
///
/// A version before its row's `since` is complete except for its end. Returns how many versions took a value from an
/// unknown row.
pub(crate) fn complete(rows: &mut Versions, since: &BTreeMap<i64, Position>, others: &Versions, ends: &Ends) -> u64 {
    let places = since.iter().filter_map(|(key, place)| Some((*key, rows.get(key)?.range(*place..))));
    let mut places: Vec<_> = places.flat_map(|(key, row)| row.map(move |(place, _)| (*place, key))).collect();
    // A version takes values only from older ones, which are completed before it.
    places.sort_unstable();
    let mut incomplete = 0;
    for (place, key) in places {
        let Some(mut version) = rows.get_mut(&key).and_then(|row| row.remove(&place)) else { continue };
        let began = newest_before(rows, key, place).map(|before| before.valid_from);
        version.valid_from = began.map_or(version.moment.at, |began| began.max(version.moment.at));
        if version.unchanged.contains(&true) {
            let base = version.base(key).and_then(|base| row_before(rows, others, ends, base, place));
            incomplete += u64::from(base.is_none());
            for column in (0..version.values.len()).filter(|column| version.unchanged[*column]) {
                version.values[column] = base.and_then(|base| base.values[column].clone());
            }
        }
        rows.entry(key).or_default().insert(place, version);
    }
    for (key, row) in rows {
        let mut next = None;
        for version in row.values_mut().rev() {
            let (place, began) = (version.position(), version.valid_from);
            let is_between =
                |moment: &&Moment| moment.position > place && next.is_none_or(|(next, _)| moment.position < next);
            let is_there = |moment: &&Moment| !ends.is_gone(*key, place, moment.position);
            let ended = ends.of(*key).filter(is_between).map(|end| end.at.max(began)).min();
            let unusable = ends.unusable_of(*key).filter(is_between).filter(is_there);
            let stale_since = unusable.map(|unusable| unusable.at.max(began)).min();
            let valid_to = ended.into_iter().chain(next.map(|(_, valid_from)| valid_from)).min();
            version.valid_to = valid_to;
            version.stale_since = stale_since.map(|since| valid_to.map_or(since, |to| since.min(to)));
            next = Some((version.position(), version.valid_from));
        }
    }
    incomplete
}

/// Whether the row of a key was there just before a place: by a usable change, or by an unusable one.
pub(crate) fn is_known_before(rows: &Versions, ends: &Ends, key: i64, place: Position) -> bool {
    let version = newest_before(rows, key, place).map(Version::position);
    let unusable = ends.unusable_of(key).map(|unusable| unusable.position).filter(|unusable| *unusable < place);
    version.into_iter().chain(unusable).max().is_some_and(|newest| !ends.is_gone(key, newest, place))
}

/// The row of a key just before a place; `None` if it was not there, or is unknown.
fn row_before<'a>(
    rows: &'a Versions,
    others: &'a Versions,
    ends: &Ends,
    key: i64,
    place: Position,
) -> Option<&'a Version> {
    // If both have a version, the one among the rows counts: it has just been completed.
    let known = [newest_before(others, key, place), newest_before(rows, key, place)];
    let newest = known.into_iter().flatten().max_by_key(|version| version.position())?;
    let is_between = |moment: &Moment| newest.position() < moment.position && moment.position < place;
    let is_unknown = ends.of(key).chain(ends.unusable_of(key)).any(is_between);
    (!is_unknown).then_some(newest)
}

fn newest_before(versions: &Versions, key: i64, place: Position) -> Option<&Version> {
    versions.get(&key)?.range(..place).next_back().map(|(_, version)| version)
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

    fn told(value: Option<&str>) -> Vec<Cell> {
        vec![value.map_or(Cell::Unchanged, |value| Cell::Value(Some(value.to_owned())))]
    }

    fn version(lsn: i64, second: i64, value: Option<&str>) -> Version {
        Version::new(moment(lsn, second), Op::Updated, None, told(value))
    }

    /// A row that comes under this key.
    fn created(lsn: i64, base_key: Option<i64>, value: Option<&str>) -> Version {
        Version::new(moment(lsn, lsn * 10), Op::Created, base_key, told(value))
    }

    fn show(rows: &Versions) -> String {
        let show_version = |version: &Version| {
            let to = version.valid_to.map_or("…".to_owned(), |to| to.as_second().to_string());
            let value = version.values[0].as_deref().unwrap_or("NULL");
            let stale =
                version.stale_since.map_or(String::new(), |since| format!(" (stale since {})", since.as_second()));
            format!("{}–{to} {value}{stale}", version.valid_from.as_second())
        };
        let rows = rows.values().map(|row| row.values().map(show_version).collect::<Vec<_>>().join(", "));
        rows.collect::<Vec<_>>().join("; ")
    }

    /// Completes the versions of the rows 0, 1, … with the truncations and the deletions of these keys.
    fn check_rows(rows: Vec<Vec<Version>>, truncations: &[Moment], deletions: &[(i64, Moment)], expect: Expect) {
        let mut ends = Ends { truncations: truncations.to_vec(), ..Ends::default() };
        for (key, end) in deletions {
            ends.deletions.entry(*key).or_default().push(*end);
        }
        check_ends(rows, &ends, expect);
    }

    fn check_ends(rows: Vec<Vec<Version>>, ends: &Ends, expect: Expect) {
        let of_row = |row: Vec<Version>| row.into_iter().map(|version| (version.position(), version)).collect();
        let mut rows: Versions = (0..).zip(rows.into_iter().map(of_row)).collect();
        let beginning = moment(i64::MIN, 0).position;
        let since = rows.keys().map(|key| (*key, beginning)).collect();
        let incomplete = complete(&mut rows, &since, &Versions::new(), ends);
        let note = if incomplete == 0 { String::new() } else { format!(" ({incomplete} incomplete)") };
        expect.assert_eq(&(show(&rows) + &note));
        // To continue from a complete version gives the same as to begin from the first one.
        for (key, row) in &rows {
            let places: Vec<_> = row.keys().copied().collect();
            for places in places.windows(2) {
                let from_before = row.range(places[0]..).map(|(place, version)| (*place, version.clone())).collect();
                let mut again = Versions::from([(*key, from_before)]);
                let expected = again.clone();
                complete(&mut again, &BTreeMap::from([(*key, places[1])]), &rows, ends);
                assert_eq!(again, expected);
            }
        }
    }

    fn check(versions: Vec<Version>, ends: &[Moment], expect: Expect) {
        check_rows(vec![versions], ends, &[], expect);
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
        check(vec![version(1, 10, None)], &[], expect!["10–… NULL (1 incomplete)"]);
        check(
            vec![version(1, 10, Some("a")), version(2, 20, None), version(3, 30, None), version(4, 40, Some("b"))],
            &[],
            expect!["10–20 a, 20–30 a, 30–40 a, 40–… b"],
        );
    }

    #[test]
    fn nothing_is_taken_from_a_row_that_is_gone() {
        let versions = || vec![version(1, 10, Some("a")), version(5, 50, None)];
        check(versions(), &[moment(3, 30)], expect!["10–30 a, 50–… NULL (1 incomplete)"]);
        check_rows(vec![versions()], &[], &[(0, moment(3, 30))], expect!["10–30 a, 50–… NULL (1 incomplete)"]);
        check_rows(vec![versions()], &[], &[(1, moment(3, 30))], expect!["10–50 a, 50–… a"]);
        // A created row is another one, even if the end of the one before has not come yet.
        check(
            vec![version(1, 10, Some("a")), created(2, None, None)],
            &[],
            expect!["10–20 a, 20–… NULL (1 incomplete)"],
        );
    }

    #[test]
    fn a_changed_key_takes_along_what_is_not_told() {
        let renumbered = || vec![created(1, None, Some("other")), created(5, Some(0), None), version(6, 60, None)];
        let row = || vec![version(2, 20, Some("a")), version(4, 40, None), version(7, 70, Some("later"))];
        let ends = [(1, moment(3, 30)), (0, moment(5, 50))];
        check_rows(
            vec![row(), renumbered()],
            &[],
            &ends,
            expect!["20–40 a, 40–50 a, 70–… later; 10–30 other, 50–60 a, 60–… a"],
        );
        check_rows(
            vec![vec![], renumbered()],
            &[],
            &ends,
            expect!["; 10–30 other, 50–60 NULL, 60–… NULL (1 incomplete)"],
        );
        check_rows(
            vec![vec![version(1, 10, Some("a"))], vec![created(5, Some(0), None)]],
            &[moment(3, 30)],
            &ends,
            expect!["10–30 a; 50–… NULL (1 incomplete)"],
        );
    }

    #[test]
    fn rows_may_swap_their_keys() {
        // 0 → 2, 1 → 0, 2 → 1.
        check_rows(
            vec![
                vec![version(1, 10, Some("a")), created(4, Some(1), None)],
                vec![version(2, 20, Some("b")), created(5, Some(2), None)],
                vec![created(3, Some(0), None)],
            ],
            &[],
            &[(0, moment(3, 30)), (1, moment(4, 40)), (2, moment(5, 50))],
            expect!["10–30 a, 40–… b; 20–40 b, 50–… a; 30–50 a"],
        );
    }

    #[test]
    fn after_a_change_that_could_not_be_used_a_row_is_not_known() {
        let check = |unusable: &[Moment], deletions: &[Moment], expect: Expect| {
            let of = |moments: &[Moment]| BTreeMap::from([(0, moments.to_vec())]);
            let ends = Ends { truncations: Vec::new(), deletions: of(deletions), unusable: of(unusable) };
            let versions = vec![version(1, 10, Some("a")), version(5, 50, None), version(6, 60, Some("c"))];
            check_ends(vec![versions], &ends, expect);
        };
        check(&[moment(3, 30)], &[], expect!["10–50 a (stale since 30), 50–60 NULL, 60–… c (1 incomplete)"]);
        check(
            &[moment(4, 40), moment(3, 30)],
            &[],
            expect!["10–50 a (stale since 30), 50–60 NULL, 60–… c (1 incomplete)"],
        );
        check(&[moment(7, 70)], &[], expect!["10–50 a, 50–60 a, 60–… c (stale since 70)"]);
        check(&[moment(5, 50)], &[], expect!["10–50 a, 50–60 a, 60–… c"]);
        // A row that came and went unknown in between.
        check(&[moment(8, 80)], &[moment(7, 70)], expect!["10–50 a, 50–60 a, 60–70 c"]);
        check(&[moment(7, 70)], &[moment(8, 80)], expect!["10–50 a, 50–60 a, 60–80 c (stale since 70)"]);
        check(&[moment(7, 90)], &[moment(8, 80)], expect!["10–50 a, 50–60 a, 60–80 c (stale since 80)"]);
    }

    #[test]
    fn a_row_is_known_where_it_was_told_or_changed() {
        let rows = Versions::from([(0, BTreeMap::from([(moment(2, 20).position, version(2, 20, Some("a")))]))]);
        let unusable = BTreeMap::from([(1, vec![moment(2, 20)])]);
        let mut ends = Ends { unusable, ..Ends::default() };
        let known = |ends: &Ends| [0, 1, 2].map(|key| is_known_before(&rows, ends, key, moment(5, 50).position));
        assert_eq!(known(&ends), [true, true, false]);
        ends.truncations = vec![moment(5, 50)];
        assert_eq!(known(&ends), [true, true, false]);
        ends.truncations = vec![moment(3, 30)];
        assert_eq!(known(&ends), [false, false, false]);
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
