//! What the CRM's database is asked for before anything is lost.

use cdc_handler::{Config, check_source};
use expect_test::{Expect, expect};
use generator::crm;
use indicatif::ProgressBar;
use lambda_boot::Vars;
use test_support::{postgres_database, postgres_logical_database};
use tokio_postgres::NoTls;

/// What is found in the CRM as the generator makes it, after these statements.
async fn check(sql: &str, optional: &str, expect: Expect) {
    let url = postgres_logical_database().await;
    check_in(&url, sql, optional, expect).await;
}

async fn check_in(url: &str, sql: &str, optional: &str, expect: Expect) {
    let options = crm::Options { accounts: 1, changes: 0, ..Default::default() };
    crm::run(url, &options, &ProgressBar::hidden()).await.unwrap();
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute(sql).await.unwrap();
    let vars = [("KAFKA_BROKERS", "a:1"), ("DATABASE_URL", "x"), ("CRM_OPTIONAL_COLUMNS", optional)];
    let vars: Vars = vars.into_iter().collect();
    let Config { topics, optional, .. } = Config::from_vars(&vars).unwrap();
    let findings = check_source(url, &topics, &optional).await.unwrap();
    // In lines that are not too long.
    expect.assert_eq(&findings.join("\n").replace(": ", ":\n  "));
}

const PUBLICATION: &str =
    "CREATE PUBLICATION trunkline_crm FOR TABLE crm_system.accounts, crm_system.addresses, crm_system.devices";

#[tokio::test]
async fn nothing_is_found_where_all_is_well() {
    check("", "", expect![""]).await;
    check(PUBLICATION, "", expect![""]).await;
    check("CREATE PUBLICATION trunkline_crm FOR ALL TABLES", "", expect![""]).await;
    let other_types = "CREATE TYPE crm_system.kind AS ENUM ('a'); CREATE DOMAIN crm_system.name AS varchar(40); \
        ALTER TABLE crm_system.devices ALTER device_os TYPE crm_system.kind USING NULL, \
            ALTER device_type TYPE crm_system.name, ALTER device_name TYPE uuid USING NULL, ALTER modified_ts TYPE timestamp, \
            REPLICA IDENTITY FULL; \
        ALTER TABLE crm_system.accounts ALTER phone_number TYPE bigint USING NULL, ADD more bytea; \
        ALTER TABLE crm_system.addresses DROP state";
    check(other_types, "addresses.state", expect![""]).await;
}

