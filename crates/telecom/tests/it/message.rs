use std::collections::BTreeSet;

use expect_test::{Expect, expect};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use telecom::message::{self, Message, MessageFault};
use telecom::{Day, EventTime, Zone};

fn example() -> Map<String, Value> {
    let Value::Object(example) = json!({
        "message_id": "m-1", "room_id": "r-1", "room_created_at": "2024-01-01 10:00:00", "channel": "whatsapp",
        "customer_id": "c-1", "customer_name": "Thandi Nkosi", "phone": "+27821234567", "sender_type": "customer",
        "message_text": "Hello,\nmy data is gone", "message_date": "2024-01-01T08:00:30.5Z",
    }) else {
        unreachable!()
    };
    example
}

fn check_json(json: &[u8], expect: Expect) {
    let shown = match Message::parse(json, &Zone::default()) {
        Ok(message) => String::from_utf8(message.to_json()).unwrap(),
        Err(fault) => format!("{}: {fault}", fault.code()),
    };
    expect.assert_eq(&shown);
}

/// The example with one field changed.
fn check(field: &str, value: impl Into<Value>, expect: Expect) {
    let mut message = example();
    message.insert(field.to_owned(), value.into());
    check_json(Value::Object(message).to_string().as_bytes(), expect);
}

#[test]
fn a_message_is_read_and_written_in_one_form() {
    check_json(
        Value::Object(example()).to_string().as_bytes(),
        expect![[
            r#"{"message_id":"m-1","room_id":"r-1","room_created_at":"2024-01-01 10:00:00","channel":"whatsapp","customer_id":"c-1","customer_name":"Thandi Nkosi","phone":"+27821234567","sender_type":"customer","message_text":"Hello,\nmy data is gone","message_date":"2024-01-01 10:00:30.500000"}"#
        ]],
    );
    check(
        "customer_name",
        Value::Null,
        expect![[
            r#"{"message_id":"m-1","room_id":"r-1","room_created_at":"2024-01-01 10:00:00","channel":"whatsapp","customer_id":"c-1","customer_name":null,"phone":"+27821234567","sender_type":"customer","message_text":"Hello,\nmy data is gone","message_date":"2024-01-01 10:00:30.500000"}"#
        ]],
    );
    check(
        "phone",
        "",
        expect![[
            r#"{"message_id":"m-1","room_id":"r-1","room_created_at":"2024-01-01 10:00:00","channel":"whatsapp","customer_id":"c-1","customer_name":"Thandi Nkosi","phone":null,"sender_type":"customer","message_text":"Hello,\nmy data is gone","message_date":"2024-01-01 10:00:30.500000"}"#
        ]],
    );
    check(
        "priority",
        1,
        expect![[
            r#"{"message_id":"m-1","room_id":"r-1","room_created_at":"2024-01-01 10:00:00","channel":"whatsapp","customer_id":"c-1","customer_name":"Thandi Nkosi","phone":"+27821234567","sender_type":"customer","message_text":"Hello,\nmy data is gone","message_date":"2024-01-01 10:00:30.500000"}"#
        ]],
    );
}

#[test]
fn what_cannot_be_used_is_named_without_its_content() {
    check_json(b"{\"message_id\":\"\xff\"}", expect!["invalid_utf8: the message is not valid UTF-8"]);
    check_json(b"[\"m-1\"]", expect!["bad_json: the message is not a JSON object with each field once"]);
    check_json(b"", expect!["bad_json: the message is not a JSON object with each field once"]);
    check_json(b"{} {}", expect!["bad_json: the message is not a JSON object with each field once"]);
    check_json(
        br#"{"message_id":"a","message_id":"b"}"#,
        expect!["bad_json: the message is not a JSON object with each field once"],
    );
    check("message_id", Value::Null, expect!["missing_field: message_id is missing"]);
    check("room_id", "", expect!["missing_field: room_id is missing"]);
    check("message_text", "", expect!["missing_field: message_text is missing"]);
    check("message_id", 17, expect!["not_text: message_id is not text: write it in quotes"]);
    check("phone", 27_821_234_567_u64, expect!["not_text: phone is not text: write it in quotes"]);
    check("message_text", json!({"a": 1}), expect!["not_text: message_text is not text: write it in quotes"]);
    check(
        "room_id",
        "é".repeat(message::MAX_ID_CHARS + 1),
        expect!["field_too_long: room_id is longer than 50 characters"],
    );
    check(
        "customer_name",
        "x".repeat(message::MAX_NAME_CHARS + 1),
        expect!["field_too_long: customer_name is longer than 255 characters"],
    );
    check(
        "phone",
        "1".repeat(message::MAX_SHORT_CHARS + 1),
        expect!["field_too_long: phone is longer than 20 characters"],
    );
    check(
        "message_text",
        "x".repeat(message::MAX_TEXT_BYTES + 1),
        expect!["field_too_long: message_text is longer than 65536 bytes"],
    );
    for escape in ["\\ud83d", "\\ude00", "\\ud83d\\ud83d", "\\ud83d!"] {
        let half = Value::Object(example()).to_string().replace("m-1", escape);
        check_json(
            half.as_bytes(),
            expect![
                "half_character: message_id contains half a character: an escape from \\ud800 to \\udfff stands alone; write both halves, or the character"
            ],
        );
    }
    check("channel", "a\tb", expect!["control_character: channel contains a control character"]);
    check("message_text", "a\0b", expect!["control_character: message_text contains a control character"]);
    check(
        "message_date",
        "yesterday",
        expect![
            "bad_time: message_date: it does not begin with a date as YYYY-MM-DD; a time is written YYYY-MM-DD HH:MM:SS, perhaps with a fraction and an offset"
        ],
    );
    check(
        "message_date",
        "2101-01-01 00:00:00",
        expect!["day_out_of_range: message_date: the day lies outside 1970-01-01 to 2100-12-31"],
    );
    check("room_created_at", 1_704_067_200, expect!["not_text: room_created_at is not text: write it in quotes"]);
}

