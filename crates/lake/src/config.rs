use std::fmt;

use serde::Deserialize;

/// Where the lake is, by the AWS SDK's own variables.
///
/// On Lambda the service sets all of them but `LAKE_BUCKET`; credentials live as long as the sandbox.
#[derive(Clone, Deserialize)]
pub struct Config {
    /// The bucket.
    #[serde(rename = "LAKE_BUCKET")]
    pub bucket: String,
    /// The store's address where it is not AWS itself; objects are then addressed by path.
    #[serde(rename = "AWS_ENDPOINT_URL_S3")]
    pub endpoint: Option<String>,
    /// The bucket's region.
    #[serde(rename = "AWS_REGION")]
    pub region: String,
    /// The credentials.
    #[serde(rename = "AWS_ACCESS_KEY_ID")]
    pub access_key_id: String,
    /// The secret that signs requests.
    #[serde(rename = "AWS_SECRET_ACCESS_KEY")]
    pub secret_access_key: String,
    /// Set where the credentials are temporary, as a function's are.
    #[serde(rename = "AWS_SESSION_TOKEN")]
    pub session_token: Option<String>,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("bucket", &self.bucket)
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}
