use std::fmt;
use std::ops::Index;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

/// The mappings' consumer groups begin with this: `trunkline-<function>-<topic>`.
pub const GROUP_PREFIX: &str = "trunkline-";

/// A topic that the functions write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// Announcements of files that have landed in the lake.
    LandedFiles,
    /// Records of data sessions.
    CdrData,
    /// Records of voice and video calls.
    CdrVoice,
    /// Messages of customers and agents.
    ChatMessages,
    /// What could not be used.
    Rejected,
}

impl Topic {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::LandedFiles, Self::CdrData, Self::CdrVoice, Self::ChatMessages, Self::Rejected];

    /// Those of call records, which are counted.
    pub const CALL_RECORDS: [Self; 2] = [Self::CdrData, Self::CdrVoice];

    /// The variable that names the topic, and the topic's name without that variable.
    const fn row(self) -> (&'static str, &'static str) {
        match self {
            Self::LandedFiles => ("LANDED_FILES_TOPIC", "landed-files"),
            Self::CdrData => ("CDR_DATA_TOPIC", "cdr-data"),
            Self::CdrVoice => ("CDR_VOICE_TOPIC", "cdr-voice"),
            Self::ChatMessages => ("CHAT_MESSAGES_TOPIC", "chat-messages"),
            Self::Rejected => ("REJECTED_TOPIC", "rejected"),
        }
    }

    /// The environment variable that names it.
    #[must_use]
    pub const fn variable(self) -> &'static str {
        self.row().0
    }

    /// Its name if the variable is missing.
    #[must_use]
    pub const fn default_name(self) -> &'static str {
        self.row().1
    }
}

/// The topics' names: `&topics[Topic::CdrData]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topics([String; Topic::ALL.len()]);

impl Index<Topic> for Topics {
    type Output = str;

    fn index(&self, topic: Topic) -> &str {
        &self.0[topic as usize]
    }
}

impl Default for Topics {
    fn default() -> Self {
        Self(Topic::ALL.map(|topic| topic.default_name().to_owned()))
    }
}

/// From a map of variables, most of which are about something else.
impl<'de> Deserialize<'de> for Topics {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(TopicsVisitor)
    }
}

struct TopicsVisitor;

impl<'de> Visitor<'de> for TopicsVisitor {
    type Value = Topics;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("variables that name topics")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut variables: A) -> Result<Topics, A::Error> {
        let mut topics = Topics::default();
        while let Some(variable) = variables.next_key::<String>()? {
            match Topic::ALL.into_iter().find(|topic| topic.variable() == variable) {
                Some(topic) => topics.0[topic as usize] = variables.next_value()?,
                None => {
                    variables.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(topics)
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn a_variable_names_a_topic_and_the_others_have_their_defaults() {
        let topics: Topics = serde_json::from_str(r#"{"CDR_VOICE_TOPIC": "calls", "STREAM_EPOCH": 2}"#).unwrap();
        let shown: String =
            Topic::ALL.into_iter().map(|topic| [topic.variable(), " ", &topics[topic], "\n"].concat()).collect();
        expect![[r#"
            LANDED_FILES_TOPIC landed-files
            CDR_DATA_TOPIC cdr-data
            CDR_VOICE_TOPIC calls
            CHAT_MESSAGES_TOPIC chat-messages
            REJECTED_TOPIC rejected
        "#]]
        .assert_eq(&shown);
    }

    #[test]
    fn the_places_of_the_names_are_those_of_the_table() {
        for (place, topic) in Topic::ALL.into_iter().enumerate() {
            assert_eq!(topic as usize, place);
        }
    }
}
