use std::collections::HashMap;

use lake::registers::Stat;
use sftp::Entry;
use telecom::FileName;

use crate::known::Brief;
use crate::ready::Ready;

/// A file as it lies in the folder of deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Delivered {
    pub(crate) name: FileName,
    pub(crate) stat: Stat,
    /// Nobody has written to it for so long that it may be taken.
    pub(crate) is_settled: bool,
    /// Nobody has written to it for so long that its last line is whole, also without a line end.
    pub(crate) is_still: bool,
}

/// What is to be done about a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// It is new.
    Land,
    /// It has grown, or its last line is to be taken as it is.
    Grow,
    /// It is another than before, or was only touched.
    LandAgain,
    /// It may still be written to.
    Settle,
    /// All of it has been taken but a last line without a line end.
    WaitForLine,
    Nothing,
}

impl Plan {
    /// Whether something of the file is to be taken.
    pub(crate) fn takes(self) -> bool {
        matches!(self, Self::Land | Self::Grow | Self::LandAgain)
    }
}

/// How it is told that a file is whole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience<'a> {
    pub(crate) ready: &'a Ready,
    /// For how long nobody must have written to a file.
    pub(crate) settle_s: u64,
    /// The same, for a last line without a line end.
    pub(crate) last_line_s: u64,
}

impl Delivered {
    /// What is to be done about it, by what is known of it.
    pub(crate) fn plan(&self, known: Option<Brief>) -> Plan {
        let Some(brief) = known else { return if self.is_settled { Plan::Land } else { Plan::Settle } };
        let has_more = self.stat.size > brief.bytes;
        let may_grow = brief.may_grow && has_more;
        if self.stat == brief.stat {
            return match self.is_still {
                true if may_grow => Plan::Grow,
                true if brief.is_withdrawn && has_more => Plan::LandAgain,
                false if may_grow || brief.is_withdrawn && has_more => Plan::WaitForLine,
                _ => Plan::Nothing,
            };
        }
        if may_grow {
            return Plan::Grow;
        }
        if brief.is_undecided || brief.may_grow_then && has_more {
            return Plan::Nothing;
        }
        if self.is_settled { Plan::LandAgain } else { Plan::Settle }
    }
}

/// Tells files of call detail records, in chronological order by the time in the name, from names that mean nothing here.
/// `now` is in seconds since 1970.
pub(crate) fn sort(entries: Vec<Entry>, now: u64, patience: Patience<'_>) -> (Vec<Delivered>, Vec<String>) {
    let (mut named, mut unmatched) = (Vec::new(), Vec::new());
    let mut markers: HashMap<FileName, u64> = HashMap::new();
    for Entry { name, size, mtime } in entries {
        if is_temporary(name.rsplit('/').next().unwrap_or_default()) {
            continue;
        }
        if let Some(marked) = patience.ready.marked(&name) {
            markers.insert(marked, mtime);
        } else if let Ok(name) = FileName::parse(&name) {
            named.push((name, Stat { size, mtime }));
        } else {
            unmatched.push(name);
        }
    }
    let delivered = |(name, stat): (FileName, Stat)| {
        // Without a wait the server's clock does not matter, so it may be fast.
        let has_lain = |wait_s: u64| wait_s == 0 || stat.mtime.saturating_add(wait_s) <= now;
        let (is_settled, is_still) = match patience.ready {
            Ready::Settle => (has_lain(patience.settle_s), has_lain(patience.last_line_s)),
            Ready::Rename => (true, true),
            Ready::Marker(_) => {
                // One that is older than the file belongs to what had the name before.
                let is_marked = markers.get(&name).is_some_and(|written| *written >= stat.mtime);
                (is_marked, is_marked)
            }
        };
        Delivered { name, stat, is_settled, is_still }
    };
    let mut files: Vec<Delivered> = named.into_iter().map(delivered).collect();
    files.sort_by_key(|file| file.name);
    unmatched.sort();
    (files, unmatched)
}

