//! `trunkline up`: the template's functions on services that are there already.

use std::sync::Arc;

use local_runtime::RemoteInvoker;
use local_runtime::{Options, Runtime};

use crate::cli::UpArgs;
use crate::decisions;
use crate::functions::Project;
use crate::interrupt::interrupted;

/// Where usage-http says whether it is well; the mappings have a part in that.
pub(crate) const HEALTH_PATH: &str = "/health";

pub(crate) async fn run(args: UpArgs) -> anyhow::Result<()> {
    crate::logs::to_stderr();
    let project = Project::read(&args.template)?;
    // The service's mappings take user and password from a secret; here they are the functions' own.
    let kafka: kafka_sink::Config = project.all_vars().read()?;
    let options = Options {
        listen: args.listen,
        kafka_properties: kafka.security(),
        health_path: Some(HEALTH_PATH.to_owned()),
        ..Options::default()
    };
    let starting = async {
        match &args.invoke {
            Some(url) => {
                let invoker = RemoteInvoker::new(url).map_err(anyhow::Error::msg)?.with_prefix(&args.invoke_prefix);
                Runtime::start(&project.template, Arc::new(invoker), options).await
            }
            None => Runtime::start(&project.template, Arc::new(project.boot_all().await?), options).await,
        }
    };
    let runtime = tokio::select! {
        runtime = starting => runtime?,
        ended = interrupted() => return ended,
    };
    if let Some(address) = runtime.http_addr() {
        println!("The API is at http://{address}. Ctrl-C ends everything.");
        println!("The dashboard is at http://{address}/dashboard, for users who may see every subscriber.");
    }
    let decisions = tokio::spawn(decisions::follow(runtime.mappings(), kafka));
    interrupted().await?;
    decisions.abort();
    runtime.shutdown().await;
    Ok(())
}
