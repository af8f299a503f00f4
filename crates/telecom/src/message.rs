//! Messages of customers and agents, as the topic `chat-messages` keeps them.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::time::{EventTime, InvalidTime, Moment, TimeFault, Zone};

/// The most characters of an id and of a channel: the warehouse's columns.
pub const MAX_ID_CHARS: usize = 50;

/// The most characters of a customer's name: the warehouse's column.
pub const MAX_NAME_CHARS: usize = 255;

/// The most characters of a phone number and of a sender's type: the warehouse's columns.
pub const MAX_SHORT_CHARS: usize = 20;

/// The most bytes of a text: far more than anybody types, and a pasted log still fits.
pub const MAX_TEXT_BYTES: usize = 64 * 1024;

/// One message in a room between a customer and those who answer. Its identity is `message_id`.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Message {
    /// Unique, given by the sender.
    pub message_id: String,
    /// Where it was said. Messages of one room keep their order.
    pub room_id: String,
    /// When the room was opened.
    #[serde(serialize_with = "text")]
    pub room_created_at: EventTime,
    /// How the customer writes, such as `whatsapp`.
    pub channel: String,
    /// The room's customer, whoever sent this message.
    pub customer_id: String,
    /// The customer's name, if it is known.
    pub customer_name: Option<String>,
    /// The customer's number as it was written, where it is known.
    pub phone: Option<String>,
    /// Who sent it, such as `customer` or `agent`.
    pub sender_type: String,
    /// What was said.
    pub message_text: String,
    /// When it was said.
    #[serde(serialize_with = "text")]
    pub message_date: Moment,
}

/// Why a message cannot be used. `Display` explains it to people, without the message's content; [`code`](Self::code)
/// is for machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum MessageFault {
    /// It is not UTF-8.
    #[error("the message is not valid UTF-8")]
    InvalidUtf8,
    /// It is not one JSON object, or has a field twice.
    #[error("the message is not a JSON object with each field once")]
    BadJson,
    /// A field that is needed is absent, `null` or empty.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A field is something else than text.
    #[error("{0} is not text: write it in quotes")]
    NotText(&'static str),
    /// A field has an escape for one half of a character that takes two, such as `\ud83d`.
    #[error(
        "{0} contains half a character: an escape from \\ud800 to \\udfff stands alone; write both halves, or the character"
    )]
    HalfCharacter(&'static str),
    /// A field is too long for the warehouse.
    #[error("{field} is longer than {max} {unit}")]
    TooLong {
        /// The field's name.
        field: &'static str,
        /// Its limit.
        max: usize,
        /// What the limit counts.
        unit: &'static str,
    },
    /// A field has a control character; `message_text` may have tabs and line ends.
    #[error("{0} contains a control character")]
    ControlCharacter(&'static str),
    /// A time is malformed.
    #[error("{0}: {why}", why = InvalidTime::Malformed(*.1))]
    BadTime(&'static str, TimeFault),
    /// A time's day lies outside 1970–2100.
    #[error("{0}: {why}", why = InvalidTime::OutOfRange)]
    DayOutOfRange(&'static str),
}

impl MessageFault {
    /// The stable name under which rejections are counted and filtered.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::InvalidUtf8 => "invalid_utf8",
            Self::BadJson => "bad_json",
            Self::Missing(_) => "missing_field",
            Self::NotText(_) => "not_text",
            Self::HalfCharacter(_) => "half_character",
            Self::TooLong { .. } => "field_too_long",
            Self::ControlCharacter(_) => "control_character",
            Self::BadTime(..) => "bad_time",
            Self::DayOutOfRange(_) => "day_out_of_range",
        }
    }
}

impl Message {
    /// Reads and judges a message's JSON. Fields that are not known are ignored, `null` is as good as absent, and so is
    /// an empty text. Times without an offset are civil time in the operator's zone; with one they are converted.
    pub fn parse(json: &[u8], zone: &Zone) -> Result<Self, MessageFault> {
        let json = str::from_utf8(json).map_err(|_| MessageFault::InvalidUtf8)?;
        // The reader would also take the values as an array.
        if !json.trim_ascii_start().starts_with('{') {
            return Err(MessageFault::BadJson);
        }
        let fields: Fields<'_> = serde_json::from_str(json).map_err(|_| MessageFault::BadJson)?;
        let id = |name, field| needed(name, line(name, field, MAX_ID_CHARS)?);
        Ok(Self {
            message_id: id("message_id", fields.message_id)?,
            room_id: id("room_id", fields.room_id)?,
            room_created_at: moment("room_created_at", fields.room_created_at, zone)?.time,
            channel: id("channel", fields.channel)?,
            customer_id: id("customer_id", fields.customer_id)?,
            customer_name: line("customer_name", fields.customer_name, MAX_NAME_CHARS)?,
            phone: line("phone", fields.phone, MAX_SHORT_CHARS)?,
            sender_type: needed("sender_type", line("sender_type", fields.sender_type, MAX_SHORT_CHARS)?)?,
            message_text: paragraphs("message_text", fields.message_text)?,
            message_date: moment("message_date", fields.message_date, zone)?,
        })
    }

    /// The message as JSON: one line, the fields in the order above, times as civil time in the operator's zone; with
    /// an offset if the time alone would mean another moment.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts always serialize")
    }
}

