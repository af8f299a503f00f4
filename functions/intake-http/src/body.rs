//! From a body to the items that it holds: one JSON object, an array, or an object a line.

use serde_json::value::RawValue;

use crate::problem::{self, Problem};

/// The largest body. An event of the function has at most 6 MB, in which a body that is not `application/json` stands in base64,
/// a third longer.
pub const MAX_BODY_BYTES: usize = 4 * 1024 * 1024;

/// The most items of a request: each has a line of the answer, which like the event has at most 6 MB, also where names and
/// details are long.
pub const MAX_ITEMS: usize = 5_000;

/// What NDJSON is called. Its lines are told one by one, whatever they are.
const NDJSON: [&str; 3] = ["application/x-ndjson", "application/ndjson", "application/jsonl"];

/// The JSON of each item, not yet read. There is at least one.
pub(crate) fn items<'a>(content_type: Option<&str>, body: &'a [u8]) -> Result<Vec<&'a [u8]>, Problem> {
    let media_type = content_type.map(|kind| kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
    let is_ndjson = match media_type.as_deref().unwrap_or_default() {
        kind if NDJSON.contains(&kind) => true,
        "" | "application/json" => false,
        _ => return Err(problem::unsupported_media_type()),
    };
    if body.len() > MAX_BODY_BYTES {
        let bytes = body.len();
        return Err(problem::too_large(format!(
            "the body has {bytes} bytes and at most {MAX_BODY_BYTES} are taken: send it in parts"
        )));
    }
    // Some programs begin a text with a byte order mark.
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    let items = match body.trim_ascii_start().first() {
        None => Vec::new(),
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_slice(body).map_err(|error| problem::malformed(&error))?;
            items.into_iter().map(|item| item.get().as_bytes()).collect()
        }
        Some(_) => match serde_json::from_slice::<&RawValue>(body) {
            Ok(_) => vec![body.trim_ascii()],
            Err(error) => {
                let lines = body.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
                let lines: Vec<_> = lines.filter(|line| !line.is_empty()).collect();
                // What is called JSON is NDJSON where its first line is whole, and else JSON that is broken somewhere.
                if !is_ndjson && serde_json::from_slice::<&RawValue>(lines[0]).is_err() {
                    return Err(problem::malformed(&error));
                }
                lines
            }
        },
    };
    match items.len() {
        0 => Err(problem::no_items()),
        count if count > MAX_ITEMS => Err(problem::too_large(format!(
            "the body has {count} messages and at most {MAX_ITEMS} are taken: send them in parts"
        ))),
        _ => Ok(items),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(content_type: Option<&str>, body: &[u8], expect: Expect) {
        match items(content_type, body) {
            Ok(items) => {
                let items: Vec<_> = items.into_iter().map(String::from_utf8_lossy).collect();
                expect.assert_eq(&items.join(" | "));
            }
            Err(problem) => expect.assert_eq(&format!("{} {problem}", problem.status().as_u16())),
        }
    }

    #[test]
    fn the_bytes_say_which_form_a_body_has() {
        let json = Some("application/json");
        check(
            json,
            b" {\"a\":\n 1}\n",
            expect![[r#"
            {"a":
             1}"#]],
        );
        check(json, b"[{\"a\":1}, 2 ,\n[3]]", expect![[r#"{"a":1} | 2 | [3]"#]]);
        check(json, b"{\"a\":1}\r\n\n{\"a\":2}", expect![[r#"{"a":1} | {"a":2}"#]]);
        check(
            Some("application/x-ndjson; charset=utf-8"),
            b"{\"a\":1}\n{\"a\":\n\xff\n",
            expect![[r#"{"a":1} | {"a": | �"#]],
        );
        check(Some("Application/X-NDJSON"), b"{\"a\":1}\n", expect![[r#"{"a":1}"#]]);
        check(Some("application/x-ndjson"), b"{\"a\":\n{\"a\":2}\n", expect![[r#"{"a": | {"a":2}"#]]);
        check(Some("application/x-ndjson"), b"[1]\n", expect!["1"]);
        check(None, b"\xEF\xBB\xBF{}", expect!["{}"]);
    }

    #[test]
    fn what_is_no_body_of_ours_is_refused_as_a_whole() {
        check(
            Some("application/x-www-form-urlencoded"),
            b"{}",
            expect!["415 send JSON as application/json, or an object a line as application/x-ndjson"],
        );
        check(
            Some("text/plain"),
            b"{}",
            expect!["415 send JSON as application/json, or an object a line as application/x-ndjson"],
        );
        check(None, b"", expect!["400 there is no message in the body: send at least one"]);
        check(None, b" \n", expect!["400 there is no message in the body: send at least one"]);
        check(None, b"[]", expect!["400 there is no message in the body: send at least one"]);
        check(
            None,
            b"[{}",
            expect!["400 the body is neither a JSON object, nor an array of them, nor one a line: see line 1 column 3"],
        );
        check(
            None,
            b"[{}\n[{}]",
            expect!["400 the body is neither a JSON object, nor an array of them, nor one a line: see line 2 column 1"],
        );
        check(
            None,
            b"{\n\"a\": 1,\n\"b\"\n}",
            expect!["400 the body is neither a JSON object, nor an array of them, nor one a line: see line 4 column 1"],
        );
        check(
            None,
            b"a=1",
            expect!["400 the body is neither a JSON object, nor an array of them, nor one a line: see line 1 column 1"],
        );
        check(
            None,
            &vec![b' '; MAX_BODY_BYTES + 1],
            expect!["413 the body has 4194305 bytes and at most 4194304 are taken: send it in parts"],
        );
        check(
            None,
            "1\n".repeat(MAX_ITEMS + 1).as_bytes(),
            expect!["413 the body has 5001 messages and at most 5000 are taken: send them in parts"],
        );
        assert_eq!(
            items(None, "1\n".repeat(MAX_ITEMS).as_bytes()).map_err(|it| it.status()),
            Ok(vec![&b"1"[..]; MAX_ITEMS])
        );
    }
}
