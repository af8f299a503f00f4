//! What somebody who just saw the table would like to try.

use std::path::Path;

use super::folder::file_names;
use super::stack::Endpoints;
use crate::figures::Api;

/// A message that can be posted as it is.
const MESSAGE: &str = r#"{"message_id":"m-1","room_id":"r-1","room_created_at":"2024-01-02 08:00:00","channel":"whatsapp","customer_id":"c-1","sender_type":"customer","message_text":"Hello!","message_date":"2024-01-02 08:00:00"}"#;

pub(super) fn next_steps(api: &Api, endpoints: &Endpoints, parameters: &Path) -> String {
    let Api { url, user, password } = api;
    // Browsers take user and password from here, and ask for them where they don't.
    let dashboard = format!("{}/dashboard", url.replacen("://", &format!("://{user}:{password}@"), 1));
    let program = std::env::current_exe().map_or_else(|_| "trunkline".to_owned(), |path| path.display().to_string());
    let (msisdn, tower) =
        first_record(&endpoints.upload).unwrap_or_else(|| ("27820000000".to_owned(), "1523".to_owned()));
    let Endpoints { sftp_host, sftp_port, sftp_user, sftp_password, sftp_remote_path, postgres_url, .. } = endpoints;
    format!(
        "The dashboard: {dashboard}
Try next, in another terminal:
  curl -u {user}:{password} '{url}/v1/usage/{msisdn}?from=2024-01-01&to=2024-01-02'
  curl -u {user}:{password} '{url}/v1/usage/{msisdn}/summary'
  curl -u {user}:{password} '{url}/data_usage?msisdn={msisdn}&start_time=20240101000000&end_time=20240101235959'
  curl -u {user}:{password} '{url}/v1/towers/{tower}/activity?from=2024-01-01&to=2024-01-01'
  sftp -P {sftp_port} {sftp_user}@{sftp_host}:{sftp_remote_path}    # password {sftp_password}; put a cdr_data_YYYYMMDD_HHMMSS.csv
  psql '{postgres_url}'
  curl -u {user}:{password} -H 'Content-Type: application/json' '{url}/messages' -d '{MESSAGE}'
  export TRUNKLINE_PARAMETERS={parameters}
  {program} load --now    # what is done every hour: the message is in analytics.messages then, and on the dashboard
  {program} replay events/usage-http/health.json
Ctrl-C ends everything.",
        sftp_password = sftp_password.expose(),
        parameters = parameters.display(),
    )
}

/// A subscriber and a tower that exist: those of the first usable row in the first files.
fn first_record(folder: &Path) -> Option<(String, String)> {
    let is_number = |text: &str| (1..=15).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let mut names = file_names(folder).ok()?;
    names.retain(|name| name.starts_with("cdr_data_") && name.ends_with(".csv"));
    names.sort();
    names.iter().find_map(|name| {
        let text = std::fs::read_to_string(folder.join(name)).ok()?;
        let (header, row) = (text.lines().next()?, text.lines().nth(1)?);
        let mut fields = header.starts_with("msisdn,tower_id,").then(|| row.split(','))?;
        let (msisdn, tower) = (fields.next()?.trim_start_matches('+'), fields.next()?);
        (is_number(msisdn) && is_number(tower)).then(|| (msisdn.to_owned(), tower.to_owned()))
    })
}
