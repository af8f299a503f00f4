use std::collections::{BTreeMap, BTreeSet};

use expect_test::{Expect, expect};
use generator::Folder;
use generator::chat::{Kind, Line, Options, lines};
use telecom::{Message, Zone};

fn small() -> Options {
    Options { count: 2_000, rooms: 300, subscribers: 500, ..Options::default() }
}

fn all(options: &Options) -> Vec<Line> {
    lines(options).unwrap().collect()
}

fn parse(line: &Line) -> Result<Message, telecom::MessageFault> {
    Message::parse(&line.json, &Zone::default())
}

#[test]
fn the_same_options_give_the_same_messages() {
    let first = all(&small());
    assert_eq!(first, all(&small()));
    assert_ne!(first, all(&Options { seed: 2, ..small() }));
    let shown: Vec<_> = first[..6].iter().map(|line| String::from_utf8_lossy(&line.json)).collect();
    expect![[r#"
        {"message_id":"msg-1-000000-0000","room_id":"room-1-000000","room_created_at":"2024-01-01 00:00:00","channel":"web","customer_id":"customer-1-000373","customer_name":"Fatima Dlamini","phone":"+27816944379","sender_type":"customer","message_text":"How do I switch on roaming? I fly tomorrow 😀","message_date":"2024-01-01 00:00:25"}
        {"message_id":"msg-1-000000-0001","room_id":"room-1-000000","room_created_at":"2024-01-01 00:00:00","channel":"web","customer_id":"customer-1-000373","customer_name":"Fatima Dlamini","phone":"+27816944379","sender_type":"agent","message_text":"You can do it in the app under Settings. Shall I do it for you?","message_date":"2024-01-01 00:00:40"}
        {"message_id":"msg-1-000000-0002","room_id":"room-1-000000","room_created_at":"2024-01-01 00:00:00","channel":"web","customer_id":"customer-1-000373","customer_name":"Fatima Dlamini","phone":"+27816944379","sender_type":"customer","message_text":"And when will it be repaired?","message_date":"2024-01-01 00:03:55"}
        {"message_id":"msg-1-000000-0003","room_id":"room-1-000000","room_created_at":"2024-01-01 00:00:00","channel":"web","customer_id":"customer-1-000373","customer_name":"Fatima Dlamini","phone":"+27816944379","sender_type":"customer","message_text":"Can you check again please?","message_date":"2024-01-01 00:04:47"}
        {"message_id":"msg-1-000001-0000","room_id":"room-1-000001","room_created_at":"2024-01-01 00:04:48","channel":"whatsapp","customer_id":"customer-1-000000","customer_name":"Zanele Botha","phone":"+27676297882","sender_type":"customer","message_text":"I want to move to prepaid. What does it cost?","message_date":"2024-01-01 00:05:01"}
        {"message_id":"msg-1-000002-0000","room_id":"room-1-000002","room_created_at":"2024-01-01 00:09:36","channel":"whatsapp","customer_id":"customer-1-000124","customer_name":"Lerato Mokoena","phone":"+27664609318","sender_type":"customer","message_text":"Video calls stop after about a minute, everything else works.","message_date":"2024-01-01 00:09:41"}"#]].assert_eq(&shown.join("\n"));
}

#[test]
fn messages_are_dialogues_in_the_order_of_time() {
    let messages: Vec<_> = all(&small()).iter().map(|line| parse(line).unwrap()).collect();
    assert_eq!(messages.len(), 2_000);
    assert!(messages.is_sorted_by_key(|message| message.message_date.time));
    assert_eq!(messages.iter().map(|message| &message.message_id).collect::<BTreeSet<_>>().len(), 2_000);

    let mut rooms: BTreeMap<_, Vec<_>> = BTreeMap::new();
    messages.iter().for_each(|message| rooms.entry(&message.room_id).or_default().push(message));
    assert_eq!(rooms.len(), 300);
    for said in rooms.values() {
        let first = said[0];
        assert_eq!(first.sender_type, "customer");
        assert!(first.room_created_at <= first.message_date.time);
        assert!(said.iter().all(|message| (&message.customer_id, message.room_created_at, &message.channel)
            == (&first.customer_id, first.room_created_at, &first.channel)));
    }
    let senders: BTreeSet<_> = messages.iter().map(|message| message.sender_type.as_str()).collect();
    assert_eq!(senders, ["agent", "customer"].into());
    let channels: BTreeSet<_> = messages.iter().map(|message| message.channel.as_str()).collect();
    assert_eq!(channels, ["facebook", "sms", "web", "whatsapp"].into());
    assert!(messages.iter().any(|message| message.customer_name.is_none()));
    assert!(messages.iter().any(|message| message.phone.is_none()));
}

#[tokio::test]
async fn customers_are_subscribers_of_the_same_seed() {
    let folder = tempfile::tempdir().unwrap();
    let records = crate::small(&folder);
    let destination = generator::Destination::files(Folder::create(folder.path().join("files")).await.unwrap());
    generator::run(&records, &destination, &generator::progress_bar()).await.unwrap();
    let mut subscribers = BTreeSet::new();
    for file in std::fs::read_dir(folder.path().join("files")).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        subscribers.extend(text.lines().skip(1).filter_map(|line| Some(line.split_once(',')?.0.to_owned())));
    }
    let messages = all(&Options { subscribers: records.subscribers, ..small() });
    let customers: BTreeSet<_> = messages.iter().filter_map(|line| parse(line).unwrap().phone).collect();
    // In a short run a few subscribers do nothing.
    let known = customers.intersection(&subscribers).count();
    assert!(known * 10 > customers.len() * 9, "{known} of {}", customers.len());
}

#[test]
fn faults_add_lines_and_change_none() {
    let spoiled = all(&Options { faults: 0.1, ..small() });
    let (mut seen, mut new, mut codes) = (BTreeSet::new(), Vec::new(), BTreeSet::new());
    let mut count = BTreeMap::from([("again", 0), ("unusable", 0)]);
    for line in spoiled {
        assert!(!line.json.contains(&b'\n'));
        match line.kind {
            Kind::New => {
                assert!(seen.insert(line.json.clone()));
                new.push(line);
            }
            Kind::Again => {
                assert!(seen.contains(&line.json), "it came before");
                *count.get_mut("again").unwrap() += 1;
            }
            Kind::Unusable => {
                codes.insert(parse(&line).unwrap_err().code());
                *count.get_mut("unusable").unwrap() += 1;
            }
        }
    }
    assert_eq!(new, all(&small()));
    expect![[r#"{"again": 197, "unusable": 204} {"bad_json", "bad_time", "control_character", "day_out_of_range", "field_too_long", "missing_field", "not_text"}"#]].assert_eq(&format!("{count:?} {codes:?}"));
}

#[test]
fn options_that_make_no_sense_are_named() {
    let check = |options: Options, expect: Expect| {
        expect.assert_eq(&lines(&options).err().map(|error| error.to_string()).unwrap_or_default());
    };
    check(
        Options { rooms: 0, ..small() },
        expect!["--rooms 0: give 1 to 1000000, and no more than messages (--count 2000)"],
    );
    check(
        Options { rooms: 2_001, ..small() },
        expect!["--rooms 2001: give 1 to 1000000, and no more than messages (--count 2000)"],
    );
    check(
        Options { subscribers: 0, ..small() },
        expect!["--subscribers 0: give 1 to 200000000, as there are no more mobile numbers"],
    );
    check(Options { days: 0, ..small() }, expect!["--days 0: give 1 to 47450"]);
    check(Options { faults: f64::NAN, ..small() }, expect!["--faults NaN: give a probability from 0 to 1"]);
    check(
        Options { start: jiff::civil::date(2099, 12, 31).at(0, 0, 0, 0), days: 500, ..small() },
        expect!["--start 2099-12-31T00:00:00 and --days 500: the messages must lie between 1970 and 2100"],
    );
    check(
        Options { count: 1, rooms: 1, days: 36_500, ..small() },
        expect!["--start 2024-01-01T00:00:00 and --days 36500: the messages must lie between 1970 and 2100"],
    );
}
