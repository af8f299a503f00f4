//! Rows of files that were replaced: they go from the tables, once, and stay visible elsewhere.

use std::collections::BTreeMap;

use expect_test::{Expect, expect};
use lake_loader::Request;
use lake_loader::table::LoadedTopic::CdrData;

use crate::world::{START_MS, World, record, session, shown, withdrawal};

const TIME: &str = "2024-01-01 12:00:00";
const ROWS: &str = "SELECT kafka_partition, source_id, source_line FROM cdr_data.data ORDER BY 1, 2, 3";
const WITHDRAWN: &str = "SELECT kafka_partition, kafka_offset, source_id, source_line, row_batch_id, batch_id FROM cdr_data.data_withdrawn ORDER BY 1, 2";
const USAGE: &str = "SELECT day, events, up_bytes, down_bytes FROM prepared_layers.daily_usage ORDER BY 1";
const AUDITS: &str =
    "SELECT layer, table_name, rows_in, rows_out, duplicates, withdrawn, is_balanced FROM ops.layer_audit
    WHERE layer <> 'models' AND run_id = (SELECT max(run_id) FROM ops.runs) ORDER BY 1, 2";

fn short(lines: &[String]) -> String {
    lines.join("\n").replace("00000000000000", "")
}

impl World {
    async fn expect(&self, query: &str, expected: Expect) {
        expected.assert_eq(&short(&self.texts(query).await));
    }
}

