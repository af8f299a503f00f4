//! What the models make of times where clocks are set.

use expect_test::{Expect, expect};
use lake_loader::table::LoadedTopic::Messages;
use stream::Record;

use crate::world::{START_MS, World, record};

/// A room's messages, each by its sender and its time as it was given.
fn room(messages: &[(&str, &str)]) -> Vec<Record> {
    let message = |(offset, (sender, date)): (i64, &(&str, &str))| {
        let value = format!(
            r#"{{"message_id":"m-{offset}","room_id":"r-1","room_created_at":"{date}","channel":"whatsapp","customer_id":"c-1","customer_name":"Name {offset}","sender_type":"{sender}","message_text":"…","message_date":"{date}"}}"#
        );
        record(offset, START_MS, value)
    };
    (0..).zip(messages).map(message).collect()
}

async fn check(zone: &str, messages: &[(&str, &str)], expected: Expect) {
    let world = World::with(&[("OPERATOR_TIMEZONE", zone)]).await;
    world.put(Messages, 0, &room(messages)).await;
    world.load().await;
    let waits = "SELECT asked_at, answered_at, response_seconds FROM analytics.response_times ORDER BY 1, 2";
    let customer = world.texts("SELECT customer_name FROM analytics.customers").await;
    let waits = world.texts(waits).await;
    expected.assert_eq(&format!("{}\n{}", waits.join("\n"), customer.concat()));
}

/// A question and its answer two minutes later, across each change: the moment decides, not the clock on the wall. So
/// it does for the customer's latest name.
#[tokio::test]
async fn a_response_takes_as_long_as_it_takes() {
    let asked = |at, answered| [("customer", at), ("agent", answered)];
    let new_york = "America/New_York";
    check(
        new_york,
        &asked("2024-11-03T05:59:00Z", "2024-11-03T06:01:00Z"),
        expect![[r#"
            ("2024-11-03 01:59:00","2024-11-03 01:01:00",120)
            ("Name 1")"#]],
    )
    .await;
    check(
        new_york,
        &asked("2024-03-10T06:59:00Z", "2024-03-10T07:01:00Z"),
        expect![[r#"
            ("2024-03-10 01:59:00","2024-03-10 03:01:00",120)
            ("Name 1")"#]],
    )
    .await;
    let lord_howe = "Australia/Lord_Howe";
    check(
        lord_howe,
        &asked("2024-04-06T14:59:00Z", "2024-04-06T15:01:00Z"),
        expect![[r#"
            ("2024-04-07 01:59:00","2024-04-07 01:31:00",120)
            ("Name 1")"#]],
    )
    .await;
    check(
        lord_howe,
        &asked("2024-10-05T15:29:00Z", "2024-10-05T15:31:00Z"),
        expect![[r#"
            ("2024-10-06 01:59:00","2024-10-06 02:31:00",120)
            ("Name 1")"#]],
    )
    .await;
    // Times without an offset are the operator's clocks'.
    check(
        new_york,
        &asked("2024-11-03 00:59:00", "2024-11-03 02:01:00"),
        expect![[r#"
            ("2024-11-03 00:59:00","2024-11-03 02:01:00",7320)
            ("Name 1")"#]],
    )
    .await;
}

/// Two dialogues that the clocks show as one.
#[tokio::test]
async fn an_hour_that_comes_twice_has_its_order() {
    let messages = [
        ("customer", "2024-11-03T05:10:00Z"),
        ("agent", "2024-11-03T05:40:00Z"),
        ("customer", "2024-11-03T06:05:00Z"),
        ("agent", "2024-11-03T06:30:00Z"),
    ];
    check(
        "America/New_York",
        &messages,
        expect![[r#"
            ("2024-11-03 01:05:00","2024-11-03 01:30:00",1500)
            ("2024-11-03 01:10:00","2024-11-03 01:40:00",1800)
            ("Name 3")"#]],
    )
    .await;
}
