//! What becomes of each item.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use telecom::message::MAX_ID_CHARS;
use telecom::{Message, MessageFault, Zone};

/// What became of a request's items; the body of the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// Messages that Kafka has.
    pub accepted: usize,
    /// Items with the `message_id` of an earlier one.
    pub duplicates: usize,
    /// Items that are not taken.
    pub rejected: usize,
    /// In the order of the request.
    pub items: Vec<Item>,
}

/// What became of one item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Item {
    /// Its place in the request, from 0; blank lines don't count.
    pub index: usize,
    /// Its own, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// What became of it.
    pub status: Status,
    /// Of a rejected one: the code of a [`MessageFault`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// In words, without its content.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// What became of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Kafka has it.
    Accepted,
    /// An earlier item of the request has its `message_id`: that one is kept.
    Duplicate,
    /// It can't be used, and is the client's to repair.
    Rejected,
}

/// Decides on each item; the messages are those to be published, in the request's order.
pub(crate) fn judge(items: &[&[u8]], zone: &Zone) -> (Vec<Message>, Outcome) {
    let mut messages = Vec::with_capacity(items.len());
    let mut outcome = Outcome { accepted: 0, duplicates: 0, rejected: 0, items: Vec::with_capacity(items.len()) };
    let mut first: HashMap<String, usize> = HashMap::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let told = match Message::parse(item, zone) {
            Err(fault) => {
                outcome.rejected += 1;
                rejected(index, item, fault)
            }
            Ok(message) => {
                let message_id = Some(message.message_id.clone());
                let earlier = *first.entry(message.message_id.clone()).or_insert(index);
                if earlier < index {
                    outcome.duplicates += 1;
                    let detail = Some(format!("item {earlier} has this message_id, and is kept"));
                    Item { index, message_id, status: Status::Duplicate, reason: None, detail }
                } else {
                    outcome.accepted += 1;
                    messages.push(message);
                    Item { index, message_id, status: Status::Accepted, reason: None, detail: None }
                }
            }
        };
        outcome.items.push(told);
    }
    (messages, outcome)
}

fn rejected(index: usize, item: &[u8], fault: MessageFault) -> Item {
    #[derive(Deserialize)]
    struct Named {
        message_id: String,
    }
    let named = serde_json::from_slice::<Named>(item).ok().map(|named| named.message_id);
    Item {
        index,
        message_id: named.filter(|id| id.chars().nth(MAX_ID_CHARS).is_none()),
        status: Status::Rejected,
        reason: Some(fault.code()),
        detail: Some(fault.to_string()),
    }
}
