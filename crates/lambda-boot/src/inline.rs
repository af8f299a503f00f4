use std::fmt::Display;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, de};

/// A variable that holds JSON, or the path of a file with it.
#[derive(Clone, Debug, Default)]
pub struct InlineOrFile<T>(pub T);

impl<'de, T: FromStr<Err: Display>> Deserialize<'de> for InlineOrFile<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let is_json = text.trim_start().starts_with(['{', '[']);
        let json = if is_json {
            text
        } else {
            std::fs::read_to_string(&text).map_err(|error| de::Error::custom(format!("{text}: {error}")))?
        };
        json.parse().map(Self).map_err(de::Error::custom)
    }
}
