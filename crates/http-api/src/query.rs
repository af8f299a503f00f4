use percent_encoding::percent_decode_str;

use crate::problem::Problem;

/// The most characters of a malformed value that an error repeats.
const MAX_SHOWN_CHARS: usize = 40;

/// A query's parameters, decoded.
///
/// No value that the functions take contains a space, so a `+` stands for itself: `?msisdn=+27821234567`, which HTML
/// forms read as a space, works as it was meant.
#[derive(Debug)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads a query without its `?`, percent-encoded.
    #[must_use]
    pub fn parse(query: &str) -> Self {
        let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(name), decoded(value))
        });
        Self(pairs.collect())
    }

    /// A parameter's value; `what` says what to write. Unknown parameters are passed over.
    ///
    /// # Errors
    /// When it is absent, empty, or given more than once.
    pub fn required(&self, name: &'static str, what: &str) -> Result<&str, Problem> {
        self.optional(name)?.ok_or_else(|| Problem::invalid_parameter(name, &format!("it is missing: write {what}")))
    }

    /// A parameter's value; `None` where it is absent or empty.
    ///
    /// # Errors
    /// When it is given more than once.
    pub fn optional(&self, name: &'static str) -> Result<Option<&str>, Problem> {
        let mut values = self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let value = values.next().filter(|value| !value.is_empty());
        match values.next() {
            Some(_) => Err(Problem::invalid_parameter(name, "it is given more than once: write it once")),
            None => Ok(value),
        }
    }
}

/// A part of a path or query, decoded. Bytes that are not UTF-8 are replaced.
#[must_use]
pub fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// A client's own value for an error: short and with control characters escaped.
#[must_use]
pub fn shown(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN_CHARS) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(query: &str, expect: Expect) {
        let said = match Query::parse(query).required("day", "a day") {
            Ok(value) => value.to_owned(),
            Err(problem) => problem.to_string(),
        };
        expect.assert_eq(&said);
    }

    #[test]
    fn a_parameter_is_given_once() {
        check("a=1&day=%2B27+&&b", expect!["+27+"]);
        check("d%61y=%FF", expect!["�"]);
        check("day", expect!["day: it is missing: write a day"]);
        check("day=&other=1", expect!["day: it is missing: write a day"]);
        check("day=1&day=", expect!["day: it is given more than once: write it once"]);
    }

    #[test]
    fn a_long_value_is_shown_in_part() {
        expect![[r#""<é>\n""#]].assert_eq(&shown("<é>\n"));
        assert_eq!(shown(&"é".repeat(41)), format!("\"{}\"…", "é".repeat(40)));
    }
}
