//! The services of the demo, in this process, and the template's parameters that point at them.

use std::path::PathBuf;

use embedded::{Data, Secret, Services};
use serde_json::json;

use crate::parameters::Parameters;

/// The lake's bucket.
const BUCKET: &str = "trunkline";

/// The database of the usage tables and of the warehouse.
const DATABASE: &str = "trunkline";

/// The database of the CRM itself.
const CRM_DATABASE: &str = "wtc_prod";

/// Records are in the lake so soon: nobody who watches waits for the minute of the template.
const LAKE_WINDOW_SECONDS: u32 = 1;

/// Long enough that a file that is still being written is not taken, short enough for somebody who watches.
const SETTLE_SECONDS: u32 = 1;
/// Somebody is watching.
const LOOK_SECONDS: u32 = 1;

/// The API's only user.
pub(super) const API_USER: &str = "demo";

/// Where the running services are and how they are spoken to.
pub(super) struct Endpoints {
    pub(super) kafka_brokers: String,
    pub(super) s3_endpoint: String,
    pub(super) s3_region: &'static str,
    pub(super) s3_access_key_id: String,
    pub(super) s3_secret_access_key: Secret,
    /// With the password.
    pub(super) postgres_url: String,
    /// Likewise.
    pub(super) crm_url: String,
    pub(super) sftp_host: String,
    pub(super) sftp_port: u16,
    pub(super) sftp_user: String,
    pub(super) sftp_password: Secret,
    pub(super) sftp_host_key: String,
    pub(super) sftp_remote_path: &'static str,
    /// The folder behind `sftp_remote_path`.
    pub(super) upload: PathBuf,
    pub(super) api_password: Secret,
}

/// Starts everything side by side.
pub(super) async fn start(data: Data) -> anyhow::Result<(Services, Endpoints)> {
    let services = Services::start(data).await?;
    let Services { broker, object_store, postgres, sftp, .. } = &services;
    let endpoints = Endpoints {
        kafka_brokers: broker.bootstrap_servers.clone(),
        s3_endpoint: object_store.endpoint.clone(),
        s3_region: object_store.region,
        s3_access_key_id: object_store.access_key_id.clone(),
        s3_secret_access_key: object_store.secret_access_key.clone(),
        postgres_url: postgres.database(DATABASE).await?,
        crm_url: postgres.database(CRM_DATABASE).await?,
        sftp_host: sftp.host.clone(),
        sftp_port: sftp.port,
        sftp_user: sftp.user.clone(),
        sftp_password: sftp.password.clone(),
        sftp_host_key: sftp.host_key.clone(),
        sftp_remote_path: sftp.remote_path,
        upload: sftp.upload(),
        api_password: Secret::random(),
    };
    Ok((services, endpoints))
}

impl Endpoints {
    /// What the template needs to know of them.
    pub(super) fn parameters(&self) -> anyhow::Result<Parameters> {
        let users = json!([{
            "user": API_USER,
            "password_hash": http_api::auth::hash_password(self.api_password.expose())?,
            "msisdns": "*",
            "may_post": true,
        }]);
        let mut parameters = Parameters::default();
        for (key, value) in [
            ("KafkaBrokers", self.kafka_brokers.as_str()),
            ("SftpHost", &self.sftp_host),
            ("SftpPort", &self.sftp_port.to_string()),
            ("SftpUser", &self.sftp_user),
            ("SftpPassword", self.sftp_password.expose()),
            ("SftpHostKey", &self.sftp_host_key),
            ("SftpRemotePath", self.sftp_remote_path),
            ("SftpSettleSeconds", &SETTLE_SECONDS.to_string()),
            ("SftpLookSeconds", &LOOK_SECONDS.to_string()),
            // Files are renamed into place, so a last line without a line end is one that was cut.
            ("SftpLastLineSeconds", &SETTLE_SECONDS.to_string()),
            ("LakeBucket", BUCKET),
            ("LakeEndpoint", &self.s3_endpoint),
            ("UsageStore", &self.postgres_url),
            ("DatabaseUrl", &self.postgres_url),
            ("LakeWindowSeconds", &LAKE_WINDOW_SECONDS.to_string()),
            ("ApiUsers", &users.to_string()),
            ("AWS_REGION", self.s3_region),
            ("AWS_ACCESS_KEY_ID", &self.s3_access_key_id),
            ("AWS_SECRET_ACCESS_KEY", self.s3_secret_access_key.expose()),
        ] {
            parameters.insert(key, value);
        }
        Ok(parameters)
    }
}
