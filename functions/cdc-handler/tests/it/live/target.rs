//! The followed tables.

use std::sync::Arc;
use std::time::Duration;

use lambda_boot::{Deadline, Invocation, Vars};
use local_runtime::{InProcess, InProcessFunction, Options, Parameters, Runtime, Template};
use test_support::{Kafka, eventually};
use tokio_postgres::Client;

use super::source::Source;
use super::{FIRST_MARK, MARKS, PATIENCE, Place, TABLES, assert_same, connect, count, texts};

/// The followed tables.
pub(super) struct Target {
    pub(super) url: String,
    pub(super) client: Client,
    pub(super) runtime: Runtime,
}

impl Target {
    /// New tables; a consumer group that is new, too, reads everything.
    pub(super) async fn start(kafka: &Kafka, place: &Place, group: &str) -> Self {
        let url = test_support::postgres_database().await;
        cdc_handler::init(&url).await.unwrap();
        Self { client: connect(&url).await, runtime: follow(kafka, place, &url, group).await, url }
    }

    /// Waits until everything before the source's last mark is here.
    pub(super) async fn has_all_of(&self, source: &Source) {
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
    pub(super) fn assert_works(&self) {
        for mapping in self.runtime.status().mappings {
            assert_eq!(mapping.failures, 0, "{}: {:?}", mapping.topic, mapping.state);
        }
    }

    pub(super) async fn current(&self) -> Vec<String> {
        self.rows("current", "", "valid_from, source_lsn, stale_since").await
    }

    /// The versions that no other has followed.
    pub(super) async fn open(&self) -> Vec<String> {
        self.rows("open", "_history", META).await
    }

    pub(super) async fn rows(&self, which: &str, suffix: &str, meta: &str) -> Vec<String> {
        let meta = format!("ARRAY['{}']", meta.replace(", ", "', '"));
        let open = if which == "open" { "WHERE valid_to IS NULL" } else { "" };
        let tables = TABLES.map(|(table, key, _)| {
            format!("SELECT '{table}' AS name, {key} AS key, to_jsonb(t) - {meta} AS row FROM crm_data.{table}{suffix} t {open}")
        });
        let sql = tables.join(" UNION ALL ");
        texts(&self.client, &format!("SELECT name || ' ' || row FROM ({sql}) AS rows ORDER BY name, key")).await
    }

    /// Every version that was streamed, in its order.
    pub(super) async fn versions(&self) -> Vec<String> {
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
    pub(super) async fn everything(&self) -> Vec<String> {
        let mut all = Vec::new();
        for suffix in ["", "_history"] {
            for (table, ..) in TABLES {
                all.extend(
                    texts(&self.client, &format!("SELECT '{table} ' || t FROM crm_data.{table}{suffix} t ORDER BY 1"))
                        .await,
                );
            }
        }
        for table in ["deletions", "truncations", "unusable"] {
            all.extend(
                texts(&self.client, &format!("SELECT '{table} ' || t FROM crm_data.{table} t ORDER BY 1")).await,
            );
        }
        all
    }
}

/// Columns of the history that are not the source's.
const META: &str =
    "valid_from, valid_to, op, changed_at, stream_lsn, is_streamed, source_lsn, unchanged, base_key, stale_since";

const WINDOW: Duration = Duration::from_millis(50);

/// The function behind its mappings.
pub(super) async fn follow(kafka: &Kafka, place: &Place, database_url: &str, group: &str) -> Runtime {
    let mut template = template(kafka, place, database_url);
    for mapping in &mut template.mappings {
        // A test waits for single changes.
        mapping.window = WINDOW;
        mapping.group = format!("{}-{group}", mapping.group);
    }
    let environment = template.functions[0].environment.clone().into_iter();
    let vars: Vars = environment.chain([("REJECTED_TOPIC".to_owned(), place.rejected.clone())]).collect();
    let handler = cdc_handler::boot(vars).await.unwrap();
    let function: InProcessFunction = Arc::new(move |call| {
        let deadline = Deadline::at(call.deadline);
        handler(Invocation { payload: call.payload, deadline, request_id: call.request_id })
    });
    let functions = InProcess::new([("cdc-handler".to_owned(), function)]);
    Runtime::start(&template, Arc::new(functions), Options::default()).await.unwrap()
}

/// The function's part of the template.
fn template(kafka: &Kafka, place: &Place, database_url: &str) -> Template {
    let topics = format!("{}.crm_system", place.prefix);
    let given = [
        ("KafkaBrokers", kafka.bootstrap_servers.as_str()),
        ("DatabaseUrl", database_url),
        ("CrmTopicPrefix", &topics),
    ];
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

pub(super) async fn check(source: &Source, target: &Target) {
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
