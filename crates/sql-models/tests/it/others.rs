//! What others have made of the models' tables, and may do with them, stays when a model is made anew.

use expect_test::expect;
use postgres_pool::{Names, Pool};
use sql_models::{Options, Project};
use tokio_postgres::{Client, NoTls};

use crate::{full_refresh, project, rows, run, show};

const ROWS: &str = "
    create schema raw;
    create table raw.orders (id int, customer text, cents bigint, note json);
    insert into raw.orders values (1, 'ann', 500, '{}'), (2, 'bob', 750, '{}'), (3, 'cid', 100, null);
";

/// A table that is told apart by a key, a copy without one, and a view of both. `more` are columns of the table.
fn orders(more: &str, view: &str) -> Project {
    project(&[
        ("models/sources.yml", "sources: [{name: raw, tables: [{name: orders}]}]"),
        (
            "models/orders.sql",
            &format!(
                "{{{{ config(materialized='incremental', unique_key='id',
                    indexes=[{{'columns': ['id'], 'unique': true}}, {{'columns': ['customer']}}], contract={{'enforced': true}}) }}}}
                select id, customer, cents, note{more} from {{{{ source('raw', 'orders') }}}}
                {{% if is_incremental() %}} where id > (select max(id) from {{{{ this }}}}) {{% endif %}}"
            ),
        ),
        (
            "models/copy.sql",
            "{{ config(materialized='table') }} select customer, cents from {{ ref('orders') }}",
        ),
        ("models/seen.sql", &format!("select {view} from {{{{ ref('orders') }}}}")),
        ("models/top.sql", "select customer from {{ ref('seen') }} limit 1"),
        (
            "models/schema.yml",
            &format!(
                "models:
  - name: orders
    columns:
      - {{name: id, data_type: int, constraints: [{{type: not_null}}]}}
      - {{name: customer, data_type: text, constraints: [{{type: check, expression: customer <> ''}}]}}
      - {{name: cents, data_type: bigint}}
      - {{name: note, data_type: json}}
{}",
                if more.is_empty() { "" } else { "      - {name: vat, data_type: 'numeric(10, 2)', constraints: [{type: not_null}]}\n" }
            ),
        ),
    ])
}

struct Database {
    url: String,
    pool: Pool,
}

impl Database {
    async fn new(statements: &str) -> Self {
        let url = test_support::postgres_database().await;
        let names = Names { variable: "DATABASE_URL", service: "the warehouse" };
        let pool = Pool::new(&url, names).expect("a good address");
        pool.batch(statements).await.expect("good statements");
        Self { url, pool }
    }

    /// Somebody else, on a connection of his own.
    async fn other(&self) -> Client {
        let url = format!("{}?application_name=reports", self.url);
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.expect("a connection");
        tokio::spawn(connection);
        client
    }
}

/// What a role may do, and what others have made. A role belongs to all databases of a server.
async fn others(pool: &Pool, role: &str) -> String {
    let query = format!(
        "select 'may select from', name from unnest(array['orders', 'copy', 'seen', 'reports.totals']) as name
             where has_table_privilege('{role}', name, 'select')
         union all select 'may update cents' , '' where has_column_privilege('{role}', 'orders', 'cents', 'update')
         union all select 'index', relname::text from pg_class where relname = 'mine'
         union all select 'comment', obj_description('reports.totals'::regclass)
         union all select 'options', coalesce(array_to_string(reloptions, ','), '') from pg_class
             where oid in ('seen'::regclass, 'reports.totals'::regclass)
         order by 1, 2"
    );
    rows(pool, &query).await
}

fn made_by_others(role: &str) -> String {
    format!(
        "create role {role};
         grant select on orders, copy, seen to {role};
         grant update (cents) on orders to {role};
         create index mine on orders (cents);
         alter view seen set (security_barrier = true);
         create schema reports;
         create view reports.totals with (security_invoker = true) as
             select customer, sum(cents) as cents, (select count(*) from copy) as copied
             from orders join seen using (customer) group by 1;
         comment on view reports.totals is 'What customers owe';
         grant select on reports.totals to {role}"
    )
}

