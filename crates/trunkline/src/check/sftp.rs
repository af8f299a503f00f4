//! The SFTP server: its key, the login, and whether the folder and its files can be read.

use anyhow::Context;
use lambda_boot::Vars;
use sftp::{Client, Entry, Folders};
use sftp_poll::ServerConfig;

use super::Sheet;
use crate::figures::grouped;

pub(super) async fn check(sheet: &mut Sheet, vars: &Vars) -> anyhow::Result<()> {
    for server in ServerConfig::all(vars)? {
        let checked = check_one(sheet, &server).await;
        match server.name {
            Some(name) => checked.with_context(|| format!("SFTP_SERVERS: {name}"))?,
            None => checked?,
        }
    }
    Ok(())
}

async fn check_one(sheet: &mut Sheet, ServerConfig { sftp: config, .. }: &ServerConfig) -> anyhow::Result<()> {
    let server = format!("{}:{}", config.host, config.port);
    let client = Client::connect(config).await.with_context(|| format!("{server} can't be used"))?;
    sheet.ok(format!("{server} has the expected host key, and lets {} in", config.user));
    let folders = Folders::parse(&config.remote_path).map_err(anyhow::Error::msg)?;
    let files = client.list_all(&folders).await.context("check SFTP_REMOTE_PATH")?.files;
    sheet.ok(format!("the folder {} can be read: {} files", config.remote_path, grouped(files.len() as u64)));
    if let Some(Entry { name, .. }) = files.iter().find(|file| file.size > 0) {
        let path = folders.path(name);
        may_be_read(&client, &path).await.with_context(|| {
            format!("{path} can't be read: give {} the right to read the folder's files", config.user)
        })?;
        sheet.ok(format!("its files can be read, for example {name}"));
    }
    client.close().await;
    Ok(())
}

/// Opens it, and reads nothing of it: some servers remove a file once it was read.
async fn may_be_read(client: &Client, path: &str) -> Result<(), sftp::Error> {
    client.open(path).await?.close().await
}