#[test]
fn lengths_count_characters() {
    let mut longest = example();
    longest.insert("message_id".into(), "é".repeat(message::MAX_ID_CHARS).into());
    longest.insert("message_text".into(), "x".repeat(message::MAX_TEXT_BYTES).into());
    assert!(Message::parse(Value::Object(longest).to_string().as_bytes(), &Zone::default()).is_ok());
}

#[test]
fn every_needed_field_is_needed() {
    let needed: BTreeSet<_> = example()
        .keys()
        .filter(|field| {
            let mut message = example();
            message.remove(*field);
            let fault = Message::parse(Value::Object(message).to_string().as_bytes(), &Zone::default());
            matches!(fault, Err(MessageFault::Missing(missing)) if missing == *field)
        })
        .cloned()
        .collect();
    let optional: Vec<_> = example().keys().filter(|&field| !needed.contains(field)).cloned().collect();
    assert_eq!(optional, ["customer_name", "phone"]);
}

#[test]
fn debug_shows_no_person() {
    let message = Message::parse(Value::Object(example()).to_string().as_bytes(), &Zone::default()).unwrap();
    expect![[r#"Message { message_id: "m-1", room_id: "r-1", .. }"#]].assert_eq(&format!("{message:?}"));
}

prop_compose! {
    fn any_time()(days in 0..47_846_i32, second in 0..86_400_u32, microsecond in 0..1_000_000_u32) -> EventTime {
        EventTime {
            day: Day::from_epoch_days(days).unwrap(),
            hour: (second / 3_600) as u8,
            minute: (second / 60 % 60) as u8,
            second: (second % 60) as u8,
            microsecond,
        }
    }
}

prop_compose! {
    fn any_message()(
        ids in prop::array::uniform4("\\PC{1,50}"),
        customer_name in prop::option::of("\\PC{1,255}"),
        phone in prop::option::of("\\PC{1,20}"),
        sender_type in "\\PC{1,20}",
        message_text in "[\\PC\t\n\r]{1,200}",
        room_created_at in any_time(),
        message_date in any_time(),
    ) -> Message {
        let [message_id, room_id, channel, customer_id] = ids;
        Message {
            message_id, room_id, room_created_at, channel, customer_id, customer_name, phone, sender_type, message_text,
            message_date: message_date.into(),
        }
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(message in any_message()) {
        let json = message.to_json();
        prop_assert_eq!(Message::parse(&json, &Zone::default()), Ok(message));
        prop_assert!(!json.contains(&b'\n'), "it is one line");
    }

    #[test]
    fn whatever_is_taken_stays_the_same(text in ".{0,60}", number: i64) {
        for field in example().keys() {
            for value in [Value::from(text.as_str()), number.into()] {
                let mut changed = example();
                changed.insert(field.clone(), value);
                if let Ok(message) = Message::parse(Value::Object(changed).to_string().as_bytes(), &Zone::default()) {
                    prop_assert_eq!(Message::parse(&message.to_json(), &Zone::default()), Ok(message));
                }
            }
        }
    }

    #[test]
    fn nothing_panics(bytes: Vec<u8>, text in ".*") {
        drop(Message::parse(&bytes, &Zone::default()));
        drop(Message::parse(text.as_bytes(), &Zone::default()));
    }
}
