use percent_encoding::percent_decode_str;

use crate::Problem;

/// The most characters of a malformed value that an error repeats.
const MAX_SHOWN_CHARS: usize = 40;

/// A query's parameters, decoded.
///
/// No value that we take contains a space, so a `+` stands for itself: `?msisdn=+27821234567`, which HTML forms read
/// as a space, works as it was meant.
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(crate) fn parse(query: &str) -> Self {
        let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        });
        Self(pairs.collect())
    }

    /// A parameter's value; `what` says what to write. Parameters that we don't know are passed over.
    pub(crate) fn required(&self, name: &'static str, what: &str) -> Result<&str, Problem> {
        self.optional(name)?.ok_or_else(|| invalid(name, &format!("it is missing: write {what}")))
    }

    /// A parameter's value; `None` where it is absent or empty.
    pub(crate) fn optional(&self, name: &'static str) -> Result<Option<&str>, Problem> {
        let mut values = self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let value = values.next().filter(|value| !value.is_empty());
        match values.next() {
            Some(_) => Err(invalid(name, "it is given more than once: write it once")),
            None => Ok(value),
        }
    }
}

/// A client's own value, short and with control characters escaped.
pub(crate) fn shown(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN_CHARS) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

pub(crate) fn invalid(name: &'static str, why: &str) -> Problem {
    Problem::InvalidParameter { name, why: why.to_owned() }
}
