use std::collections::BTreeSet;

use expect_test::{Expect, expect};
use generator::crm::{Ending, Mix, Options, Plan, Statement, Value, run};
use generator::{Destination, Folder};
use indicatif::ProgressBar;
use tokio_postgres::{Client, NoTls};

use crate::small;

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn texts(url: &str, sql: &str) -> Vec<String> {
    let rows = connect(url).await.query(sql, &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// Every row of the three tables, without its time.
async fn tables(url: &str) -> Vec<String> {
    texts(
        url,
        "SELECT row::text FROM ( \
            SELECT 1, account_id, to_jsonb(a) - 'modified_ts' FROM crm_system.accounts a \
            UNION ALL SELECT 2, account_id, to_jsonb(a) - 'modified_ts' FROM crm_system.addresses a \
            UNION ALL SELECT 3, device_id, to_jsonb(d) - 'modified_ts' FROM crm_system.devices d \
         ) AS rows (tbl, key, row) ORDER BY tbl, key",
    )
    .await
}

/// `INSERT INTO crm_system.devices … [8]`: what a transaction does, without how.
fn shown(plan: &Plan, number: u64) -> String {
    let transaction = plan.transaction(number);
    let words = |sql: &str| sql.split_whitespace().take(3).collect::<Vec<_>>().join(" ");
    let key = |value: &Value| match value {
        Value::Number(key) => key.to_string(),
        Value::Numbers(keys) => format!("{} rows", keys.len()),
        Value::Text(_) | Value::Texts(_) => "text".to_owned(),
    };
    let statement = |Statement { sql, values }: &Statement| {
        format!("{} [{}]", words(sql), values.first().map(key).unwrap_or_default())
    };
    let statements: Vec<_> = transaction.statements.iter().map(statement).collect();
    format!("{number}: {}; {:?}\n", statements.join("; "), transaction.ending)
}

fn check(numbers: std::ops::Range<u64>, expected: Expect) {
    let plan = Plan::new(1, 1_100, Mix::Everyday).unwrap();
    expected.assert_eq(&numbers.map(|number| shown(&plan, number)).collect::<String>());
}

#[test]
fn the_tables_are_filled_and_then_changed() {
    check(
        0..12,
        expect![[r#"
        0: INSERT INTO crm_system.accounts [500 rows]; INSERT INTO crm_system.addresses [500 rows]; INSERT INTO crm_system.devices [1031 rows]; Commit
        1: INSERT INTO crm_system.accounts [500 rows]; INSERT INTO crm_system.addresses [500 rows]; INSERT INTO crm_system.devices [1151 rows]; Commit
        2: INSERT INTO crm_system.accounts [100 rows]; INSERT INTO crm_system.addresses [100 rows]; INSERT INTO crm_system.devices [202 rows]; Commit
        3: INSERT INTO crm_system.addresses [1 rows]; Commit
        4: INSERT INTO crm_system.accounts [1 rows]; Commit
        5: INSERT INTO crm_system.addresses [1 rows]; UPDATE crm_system.addresses SET [187]; Commit
        6: UPDATE crm_system.devices SET [2969]; Commit
        7: UPDATE crm_system.addresses SET [4]; Commit
        8: INSERT INTO crm_system.accounts [1 rows]; Commit
        9: INSERT INTO crm_system.accounts [1 rows]; Commit
        10: UPDATE crm_system.addresses SET [704]; Commit
        11: UPDATE crm_system.accounts SET [575]; Commit
    "#]],
    );
}

#[test]
fn the_same_seed_gives_the_same_statements() {
    let statements = |seed, mix| {
        let plan = Plan::new(seed, 600, mix).unwrap();
        (0..2_000).map(move |number| plan.transaction(number)).collect::<Vec<_>>()
    };
    for mix in [Mix::Everyday, Mix::Everything] {
        assert!(statements(1, mix) == statements(1, mix));
        assert!(statements(1, mix) != statements(2, mix));
    }
    assert!(statements(1, Mix::Everyday).iter().all(|transaction| transaction.ending == Ending::Commit));
    let everything = statements(1, Mix::Everything);
    let has = |word: &str| {
        everything
            .iter()
            .flat_map(|transaction| &transaction.statements)
            .any(|Statement { sql, .. }| sql.contains(word))
    };
    assert!(has("TRUNCATE") && has("infinity"));
    assert!(everything.iter().any(|transaction| transaction.ending == Ending::Rollback));
    assert!(everything.iter().any(|transaction| transaction.statements.len() > 50));
}

/// Ended in between and started again, also with nothing left to do, it leaves what one run leaves.
#[tokio::test]
async fn a_run_goes_on_where_it_was() {
    for mix in [Mix::Everyday, Mix::Everything] {
        let options = |changes| Options { accounts: 700, changes, mix, ..Options::default() };
        let (whole, parts) = (test_support::postgres_database().await, test_support::postgres_database().await);
        run(&whole, &options(1_000), &ProgressBar::hidden()).await.unwrap();
        for (changes, before) in [(0, 0), (400, 2), (1_000, 402), (1_000, 1_002), (500, 502)] {
            let summary = run(&parts, &options(changes), &ProgressBar::hidden()).await.unwrap();
            assert_eq!((summary.transactions, summary.transactions_before), (2 + changes, before));
        }
        let tables = tables(&whole).await;
        assert!(tables.len() > 1_500);
        assert_eq!(tables, self::tables(&parts).await);
    }
}

#[tokio::test]
async fn everyday_changes_leave_nothing_without_its_account() {
    let url = test_support::postgres_database().await;
    let options = Options { accounts: 300, changes: 1_500, ..Options::default() };
    run(&url, &options, &ProgressBar::hidden()).await.unwrap();
    let count = async |sql: &str| texts(&url, sql).await[0].parse::<u64>().unwrap();
    for table in ["addresses", "devices"] {
        let orphans = format!(
            "SELECT count(*)::text FROM crm_system.{table} t \
             WHERE NOT EXISTS (SELECT FROM crm_system.accounts a WHERE a.account_id = t.account_id)"
        );
        assert_eq!(count(&orphans).await, 0, "{table}");
    }
    // Longer than the rest of a row may be: stored outside it.
    let long = "SELECT count(*)::text FROM crm_system.addresses WHERE pg_column_size(street_address) > 2000";
    assert!(count(long).await > 0);
    let renumbered = "SELECT count(*)::text FROM crm_system.devices WHERE device_id / 8 <> account_id";
    assert!(count(renumbered).await > 0);
}

#[tokio::test]
async fn the_accounts_have_the_numbers_of_the_call_records() {
    let folder = tempfile::tempdir().unwrap();
    let files = folder.path().join("files");
    let destination = Destination::files(Folder::create(&files).await.unwrap());
    generator::run(&small(&folder), &destination, &ProgressBar::hidden()).await.unwrap();
    let mut callers = BTreeSet::new();
    for file in std::fs::read_dir(&files).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        callers.extend(text.lines().skip(1).map(|line| line.split(',').next().unwrap().to_owned()));
    }
    let url = test_support::postgres_database().await;
    let options = Options { accounts: 500, changes: 0, ..Options::default() };
    run(&url, &options, &ProgressBar::hidden()).await.unwrap();
    let numbers: BTreeSet<_> = texts(&url, "SELECT phone_number FROM crm_system.accounts").await.into_iter().collect();
    assert_eq!(numbers.len(), 500);
    assert!(callers.len() > 300 && callers.is_subset(&numbers));
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let run = async |url: &str, accounts| {
        let options = Options { accounts, ..Options::default() };
        format!("{:#}", run(url, &options, &ProgressBar::hidden()).await.unwrap_err())
    };
    let url = "postgres://somebody:secret@127.0.0.1:1/wtc_prod";
    expect!["--accounts 0: give 1 to 80000000"].assert_eq(&run(url, 0).await);
    assert!(!run("postgres://somebody:secret@127.0.0.1:x/wtc_prod", 1).await.contains("secret"));
}
