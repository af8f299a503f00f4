//! What the demo finds out, its report tells and `verify` judges.

use serde::Serialize;

/// Where the API answers, and to whom.
#[derive(Clone, Serialize)]
pub(crate) struct Api {
    pub(crate) url: String,
    pub(crate) user: String,
    pub(crate) password: String,
}

/// One delivered file. `rows = accepted + rejected` by `file-to-topic`; `accepted = counted + duplicates` by the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct FileFigures {
    pub(crate) name: String,
    pub(crate) rows: u64,
    pub(crate) accepted: u64,
    pub(crate) rejected: u64,
    pub(crate) duplicates: u64,
    #[serde(skip)]
    pub(crate) counted: u64,
}

/// A line of a table for people: what, how much, and what there is to say of it.
pub(crate) fn line(name: &str, figure: &str, note: &str) -> String {
    let text = format!("  {name:<24}{figure:>12}   {note}");
    format!("{}\n", text.trim_end())
}

/// 172800 as 172,800.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).unwrap_or_default()).collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_grouped() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
