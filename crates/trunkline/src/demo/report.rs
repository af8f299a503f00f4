//! What a run of the demo came to: the table for people and the JSON of `--report`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::figures::{Api, FileFigures, grouped, line};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Totals {
    pub(crate) rows: u64,
    pub(crate) accepted: u64,
    pub(crate) rejected: u64,
    pub(crate) duplicates: u64,
    pub(crate) counted: u64,
}

impl Totals {
    pub(crate) fn of(files: &[FileFigures]) -> Self {
        files.iter().fold(Self::default(), |sum, file| Self {
            rows: sum.rows + file.rows,
            accepted: sum.accepted + file.accepted,
            rejected: sum.rejected + file.rejected,
            duplicates: sum.duplicates + file.duplicates,
            counted: sum.counted + file.counted,
        })
    }
}

/// When each stage had done its last piece, from the demo's point of view. The stages overlap: files are fetched while
/// others are still made, and rows are counted while files are still read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stages {
    pub(crate) counting: Counting,
    /// From the first upload to the last record of any topic in the lake, and the last customer in its table.
    pub(crate) lake: Duration,
    /// Loading the lake into the warehouse, and building the models: it overlaps with nothing.
    pub(crate) load: Duration,
    /// From the start of the program, services included.
    pub(crate) total: Duration,
}

/// What the call records took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counting {
    /// Rows of files that an earlier run on the same folder had already read.
    pub(crate) rows_before: u64,
    pub(crate) first_upload: Instant,
    /// Making the files and uploading them.
    pub(crate) generate: Duration,
    /// From the first upload to the last file's rows on their topic.
    pub(crate) ingest: Duration,
    /// From the first upload to the last row counted.
    pub(crate) count: Duration,
}

#[derive(Serialize)]
pub(crate) struct Report<'a> {
    api: &'a Api,
    files: &'a [FileFigures],
    totals: Totals,
    load: &'a lake_loader::Report,
    seconds: BTreeMap<&'static str, f64>,
    rows_per_second: BTreeMap<&'static str, u64>,
    versions: BTreeMap<&'static str, String>,
}

impl<'a> Report<'a> {
    pub(crate) fn new(
        api: &'a Api,
        files: &'a [FileFigures],
        load: &'a lake_loader::Report,
        stages: Stages,
        versions: BTreeMap<&'static str, String>,
    ) -> Self {
        let totals = Totals::of(files);
        let counting = stages.counting;
        let rows = totals.rows - counting.rows_before;
        let stages = [
            ("generate", counting.generate),
            ("ingest", counting.ingest),
            ("count", counting.count),
            ("lake", stages.lake),
            ("load", stages.load),
            ("total", stages.total),
        ];
        Self {
            api,
            files,
            totals,
            load,
            seconds: stages.iter().map(|&(name, time)| (name, milliseconds(time) / 1000.0)).collect(),
            rows_per_second: stages.iter().map(|&(name, time)| (name, rate(rows, time))).collect(),
            versions,
        }
    }

    /// The closing table.
    pub(crate) fn table(&self) -> String {
        let Totals { rows, accepted, rejected, duplicates, counted } = self.totals;
        let mut table = String::new();
        let figures = [
            ("files", self.files.len() as u64),
            ("rows", rows),
            ("accepted", accepted),
            ("rejected", rejected),
            ("duplicates", duplicates),
            ("counted", counted),
        ];
        for (name, figure) in figures {
            table.push_str(&line(name, &grouped(figure), ""));
        }
        for (stage, seconds) in &self.seconds {
            let rate = format!("{} rows/s", grouped(self.rows_per_second[stage]));
            table.push_str(&line(&format!("{stage} seconds"), &format!("{seconds:.1}"), &rate));
        }
        table.push('\n');
        table.push_str(&crate::load::table(self.load));
        table
    }
}

fn milliseconds(time: Duration) -> f64 {
    u32::try_from(time.as_millis()).map_or(f64::MAX, f64::from)
}

/// Whole rows a second; 0 where no time passed that could be measured.
fn rate(rows: u64, time: Duration) -> u64 {
    let rate = u128::from(rows) * 1_000_000 / time.as_micros().max(1);
    if time.is_zero() { 0 } else { u64::try_from(rate).unwrap_or(u64::MAX) }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use lake_loader::{ModelReport, StreamReport};

    use super::*;

    #[test]
    fn the_table_and_the_json_tell_the_same() {
        let file = |name: &str, duplicates, counted| FileFigures {
            name: name.to_owned(),
            rows: 1000,
            accepted: 990,
            rejected: 10,
            duplicates,
            counted,
            ..FileFigures::default()
        };
        let files = [file("a.csv", 0, 990), file("b.csv", 990, 0)];
        let api = Api { url: "http://127.0.0.1:1".into(), user: "demo".into(), password: "p".into() };
        let stages = Stages {
            counting: Counting {
                rows_before: 0,
                first_upload: Instant::now(),
                generate: Duration::from_millis(500),
                ingest: Duration::from_secs(1),
                count: Duration::from_secs(2),
            },
            lake: Duration::from_secs(3),
            load: Duration::from_secs(1),
            total: Duration::from_secs(4),
        };
        let stream = StreamReport {
            table: "cdr_data.data".into(),
            chunks: 3,
            bytes: 2_100_000,
            records: 2000,
            accepted: 1990,
            stored: 1990,
            rejected: 10,
            ..StreamReport::default()
        };
        let model = |name: &str, rows| ModelReport {
            name: name.into(),
            action: "table".into(),
            rows,
            tests: 3,
            duration_ms: 1200,
        };
        let load = lake_loader::Report {
            status: lake_loader::Status::Succeeded,
            left: None,
            streams: vec![stream],
            lanes: Vec::new(),
            models: vec![model("stg_calls", 0), model("usage_15min", 500)],
            duration_ms: 2000,
        };
        let report = Report::new(&api, &files, &load, stages, BTreeMap::from([("trunkline", "0.1.0".to_owned())]));
        // Not `expect!`, which takes off the indentation that the table has.
        let table = [
            "  files                              2",
            "  rows                           2,000",
            "  accepted                       1,980",
            "  rejected                          20",
            "  duplicates                       990",
            "  counted                          990",
            "  count seconds                    2.0   1,000 rows/s",
            "  generate seconds                 0.5   4,000 rows/s",
            "  ingest seconds                   1.0   2,000 rows/s",
            "  lake seconds                     3.0   666 rows/s",
            "  load seconds                     1.0   2,000 rows/s",
            "  total seconds                    4.0   500 rows/s",
            "",
            "  cdr_data.data                  1,990   rows of 2,000 records, 2,100 kB (chunks 3; duplicates 0, rejected 10, missing 0)",
            "  usage_15min                      500   rows written in 1,200 ms (tests passed 3)",
        ];
        assert_eq!(report.table().lines().collect::<Vec<_>>(), table);
        let json = serde_json::to_value(&report).expect("JSON");
        expect![[r#"{"accepted":1980,"counted":990,"duplicates":990,"rejected":20,"rows":2000}"#]]
            .assert_eq(&json["totals"].to_string());
        let files = &json["files"];
        assert_eq!((&files[1]["name"], &files[1]["duplicates"]), (&"b.csv".into(), &990.into()));
        assert_eq!((&files[0]["counted"], &files[0]["state"]), (&990.into(), &"counted".into()));
    }
}
