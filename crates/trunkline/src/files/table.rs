//! Files' books, for people.

use crate::figures::{FileFigures, age, grouped};

const COLUMNS: [&str; 10] =
    ["rows", "continued", "accepted", "rejected", "waiting", "counted", "duplicates", "withdrawn", "versions", "age"];

const VERDICTS: [(&str, &str); 3] = [
    ("accept", "its rows count, too"),
    ("replace", "its rows count, and those of the other are taken back"),
    ("drop", "its rows do not count"),
];

/// One line a file.
pub(super) fn table(files: &[FileFigures]) -> String {
    let row = |state: &str, cells: &[String], name: &str| {
        let cells: String = cells.iter().map(|cell| format!("  {cell:>10}")).collect();
        format!("{state:<10}{cells}  {name}\n")
    };
    let header = row("state", &COLUMNS.map(str::to_owned), "file");
    let rows = files.iter().map(|file| row(&file.state.to_string(), &figures(file), &file.name));
    let in_need = files.iter().filter(|file| file.state.needs_a_person()).count();
    let closing = format!("{} files, {in_need} of them need a person\n", grouped(files.len() as u64));
    [header].into_iter().chain(rows).chain([closing]).collect()
}

/// Everything about one file.
pub(super) fn details(file: &FileFigures) -> String {
    let mut lines = vec![file.name.clone(), format!("  {:<12}{:>12}", "state", file.state)];
    let figures = COLUMNS.into_iter().zip(figures(file));
    lines.extend(figures.map(|(column, figure)| format!("  {column:<12}{figure:>12}")));
    if file.filtered > 0 {
        lines.push(format!("  {:<12}{:>12}", "filtered", grouped(file.filtered)));
    }
    lines.extend(file.reasons.iter().map(|(reason, rows)| format!("  rejected for {reason}: {}", grouped(*rows))));
    lines.extend(file.versions.iter().map(|version| {
        let (rows, bytes) = (grouped(version.rows), grouped(version.bytes));
        format!("  version {}: {}, {rows} rows, {bytes} bytes", version.key, version.state)
    }));
    if let Some(conflict) = &file.conflict {
        lines.push(format!("  {} waits: {}", conflict.version, conflict.why()));
        lines.extend(VERDICTS.map(|(verb, what)| format!("    trunkline files {verb} {}: {what}", file.name)));
    }
    if file.is_account_closed {
        lines.push("  counted, duplicates and withdrawn are not known any more: they are kept for 35 days".to_owned());
    }
    lines.join("\n") + "\n"
}

fn figures(file: &FileFigures) -> [String; COLUMNS.len()] {
    let known = |figure: u64| if file.is_account_closed { "-".to_owned() } else { grouped(figure) };
    [
        grouped(file.rows),
        grouped(file.continued),
        grouped(file.accepted),
        grouped(file.rejected),
        grouped(file.waiting),
        known(file.counted),
        known(file.duplicates),
        known(file.withdrawn),
        grouped(file.versions.len() as u64),
        age(file.age_s),
    ]
}
