use sftp::{Entry, Stat};
use telecom::FileName;

/// A file that can be copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Delivered {
    pub(crate) name: FileName,
    pub(crate) stat: Stat,
}

/// What lies in the folder of deliveries.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Folder {
    /// In chronological order, by the time in the name.
    pub(crate) ready: Vec<Delivered>,
    /// Files that may still be written to.
    pub(crate) settling: u64,
    /// Names that mean nothing here.
    pub(crate) unmatched: Vec<String>,
}

impl Folder {
    /// Tells what is ready at `now` (seconds since 1970) from what is not.
    pub(crate) fn sort(entries: Vec<Entry>, now: u64, settle_s: u64) -> Self {
        let mut folder = Self::default();
        for Entry { name, size, mtime } in entries {
            if is_temporary(&name) {
                continue;
            }
            let Ok(name) = FileName::parse(&name) else {
                folder.unmatched.push(name);
                continue;
            };
            // Without a wait the server's clock does not matter, so it may be fast.
            if settle_s == 0 || mtime.saturating_add(settle_s) <= now {
                folder.ready.push(Delivered { name, stat: Stat { size, mtime } });
            } else {
                folder.settling += 1;
            }
        }
        folder.ready.sort_by_key(|file| file.name);
        folder.unmatched.sort();
        folder
    }
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
    fn ready_files_in_chronological_order() {
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
        let show = |settle_s| {
            let folder = Folder::sort(entries.to_vec(), 1_000, settle_s);
            let ready: Vec<_> = folder.ready.iter().map(|file| format!("{} {}", file.name, file.stat.size)).collect();
            format!("{}\nsettling {}, unmatched {:?}\n", ready.join("\n"), folder.settling, folder.unmatched)
        };
        expect![[r#"
            cdr_data_20231231_235959.csv.zst 40
            cdr_data_20240101_000000.csv 30
            cdr_voice_20240101_000000.csv 10
            cdr_data_20240102_000000.csv.gz 0
            settling 2, unmatched ["README", "cdr_data_20240132_000000.csv"]
        "#]]
        .assert_eq(&show(60));
        expect![[r#"
            cdr_data_20231231_235959.csv.zst 40
            cdr_data_20240101_000000.csv 30
            cdr_voice_20240101_000000.csv 10
            cdr_data_20240102_000000.csv.gz 0
            cdr_data_20240103_000000.csv 50
            cdr_data_20240104_000000.csv 60
            settling 0, unmatched ["README", "cdr_data_20240132_000000.csv"]
        "#]]
        .assert_eq(&show(0));
    }
}
