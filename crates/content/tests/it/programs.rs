//! Files from the programs that compress them.

use std::io::Write as _;

use content::{Digest, Stored, Survey};
use telecom::{FileFault, RecordType};

use crate::compressed::{check_files, decompressed, run};

/// Files on every test run; `examples/compressed_files` tries more.
const FILES: u64 = 300;

#[test]
fn whatever_the_programs_write_is_read_as_they_read_it() {
    check_files(FILES);
}

/// The block that is decoded at once has 512 bytes: a file whose length is a multiple of it ends with a whole block.
#[test]
fn a_file_may_end_with_a_block() {
    for (program, stored) in [("gzip", Stored::Gzip), ("zstd", Stored::Zstd)] {
        let mut met = 0;
        for rows in 0..4_000 {
            let text: String = (0..rows).map(|row| format!("{}\n", row * 7_919 % 10_007)).collect();
            let file = match stored {
                Stored::Gzip => {
                    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                    encoder.write_all(text.as_bytes()).unwrap();
                    encoder.finish().unwrap()
                }
                _ => zstd::encode_all(text.as_bytes(), 1).unwrap(),
            };
            if !file.len().is_multiple_of(512) {
                continue;
            }
            met += 1;
            assert_eq!(decompressed(stored, &file), text.as_bytes());
            let mut survey = Survey::new(RecordType::Voice);
            survey.push(&file);
            let found = survey.finish();
            assert_eq!((found.digest, found.stored), (Digest::of(text.as_bytes()), stored), "{program}, {rows} rows");
        }
        assert!(met > 0, "{program}: no file of such a length");
    }
}

#[test]
fn what_is_no_padding_is_damage() {
    let member = run("gzip", &["-c"], b"a\n");
    for behind in [&b"\0x"[..], b"x", &[&[0; 600][..], &member].concat()] {
        let mut survey = Survey::new(RecordType::Voice);
        survey.push(&[&member, behind].concat());
        assert_eq!(survey.finish().fault, Some(FileFault::Damaged), "{behind:?}");
    }
}