#[tokio::test]
async fn a_row_is_taken_back_once() {
    let world = World::new().await;
    let rows: Vec<_> = (0..4).map(|offset| session(offset, 7, offset.unsigned_abs() + 1, TIME)).collect();
    world.put(CdrData, 0, &rows).await;
    // Of the same file in another lane, and of another file.
    world.put(CdrData, 1, &[session(0, 7, 2, TIME), session(1, 9, 1, TIME)]).await;
    world.load().await;
    // Three of four, one of them twice; one that has not come, and one of a file that nobody knows.
    let back = |offset, line| withdrawal(offset, 7, line, TIME);
    let unknown = withdrawal(9, 8, 1, TIME);
    world.put(CdrData, 0, &[back(4, 1), back(5, 2), back(6, 2), back(7, 3), back(8, 5), unknown]).await;
    expect![[r#"
        Succeeded
        cdr_data.data: 1 chunks, 6 records = 0 accepted + 3 duplicates + 0 rejected + 3 withdrawn; gap 0; 0 new rows
    "#]]
    .assert_eq(&shown(&world.load().await));
    world
        .expect(
            ROWS,
            expect![[r#"
        (0,07,4)
        (1,07,2)
        (1,09,1)"#]],
        )
        .await;
    world
        .expect(
            WITHDRAWN,
            expect![[r#"
        (0,4,07,1,1,3)
        (0,5,07,2,1,3)
        (0,7,07,3,1,3)"#]],
        )
        .await;
    world.expect(USAGE, expect!["(2024-01-01,3,7,3000)"]).await;
    world
        .expect(
            AUDITS,
            expect![[r#"
        (raw,cdr_data.data,3,0,0,3,t)
        (raw,cdr_data.data_withdrawn,3,3,0,0,t)
        (silver,cdr_data,6,0,3,3,t)"#]],
        )
        .await;
    let objects: Vec<_> = world.silver().await.into_keys().collect();
    expect![[r#"
        silver/cdr_data/date=2024-01-01/hour=12/cdr-data-1-0-00000000000000000000.parquet
        silver/cdr_data/date=2024-01-01/hour=12/cdr-data-1-1-00000000000000000000.parquet
        silver/cdr_data_withdrawn/date=2024-01-01/hour=12/cdr-data-1-0-00000000000000000004.parquet"#]]
    .assert_eq(&objects.join("\n"));

    // Published once more, and taken back once more: nothing changes. The fifth line is new, and the fourth may go.
    world.put(CdrData, 0, &[session(10, 7, 1, TIME), back(11, 1), session(12, 7, 5, TIME), back(13, 4)]).await;
    expect![[r#"
        Succeeded
        cdr_data.data: 1 chunks, 4 records = 1 accepted + 2 duplicates + 0 rejected + 1 withdrawn; gap 0; 1 new rows
    "#]]
    .assert_eq(&shown(&world.load().await));
    world
        .expect(
            ROWS,
            expect![[r#"
        (0,07,5)
        (1,07,2)
        (1,09,1)"#]],
        )
        .await;
    world.expect(USAGE, expect!["(2024-01-01,3,8,3000)"]).await;
    // In = out less withdrawn.
    world
        .expect(
            "SELECT sum(rows_out) - sum(withdrawn), (SELECT count(*) FROM cdr_data.data)
        FROM ops.layer_audit WHERE table_name = 'cdr_data.data'",
            expect!["(3,3)"],
        )
        .await;
}

#[tokio::test]
async fn a_row_may_come_and_go_in_one_chunk() {
    let world = World::new().await;
    let rows = [session(0, 7, 1, TIME), session(1, 7, 2, TIME), withdrawal(2, 7, 1, TIME), session(3, 7, 1, TIME)];
    world.put(CdrData, 0, &rows).await;
    expect![[r#"
        Succeeded
        cdr_data.data: 1 chunks, 4 records = 2 accepted + 1 duplicates + 0 rejected + 1 withdrawn; gap 0; 2 new rows
    "#]]
    .assert_eq(&shown(&world.load().await));
    world.expect(ROWS, expect!["(0,07,2)"]).await;
    world.expect(WITHDRAWN, expect!["(0,2,07,1,1,1)"]).await;
    world.expect(USAGE, expect!["(2024-01-01,1,2,1000)"]).await;
}

/// All of a day goes: it stays, with nothing. What is left of a tower's session is none.
#[tokio::test]
async fn models_give_back_what_they_added() {
    let world = World::new().await;
    let at = |line: u64| format!("2024-01-{:02} 12:0{}:00", 1 + line / 5, line % 5);
    let rows: Vec<_> = (0..9).map(|line| session(line, 7, line.unsigned_abs() + 1, &at(line.unsigned_abs()))).collect();
    world.put(CdrData, 0, &rows).await;
    world.load().await;
    let sessions = "SELECT session_start, session_end, interactions FROM prepared_layers.tower_sessions ORDER BY 1";
    world
        .expect(
            sessions,
            expect![[r#"
        ("2024-01-01 12:00:00","2024-01-01 12:04:00",5)
        ("2024-01-02 12:00:00","2024-01-02 12:03:00",4)"#]],
        )
        .await;
    let back: Vec<_> = (0..6).map(|line: u64| withdrawal(9 + line.cast_signed(), 7, line + 1, &at(line))).collect();
    // In two runs, the second of which has nothing else.
    for back in back.chunks(3) {
        world.put(CdrData, 0, back).await;
        world.load().await;
    }
    world.expect(sessions, expect![[r#"("2024-01-02 12:01:00","2024-01-02 12:03:00",3)"#]]).await;
    world
        .expect(
            USAGE,
            expect![[r#"
        (2024-01-01,0,0,0)
        (2024-01-02,3,24,3000)"#]],
        )
        .await;
    world
        .expect(
            "SELECT day, cost_zar FROM prepared_layers.daily_cost ORDER BY 1",
            expect![[r#"
        (2024-01-01,0.00)
        (2024-01-02,0.00)"#]],
        )
        .await;
    world
        .expect(
            "SELECT day, events, subscribers FROM analytics.usage_by_day ORDER BY 1",
            expect![[r#"
        (2024-01-01,0,0)
        (2024-01-02,3,1)"#]],
        )
        .await;
    let before = world.models().await;
    assert!(before.len() > 10, "{before:?}");
    // Made anew, they are the same; and where everything came at once.
    world.ask(Request { full_refresh: true, ..Request::default() }).await.unwrap();
    assert_eq!(world.models().await, before);
    let other = World::new().await;
    other.put(CdrData, 0, &rows).await;
    other.put(CdrData, 0, &back).await;
    other.load().await;
    for (name, rows) in other.models().await {
        let batches =
            |rows: &[String]| rows.iter().map(|row| row.rsplit_once(',').unwrap().0.to_owned()).collect::<Vec<_>>();
        assert_eq!(batches(&rows), batches(&before[&name]), "{name}");
    }
}

impl World {
    /// The rows of the tables of usage, with `batch_id` last.
    async fn models(&self) -> BTreeMap<String, Vec<String>> {
        let names = "SELECT table_schema || '.' || table_name FROM information_schema.tables
            WHERE table_schema IN ('prepared_layers', 'analytics') AND table_type = 'BASE TABLE'";
        let mut models = BTreeMap::new();
        for row in self.client.query(names, &[]).await.unwrap() {
            let name: String = row.get(0);
            let rows = self.texts(&format!("SELECT r.* FROM {name} AS r ORDER BY r::text")).await;
            models.insert(name, rows);
        }
        models
    }
}

#[tokio::test]
async fn what_is_loaded_again_brings_no_withdrawn_row_back() {
    let world = World::new().await;
    world.put(CdrData, 0, &[session(0, 7, 1, TIME), session(1, 7, 2, TIME), session(2, 7, 3, TIME)]).await;
    world.load().await;
    world.put(CdrData, 0, &[withdrawal(3, 7, 1, TIME), withdrawal(4, 7, 2, TIME)]).await;
    world.load().await;
    let silver = world.silver().await;
    let again = Request { from: Some("1970-01-01T00".parse().unwrap()), ..Request::default() };
    expect![[r#"
        Succeeded
        cdr_data.data: 2 chunks, 5 records = 3 accepted + 0 duplicates + 0 rejected + 2 withdrawn; gap 0; 0 new rows
    "#]]
    .assert_eq(&shown(&world.ask(again).await.unwrap()));
    world.expect(ROWS, expect!["(0,07,3)"]).await;
    world.expect(USAGE, expect!["(2024-01-01,1,3,1000)"]).await;
    world
        .expect(
            AUDITS,
            expect![[r#"
        (raw,cdr_data.data,5,0,5,0,t)
        (raw,cdr_data.data_withdrawn,2,0,2,0,t)
        (silver,cdr_data,5,3,0,2,t)"#]],
        )
        .await;
    assert_eq!(world.silver().await, silver);

    // All of it was lost: it comes again as it was.
    world.client.batch_execute("DELETE FROM cdr_data.data; DELETE FROM cdr_data.data_withdrawn").await.unwrap();
    world.ask(again).await.unwrap();
    world.expect(ROWS, expect!["(0,07,3)"]).await;
    let withdrawn = "SELECT source_line FROM cdr_data.data_withdrawn ORDER BY 1";
    world
        .expect(
            withdrawn,
            expect![[r#"
        (1)
        (2)"#]],
        )
        .await;
    world.expect(USAGE, expect!["(2024-01-01,1,3,1000)"]).await;
}

/// Who deletes a row by hand that is then taken back has done it: the models subtract it.
#[tokio::test]
async fn a_row_that_was_lost_before_is_taken_from_the_models_all_the_same() {
    let world = World::new().await;
    world.put(CdrData, 0, &[session(0, 7, 1, TIME), session(1, 7, 2, TIME)]).await;
    world.load().await;
    world.client.batch_execute("DELETE FROM cdr_data.data WHERE source_line = 1").await.unwrap();
    world.put(CdrData, 0, &[withdrawal(2, 7, 1, TIME)]).await;
    world.load().await;
    world.expect(WITHDRAWN, expect!["(0,2,07,1,1,2)"]).await;
    world
        .expect(
            AUDITS,
            expect![[r#"
        (raw,cdr_data.data,1,0,1,0,t)
        (raw,cdr_data.data_withdrawn,1,1,0,0,t)
        (silver,cdr_data,1,0,0,1,t)"#]],
        )
        .await;
    world.expect(USAGE, expect!["(2024-01-01,1,2,1000)"]).await;
}

#[tokio::test]
async fn an_action_that_nobody_knows_is_kept_with_its_reason() {
    let world = World::new().await;
    let value = r#"{"msisdn":"27821234567","tower_id":1,"up_bytes":1,"down_bytes":1,"data_type":"video","event_datetime":"2024-01-01 12:00:00","_action":"#;
    let source = r#","_source_id":"0000000000000007","_source_line":1}"#;
    world
        .put(
            CdrData,
            0,
            &[
                record(0, START_MS, format!("{value}\"undo\"{source}")),
                record(1, START_MS, format!("{value}\"withdraw\"}}")),
            ],
        )
        .await;
    world.load().await;
    world
        .expect(
            "SELECT \"offset\", reason FROM ops.unusable_records ORDER BY 1",
            expect![[r#"
        (0,unknown_action)
        (1,bad_source)"#]],
        )
        .await;
}
