#!/usr/bin/env bash
# One would guess: an L alone as the day of the week, which EventBridge and Quartz read as Saturday, the week's last day, is either
# read so or refused when the expression is parsed.
# What happens: croner parses it without an error, and the expression never fires: the search for its next moment goes through all
# years and ends with "time search limit exceeded". 7L, the last Saturday of each month, works, and so does L as the day of the month.
# Since: seen on croner 4.0.3, with EventBridge's numbers of the days (alternative_weekdays).
# Source: CronComponent::parse in src/component.rs takes a single L for any field that may have the last one of something, the day of
# the week too; the check of a day in src/pattern.rs asks for the last day of the month alone. EventBridge's user guide, "Cron
# expressions": L in the fields of both days.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir src
cat > Cargo.toml <<'TOML'
[package]
name = "last-weekday"
version = "0.0.0"
edition = "2021"

[dependencies]
croner = { version = "=4.0.3", default-features = false, features = ["jiff"] }
jiff = "=0.2.43"
TOML
cat > src/main.rs <<'RUST'
use croner::parser::{CronParser, Seconds, Year};

fn main() {
    let at: jiff::Zoned = "2024-02-28T12:00:00+00:00[UTC]".parse().unwrap();
    let parser = CronParser::builder().seconds(Seconds::Required).year(Year::Required).alternative_weekdays(true).build();
    for text in ["0 0 2 L * ? *", "0 0 2 ? * 7L *", "0 0 2 ? * 7 *", "0 0 2 ? * L *"] {
        let shown = match parser.parse(text) {
            Err(error) => format!("refused: {error}"),
            Ok(cron) => match cron.find_next_occurrence(&at, false) {
                Ok(next) => next.strftime("%A %F").to_string(),
                Err(error) => format!("parsed; {error}"),
            },
        };
        println!("    {text}: {shown}");
    }
}
RUST
CARGO_TARGET_DIR=$folder/target cargo run --quiet > seen
echo "croner 4.0.3, first moment after Wednesday 2024-02-28"
cat seen
diff seen - <<'SEEN'
    0 0 2 L * ? *: Thursday 2024-02-29
    0 0 2 ? * 7L *: Saturday 2024-03-30
    0 0 2 ? * 7 *: Saturday 2024-03-02
    0 0 2 ? * L *: parsed; CronScheduler time search limit exceeded.
SEEN
echo "as described"
