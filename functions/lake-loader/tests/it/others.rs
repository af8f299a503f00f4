//! What is not the loader's own: others' grants, views and transactions, settings of roles and databases, schemas of an
//! administrator.

use std::collections::BTreeMap;

use expect_test::expect;
use lake_loader::table::LoadedTopic::{CdrData, Messages};
use lake_loader::{Request, Status};
use tokio_postgres::{Client, NoTls};

use crate::world::{START_MS, World, message, record, session, withdrawal};

const TIME: &str = "2024-01-01 12:00:00";

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

fn role(name: &str) -> String {
    test_support::topic(name).replace('-', "_")
}

/// A message takes the place of a loaded one: an ordinary run makes the models anew.
#[tokio::test]
async fn grants_and_views_of_others_stay() {
    let world = World::new().await;
    world.put(Messages, 0, &[message(0, START_MS, "m-1", "r-1"), message(1, START_MS, "m-2", "r-1")]).await;
    world.put(CdrData, 0, &[session(0, 7, 1, TIME)]).await;
    world.load().await;
    let reader = role("reader");
    world
        .client
        .batch_execute(&format!(
            "CREATE ROLE {reader};
            GRANT USAGE ON SCHEMA analytics, prepared_layers TO {reader};
            GRANT SELECT ON ALL TABLES IN SCHEMA analytics, prepared_layers TO {reader};
            CREATE INDEX mine ON analytics.messages (sender_type);
            CREATE SCHEMA reports;
            CREATE VIEW reports.rooms AS SELECT room_id, count(*) AS messages FROM analytics.messages GROUP BY 1"
        ))
        .await
        .unwrap();
    world.put(Messages, 1, &[message(0, START_MS - 10, "m-1", "r-2")]).await;
    world.load().await;
    assert_eq!(world.texts("SELECT count(*) FROM ops.chunks WHERE rebuild_batch_id IS NOT NULL").await, ["(1)"]);
    world.ask(Request { full_refresh: true, ..Request::default() }).await.unwrap();
    let lost = format!(
        "SELECT oid::regclass FROM pg_class
        WHERE relnamespace IN ('analytics'::regnamespace, 'prepared_layers'::regnamespace) AND relkind IN ('r', 'v')
            AND NOT has_table_privilege('{reader}', oid, 'SELECT')"
    );
    assert_eq!(world.texts(&lost).await, [""; 0]);
    expect!["(r-1,1)(r-2,1)"].assert_eq(&world.texts("SELECT * FROM reports.rooms ORDER BY 1").await.concat());
    assert_eq!(world.texts("SELECT to_regclass('analytics.mine') IS NOT NULL").await, ["(t)"]);
}

/// It has read everything and goes on sitting in its transaction.
#[tokio::test]
async fn an_idle_reader_keeps_nobody_waiting() {
    let world = World::new().await;
    world.put(CdrData, 0, &[session(0, 7, 1, TIME), session(1, 7, 2, TIME)]).await;
    world.load().await;
    let tables = world.texts(
        "SELECT oid::regclass FROM pg_class WHERE relkind IN ('r', 'v') AND relnamespace::regnamespace::text
            IN ('raw', 'cdr_data', 'staging', 'prepared_layers', 'analytics', 'ops')",
    );
    let read: String =
        tables.await.iter().map(|name| format!("SELECT count(*) FROM {};", &name[1..name.len() - 1])).collect();
    let url = world.vars["DATABASE_URL"].clone();
    let (mut idle, other) = (connect(&url).await, connect(&url).await);
    let reading = idle.transaction().await.unwrap();
    reading.batch_execute(&read).await.unwrap();
    world.put(CdrData, 0, &[session(2, 7, 3, TIME), withdrawal(3, 7, 1, TIME)]).await;
    assert_eq!(world.load().await.status, Status::Succeeded);
    world.ask(Request { full_refresh: true, ..Request::default() }).await.unwrap();
    lake_loader::init(&url).await.unwrap();
    other.batch_execute(&format!("SET statement_timeout = '10s'; {read}")).await.unwrap();
    reading.commit().await.unwrap();
    assert_eq!(world.texts("SELECT events FROM prepared_layers.daily_usage").await, ["(2)"]);
}

