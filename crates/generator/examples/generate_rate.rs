//! How fast files are made and written: `cargo run --profile cli --example generate_rate [SECONDS]`.

use generator::{Destination, Folder, Options, Profile, run};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut options = Options {
        index: folder.path().join("idx_data.dat"),
        manifest: folder.path().join("faults.json"),
        ..Options::of(Profile::Prod)
    };
    if let Some(seconds) = std::env::args().nth(1) {
        options.seconds = seconds.parse()?;
    }
    let destination = Destination::files(Folder::create(folder.path().join("out")).await?);
    let summary = run(&options, &destination, &generator::progress_bar()).await?;
    let rows = summary.data_rows + summary.voice_rows;
    let seconds = summary.elapsed.as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "shown with a few digits")]
    let (rows_per_second, megabytes_per_second) = (rows as f64 / seconds, summary.bytes as f64 / seconds / 1e6);
    eprintln!(
        "{rows} rows in {} files, {seconds:.2} s: {rows_per_second:.0} rows/s, {megabytes_per_second:.0} MB/s",
        summary.files
    );
    Ok(())
}