/// What senders call files that they have not finished.
fn is_temporary(name: &str) -> bool {
    name.starts_with('.') || name.ends_with(".tmp") || name.ends_with(".part")
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn files_in_chronological_order() {
        let entries = [
            ("cdr_voice_20240101_000000.csv", 10, 900),
            ("cdr_data_20240102_000000.csv.gz", 0, 940),
            ("cdr_data_20240101_000000.csv", 30, 100),
            ("cdr_data_20231231_235959.csv.zst", 40, 940),
            ("cdr_data_20240103_000000.csv", 50, 941),
            ("cdr_data_20240104_000000.csv", 60, 5_000),
            ("cdr_data_20240104_000000.csv.tmp", 1, 0),
            ("cdr_data_20240104_000000.csv.part", 1, 0),
            (".cdr_data_20240104_000000.csv", 1, 0),
            ("cdr_data_20240132_000000.csv", 1, 0),
            ("README", 1, 0),
        ];
        let entries = entries.map(|(name, size, mtime)| Entry { name: name.to_owned(), size, mtime });
        let show = |settle_s, last_line_s| {
            let patience = Patience { ready: &Ready::Settle, settle_s, last_line_s };
            let (files, unmatched) = sort(entries.to_vec(), 1_000, patience);
            let show = |file: &Delivered| format!("{} {} {}", file.name, file.is_settled, file.is_still);
            let files: Vec<_> = files.iter().map(show).collect();
            format!("{}\nunmatched {unmatched:?}\n", files.join("\n"))
        };
        expect![[r#"
            cdr_data_20231231_235959.csv.zst true false
            cdr_data_20240101_000000.csv true true
            cdr_voice_20240101_000000.csv true false
            cdr_data_20240102_000000.csv.gz true false
            cdr_data_20240103_000000.csv false false
            cdr_data_20240104_000000.csv false false
            unmatched ["README", "cdr_data_20240132_000000.csv"]
        "#]]
        .assert_eq(&show(60, 900));
        assert!(show(0, 0).lines().take(6).all(|line| line.ends_with("true true")));
    }

    #[test]
    fn files_that_are_whole_when_they_appear() {
        let entries = [
            ("cdr_data_20240101_000000.csv", 999),
            ("cdr_data_20240101_000000.csv.done", 999),
            ("cdr_data_20240102_000000.csv.gz", 10),
            ("cdr_data_20240103_000000.csv", 998),
            ("cdr_data_20240103_000000.csv.done", 997),
            ("README.done", 1),
            ("cdr_data_20240104_000000.csv.part", 1),
        ];
        let entries = entries.map(|(name, mtime)| Entry { name: name.to_owned(), size: 1, mtime });
        let show = |ready| {
            let (files, unmatched) =
                sort(entries.to_vec(), 1_000, Patience { ready: &ready, settle_s: 60, last_line_s: 900 });
            let show = |file: &Delivered| format!("{} {} {}\n", file.name, file.is_settled, file.is_still);
            format!("{}unmatched {unmatched:?}\n", files.iter().map(show).collect::<String>())
        };
        expect![[r#"
            cdr_data_20240101_000000.csv true true
            cdr_data_20240102_000000.csv.gz true true
            cdr_data_20240103_000000.csv true true
            unmatched ["README.done", "cdr_data_20240101_000000.csv.done", "cdr_data_20240103_000000.csv.done"]
        "#]]
        .assert_eq(&show(Ready::Rename));
        expect![[r#"
            cdr_data_20240101_000000.csv true true
            cdr_data_20240102_000000.csv.gz false false
            cdr_data_20240103_000000.csv false false
            unmatched ["README.done"]
        "#]]
        .assert_eq(&show(Ready::Marker(".done".to_owned())));
    }

    #[test]
    fn plans() {
        let stat = |size, mtime| Stat { size, mtime };
        let name = FileName::parse("cdr_data_20240101_000000.csv").unwrap();
        let file = |size, mtime, is_settled| Delivered { name, stat: stat(size, mtime), is_settled, is_still: false };
        let brief = Brief {
            stat: stat(100, 5),
            bytes: 90,
            may_grow: true,
            waits: false,
            may_grow_then: false,
            is_undecided: false,
            is_withdrawn: false,
        };
        assert_eq!(file(100, 5, true).plan(None), Plan::Land);
        assert_eq!(file(100, 5, false).plan(None), Plan::Settle);
        assert_eq!(file(100, 5, true).plan(Some(brief)), Plan::WaitForLine);
        assert_eq!(Delivered { is_still: true, ..file(100, 5, true) }.plan(Some(brief)), Plan::Grow);
        assert_eq!(file(100, 5, true).plan(Some(Brief { bytes: 100, ..brief })), Plan::Nothing);
        // What has grown is followed at once, what is another waits until it has settled.
        assert_eq!(file(110, 6, false).plan(Some(brief)), Plan::Grow);
        assert_eq!(file(80, 6, false).plan(Some(brief)), Plan::Settle);
        assert_eq!(file(80, 6, true).plan(Some(brief)), Plan::LandAgain);
        assert_eq!(file(110, 6, true).plan(Some(Brief { may_grow: false, ..brief })), Plan::LandAgain);
        // What is on its way comes first.
        assert_eq!(
            file(110, 6, true).plan(Some(Brief { may_grow: false, is_undecided: true, ..brief })),
            Plan::Nothing
        );
        // What was taken back with a line left behind it is taken as another version.
        let withdrawn = Brief { may_grow: false, is_withdrawn: true, ..brief };
        assert_eq!(file(100, 5, true).plan(Some(withdrawn)), Plan::WaitForLine);
        assert_eq!(Delivered { is_still: true, ..file(100, 5, true) }.plan(Some(withdrawn)), Plan::LandAgain);
        assert_eq!(file(90, 5, true).plan(Some(Brief { stat: stat(90, 5), ..withdrawn })), Plan::Nothing);
        let waiting = Brief { may_grow: false, waits: true, may_grow_then: true, ..brief };
        assert_eq!(file(110, 6, true).plan(Some(waiting)), Plan::Nothing);
        assert_eq!(file(80, 6, true).plan(Some(waiting)), Plan::LandAgain);
    }
}
