//! `trunkline demo`: services, synthetic call records, the template's functions and a served API in one process.

mod folder;
mod next_steps;
mod report;
mod screen;
mod sources;
mod stack;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use embedded::Services;
use generator::{Destination, SftpFolder};
use lake::Lake;
use lambda_boot::Vars;
use local_runtime::{Invoker, Runtime};
use tokio::task::JoinSet;
use usage_store::Store;

use crate::cli::DemoArgs;
use crate::figures::{Api, FileFigures};
use crate::follow::Follow;
use crate::functions::Project;
use crate::interrupt::interrupted;
use crate::taken::until_taken;
use crate::verify;
use folder::{Folder, file_names, write_atomically};
use report::{Counting, Report, Stages};
use screen::Screen;
use stack::{API_USER, Endpoints};

/// The broker is in this process, and listens already.
const INIT_WITHIN: Duration = Duration::from_secs(30);

pub(crate) async fn run(args: DemoArgs) -> anyhow::Result<()> {
    let began = Instant::now();
    let folder = Folder::open(args.data_dir.as_deref())?;
    let log = folder.path().join("log.jsonl");
    crate::logs::to_file(&log)?;
    println!("Starting Kafka, S3, SFTP and PostgreSQL; the functions log to {}", log.display());
    let (mut services, endpoints) = tokio::select! {
        started = stack::start(folder.data()) => started?,
        ended = interrupted() => return ended,
    };
    let outcome = until_interrupted(&mut services, Box::pin(pipeline(&args, &folder, &endpoints, began))).await;
    services.stop().await?;
    outcome
}

/// The work, as long as the services run and nobody presses Ctrl-C.
async fn until_interrupted(
    services: &mut Services,
    work: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    tokio::select! {
        done = work => done,
        reason = services.ended() => Err(reason),
        ended = interrupted() => ended,
    }
}

async fn pipeline(args: &DemoArgs, folder: &Folder, endpoints: &Endpoints, began: Instant) -> anyhow::Result<()> {
    let parameters = endpoints.parameters()?;
    let parameters_file = folder.write_private("parameters", &parameters.to_file())?;
    let project = Project::with(None, parameters)?;
    let vars = project.all_vars();
    crate::init::create(&vars, INIT_WITHIN).await?;

    let options = local_runtime::Options {
        listen: args.listen,
        health_path: Some(crate::up::HEALTH_PATH.to_owned()),
        ..local_runtime::Options::default()
    };
    let functions: Arc<dyn Invoker> = Arc::new(project.boot_all().await?);
    let runtime = Runtime::start(&project.template, Arc::clone(&functions), options).await?;
    // Ends with this function, in whatever way.
    let mut beside = JoinSet::new();
    beside.spawn(crate::decisions::follow(runtime.mappings(), vars.read()?));
    let address = runtime.http_addr().context("the template has no HTTP API")?;
    let password = endpoints.api_password.expose().to_owned();
    let api = Api { url: format!("http://{address}"), user: API_USER.to_owned(), password };
    println!("Serving {}; generating call records onto the SFTP server", api.url);

    let ((files, counting), (), ()) = tokio::try_join!(
        count_all(args, folder, &vars, &endpoints.upload),
        sources::customers(&args.cdr, &endpoints.crm_url, &vars),
        sources::messages(&args.cdr, &api),
    )?;
    let left = until_taken(&project, &["cdc-handler", "lake-writer"]).await?;
    ensure!(left == 0, "the lake and the CRM's tables are still {left} records behind their topics: the log says why");
    let lake = counting.first_upload.elapsed();
    println!("Everything is counted, and in the lake; loading the warehouse");
    let load_began = Instant::now();
    // The schedule may be at it already, five minutes past the hour.
    let request = lake_loader::Request { wait: true, ..lake_loader::Request::default() };
    let load = crate::load::load(&*functions, request).await?;
    let stages = Stages { counting, lake, load: load_began.elapsed(), total: began.elapsed() };
    let report = Report::new(&api, &files, &load, stages, versions());
    println!("\n{}", report.table());
    if let Some(path) = &args.report {
        write_atomically(path, &serde_json::to_vec_pretty(&report)?)?;
    }
    if args.verify {
        verify(&endpoints.upload, &vars, &api, &files).await?;
    }
    if !args.exit {
        println!("{}", next_steps::next_steps(&api, endpoints, &parameters_file));
        std::future::pending::<()>().await;
    }
    runtime.shutdown().await;
    Ok(())
}

/// Generates, and follows every file until each of its rows is counted.
async fn count_all(
    args: &DemoArgs,
    folder: &Folder,
    vars: &Vars,
    upload: &Path,
) -> anyhow::Result<(Vec<FileFigures>, Counting)> {
    let options = generator::Options {
        index: folder.path().join("idx_data.dat"),
        manifest: folder.path().join("faults.json"),
        ..crate::generate::options(&args.cdr)
    };
    let lake = Lake::connect(&vars.read()?);
    let store = Store::connect(vars.get("USAGE_STORE").context("the template sets no USAGE_STORE")?)?;
    let mut earlier = Follow::new(&lake, &store, file_names(upload)?);
    earlier.look().await?;

    let mut screen = Screen::new();
    let first_upload = Instant::now();
    let destination = Destination::files(SftpFolder::connect(&vars.read()?).await?.known_as("the demo's SFTP server"));
    generator::run(&options, &destination, &screen.generated).await.context("generating call records failed")?;
    let generate = first_upload.elapsed();

    let mut follow = Follow::new(&lake, &store, file_names(upload)?);
    let (ingested, counted) = follow.until_counted(|progress| screen.show(progress)).await?;
    screen.done();
    let counting = Counting {
        rows_before: earlier.rows_read(),
        first_upload,
        generate,
        ingest: ingested - first_upload,
        count: counted - first_upload,
    };
    Ok((follow.figures().await?, counting))
}

/// The second, plain count of the files against what the API says of every subscriber.
async fn verify(files: &Path, vars: &Vars, api: &Api, figures: &[FileFigures]) -> anyhow::Result<()> {
    let began = Instant::now();
    let verdict = verify::verify(files, vars, api, figures).await?;
    println!("{verdict} ({:.1} s)", began.elapsed().as_secs_f64());
    if !verdict.is_clean() {
        bail!("the API's numbers differ from the files'");
    }
    Ok(())
}

fn versions() -> BTreeMap<&'static str, String> {
    BTreeMap::from([
        ("trunkline", env!("CARGO_PKG_VERSION").to_owned()),
        ("platform", format!("{} {}", std::env::consts::OS, std::env::consts::ARCH)),
    ])
}
