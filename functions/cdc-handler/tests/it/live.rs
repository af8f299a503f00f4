//! The whole way: a real PostgreSQL that changes, Debezium as `connector.json` configures it, three Kafka brokers, and the
//! function behind the mappings of `template.yaml`. Triggers in the source note what really happened there.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use generator::crm;
use indicatif::ProgressBar;
use lambda_boot::{Deadline, Invocation, Vars};
use local_runtime::{InProcess, InProcessFunction, Options, Parameters, Runtime, Template};
use test_support::{Debezium, Kafka, eventually};
use tokio_postgres::{Client, Config, NoTls};

/// Changes come in seconds; a worker that starts beside other work on two cores takes longer.
const PATIENCE: Duration = Duration::from_secs(180);

/// Each table's key, and a column of text.
const TABLES: [(&str, &str, &str); 3] = [
    ("accounts", "account_id", "owner_name"),
    ("addresses", "account_id", "city"),
    ("devices", "device_id", "device_os"),
];

/// Keys of rows that nothing else touches: so many that every partition of a topic has some of them.
const FIRST_MARK: i32 = 2_000_000_000;
const MARKS: i64 = 32;

/// Notes every change of a table's rows, and every TRUNCATE, as the transaction that makes it commits.
const AUDIT: &str = "
CREATE SCHEMA audit;
CREATE TABLE audit.changes (id bigserial PRIMARY KEY, table_name text NOT NULL, key bigint, version jsonb);
CREATE FUNCTION audit.note() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    before jsonb; after jsonb;
BEGIN
    IF TG_OP IN ('UPDATE', 'DELETE') THEN before := to_jsonb(OLD); END IF;
    IF TG_OP IN ('INSERT', 'UPDATE') THEN after := to_jsonb(NEW); END IF;
    IF before IS NOT NULL AND before->TG_ARGV[0] IS DISTINCT FROM after->TG_ARGV[0] THEN
        INSERT INTO audit.changes (table_name, key) VALUES (TG_TABLE_NAME, (before->>TG_ARGV[0])::bigint);
    END IF;
    IF after IS NOT NULL THEN
        INSERT INTO audit.changes (table_name, key, version) VALUES (TG_TABLE_NAME, (after->>TG_ARGV[0])::bigint, after);
    END IF;
    IF TG_OP = 'TRUNCATE' THEN
        INSERT INTO audit.changes (table_name) VALUES (TG_TABLE_NAME);
    END IF;
    RETURN NULL;
