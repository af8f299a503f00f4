//! What a load makes of bronze: each record once, whatever lies there and however often it is run.

use std::time::Duration;

use expect_test::expect;
use futures::TryStreamExt;
use lake::bronze;
use lake_loader::table::LoadedTopic::{CdrData, Messages};
use lake_loader::{Event, Request, Status, handle};
use lambda_boot::Deadline;
use stream::Lane;

use crate::world::{START_MS, World, message, record, session, shown};

const SESSIONS: &str =
    "SELECT kafka_partition, kafka_offset, source_line, event_datetime FROM cdr_data.data ORDER BY 1, 2";

#[tokio::test]
async fn each_record_is_there_once() {
    let world = World::new().await;
    let time = "2024-01-01 12:00:00";
    let all: Vec<_> = (0..6).map(|line| session(line, 7, line.unsigned_abs() + 1, time)).collect();
    // Objects that overlap; a file that is published again in the middle, and one of its rows that is not usable.
    world.put(CdrData, 0, &all[..4]).await;
    world.put(CdrData, 0, &all[2..]).await;
    world.put(CdrData, 0, &[session(6, 7, 3, time), record(7, START_MS, "{}"), session(8, 7, 7, time)]).await;
    // Late: its event lies two hours back.
    world.put(CdrData, 2, &[session(0, 9, 1, "2024-01-01 10:30:00")]).await;
    expect![[r#"
        Succeeded
        cdr_data.data: 2 chunks, 10 records = 8 accepted + 1 duplicates + 1 rejected; gap 0; 8 new rows
    "#]]
    .assert_eq(&shown(&world.load().await));
    expect![[r#"
        (0,0,1,"2024-01-01 12:00:00")
        (0,1,2,"2024-01-01 12:00:00")
        (0,2,3,"2024-01-01 12:00:00")
        (0,3,4,"2024-01-01 12:00:00")
        (0,4,5,"2024-01-01 12:00:00")
        (0,5,6,"2024-01-01 12:00:00")
        (0,8,7,"2024-01-01 12:00:00")
        (2,0,1,"2024-01-01 10:30:00")"#]]
    .assert_eq(&world.texts(SESSIONS).await.join("\n"));
    expect![[r#"
        silver/cdr_data/date=2024-01-01/hour=10/cdr-data-1-2-00000000000000000000.parquet
        silver/cdr_data/date=2024-01-01/hour=12/cdr-data-1-0-00000000000000000000.parquet"#]]
    .assert_eq(&world.silver().await.into_keys().collect::<Vec<_>>().join("\n"));
    expect![[r#"(0,7,missing_column,"msisdn is missing",{})"#]].assert_eq(
        &world
            .texts("SELECT partition, \"offset\", reason, detail, encode(value, 'escape') FROM ops.unusable_records")
            .await
            .join("\n"),
    );
    // Nothing is new.
    expect![[r#"
        Succeeded
    "#]]
    .assert_eq(&shown(&world.load().await));
    // The file comes once more, in another chunk.
    world.put(CdrData, 0, &[session(9, 7, 7, time), session(10, 7, 8, time)]).await;
    expect![[r#"
        Succeeded
        cdr_data.data: 1 chunks, 2 records = 1 accepted + 1 duplicates + 0 rejected; gap 0; 1 new rows
    "#]]
    .assert_eq(&shown(&world.load().await));
    let sums = world.texts("SELECT msisdn, day, up_bytes, events FROM prepared_layers.daily_usage").await;
    expect!["(27821234567,2024-01-01,37,9)"].assert_eq(&sums.join("\n"));
    let accounts = "SELECT layer, table_name, rows_in, rows_out, duplicates, rejected, is_balanced FROM ops.layer_audit
        WHERE layer <> 'models' ORDER BY run_id, 1, 2";
    expect![[r#"
        (raw,cdr_data.data,8,8,0,0,t)
        (silver,cdr_data,10,8,1,1,t)
        (raw,cdr_data.data,1,1,0,0,t)
        (silver,cdr_data,2,1,1,0,t)"#]]
    .assert_eq(&world.texts(accounts).await.join("\n"));
    assert_eq!(world.texts("SELECT status FROM ops.runs WHERE status <> 'succeeded'").await, [""; 0]);
}

#[tokio::test]
async fn offsets_without_a_record_are_counted() {
    let world = World::new().await;
    let row = |offset: i64| session(offset, 7, offset.unsigned_abs(), "2024-01-01 12:00:00");
    // Before the first object, inside of one, and between two.
    world.put(CdrData, 0, &[row(5), row(6), row(9)]).await;
    world.put(CdrData, 0, &[row(20)]).await;
    expect![[r#"
        Succeeded
        cdr_data.data: 1 chunks, 4 records = 4 accepted + 0 duplicates + 0 rejected; gap 17; 4 new rows
    "#]]
    .assert_eq(&shown(&world.load().await));
    // An object that overlaps brings what lies behind: one record, and an offset without one.
    let lane = Lane { epoch: 1, topic: CdrData.topic().default_name().to_owned(), partition: 0 };
    bronze::write(&world.lake, &lane, &[row(9), row(20), row(22)], Some(9)).await.unwrap();
    expect![[r#"
        Succeeded
        cdr_data.data: 1 chunks, 1 records = 1 accepted + 0 duplicates + 0 rejected; gap 1; 1 new rows
    "#]]
    .assert_eq(&shown(&world.load().await));
    expect![[r#"
        Succeeded
    "#]]
    .assert_eq(&shown(&world.load().await));
    let offsets = world.texts("SELECT kafka_offset FROM cdr_data.data ORDER BY 1").await;
    assert_eq!(offsets.concat(), "(5)(6)(9)(20)(22)");
    let gaps = "SELECT start_offset, end_offset, records, gap_offsets FROM ops.chunks ORDER BY 1";
    expect!["(0,21,4,17)(21,23,1,1)"].assert_eq(&world.texts(gaps).await.concat());
}

/// A message that was sent to two rooms came by two lanes: the first one stays, whichever lane is loaded first.
#[tokio::test]
async fn the_earliest_of_a_messages_copies_stays() {
    let world = World::new().await;
    world.put(Messages, 0, &[message(0, START_MS + 500, "m-1", "late"), message(1, START_MS, "m-2", "early")]).await;
    let first = world.load().await;
    world.put(Messages, 1, &[message(0, START_MS, "m-1", "early"), message(1, START_MS + 500, "m-2", "late")]).await;
    // And again in its own lane.
    world.put(Messages, 0, &[message(2, START_MS + 600, "m-1", "late")]).await;
    let second = world.load().await;
    expect![[r#"
        Succeeded
        raw.messages: 1 chunks, 2 records = 2 accepted + 0 duplicates + 0 rejected; gap 0; 2 new rows
        Succeeded
        raw.messages: 2 chunks, 3 records = 2 accepted + 1 duplicates + 0 rejected; gap 0; 0 new rows
    "#]]
    .assert_eq(&format!("{}{}", shown(&first), shown(&second)));
    expect![[r#"
        (m-1,early,"m-1 in early at 0",1)
        (m-2,early,"m-2 in early at 1",0)"#]]
    .assert_eq(
        &world
            .texts("SELECT message_id, room_id, message_text, kafka_partition FROM raw.messages ORDER BY 1")
            .await
            .join("\n"),
    );
    expect![[r#"
        (m-1,early)
        (m-2,early)"#]]
    .assert_eq(&world.texts("SELECT message_id, room_id FROM analytics.messages ORDER BY 1").await.join("\n"));
    // Nothing is left of what the models had made of the copy that went.
    for (query, expected) in [
        ("SELECT room_id, customer_id FROM analytics.rooms", "(early,c-early)"),
        ("SELECT customer_id FROM analytics.customers", "(c-early)"),
        ("SELECT messages FROM analytics.messages_by_day", "(2)"),
        ("SELECT room_id FROM analytics.response_times", "(early)"),
        ("SELECT count(*) FROM ops.chunks WHERE rebuild_batch_id IS NOT NULL", "(1)"),
    ] {
        assert_eq!(world.texts(query).await.concat(), expected, "{query}");
    }
}

#[tokio::test]
async fn what_is_missing_is_restored() {
    let world = World::new().await;
    let time = "2024-01-01 12:00:00";
    world.put(CdrData, 0, &[session(0, 7, 1, time), session(1, 7, 2, time)]).await;
    world.load().await;
    let silver = world.silver().await;
    world.client.batch_execute("DELETE FROM cdr_data.data WHERE kafka_offset = 1").await.unwrap();
    for key in silver.keys() {
        world.lake.delete(key).await.unwrap();
    }
    let hours = |from: &str, to: &str| Request {
        from: Some(from.parse().unwrap()),
        to: Some(to.parse().unwrap()),
        ..Request::default()
    };
    let other = world.ask(hours("2024-01-01T09", "2024-01-01T10")).await.unwrap();
    let there = world.ask(hours("2024-01-01T10", "2024-01-01T11")).await.unwrap();
    expect![[r#"
        Succeeded
        Succeeded
        cdr_data.data: 1 chunks, 2 records = 2 accepted + 0 duplicates + 0 rejected; gap 0; 1 new rows
    "#]]
    .assert_eq(&format!("{}{}", shown(&other), shown(&there)));
    assert_eq!(world.silver().await, silver);
    // It was counted before.
    assert_eq!(world.texts("SELECT events FROM prepared_layers.daily_usage").await, ["(2)"]);
    let batches = "SELECT kafka_offset, batch_id > (SELECT max(batch_id) FROM ops.chunks) AS is_new FROM cdr_data.data ORDER BY 1";
    expect![[r#"
        (0,f)
        (1,t)"#]]
    .assert_eq(&world.texts(batches).await.join("\n"));
}

#[tokio::test]
async fn only_one_run_is_at_work_and_none_begins_what_it_cannot_end() {
    let world = World::new().await;
    world.put(CdrData, 0, &[session(0, 7, 1, "2024-01-01 12:00:00")]).await;
    world
        .client
        .batch_execute("SELECT pg_advisory_lock(('x' || encode('trunklld', 'hex'))::bit(64)::bigint)")
        .await
        .unwrap();
    assert_eq!(world.load().await.status, Status::Busy);
    let waiting = world.ask(Request { wait: true, ..Request::default() });
    let freed = async { world.client.batch_execute("SELECT pg_advisory_unlock_all()").await };
    let (waited, freed) = tokio::join!(waiting, freed);
    freed.unwrap();
    assert_eq!(waited.unwrap().status, Status::Succeeded);
    world.put(CdrData, 0, &[session(1, 7, 2, "2024-01-01 12:00:00")]).await;
    let short = handle(&world.deps, Event::Schedule, Deadline::after(Duration::from_secs(30))).await.unwrap();
    expect![[r#"
        Incomplete, left: 1 chunks, and the models after them
    "#]]
    .assert_eq(&shown(&short));
    expect![[r#"
        (request,succeeded,)
        (schedule,incomplete,"1 chunks, and the models after them")"#]]
    .assert_eq(&world.texts("SELECT cause, status, message FROM ops.runs ORDER BY run_id").await.join("\n"));
}

#[tokio::test]
async fn files_that_wait_for_a_decision_are_shown_as_long_as_they_wait() {
    let world = World::new().await;
    let shown = "SELECT file_name, other_file, reason, rows, shared_rows, landed_at AT TIME ZONE 'UTC'
        FROM ops.file_conflicts ORDER BY 1";
    let put = async |name: &str, note: &str| {
        world.lake.put(&format!("conflicts/{name}.json"), note.to_owned().into()).await.unwrap();
    };
    put("a.csv", r#"{"name":"a.csv","version":"a.csv@1-2","piece":"a.csv@1-2","with":"a.csv","with_version":"a.csv","reason":"changed","rows":3,"shared_rows":2,"landed_at":1704103200}"#).await;
    put("b.csv", r#"{"name":"b.csv","with":"a.csv","reason":"shares","rows":300}"#).await;
    put("c.csv", "not a note").await;
    world.load().await;
    expect![[r#"
        (a.csv,a.csv,changed,3,2,"2024-01-01 10:00:00")
        (b.csv,a.csv,shares,300,0,)
        (c.csv,"",unreadable,0,0,)"#]]
    .assert_eq(&world.texts(shown).await.join("\n"));
    for name in ["a.csv", "c.csv"] {
        world.lake.delete(&format!("conflicts/{name}.json")).await.unwrap();
    }
    put("b.csv", r#"{"name":"b.csv","with":"d.csv","reason":"shares","rows":301}"#).await;
    world.load().await;
    expect!["(b.csv,d.csv,shares,301,0,)"].assert_eq(&world.texts(shown).await.join("\n"));
}

#[tokio::test]
async fn files_that_nobody_takes_are_shown_as_long_as_they_lie_there() {
    let world = World::new().await;
    let shown = "SELECT file_name, files, noted_at AT TIME ZONE 'UTC' FROM ops.unmatched_files ORDER BY 1";
    let put = async |note: &str| world.lake.put("unmatched.json", note.to_owned().into()).await.unwrap();
    put(r#"{"files":1,"names":["README"],"noted_at":1704103200}"#).await;
    world.load().await;
    put(r#"{"files":1002,"names":["README","south/msc-1/x.csv"],"noted_at":1704106800}"#).await;
    world.load().await;
    let both = expect![[r#"
        (README,1002,"2024-01-01 10:00:00")
        (south/msc-1/x.csv,1002,"2024-01-01 11:00:00")"#]];
    both.assert_eq(&world.texts(shown).await.join("\n"));
    // What was known stays, and the load goes on.
    put("not a note").await;
    world.load().await;
    both.assert_eq(&world.texts(shown).await.join("\n"));
    world.lake.delete("unmatched.json").await.unwrap();
    world.load().await;
    assert_eq!(world.texts(shown).await, Vec::<String>::new());
}

#[tokio::test]
async fn rows_that_vanish_fail_the_run() {
    let world = World::new().await;
    world.put(CdrData, 0, &[session(0, 7, 1, "2024-01-01 12:00:00")]).await;
    world.load().await;
    world
        .client
        .batch_execute(
            "CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
            CREATE TRIGGER swallow BEFORE INSERT ON cdr_data.data FOR EACH ROW EXECUTE FUNCTION swallow()",
        )
        .await
        .unwrap();
    world.put(CdrData, 0, &[session(1, 7, 2, "2024-01-01 12:00:00")]).await;
    let error = world.ask(Request::default()).await.unwrap_err();
    expect!["raw cdr_data.data does not balance: 1 in, 0 out, 0 duplicates, 0 rejected, 0 withdrawn. Nothing of this chunk was kept; the tables are as they were. Look for triggers, rules and rows that somebody else writes or deletes"].assert_eq(&format!("{error:#}"));
    let accounts = "SELECT r.status, a.layer, a.table_name, a.rows_in, a.rows_out, a.is_balanced
        FROM ops.runs r LEFT JOIN ops.layer_audit a ON a.run_id = r.run_id AND NOT a.is_balanced ORDER BY r.run_id";
    expect![[r#"
        (succeeded,,,,,)
        (failed,raw,cdr_data.data,1,0,f)"#]]
    .assert_eq(&world.texts(accounts).await.join("\n"));
    world.client.batch_execute("DROP TRIGGER swallow ON cdr_data.data").await.unwrap();
    expect![[r#"
        Succeeded
        cdr_data.data: 1 chunks, 1 records = 1 accepted + 0 duplicates + 0 rejected; gap 0; 1 new rows
    "#]]
    .assert_eq(&shown(&world.load().await));
}

#[tokio::test]
async fn an_object_that_cannot_be_read_stops_its_own_lane_only() {
    let world = World::new().await;
    let row = |offset: i64| session(offset, 7, offset.unsigned_abs() + 1, "2024-01-01 12:00:00");
    world.put(CdrData, 0, &[row(0), row(1)]).await;
    let keys: Vec<_> = world.lake.list("bronze/").map_ok(|listed| listed.key).try_collect().await.unwrap();
    let [key] = &keys[..] else { panic!("{keys:?}") };
    let whole = world.lake.get_stream(key).await.unwrap().into_bytes().await.unwrap();
    // Half of its bytes, with all that is kept with it.
    let kept = world.lake.head(key).await.unwrap().unwrap().metadata;
    let kept: Vec<_> = kept.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    world.lake.delete(key).await.unwrap();
    world.lake.put_if_absent(key, whole.slice(..whole.len() / 2), &kept).await.unwrap();
    for partition in 1..5 {
        world.put(CdrData, partition, &[row(0)]).await;
    }
    for _ in 0..2 {
        let error = format!("{:#}", world.ask(Request::default()).await.unwrap_err());
        assert!(error.contains(key), "{error}");
    }
    let loaded = "SELECT kafka_partition FROM cdr_data.data ORDER BY 1";
    assert_eq!(world.texts(loaded).await.concat(), "(1)(2)(3)(4)");
    assert_eq!(world.texts("SELECT status FROM ops.runs").await.concat(), "(failed)(failed)");

    world.lake.put(key, whole).await.unwrap();
    expect![[r#"
        Succeeded
        cdr_data.data: 1 chunks, 2 records = 2 accepted + 0 duplicates + 0 rejected; gap 0; 2 new rows
    "#]]
    .assert_eq(&shown(&world.load().await));
    assert_eq!(world.texts("SELECT events FROM prepared_layers.daily_usage").await.concat(), "(6)");
}
