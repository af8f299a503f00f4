//! How many records a second one core reads: `cargo run --release -p telecom --example parse_rate`.
#![expect(clippy::print_stdout, reason = "the figures are its output")]

use std::error::Error;
use std::hint::black_box;
use std::time::{Instant, SystemTime};

use telecom::{FileName, Provenance, RecordType, SourceId, Zone, csv, json};

/// Enough that the rows do not stay in the processor's caches.
const ROWS: u64 = 500_000;
/// The best of these is shown: the others were disturbed.
const PASSES: u32 = 5;

fn main() -> Result<(), Box<dyn Error>> {
    let cores = std::thread::available_parallelism()?;
    println!(
        "{} {}, {cores} cores, one used; best of {PASSES} passes over {ROWS} rows",
        std::env::consts::OS,
        std::env::consts::ARCH
    );
    for record_type in RecordType::ALL {
        measure(record_type)?;
    }
    Ok(())
}

fn measure(record_type: RecordType) -> Result<(), Box<dyn Error>> {
    let zone = Zone::default();
    let file = FileName::parse(&format!("cdr_{record_type}_20240101_120000.csv"))?;
    let provenance = Provenance::new(file, SourceId([7; 8]), SystemTime::now());
    let mut header = Vec::new();
    csv::write_header(&mut header, record_type);
    let header = csv::Header::parse(&header, record_type)?;
    let rows: Vec<Vec<u8>> = (0..ROWS).map(|number| row(record_type, number).into_bytes()).collect();
    let mut messages = Vec::new();
    let mut ends = Vec::new();

    best(&format!("{record_type}: CSV row to JSON message"), &mut || {
        let mut scratch = csv::Scratch::default();
        messages.clear();
        ends.clear();
        for (line, row) in (1..).zip(&rows) {
            let row = header.parse_row(row, &zone, &mut scratch)?;
            black_box(&row.msisdn().digits());
            row.write_json(&mut messages, &provenance, line);
            ends.push(messages.len());
        }
        Ok(())
    })?;
    best(&format!("{record_type}: JSON message to event"), &mut || {
        let mut start = 0;
        for &end in &ends {
            black_box(json::parse(&messages[start..end], record_type, &zone)?);
            start = end;
        }
        Ok(())
    })
}

fn best(name: &str, pass: &mut dyn FnMut() -> Result<(), Box<dyn Error>>) -> Result<(), Box<dyn Error>> {
    let mut best = f64::INFINITY;
    for _ in 0..PASSES {
        let start = Instant::now();
        pass()?;
        best = best.min(start.elapsed().as_secs_f64());
    }
    println!("{name}: {:.2} million rows/s", ROWS as f64 / best / 1e6);
    Ok(())
}

fn row(record_type: RecordType, number: u64) -> String {
    let msisdn = 27_820_000_000 + number * 7_919 % 10_000_000;
    let tower = number % 2_000 + 1;
    let time = format!("2024-01-{:02} {:02}:{:02}:{:02}", number % 31 + 1, number % 24, number % 60, number * 7 % 60);
    match record_type {
        RecordType::Data => {
            let (up, down) = (100_000 + number * 31 % 900_000, 100_000 + number * 37 % 900_000);
            format!("+{msisdn},{tower},{up},{down},video,41.202.45.12,https://www.example.com/watch/{number},{time}")
        }
        RecordType::Voice => format!("+{msisdn},{tower},voice,+27829876543,{},{time}", number % 1_800 + 1),
    }
}
