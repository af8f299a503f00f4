//! Files from the programs that compress them, read as those programs read them.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use content::{Digest, Stored, Survey};
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use telecom::RecordType;

/// A program, its options, and what it writes.
struct Compressor {
    program: &'static str,
    options: &'static [&'static [&'static str]],
    stored: Stored,
}

const COMPRESSORS: [Compressor; 5] = [
    Compressor {
        program: "gzip",
        options: &[&["-1"], &["-6"], &["-9"], &["-n"], &["--rsyncable"]],
        stored: Stored::Gzip,
    },
    Compressor {
        program: "pigz",
        options: &[&["-1"], &["-p", "2", "-b", "128"], &["-p", "2", "-i"], &["-11", "-I", "1"], &["-n", "-0"]],
        stored: Stored::Gzip,
    },
    Compressor { program: "bgzip", options: &[&[], &["-l", "1"], &["-l", "0"]], stored: Stored::Gzip },
    Compressor {
        program: "zstd",
        options: &[
            &["-1"],
            &["-19"],
            &["--fast=5"],
            &["--no-check"],
            &["--check", "-T2"],
            &["--long=24"],
            &["--rsyncable", "-T2"],
            &["--no-content-size"],
        ],
        stored: Stored::Zstd,
    },
    Compressor { program: "pzstd", options: &[&["-1"], &["-p", "2"], &["-3", "-p", "1"]], stored: Stored::Zstd },
];

/// A text of rows, from nothing to some hundred kilobytes: more or less repetitive, so that sizes of all kinds come out.
fn text(rng: &mut SmallRng) -> Vec<u8> {
    let rows = *[0, 1, 2, 10, 300, 5_000].choose(rng).unwrap();
    let rows = rng.random_range(0..=rows);
    let kinds = rng.random_range(1..=200_u32);
    let mut text = Vec::new();
    for _ in 0..rows {
        let number: u32 = if rng.random_bool(0.5) { rng.random() } else { rng.random_range(0..kinds) };
        writeln!(text, "27820000000,7,voice,2782{number:010},{},2024-01-01 10:15:30", number % 4000).unwrap();
    }
    text
}

pub(crate) fn run(program: &str, options: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program)
        .args(options)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}; services/prerequisites.sh installs it"));
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // A program that has all it wants closes its input.
    let writer = std::thread::spawn(move || stdin.write_all(&input).is_ok());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output.stdout
}

impl Compressor {
    fn compress(&self, rng: &mut SmallRng, folder: &Path, text: &[u8]) -> Vec<u8> {
        let options = *self.options.choose(rng).unwrap();
        // From a file, a program knows the length and may say it; from a pipe it does not.
        if rng.random_bool(0.5) {
            return run(self.program, &[options, &["-c"]].concat(), text);
        }
        let file = folder.join("text");
        fs::write(&file, text).unwrap();
        run(self.program, &[options, &["-c", file.to_str().unwrap()]].concat(), &[])
    }
}

/// A frame that zstd skips.
fn skippable(rng: &mut SmallRng) -> Vec<u8> {
    let len = rng.random_range(0..600_u32);
    let magic = 0x184d_2a50 + rng.random_range(0..16_u32);
    let content = (0..len).map(|_| rng.random::<u8>());
    magic.to_le_bytes().into_iter().chain(len.to_le_bytes()).chain(content).collect()
}

/// A file of one or more of the programs' outputs, with what may stand between and behind them.
fn file(rng: &mut SmallRng, folder: &Path) -> (Vec<u8>, Stored) {
    let stored = *[Stored::Gzip, Stored::Zstd].choose(rng).unwrap();
    let programs: Vec<&Compressor> = COMPRESSORS.iter().filter(|compressor| compressor.stored == stored).collect();
    let parts = *[1, 1, 1, 2, 5].choose(rng).unwrap();
    let mut file = Vec::new();
    let maybe_skipped = |file: &mut Vec<u8>, rng: &mut SmallRng| {
        if stored == Stored::Zstd && rng.random_bool(0.2) {
            file.extend(skippable(rng));
        }
    };
    for _ in 0..parts {
        maybe_skipped(&mut file, rng);
        let text = text(rng);
        file.extend(programs.choose(rng).unwrap().compress(rng, folder, &text));
    }
    maybe_skipped(&mut file, rng);
    if stored == Stored::Gzip && rng.random_bool(0.2) {
        file.resize(file.len() + rng.random_range(1..1500), 0);
    }
    (file, stored)
}

/// What the format's own program makes of a file.
pub(crate) fn decompressed(stored: Stored, file: &[u8]) -> Vec<u8> {
    match stored {
        Stored::Gzip => run("gzip", &["-dcq"], file),
        _ => run("zstd", &["-dcq"], file),
    }
}

fn check(seed: u64, folder: &Path) {
    let rng = &mut SmallRng::seed_from_u64(seed);
    let (file, stored) = file(rng, folder);
    let text = decompressed(stored, &file);
    let mut survey = Survey::new(RecordType::Voice);
    let piece = rng.random_range(1..5000);
    file.chunks(piece).for_each(|piece| survey.push(piece));
    let found = survey.finish();
    let keep = || -> PathBuf {
        let path = std::env::temp_dir().join(format!("content-{seed}"));
        fs::write(&path, &file).unwrap();
        path
    };
    assert!(found.stored == stored, "seed {seed}: taken for {:?}; {}", found.stored, keep().display());
    let is_damaged = matches!(found.fault, Some(telecom::FileFault::Damaged));
    assert!(!is_damaged, "seed {seed}: taken for damaged; {}", keep().display());
    assert!(found.digest == Digest::of(&text), "seed {seed}: another text; {}", keep().display());
}

/// Checks so many files.
pub(crate) fn check_files(files: u64) {
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    std::thread::scope(|scope| {
        for thread in 0..threads {
            scope.spawn(move || {
                let folder = tempfile::tempdir().unwrap();
                (thread..files).step_by(threads as usize).for_each(|seed| check(seed, folder.path()));
            });
        }
    });
}
