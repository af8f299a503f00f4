use std::collections::{BTreeMap, btree_map};

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, Visitor};

/// A function's environment variables: the process's own, or the template's when a function runs in-process.
#[derive(Clone, Default)]
pub struct Vars(BTreeMap<String, String>);

/// A variable that is missing or malformed; one line that names it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub struct VarError(String);

impl Vars {
    /// The process's environment; a name or value that is not UTF-8 is left out, and so counts as missing.
    #[must_use]
    pub fn from_env() -> Self {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect()
    }

    /// A variable's value; one that is set to nothing counts as missing.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The same variables, with one of them changed or removed.
    pub fn set(&mut self, name: &str, value: Option<String>) {
        match value {
            Some(value) => drop(self.0.insert(name.to_owned(), value)),
            None => drop(self.0.remove(name)),
        }
    }

    /// Fills `T` from the variables that its fields name. Fields are strings, numbers, booleans, options of these, or
    /// types made from a string (`#[serde(try_from = "String")]`); a field with `#[serde(default)]` may be missing.
    ///
    /// # Errors
    /// One line that names the variable that is missing or malformed; it never shows the value, which may be a secret.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, VarError> {
        T::deserialize(MapAccessDeserializer::new(Walk { vars: self.0.iter(), current: None }))
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Vars {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(vars: I) -> Self {
        Self(vars.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

impl de::Error for VarError {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }

    fn missing_field(name: &'static str) -> Self {
        Self(format!("{name} is missing: set this environment variable"))
    }
}

/// Walks over the variables that are set; an error in a value gains the variable's name.
struct Walk<'a> {
    vars: btree_map::Iter<'a, String, String>,
    current: Option<(&'a str, &'a str)>,
}

impl<'de> MapAccess<'de> for Walk<'de> {
    type Error = VarError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, VarError> {
        self.current =
            self.vars.find(|(_, value)| !value.is_empty()).map(|(name, value)| (name.as_str(), value.as_str()));
        self.current.map(|(name, _)| seed.deserialize(name.into_deserializer())).transpose()
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, VarError> {
        let (name, value) = self.current.take().unwrap_or_default();
        seed.deserialize(Value(value)).map_err(|VarError(why)| VarError(format!("{name} is malformed: {why}")))
    }
}

/// One variable's value.
struct Value<'a>(&'a str);

macro_rules! parse_with {
    ($($method:ident => $visit:ident,)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, VarError> {
            visitor.$visit(self.0.trim().parse().map_err(de::Error::custom)?)
        })*
    };
}

impl<'de> Deserializer<'de> for Value<'de> {
    type Error = VarError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, VarError> {
        visitor.visit_borrowed_str(self.0)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, VarError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, VarError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, VarError> {
        visitor.visit_enum(self.0.into_deserializer())
    }

    parse_with! {
        deserialize_bool => visit_bool,
        deserialize_u8 => visit_u8,
        deserialize_u16 => visit_u16,
        deserialize_u32 => visit_u32,
        deserialize_u64 => visit_u64,
        deserialize_i32 => visit_i32,
        deserialize_i64 => visit_i64,
        deserialize_f64 => visit_f64,
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i128 u128 f32 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier
        ignored_any
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "read by Debug")]
    struct Config {
        #[serde(rename = "SFTP_HOST")]
        host: String,
        #[serde(rename = "SFTP_PORT", default = "ssh")]
        port: u16,
        #[serde(rename = "SFTP_PASSWORD")]
        password: Option<String>,
        #[serde(rename = "SFTP_REMOTE_PATH", default)]
        path: Rooted,
    }

    fn ssh() -> u16 {
        22
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(try_from = "String")]
    struct Rooted(#[expect(dead_code, reason = "read by Debug")] String);

    impl TryFrom<String> for Rooted {
        type Error = String;

        fn try_from(path: String) -> Result<Self, String> {
            if path.starts_with('/') {
                Ok(Self(path))
            } else {
                Err("expected a path from the root, such as /upload".into())
            }
        }
    }

    fn check(vars: &[(&str, &str)], expect: expect_test::Expect) {
        let vars: Vars = vars.iter().copied().collect();
        match vars.read::<Config>() {
            Ok(config) => expect.assert_eq(&format!("{config:?}")),
            Err(error) => expect.assert_eq(&error.to_string()),
        }
    }

    #[test]
    fn reads_what_is_set_and_names_what_is_not() {
        use expect_test::expect;
        check(&[("SFTP_HOST", "h")], expect![[r#"Config { host: "h", port: 22, password: None, path: Rooted("") }"#]]);
        check(
            &[
                ("SFTP_HOST", "h"),
                ("SFTP_PORT", "2222"),
                ("SFTP_PASSWORD", "p"),
                ("SFTP_REMOTE_PATH", "/in"),
                ("HOME", "x"),
            ],
            expect![[r#"Config { host: "h", port: 2222, password: Some("p"), path: Rooted("/in") }"#]],
        );
        check(&[("SFTP_PORT", "22")], expect!["SFTP_HOST is missing: set this environment variable"]);
        check(&[("SFTP_HOST", "")], expect!["SFTP_HOST is missing: set this environment variable"]);
        check(
            &[("SFTP_HOST", "h"), ("SFTP_PORT", "ssh")],
            expect!["SFTP_PORT is malformed: invalid digit found in string"],
        );
        check(
            &[("SFTP_HOST", "h"), ("SFTP_REMOTE_PATH", "upload")],
            expect!["SFTP_REMOTE_PATH is malformed: expected a path from the root, such as /upload"],
        );
    }
}