#[tokio::test]
async fn what_loses_changes_is_named() {
    let identities = "ALTER TABLE crm_system.accounts REPLICA IDENTITY NOTHING; \
        DELETE FROM crm_system.devices; CREATE UNIQUE INDEX by_time ON crm_system.devices (modified_ts); \
        ALTER TABLE crm_system.devices REPLICA IDENTITY USING INDEX by_time; \
        ALTER TABLE crm_system.addresses DROP CONSTRAINT addresses_pkey";
    check(
        identities,
        "",
        expect![[r#"
        accounts:
          accounts has REPLICA IDENTITY NOTHING:
          once published, it can't be changed:
          ALTER TABLE crm_system.accounts REPLICA IDENTITY DEFAULT
        addresses:
          it has no primary key:
          make account_id one
        devices:
          devices has REPLICA IDENTITY USING INDEX, so its deletions don't tell the key:
          ALTER TABLE crm_system.devices REPLICA IDENTITY DEFAULT"#]],
    )
    .await;
    let columns = "ALTER TABLE crm_system.accounts RENAME phone_number TO msisdn; \
        ALTER TABLE crm_system.addresses DROP CONSTRAINT addresses_pkey, ADD kind text DEFAULT 'home', \
            ADD PRIMARY KEY (account_id, kind); \
        ALTER TABLE crm_system.devices DROP device_os, ADD device_os text GENERATED ALWAYS AS (device_type || '!') STORED, \
            ALTER device_name TYPE bytea USING NULL, ALTER account_id TYPE double precision";
    check(
        columns,
        "",
        expect![[r#"
        accounts:
          it has no column phone_number:
          its rows are rejected, unless CRM_OPTIONAL_COLUMNS names it
        addresses:
          its primary key is (account_id, kind) and not account_id alone:
          its changes are rejected
        devices:
          account_id is float8, which can't be read as a whole number:
          its rows are rejected
        devices:
          device_name is bytea, which can't be read as text:
          its rows are rejected
        devices:
          device_os is a generated column, which snapshots tell and changes don't:
          its changes are rejected, unless CRM_OPTIONAL_COLUMNS names it"#]],
    )
    .await;
    let publication = "CREATE PUBLICATION trunkline_crm FOR TABLE crm_system.accounts (account_id, email), \
        crm_system.addresses WHERE (account_id > 0) WITH (publish = 'insert, delete')";
    check(
        publication,
        "",
        expect![[r#"
        the publication trunkline_crm leaves out UPDATE, TRUNCATE:
          ALTER PUBLICATION trunkline_crm SET (publish = 'insert, update, delete, truncate')
        accounts:
          the publication leaves out its owner_name, phone_number, modified_ts:
          its changes are rejected
        addresses:
          the publication filters its rows, so changes are lost:
          add the table without WHERE
        devices:
          it is not in the publication:
          ALTER PUBLICATION trunkline_crm ADD TABLE crm_system.devices"#]],
    )
    .await;
    let tables = "ALTER TABLE crm_system.accounts SET UNLOGGED; CREATE TABLE child () INHERITS (crm_system.addresses); \
        DROP TABLE crm_system.devices";
    check(
        tables,
        "",
        expect![[r#"
        accounts:
          accounts is unlogged, so nothing of it is told:
          ALTER TABLE crm_system.accounts SET LOGGED
        addresses:
          tables inherit from it, and their rows are not followed
        devices:
          there is no such table in the schema crm_system:
          see CRM_TOPIC_PREFIX"#]],
    )
    .await;
}

#[tokio::test]
async fn a_partitioned_table_needs_its_own_name() {
    let partitioned = "DROP TABLE crm_system.accounts; \
        CREATE TABLE crm_system.accounts (account_id integer PRIMARY KEY, owner_name text NOT NULL, email text, phone_number text, \
            modified_ts timestamptz) PARTITION BY RANGE (account_id); \
        CREATE TABLE crm_system.accounts_low PARTITION OF crm_system.accounts FOR VALUES FROM (0) TO (100); \
        CREATE TABLE crm_system.accounts_high PARTITION OF crm_system.accounts FOR VALUES FROM (100) TO (200); \
        ALTER TABLE crm_system.accounts_high REPLICA IDENTITY FULL; ";
    check(
        &format!("{partitioned} {PUBLICATION}"),
        "",
        expect![[r#"
        accounts:
          it is partitioned, and its changes are told under the partitions' names:
          ALTER PUBLICATION trunkline_crm SET (publish_via_partition_root = true)"#]],
    )
    .await;
    let root = format!(
        "{partitioned} ALTER TABLE crm_system.accounts_low REPLICA IDENTITY NOTHING; {PUBLICATION} \
        WITH (publish_via_partition_root = true)"
    );
    check(
        &root,
        "",
        expect![[r#"
        accounts:
          accounts_low has REPLICA IDENTITY NOTHING:
          once published, it can't be changed:
          ALTER TABLE crm_system.accounts_low REPLICA IDENTITY DEFAULT"#]],
    )
    .await;
}

#[tokio::test]
async fn a_server_that_tells_no_changes_is_named() {
    check_in(
        &postgres_database().await,
        "",
        "",
        expect![[r#"
        wal_level is minimal:
          set it to logical, or no change is told"#]],
    )
    .await;
    let none = check_source("postgres://nobody@127.0.0.1:9/none", &topics(), &Default::default()).await.unwrap_err();
    expect!["the CRM's database failed: error connecting to server: Connection refused (os error 111)"]
        .assert_eq(&format!("{none:#}"));
}

fn topics() -> cdc_handler::Topics {
    Vars::default().read().unwrap()
}
