//! The topics of an installation, as the template's variables name them.

use anyhow::Context;
use lambda_boot::Vars;
use stream::Topic;

/// Partitions of a topic: lanes that are counted side by side. Fixed for a stream epoch; the CRM's topics may have others.
pub(crate) const PARTITIONS: i32 = 3;

/// Names of topics.
pub(crate) struct Topics {
    /// The functions' own: their number of partitions is fixed.
    pub(crate) own: Vec<String>,
    /// The CRM's, which Debezium may have made.
    pub(crate) followed: Vec<String>,
}

impl Topics {
    pub(crate) fn of(vars: &Vars) -> anyhow::Result<Self> {
        let name = |topic: Topic| {
            let variable = topic.variable();
            let name = vars.get(variable).with_context(|| format!("the template sets no {variable}"))?;
            anyhow::Ok(name.to_owned())
        };
        let own = Topic::ALL.into_iter().map(name).collect::<anyhow::Result<_>>()?;
        Ok(Self { own, followed: vars.read::<cdc_handler::Topics>()?.names() })
    }

    /// All of them.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.own.iter().chain(&self.followed).map(String::as_str)
    }
}

/// Topics to be made, with the partitions they get.
pub(crate) fn with_partitions(names: &[String]) -> Vec<(&str, i32)> {
    names.iter().map(|name| (name.as_str(), PARTITIONS)).collect()
}
