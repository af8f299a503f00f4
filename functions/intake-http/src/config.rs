use http_api::auth::UsersSource;
use lambda_boot::{VarError, Vars};
use serde::Deserialize;
use stream::{Topic, Topics};
use telecom::Zone;

/// What the environment says.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where messages go.
    pub kafka: kafka_sink::Config,
    /// Under which name.
    pub topic: String,
    /// The operator's zone, for times with an offset.
    pub zone: Zone,
    /// Who may post.
    pub users: UsersSource,
}

impl Config {
    /// Reads the variables of Kafka and of the users, `CHAT_MESSAGES_TOPIC` and `OPERATOR_TIMEZONE`.
    ///
    /// # Errors
    /// Names the variable that is missing or malformed, and never shows what it holds.
    pub fn from_vars(vars: &Vars) -> Result<Self, VarError> {
        let Environment { topics, zone } = vars.read()?;
        let topic = topics[Topic::ChatMessages].to_owned();
        Ok(Self { kafka: vars.read()?, topic, zone, users: vars.read()? })
    }
}

#[derive(Deserialize)]
struct Environment {
    #[serde(flatten)]
    topics: Topics,
    #[serde(rename = "OPERATOR_TIMEZONE", default)]
    zone: Zone,
}