/// Who keeps the loader from a table is named in the run's account, and the next run goes on.
#[tokio::test]
async fn who_locks_a_table_is_named() {
    let world = World::new().await;
    world.load().await;
    let url = format!("{}?application_name=vacuum", world.vars["DATABASE_URL"]);
    let mut other = connect(&url).await;
    let holding = other.transaction().await.unwrap();
    holding.batch_execute("LOCK TABLE prepared_layers.daily_usage IN SHARE MODE").await.unwrap();
    world.put(CdrData, 0, &[session(0, 7, 1, TIME)]).await;
    let error = format!("{:#}", world.ask(Request::default()).await.unwrap_err());
    assert!(error.contains("daily_usage") && error.contains("application vacuum"), "{error}");
    holding.rollback().await.unwrap();
    world.load().await;
    let messages =
        world.texts("SELECT status, message LIKE '%application vacuum%' FROM ops.runs ORDER BY run_id").await;
    expect!["(succeeded,)(failed,t)(succeeded,)"].assert_eq(&messages.concat());
}

/// Everything that a load makes, as text in one form, but for when and by which of a few runs.
async fn made(world: &World) -> BTreeMap<String, Vec<String>> {
    const TABLES: &str =
        "SELECT table_schema || '.' || table_name, string_agg(quote_ident(column_name), ', ' ORDER BY ordinal_position)
        FROM information_schema.columns
        WHERE table_schema IN ('raw', 'cdr_data', 'staging', 'prepared_layers', 'analytics')
            AND column_name NOT IN ('upload_date', 'created_at', 'batch_id', 'row_batch_id')
        GROUP BY 1";
    let usual = "SET datestyle = ISO; SET timezone = 'UTC'; SET intervalstyle = postgres; SET bytea_output = hex;
        SET search_path = public; SET extra_float_digits = 1; SET transform_null_equals = off";
    world.client.batch_execute(usual).await.unwrap();
    let mut made = BTreeMap::new();
    for row in world.client.query(TABLES, &[]).await.unwrap() {
        let (table, columns): (String, String) = (row.get(0), row.get(1));
        let rows = format!("SELECT {columns} FROM {table} ORDER BY row({columns})::text COLLATE \"C\"");
        made.insert(table, world.texts(&rows).await);
    }
    made
}

#[tokio::test]
async fn settings_of_a_database_change_nothing() {
    let usual = World::with(&[("OPERATOR_TIMEZONE", "America/New_York")]).await;
    let lake = usual.vars.iter().filter(|(name, _)| **name != "DATABASE_URL" && **name != "OPERATOR_TIMEZONE");
    let lake: BTreeMap<_, _> = lake.map(|(name, value)| (*name, value.clone())).collect();
    let hostile = World::on(lake, &[("OPERATOR_TIMEZONE", "America/New_York")]).await;
    let (_, name) = hostile.vars["DATABASE_URL"].rsplit_once('/').unwrap();
    for setting in [
        "DateStyle = 'German, DMY'",
        "IntervalStyle = 'sql_standard'",
        "TimeZone = 'Australia/Lord_Howe'",
        "search_path = 'nowhere'",
        "extra_float_digits = -15",
        "bytea_output = 'escape'",
        "standard_conforming_strings = off",
        "array_nulls = off",
        "transform_null_equals = on",
        "quote_all_identifiers = on",
        "default_transaction_isolation = 'serializable'",
        "default_transaction_read_only = on",
        "lock_timeout = 1",
        "statement_timeout = 1",
    ] {
        hostile.client.batch_execute(&format!("ALTER DATABASE \"{name}\" SET {setting}")).await.unwrap();
    }
    // The tables, too, are made on connections that find it so.
    let made_anew = "DROP SCHEMA raw, cdr_data, staging, prepared_layers, analytics, ops CASCADE";
    hostile.client.batch_execute(made_anew).await.unwrap();
    lake_loader::init(&hostile.vars["DATABASE_URL"]).await.unwrap();

    usual.put(CdrData, 0, &[session(0, 7, 1, "2024-11-03T05:59:00Z"), session(1, 7, 2, "2024-03-04 05:06:07.5")]).await;
    usual.put(CdrData, 0, &[withdrawal(2, 7, 1, "2024-11-03T05:59:00Z"), record(3, -1, vec![0xff, b'\\'])]).await;
    let call = r#"{"msisdn":"27820000001","tower_id":1,"call_type":"voice","dest_nr":"C:\\s","call_duration_sec":61,"start_time":"2024-03-10T06:59:00Z"}"#;
    usual.put(lake_loader::table::LoadedTopic::CdrVoice, 0, &[record(0, START_MS, call)]).await;
    usual.put(Messages, 0, &[message(0, START_MS, "m-1", "r-1"), message(1, START_MS, "m-2", "r-1")]).await;
    let account =
        "INSERT INTO crm_data.accounts (account_id, owner_name, phone_number, modified_ts, valid_from, source_lsn)
        VALUES (1, 'Owner', '+27 82 000\t0001', '2024-01-01 10:00+00', '2024-01-01 10:00+00', 1)";
    for world in [&usual, &hostile] {
        world.client.batch_execute("SET default_transaction_read_only = off; SET datestyle = ISO").await.unwrap();
        world.client.batch_execute(account).await.unwrap();
        world.load().await;
        world.ask(Request { full_refresh: true, ..Request::default() }).await.unwrap();
    }
    let (ours, theirs) = (made(&usual).await, made(&hostile).await);
    assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
    for (table, rows) in &ours {
        assert_eq!(rows, &theirs[table], "{table}");
    }
    assert_eq!(ours["prepared_layers.account_hourly_balance"].len(), 1, "the account is found by its number");
}

