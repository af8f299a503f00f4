//! The SFTP server: its key, the login, and whether the folder and its files can be read.

use anyhow::{Context, ensure};
use futures::future;
use lambda_boot::Vars;
use sftp::{Client, Entry, Listing, Reason};
use sftp_poll::ServerConfig;
use telecom::FileName;

use super::Sheet;
use crate::figures::grouped;

pub(super) async fn check(sheet: &mut Sheet, vars: &Vars) -> anyhow::Result<()> {
    let servers = ServerConfig::all(vars)?;
    for (server, (found, checked)) in servers.iter().zip(future::join_all(servers.iter().map(check_one)).await) {
        found.into_iter().for_each(|line| sheet.ok(line));
        match (checked, &server.name) {
            (Ok(()), _) => {}
            (Err(error), _) if servers.len() == 1 => return Err(error),
            (Err(error), name) => {
                let name = name.as_deref().unwrap_or("the server without a name");
                sheet.fault(format!("SFTP_SERVERS, {name}: {error:#}"));
            }
        }
    }
    Ok(())
}

/// What is well with a server, and what is not.
async fn check_one(server: &ServerConfig) -> (Vec<String>, anyhow::Result<()>) {
    let mut found = Vec::new();
    let checked = try_out(server, &mut found).await;
    (found, checked)
}

async fn try_out(
    ServerConfig { name, sftp: config, .. }: &ServerConfig,
    found: &mut Vec<String>,
) -> anyhow::Result<()> {
    let server = format!("{}:{}", config.host, config.port);
    let client = Client::connect(config).await.with_context(|| format!("{server} can't be used"))?;
    found.push(format!("{server} has the expected host key, and lets {} in", config.user));
    let folders = &config.remote_path;
    let Listing { files, left_out } = client.list_all(folders).await.context("check SFTP_REMOTE_PATH")?;
    ensure!(
        left_out.iter().all(|left_out| left_out.why != Reason::NoFolder),
        "SFTP_REMOTE_PATH: no folder fits {}",
        config.remote_path
    );
    found.push(format!("the folder {} can be read: {} files", config.remote_path, grouped(files.len() as u64)));
    if let Some(first) = left_out.first() {
        found.push(format!("{} names can't be taken, for example {first}", grouped(left_out.len() as u64)));
    }
    if let Some(Entry { name, .. }) = files.iter().find(|file| file.size > 0) {
        let path = folders.path(name);
        may_be_read(&client, &path).await.with_context(|| {
            format!("{path} can't be read: give {} the right to read the folder's files", config.user)
        })?;
        found.push(format!("its files can be read, for example {name}"));
    }
    let in_lake = |file: &Entry| match name {
        Some(server) => FileName::parse(&format!("{server}/{}", file.name)),
        None => FileName::parse(&file.name),
    };
    if (name.is_some() || folders.is_pattern()) && !files.is_empty() {
        let taken = files.iter().filter(|file| in_lake(file).is_ok()).count() as u64;
        found.push(format!(
            "{} of them have names of call records' files, in folders that can be taken",
            grouped(taken)
        ));
    }
    client.close().await;
    Ok(())
}

/// Opens it, and reads nothing of it: some servers remove a file once it was read.
async fn may_be_read(client: &Client, path: &str) -> Result<(), sftp::Error> {
    client.open(path).await?.close().await
}
