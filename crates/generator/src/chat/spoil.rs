//! Messages that can't be used.

use serde_json::{Map, Value, json};
use telecom::Message;
use telecom::message::{MAX_ID_CHARS, MAX_TEXT_BYTES};

use crate::draws::Draws;

/// The fields that a message needs.
const NEEDED: [&str; 8] = [
    "message_id",
    "room_id",
    "room_created_at",
    "channel",
    "customer_id",
    "sender_type",
    "message_text",
    "message_date",
];

/// The message with one fault, on one line.
pub(super) fn spoiled(message: &Message, draws: &mut Draws) -> Vec<u8> {
    let json = message.to_json();
    let mut fields: Map<String, Value> = serde_json::from_slice(&json).unwrap_or_default();
    let field = draws.one_of(&NEEDED);
    match draws.below(8) {
        0 => drop(fields.remove(field)),
        1 => drop(fields.insert(field.to_owned(), Value::Null)),
        2 => drop(fields.insert(field.to_owned(), draws.bits().into())),
        3 => drop(fields.insert("message_date".to_owned(), json!("yesterday at noon"))),
        4 => drop(fields.insert("room_created_at".to_owned(), json!("1969-12-31 23:59:59"))),
        5 => drop(fields.insert("room_id".to_owned(), "r".repeat(MAX_ID_CHARS + 1).into())),
        6 => drop(fields.insert("message_text".to_owned(), format!("{}\u{0}", message.message_text).into())),
        _ if draws.below(20) == 0 => {
            drop(fields.insert("message_text".to_owned(), "x".repeat(MAX_TEXT_BYTES + 1).into()));
        }
        _ => return json[..json.len() / 2].to_vec(),
    }
    Value::Object(fields).to_string().into_bytes()
}