/// An administrator made the schemas, and gave the role what it needs in them and nothing more.
#[tokio::test]
async fn a_role_that_may_not_make_schemas_can_work() {
    let world = World::new().await;
    let (loader, admin) = (role("loader"), &world.client);
    let schemas = "raw, cdr_data, staging, prepared_layers, analytics, ops";
    admin
        .batch_execute(&format!(
            "DROP SCHEMA {schemas} CASCADE; CREATE ROLE {loader} LOGIN PASSWORD 'secret';
            CREATE SCHEMA raw; CREATE SCHEMA cdr_data; CREATE SCHEMA staging; CREATE SCHEMA prepared_layers;
            CREATE SCHEMA analytics; CREATE SCHEMA ops; GRANT USAGE, CREATE ON SCHEMA {schemas} TO {loader};
            GRANT USAGE ON SCHEMA crm_data TO {loader}; GRANT SELECT ON ALL TABLES IN SCHEMA crm_data TO {loader}"
        ))
        .await
        .unwrap();
    let (_, place) = world.vars["DATABASE_URL"].split_once('@').unwrap();
    let url = format!("postgres://{loader}:secret@{place}");
    for _ in 0..2 {
        lake_loader::init(&url).await.unwrap();
    }
    let mut vars = world.vars.clone();
    vars.insert("DATABASE_URL", url);
    let config = lake_loader::Config::from_vars(&lambda_boot::Vars::from_iter(vars)).unwrap();
    let deps = std::sync::Arc::new(lake_loader::Deps::connect(&config).unwrap());
    world.put(CdrData, 0, &[session(0, 7, 1, TIME)]).await;
    let event = lake_loader::Event::Load(Request::default());
    let report = lake_loader::handle(&deps, event, lambda_boot::Deadline::NONE).await.unwrap();
    assert_eq!(report.status, Status::Succeeded);
    assert_eq!(world.texts("SELECT events FROM prepared_layers.daily_usage").await, ["(1)"]);
}

/// Tables, views, columns and schemas of which the database says nothing.
#[tokio::test]
async fn everything_has_its_comment() {
    let world = World::new().await;
    world.load().await;
    let undescribed = "SELECT format('%s.%s', relation, attname) FROM (
            SELECT c.oid::regclass AS relation, a.attname, col_description(c.oid, a.attnum) AS comment
            FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
            WHERE c.relkind IN ('r', 'v')
                AND c.relnamespace::regnamespace::text IN ('raw', 'cdr_data', 'staging', 'prepared_layers', 'analytics', 'ops')
            UNION ALL
            SELECT c.oid::regclass, NULL, obj_description(c.oid, 'pg_class') FROM pg_class c
            WHERE c.relkind IN ('r', 'v')
                AND c.relnamespace::regnamespace::text IN ('raw', 'cdr_data', 'staging', 'prepared_layers', 'analytics', 'ops')
        ) AS described WHERE coalesce(comment, '') = '' ORDER BY 1";
    assert_eq!(world.texts(undescribed).await, [""; 0]);
    let schemas = "SELECT nspname FROM pg_namespace
        WHERE nspname IN ('raw', 'cdr_data', 'staging', 'prepared_layers', 'analytics', 'ops')
            AND obj_description(oid, 'pg_namespace') <> ''";
    assert_eq!(world.texts(schemas).await.len(), 6);
}
