//! What an HTTP function answers.

use serde_json::Value;

/// An answer to the HTTP API: its status, its headers but for the `cache-control: no-store` that each must have, and its body.
///
/// # Panics
/// When it is none.
pub fn shown_answer(answer: &Value) -> String {
    let mut headers = answer["headers"].as_object().expect("headers").clone();
    assert_eq!(headers.remove("cache-control").as_ref().and_then(Value::as_str), Some("no-store"));
    assert_eq!(answer["isBase64Encoded"], false);
    let header = |(name, value): (&String, &Value)| format!("{name}: {}", value.as_str().expect("a header's text"));
    let headers: Vec<_> = headers.iter().map(header).collect();
    format!("{} {}\n{}", answer["statusCode"], headers.join(", "), answer["body"].as_str().expect("a body"))
}
