//! Statements and transactions on a real server, with and without TLS.

#![expect(clippy::unwrap_used, reason = "a test panics where it can't go on")]

mod tls;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use expect_test::{Expect, expect};
use futures::FutureExt;
use postgres_pool::{Names, Pool};
use test_support::postgres_database;
use tokio_postgres::NoTls;

const NAMES: Names = Names { variable: "DATABASE_URL", service: "the database" };

/// A server reads its settings anew within milliseconds.
const PATIENCE: Duration = Duration::from_secs(30);

fn pool(url: &str) -> Pool {
    Pool::new(url, NAMES).unwrap()
}

fn check_error<T: std::fmt::Debug>(result: anyhow::Result<T>, expect: Expect) {
    expect.assert_eq(&format!("{:#}", result.unwrap_err()));
}

/// A database with a table of one number.
async fn number() -> (String, Pool) {
    let url = postgres_database().await;
    let pool = pool(&url);
    pool.batch("CREATE TABLE number (value bigint); INSERT INTO number VALUES (1)").await.unwrap();
    (url, pool)
}

async fn value(pool: &Pool) -> i64 {
    pool.query("SELECT value FROM number", &[]).await.unwrap()[0].get(0)
}

#[tokio::test]
async fn nothing_waits_behind_what_was_given_up() {
    let (_, pool) = number().await;
    // More often than there are connections; each would be busy for longer than the patience below.
    for _ in 0..5 {
        let given_up = tokio::time::timeout(Duration::from_millis(200), pool.query("SELECT pg_sleep(60)", &[])).await;
        assert!(given_up.is_err());
    }
    assert_eq!(tokio::time::timeout(Duration::from_secs(20), value(&pool)).await, Ok(1));
}

#[tokio::test]
async fn a_transaction_is_made_whole_or_not_at_all() {
    let (_, pool) = number().await;
    let set = async |value: i64, then: &'static str| {
        pool.transaction(&(value, then), |transaction, (value, then)| {
            async move {
                transaction.execute("UPDATE number SET value = $1", &[value]).await?;
                anyhow::ensure!(!then.is_empty(), "the caller has changed its mind");
                Ok(transaction.batch_execute(then).await?)
            }
            .boxed()
        })
        .await
    };
    set(2, "SELECT 1").await.unwrap();
    check_error(set(3, "SELECT 1 / 0").await, expect!["the database failed: division by zero (SQLSTATE 22012)"]);
    check_error(set(3, "").await, expect!["the caller has changed its mind"]);
    assert_eq!(value(&pool).await, 2);
}

#[tokio::test]
async fn a_transaction_whose_connection_is_cut_is_done_again() {
    let (url, pool) = number().await;
    let input = (self::pool(&url), AtomicU32::new(0));
    pool.transaction(&input, |transaction, (other, attempts)| {
        async move {
            transaction.execute("UPDATE number SET value = value + 1", &[]).await?;
            if attempts.fetch_add(1, Ordering::Relaxed) < 2 {
                let pid: i32 = transaction.query_one("SELECT pg_backend_pid()", &[]).await?.get(0);
                other.query("SELECT pg_terminate_backend($1, 10000)", &[&pid]).await?;
            }
            Ok(transaction.execute("UPDATE number SET value = value + 1", &[]).await?)
        }
        .boxed()
    })
    .await
    .unwrap();
    assert_eq!((input.1.into_inner(), value(&pool).await), (3, 3));
}

#[tokio::test]
async fn who_holds_a_lock_is_named() {
    let (url, pool) = number().await;
    let add = async |lock_timeout_ms: u32| {
        pool.transaction(&lock_timeout_ms, |transaction, lock_timeout_ms| {
            async move {
                transaction.batch_execute(&format!("SET LOCAL lock_timeout = {lock_timeout_ms}")).await?;
                Ok(transaction.execute("UPDATE number SET value = value + 1", &[]).await?)
            }
            .boxed()
        })
        .await
    };
    let (mut holder, connection) =
        tokio_postgres::connect(&format!("{url}?application_name=report"), NoTls).await.unwrap();
    tokio::spawn(connection);
    let transaction = holder.transaction().await.unwrap();
    transaction.batch_execute("LOCK TABLE number IN SHARE MODE").await.unwrap();
    let pid: i32 = transaction.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
    let error = format!("{:#}", add(1_000).await.unwrap_err()).replace(&pid.to_string(), "PID");
    let error = error.split(", in a transaction since 20").collect::<Vec<_>>();
    expect!["the database failed: canceling statement due to lock timeout (SQLSTATE 55P03): a lock was waited for in vain, which is held by session PID (user trunkline, application report"]
        .assert_eq(error[0]);
    assert!(error[1].contains(", idle, its last query began 20") && error[1].ends_with("and try again"), "{error:?}");

    // It is waited for once more: the holder ends meanwhile.
    let (added, committed) = tokio::join!(add(1_000), async {
        pool.query("SELECT pg_sleep(1.5)", &[]).await.unwrap();
        transaction.commit().await
    });
    committed.unwrap();
    assert_eq!((added.unwrap(), value(&pool).await), (1, 2));
}