/// Leaves out the text and the names.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("message_id", &self.message_id)
            .field("room_id", &self.room_id)
            .finish_non_exhaustive()
    }
}

/// The known fields, not yet read.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    message_id: Option<&'a RawValue>,
    room_id: Option<&'a RawValue>,
    room_created_at: Option<&'a RawValue>,
    channel: Option<&'a RawValue>,
    customer_id: Option<&'a RawValue>,
    customer_name: Option<&'a RawValue>,
    phone: Option<&'a RawValue>,
    sender_type: Option<&'a RawValue>,
    message_text: Option<&'a RawValue>,
    message_date: Option<&'a RawValue>,
}

/// A field's text; none where it is absent or empty.
fn unquoted(name: &'static str, field: Option<&RawValue>) -> Result<Option<String>, MessageFault> {
    let Some(raw) = field else { return Ok(None) };
    let text: String = serde_json::from_str(raw.get()).map_err(|_| match raw.get().starts_with('"') {
        // All else that a text can't hold, the JSON around it could not either.
        true => MessageFault::HalfCharacter(name),
        false => MessageFault::NotText(name),
    })?;
    Ok(Some(text).filter(|text| !text.is_empty()))
}

/// Text of one line.
fn line(name: &'static str, field: Option<&RawValue>, max: usize) -> Result<Option<String>, MessageFault> {
    let text = unquoted(name, field)?;
    if let Some(text) = &text {
        if text.chars().nth(max).is_some() {
            return Err(MessageFault::TooLong { field: name, max, unit: "characters" });
        }
        if text.chars().any(char::is_control) {
            return Err(MessageFault::ControlCharacter(name));
        }
    }
    Ok(text)
}

/// Text that may have lines.
fn paragraphs(name: &'static str, field: Option<&RawValue>) -> Result<String, MessageFault> {
    let text = needed(name, unquoted(name, field)?)?;
    if text.len() > MAX_TEXT_BYTES {
        return Err(MessageFault::TooLong { field: name, max: MAX_TEXT_BYTES, unit: "bytes" });
    }
    if text.chars().any(|c| c.is_control() && !matches!(c, '\t' | '\n' | '\r')) {
        return Err(MessageFault::ControlCharacter(name));
    }
    Ok(text)
}

fn moment(name: &'static str, field: Option<&RawValue>, zone: &Zone) -> Result<Moment, MessageFault> {
    let text = needed(name, unquoted(name, field)?)?;
    Moment::parse(&text, zone).map_err(|error| match error {
        InvalidTime::Malformed(fault) => MessageFault::BadTime(name, fault),
        InvalidTime::OutOfRange => MessageFault::DayOutOfRange(name),
    })
}

fn needed(name: &'static str, text: Option<String>) -> Result<String, MessageFault> {
    text.ok_or(MessageFault::Missing(name))
}

fn text<S: Serializer>(time: &impl fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(time)
}
