//! Messages.

use telecom::Message;

use super::{Value, text, time};

/// The values of `raw.messages`.
pub(super) fn values(message: &Message, at_us: i64, next: &mut impl FnMut(Option<Value<'_>>)) {
    next(text(&message.message_id));
    next(text(&message.room_id));
    next(time(message.room_created_at));
    next(text(&message.channel));
    next(text(&message.customer_id));
    next(message.customer_name.as_deref().and_then(text));
    next(message.phone.as_deref().and_then(text));
    next(text(&message.sender_type));
    next(text(&message.message_text));
    next(time(message.message_date.time));
    next(Some(Value::Number(at_us)));
}