END $$;
";

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn texts(client: &Client, sql: &str) -> Vec<String> {
    client.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

async fn count(client: &Client, sql: &str) -> i64 {
    client.query_one(&format!("SELECT count(*) {sql}"), &[]).await.unwrap().get(0)
}

/// The CRM.
struct Source {
    url: String,
    client: Client,
    marks: u32,
}

impl Source {
    /// Filled, and already changed a little.
    async fn start() -> Self {
        let url = test_support::postgres_logical_database().await;
        let mut source = Self { client: connect(&url).await, url, marks: 0 };
        source.change(300, 0).await;
        source.mark().await;
        source.client.batch_execute(AUDIT).await.unwrap();
        for (table, key, _) in TABLES {
            let triggers = format!(
                "CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON crm_system.{table} \
                    FOR EACH ROW EXECUTE FUNCTION audit.note('{key}'); \
                 CREATE TRIGGER audit_truncate AFTER TRUNCATE ON crm_system.{table} EXECUTE FUNCTION audit.note('{key}')"
            );
            source.client.batch_execute(&triggers).await.unwrap();
        }
        source
    }

    /// Goes on until there were so many changes.
    async fn change(&self, changes: u64, rate: u32) {
        let options = crm::Options { accounts: 600, changes, rate, mix: crm::Mix::Everything, ..Default::default() };
        crm::run(&self.url, &options, &ProgressBar::hidden()).await.unwrap();
    }

    /// A mark behind everything that has happened.
    async fn mark(&mut self) {
        self.marks += 1;
        let keys = format!("generate_series({FIRST_MARK}, {}) AS key", i64::from(FIRST_MARK) + MARKS - 1);
        let mark = format!("mark {}", self.marks);
        for (table, key, column) in TABLES {
            let (more, value) = if table == "devices" { (", account_id", ", 0") } else { ("", "") };
            let sql = format!(
                "INSERT INTO crm_system.{table} ({key}, {column}{more}) SELECT key, '{mark}'{value} FROM {keys} \
                 ON CONFLICT ({key}) DO UPDATE SET {column} = excluded.{column}, modified_ts = now()"
            );
            self.client.batch_execute(&sql).await.unwrap();
        }
    }

    /// Addresses with streets so long that PostgreSQL stores them outside the row get other keys, and that alone: they swap them
    /// by way of a third, which other rows had before, within a transaction and in several.
    async fn renumber_large(&self) {
        let write = "INSERT INTO crm_system.addresses (account_id, street_address) \
            SELECT key, (SELECT string_agg(md5(key::text || n), '') FROM generate_series(1, 200) AS n) \
            FROM generate_series(1900000000, 1900000039) AS key";
        let swap = "UPDATE crm_system.addresses SET account_id = 1900000100 WHERE account_id = $1; \
            UPDATE crm_system.addresses SET account_id = $1 WHERE account_id = $1 + 20; \
            UPDATE crm_system.addresses SET account_id = $1 + 20 WHERE account_id = 1900000100; \
            UPDATE crm_system.addresses SET city = 'swapped' WHERE account_id = $1;";
        self.client.batch_execute(write).await.unwrap();
        for key in 1_900_000_000..1_900_000_020 {
            let swap = swap.replace("$1", &key.to_string());
            // Statements that are sent together are one transaction.
            let transactions = if key % 2 == 0 { vec![swap.as_str()] } else { swap.split_inclusive(';').collect() };
            for transaction in transactions {
                self.client.batch_execute(transaction).await.unwrap();
            }
        }
    }

    /// The connector, on the way it has in operation: the project's file, and variables.
    async fn connector(&self, kafka: &Kafka) -> Debezium {
        let place: Config = self.url.parse().unwrap();
        let port = place.get_ports()[0].to_string();
        let variables = [
            ("CRM_DATABASE_HOST", "127.0.0.1"),
            ("CRM_DATABASE_PORT", &port),
            ("CRM_DATABASE_NAME", place.get_dbname().unwrap()),
            ("CRM_DATABASE_USER", place.get_user().unwrap()),
            ("CRM_DATABASE_PASSWORD", std::str::from_utf8(place.get_password().unwrap()).unwrap()),
        ];
        test_support::debezium(&kafka.bootstrap_servers, include_str!("../../connector.json"), &variables).await
    }

    /// Every version of every row since the triggers are there, in its order.
    async fn versions(&self) -> Vec<String> {
        texts(
            &self.client,
            "SELECT table_name || ' ' || key || ' ' || version FROM audit.changes WHERE version IS NOT NULL \
             ORDER BY table_name, key, id",
        )
        .await
    }

    /// Every row that is there.
    async fn current(&self) -> Vec<String> {
        let tables = TABLES.map(|(table, key, _)| {
            format!("SELECT '{table}' AS name, {key} AS key, to_jsonb(t) AS row FROM crm_system.{table} t")
        });
        let sql = tables.join(" UNION ALL ");
        texts(&self.client, &format!("SELECT name || ' ' || row FROM ({sql}) AS rows ORDER BY name, key")).await
    }
}

/// The followed tables.
struct Target {
    url: String,
    client: Client,
    runtime: Runtime,
}

impl Target {
    /// New tables; a consumer group that is new, too, reads everything.
    async fn start(kafka: &Kafka, group: &str) -> Self {
        let url = test_support::postgres_database().await;
        cdc_handler::init(&url).await.unwrap();
        Self { client: connect(&url).await, runtime: follow(kafka, &url, group).await, url }
    }

    /// Waits until everything before the source's last mark is here.
    async fn has_all_of(&self, source: &Source) {
        let mark = source.marks;
        for (table, key, column) in TABLES {
            let sql = format!("FROM crm_data.{table} WHERE {key} >= {FIRST_MARK} AND {column} = 'mark {mark}'");
            eventually(PATIENCE, async || {
                self.assert_works();
                count(&self.client, &sql).await == MARKS
            })
            .await;
        }
    }

    /// No invocation has failed.
    fn assert_works(&self) {
        for mapping in self.runtime.status().mappings {
            assert_eq!(mapping.failures, 0, "{}: {:?}", mapping.topic, mapping.state);
        }
    }

    async fn current(&self) -> Vec<String> {
        self.rows("current", "", "valid_from, source_lsn").await
    }

    /// The versions that no other has followed.
    async fn open(&self) -> Vec<String> {
        self.rows("open", "_history", META).await
    }

    async fn rows(&self, which: &str, suffix: &str, meta: &str) -> Vec<String> {
        let meta = format!("ARRAY['{}']", meta.replace(", ", "', '"));
        let open = if which == "open" { "WHERE valid_to IS NULL" } else { "" };
        let tables = TABLES.map(|(table, key, _)| {
            format!("SELECT '{table}' AS name, {key} AS key, to_jsonb(t) - {meta} AS row FROM crm_data.{table}{suffix} t {open}")
        });
        let sql = tables.join(" UNION ALL ");
        texts(&self.client, &format!("SELECT name || ' ' || row FROM ({sql}) AS rows ORDER BY name, key")).await
    }

    /// Every version that was streamed, in its order.
    async fn versions(&self) -> Vec<String> {
        let meta = format!("ARRAY['{}']", META.replace(", ", "', '"));
        let tables = TABLES.map(|(table, key, _)| {
            format!(
                "SELECT '{table}' AS name, {key} AS key, stream_lsn, source_lsn, to_jsonb(t) - {meta} AS row \
                 FROM crm_data.{table}_history t WHERE is_streamed"
            )
        });
        let sql = tables.join(" UNION ALL ");
        texts(
            &self.client,
            &format!(
                "SELECT name || ' ' || key || ' ' || row FROM ({sql}) AS rows \
                 ORDER BY name, key, stream_lsn, source_lsn"
            ),
        )
        .await
    }

    /// Everything, as it is.
    async fn everything(&self) -> Vec<String> {
        let mut all = Vec::new();
        for suffix in ["", "_history"] {
            for (table, ..) in TABLES {
                all.extend(
                    texts(&self.client, &format!("SELECT '{table} ' || t FROM crm_data.{table}{suffix} t ORDER BY 1"))
                        .await,
                );
            }
        }
        for table in ["deletions", "truncations"] {
            all.extend(
                texts(&self.client, &format!("SELECT '{table} ' || t FROM crm_data.{table} t ORDER BY 1")).await,
            );
        }
        all
    }
}

/// Columns of the history that are not the source's.
const META: &str = "valid_from, valid_to, op, changed_at, stream_lsn, is_streamed, source_lsn, unchanged, base_key";

/// The function behind its mappings.
async fn follow(kafka: &Kafka, database_url: &str, group: &str) -> Runtime {
    let mut template = template(kafka, database_url);
    for mapping in &mut template.mappings {
        mapping.group = format!("{}-{group}", mapping.group);
    }
    let vars: Vars = template.functions[0].environment.clone().into_iter().collect();
    let handler = cdc_handler::boot(vars).await.unwrap();
    let function: InProcessFunction = Arc::new(move |call| {
        let deadline = Deadline::at(call.deadline);
        handler(Invocation { payload: call.payload, deadline, request_id: call.request_id })
    });
    let functions = InProcess::new([("cdc-handler".to_owned(), function)]);
    Runtime::start(&template, Arc::new(functions), Options::default()).await.unwrap()
}

/// The function's part of the template.
fn template(kafka: &Kafka, database_url: &str) -> Template {
    let given = [("KafkaBrokers", kafka.bootstrap_servers.as_str()), ("DatabaseUrl", database_url)];
    let of_others =
        ["SftpHost", "SftpUser", "SftpHostKey", "LakeBucket", "UsageStore", "ApiUsers"].map(|name| (name, "-"));
    let parameters: Parameters =
        given.into_iter().chain(of_others).map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let mut template =
        Template::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../../template.yaml").as_ref(), &parameters).unwrap();
    template.functions.retain(|function| function.name == "cdc-handler");
    template.mappings.retain(|mapping| mapping.function == "cdc-handler");
    template.schedules.clear();
    template.routes.clear();
    template
}

/// Equal, or where they begin not to be.
#[track_caller]
fn assert_same(what: &str, source: &[String], target: &[String]) {
    let different = (0..source.len().max(target.len())).find(|&index| source.get(index) != target.get(index));
    let Some(index) = different else { return };
    let mut shown = format!("{what}: {} in the source, {} here; from {index}\n", source.len(), target.len());
    for at in index.saturating_sub(2)..index + 3 {
        for (name, rows) in [("source", source), ("here  ", target)] {
            let row: String = rows.get(at).map(|row| row.chars().take(300).collect()).unwrap_or_default();
            writeln!(shown, "{at} {name} {row}").unwrap();
        }
    }
    panic!("{shown}");
}

async fn check(source: &Source, target: &Target) {
    target.has_all_of(source).await;
    assert_same("rows", &source.current().await, &target.current().await);
    assert_same("open versions", &source.current().await, &target.open().await);
    assert_same("versions", &source.versions().await, &target.versions().await);
    let deletions = count(&source.client, "FROM audit.changes WHERE version IS NULL AND key IS NOT NULL").await;
    assert_eq!(count(&target.client, "FROM crm_data.deletions").await, deletions);
    let truncations = count(&source.client, "FROM audit.changes WHERE key IS NULL").await;
    assert_eq!(count(&target.client, "FROM crm_data.truncations").await, truncations);
    for (table, key, _) in TABLES {
        let overlaps = format!(
            "FROM (SELECT valid_to, lead(valid_from) OVER (PARTITION BY {key} ORDER BY stream_lsn, is_streamed, source_lsn) \
             AS next FROM crm_data.{table}_history) AS versions WHERE valid_to > next OR (valid_to IS NULL AND next IS NOT NULL)"
        );
        assert_eq!(count(&target.client, &overlaps).await, 0, "versions of {table} overlap");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tables_follow_a_real_source() {
    let began = Instant::now();
    let (kafka, mut source) = tokio::join!(test_support::kafka(), Source::start());
    let topics = TABLES.map(|(table, ..)| format!("crm.crm_system.{table}"));
    let topics: Vec<_> = topics.iter().map(|topic| (topic.as_str(), 3)).chain([("rejected", 3)]).collect();
    let sink = kafka_sink::Config::plaintext(&kafka.bootstrap_servers);
    kafka_sink::admin::create_topics(&sink, &topics).await.unwrap();
    let target = Target::start(kafka, "first").await;

    // A snapshot of what is there, then what changes.
    let connector = source.connector(kafka).await;
    source.change(1_500, 0).await;
    source.renumber_large().await;
    source.mark().await;
    check(&source, &target).await;
    let renumbered = "FROM crm_data.addresses_history WHERE base_key >= 1900000000 AND unchanged = '{street_address}'";
    assert_eq!(count(&target.client, &format!("{renumbered} AND length(street_address) > 2000")).await, 60);
    assert_eq!(count(&target.client, renumbered).await, 60);

    // Killed and started again, stopped and started again, while the source goes on.
    let streaming = Instant::now();
    let (changed, ()) = tokio::join!(tokio::spawn(changes(source, 4_500, 400)), async {
        eventually(PATIENCE, async || count(&target.client, "FROM crm_data.accounts_history").await > 2_000).await;
        connector.kill().await;
        connector.start().await;
        connector.stop().await;
        connector.start().await;
    });
    source = changed.unwrap();
    source.mark().await;
    check(&source, &target).await;
    let streamed = streaming.elapsed();

    // A snapshot again, while a transaction is open: the snapshot shows what was before it, and lies behind it in the log.
    connector.stop().await;
    drop(connector);
    let mut other = connect(&source.url).await;
    let open = other.transaction().await.unwrap();
    open.execute("UPDATE crm_system.accounts SET owner_name = 'late' WHERE account_id <= 3", &[]).await.unwrap();
    let snapshot = "FROM crm_data.accounts_history WHERE NOT is_streamed AND account_id = 2000000000";
    let snapshots = count(&target.client, snapshot).await;
    let connector = source.connector(kafka).await;
    eventually(PATIENCE, async || count(&target.client, snapshot).await > snapshots).await;
    source.mark().await;
    open.commit().await.unwrap();
    source.mark().await;
    check(&source, &target).await;
    source.change(5_000, 0).await;
    source.mark().await;
    check(&source, &target).await;

    // Everything once more, into these tables and into new ones.
    let again = follow(kafka, &target.url, "again").await;
    let anew = Target::start(kafka, "anew").await;
    check(&source, &anew).await;
    eventually(PATIENCE, async || again.status().mappings.iter().all(|mapping| mapping.lag() == Some(0))).await;
    check(&source, &target).await;
    assert_same("tables", &target.everything().await, &anew.everything().await);

    let messages: u64 = anew.runtime.status().mappings.iter().map(|mapping| mapping.records).sum();
    eprintln!(
        "5,000 changes, {} versions of rows, {messages} messages; 3,000 changes at 400/s with two restarts in {:.1} s; all in {:.1} s",
        source.versions().await.len(),
        streamed.as_secs_f64(),
        began.elapsed().as_secs_f64()
    );
    for runtime in [target.runtime, again, anew.runtime] {
        runtime.shutdown().await;
    }
    connector.stop().await;
}

/// The source goes on, on its own.
async fn changes(source: Source, changes: u64, rate: u32) -> Source {
    source.change(changes, rate).await;
    source
}