#[tokio::test]
async fn what_others_have_stays_when_tables_are_filled_anew() {
    let database = Database::new(ROWS).await;
    let (pool, project) = (&database.pool, orders("", "id, customer"));
    run(&project, pool).await;
    let role = test_support::topic("reader").replace('-', "_");
    pool.batch(&made_by_others(&role)).await.expect("good statements");
    let before = others(pool, &role).await;
    expect![[r#"
        (comment,"What customers owe")
        (index,mine)
        ("may select from",copy)
        ("may select from",orders)
        ("may select from",reports.totals)
        ("may select from",seen)
        ("may update cents","")
        (options,security_barrier=true)
        (options,security_invoker=true)
    "#]]
    .assert_eq(&before);
    pool.batch(
        "update raw.orders set cents = 501, note = '{\"a\": 1}' where id = 1;
         delete from raw.orders where id = 3; insert into raw.orders values (0, 'dan', 1)",
    )
    .await
    .expect("rows");
    let places = "select ctid, id from orders where id = 2";
    let place = rows(pool, places).await;
    // One goes, one changes, one comes; of what has no key, all of it.
    expect![[r#"
        orders public.orders table 3
        copy public.copy table 3
        seen public.seen view 0
        top public.top view 0
    "#]]
    .assert_eq(&show(&full_refresh(&project, pool).await));
    assert_eq!(rows(pool, places).await, place, "what has not changed is not written");
    let totals = rows(pool, "select * from reports.totals order by 1").await;
    expect![[r#"
        (ann,501,3)
        (bob,750,3)
        (dan,1,3)
    "#]]
    .assert_eq(&totals);
    assert_eq!(others(pool, &role).await, before);
    // Nothing has changed.
    expect![[r#"
        orders public.orders table 0
        copy public.copy table 3
        seen public.seen view 0
        top public.top view 0
    "#]]
    .assert_eq(&show(&full_refresh(&project, pool).await));
    let left_over = "select relname from pg_class where relname like '%dbt_tmp%'";
    assert_eq!(rows(pool, left_over).await, "");
}

/// A later version of the models has other columns.
#[tokio::test]
async fn what_others_have_stays_when_columns_change() {
    let database = Database::new(ROWS).await;
    let pool = &database.pool;
    run(&orders("", "id, customer"), pool).await;
    let role = test_support::topic("reader").replace('-', "_");
    pool.batch(&made_by_others(&role)).await.expect("good statements");
    let before = others(pool, &role).await;
    // A column more in the table and at the end of the view: nothing has to go.
    let more = orders(", (cents * 0.15)::numeric(10, 2) as vat", "id, customer, vat");
    let report = full_refresh(&more, pool).await;
    assert!(report.is_complete(), "{}", show(&report));
    expect![[r#"
        (1,ann,75.00)
        (2,bob,112.50)
        (3,cid,15.00)
    "#]]
    .assert_eq(&rows(pool, "select * from seen order by 1").await);
    assert_eq!(others(pool, &role).await, before);
    // Other columns in front: the view is made anew, and those that are made of it are, too.
    let other = orders(", cents::numeric(10, 2) as vat", "vat, customer");
    let report = full_refresh(&other, pool).await;
    assert!(report.is_complete(), "{}", show(&report));
    assert_eq!(others(pool, &role).await, before);
    assert_eq!(rows(pool, "select count(*) from reports.totals").await, "(3)\n");
    // A column goes that nobody uses any more; its constraint with it.
    for project in [orders(", 1::numeric(10, 2) as vat", "id, customer"), orders("", "id, customer")] {
        let report = full_refresh(&project, pool).await;
        assert!(report.is_complete(), "{}", show(&report));
    }
    assert_eq!(others(pool, &role).await, before);
    let columns =
        "select attname from pg_attribute where attrelid = 'orders'::regclass and attnum > 0 and not attisdropped";
    assert_eq!(rows(pool, columns).await, "(id)\n(customer)\n(cents)\n(note)\n");
}

#[tokio::test]
async fn what_does_not_fit_any_more_is_named_and_nothing_is_lost() {
    let database = Database::new(ROWS).await;
    let pool = &database.pool;
    run(&orders(", 1::numeric(10, 2) as vat", "id, customer"), pool).await;
    pool.batch("create schema reports; create view reports.taxes as select id, vat from orders").await.expect("a view");
    let report = full_refresh(&orders("", "id, customer"), pool).await;
    expect![[r#"
        orders public.orders tested 0 Failed("reports.taxes does not fit what it is made of any more (column orders.vat does not exist (SQLSTATE 42703)): drop it, load, and make it anew")
        copy public.copy tested 0 Skipped("orders")
        seen public.seen tested 0 Skipped("orders")
        top public.top tested 0 Skipped("seen")
    "#]].assert_eq(&show(&report));
    pool.batch("create materialized view reports.kept as select * from reports.taxes").await.expect("a view");
    let report = full_refresh(&orders("", "id, customer"), pool).await;
    expect![[r#"
        orders: "public"."orders" has to change its columns, and reports.kept cannot be made again as before: drop what is made of it, load, and make it anew"#]]
    .assert_eq(&report.failures().collect::<Vec<_>>().join("\n"));
    assert_eq!(rows(pool, "select count(*) from reports.taxes").await, "(3)\n");
    // As is what the model itself asks of its rows.
    pool.batch("insert into raw.orders values (4, '', 1)").await.expect("a row");
    let report = full_refresh(&orders(", 1::numeric(10, 2) as vat", "id, customer"), pool).await;
    let failures = report.failures().collect::<Vec<_>>().join("\n");
    assert!(failures.contains("violates check constraint \"orders_customer_check\""), "{failures}");
    assert_eq!(rows(pool, "select count(*) from orders").await, "(3)\n");
}

/// A reader that has read and not ended its transaction keeps nobody waiting, unless a view has really changed.
#[tokio::test]
async fn readers_do_not_wait_and_who_holds_a_view_is_named() {
    let database = Database::new(ROWS).await;
    let pool = &database.pool;
    run(&orders("", "id, customer"), pool).await;
    let (mut idle, other) = (database.other().await, database.other().await);
    let reading = idle.transaction().await.expect("a transaction");
    reading.batch_execute("select * from seen; select * from top; select * from copy").await.expect("rows");
    pool.batch("insert into raw.orders values (4, 'eve', 1)").await.expect("a row");
    for full_refresh in [false, true] {
        let options = Options { full_refresh, ..Options::default() };
        let report = orders("", "id, customer").run(pool, &options).await.expect("a database that answers");
        assert!(report.is_complete(), "{}", show(&report));
    }
    other.batch_execute("set statement_timeout = '10s'; select * from seen; select * from copy").await.expect("rows");

    let changed = orders("", "id, customer, cents");
    let report = run(&changed, pool).await;
    let failures = report.failures().collect::<Vec<_>>().join("\n");
    assert!(
        failures.starts_with("seen: ") && failures.contains(", application reports, in a transaction since "),
        "{failures}"
    );
    other.batch_execute("select * from seen").await.expect("rows");
    reading.commit().await.expect("an end");
    assert!(run(&changed, pool).await.is_complete());
}

#[tokio::test]
async fn grants_stay_where_a_table_becomes_a_view_and_a_view_a_table() {
    let database = Database::new("").await;
    let pool = &database.pool;
    let kind =
        |kind: &str| project(&[("models/one.sql", &format!("{{{{ config(materialized='{kind}') }}}} select 1 as n"))]);
    run(&kind("table"), pool).await;
    let role = test_support::topic("reader").replace('-', "_");
    pool.batch(&format!(
        "create role {role}; grant select on one to {role} with grant option; create view mine as select * from one"
    ))
    .await
    .expect("good statements");
    for materialized in ["view", "table", "view"] {
        let report = run(&kind(materialized), pool).await;
        assert!(report.is_complete(), "{}", show(&report));
        let may = format!("select has_table_privilege('{role}', 'one', 'select with grant option'), n from mine");
        assert_eq!(rows(pool, &may).await, "(t,1)\n", "{materialized}");
    }
}
