//! `compressed_files N`: N files from gzip, pigz, bgzip, zstd and pzstd, at random sizes, options and concatenations, are read
//! as gzip and zstd read them. Ends with a panic that names the first that is not.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a tool for people, and the tests' own code")]

#[path = "../tests/it/compressed.rs"]
mod compressed;

fn main() {
    let files = std::env::args().nth(1).expect("how many files?").parse().expect("a number of files");
    compressed::check_files(files);
    println!("{files} files are read as the programs read them");
}