/// What a role and a database may say: nothing that is asked here depends on it.
const HOSTILE: [&str; 19] = [
    "DateStyle = 'German, DMY'",
    "IntervalStyle = 'sql_standard'",
    "TimeZone = 'Asia/Kathmandu'",
    "search_path = 'nowhere'",
    "extra_float_digits = -15",
    "bytea_output = 'escape'",
    "xmlbinary = 'hex'",
    "xmloption = 'document'",
    "standard_conforming_strings = off",
    "backslash_quote = off",
    "array_nulls = off",
    "transform_null_equals = on",
    "quote_all_identifiers = on",
    "check_function_bodies = off",
    "default_transaction_isolation = 'serializable'",
    "default_transaction_read_only = on",
    "lock_timeout = 1",
    "statement_timeout = 1",
    "client_min_messages = debug5",
];

#[tokio::test]
async fn defaults_of_a_role_or_a_database_change_nothing() {
    const ASKED: &str = r"SELECT concat_ws('|', timestamptz '2024-01-02 03:04:05.5+00', date '2024-01-02',
        interval '1 day 2 hours', 0.1::float8 + 0.2::float8, '\x00ff'::bytea, 'a\sb', '{NULL}'::text[],
        NULL = NULL, 'number'::regclass, current_setting('transaction_isolation'), pg_sleep(0.01))";
    let (url, pool) = number().await;
    let answer = async |pool: &Pool| {
        pool.batch("UPDATE number SET value = 1").await.unwrap();
        pool.query(ASKED, &[]).await.unwrap()[0].get::<_, String>(0)
    };
    let usual = answer(&pool).await;
    for whose in ["ROLE CURRENT_USER IN DATABASE", "DATABASE"] {
        let (_, database) = url.rsplit_once('/').unwrap();
        for setting in HOSTILE {
            pool.batch(&format!("ALTER {whose} \"{database}\" SET {setting}")).await.unwrap();
        }
        assert_eq!(answer(&self::pool(&url)).await, usual, "{whose}");
        pool.batch(&format!("ALTER {whose} \"{database}\" RESET ALL")).await.unwrap();
    }
    expect![[r#"2024-01-02 03:04:05.5+00|2024-01-02|1 day 02:00:00|0.30000000000000004|\x00ff|a\sb|{NULL}|number|read committed|"#]]
        .assert_eq(&usual);
}

#[tokio::test]
async fn an_error_tells_what_to_do_and_no_values() {
    let (url, pool) = number().await;
    check_error(
        pool.query("SELECT * FROM missing", &[]).await,
        expect![[r#"the database failed: relation "missing" does not exist: run `trunkline init`"#]],
    );
    pool.batch("CREATE UNIQUE INDEX ON number (value)").await.unwrap();
    check_error(
        pool.batch("INSERT INTO number VALUES (1)").await,
        expect![[
            r#"the database failed: duplicate key value violates unique constraint "number_value_idx" (SQLSTATE 23505)"#
        ]],
    );
    let (user, rest) = url.rsplit_once('@').unwrap();
    let (user, _) = user.rsplit_once(':').unwrap();
    check_error(
        self::pool(&format!("{user}:expired@{rest}")).batch("SELECT 1").await,
        expect![[
            r#"the database failed: password authentication failed for user "trunkline" (SQLSTATE 28P01): check DATABASE_URL"#
        ]],
    );
    // Port 9 discards: nobody listens there.
    check_error(
        self::pool("postgres://nobody@127.0.0.1:9/none").batch("SELECT 1").await,
        expect!["the database failed: error connecting to server: Connection refused (os error 111)"],
    );
}
