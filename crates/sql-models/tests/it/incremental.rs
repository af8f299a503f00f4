use expect_test::expect;
use postgres_pool::Pool;
use sql_models::{Options, Project};

use crate::{database, full_refresh, project, rows, run, show};

const PROJECT: &str = "
name: shop
models:
  shop:
    +materialized: incremental
    +persist_docs: {relation: true, columns: true}
";

const SOURCES: &str = "sources: [{name: raw, tables: [{name: messages}]}]";

/// Models with the columns `key, value, batch_id`, one for each way of bringing new rows in.
fn each_strategy() -> Project {
    let model = |config: &str| {
        format!(
            "{{{{ config({config}) }}}}
             select key, max(value) as value, max(batch_id) as batch_id from {{{{ source('raw', 'messages') }}}}
             {{% if is_incremental() %}} where batch_id > (select max(batch_id) from {{{{ this }}}}) {{% endif %}}
             group by key"
        )
    };
    project(&[
        ("dbt_project.yml", PROJECT),
        ("models/sources.yml", SOURCES),
        ("models/replaced.sql", &model("unique_key=['key']")),
        ("models/replaced_by_index.sql", &model("unique_key=['key'], indexes=[{'columns': ['key', 'value']}]")),
        ("models/merged.sql", &model("unique_key='key', incremental_strategy='merge'")),
        ("models/rebuilt.sql", &model("materialized='table'")),
    ])
}

const MESSAGES: &str = "
    create schema raw;
    create table raw.messages (key text, value int, batch_id bigint);
    insert into raw.messages values ('a', 1, 1), ('b', 1, 1);
";

async fn table(pool: &Pool, name: &str) -> String {
    rows(pool, &format!("select key, value, batch_id from {name} order by 1, 2")).await.replace('\n', " ")
}

#[tokio::test]
async fn new_rows_come_in_as_the_strategy_says() {
    let (pool, project) = (database(MESSAGES).await, each_strategy());
    run(&project, &pool).await;
    // Written again, a row has another place.
    let places = "select ctid, key from replaced union all select ctid, key from merged order by 2, 1";
    let before = rows(&pool, places).await;
    expect![[r#"
        merged public.merged incremental 0
        rebuilt public.rebuilt table 2
        replaced public.replaced incremental 0
        replaced_by_index public.replaced_by_index incremental 0
    "#]]
    .assert_eq(&show(&run(&project, &pool).await));
    assert_eq!(rows(&pool, places).await, before);

    pool.batch("insert into raw.messages values ('b', 2, 2), ('c', 2, 2)").await.expect("a row");
    expect![[r#"
        merged public.merged incremental 2
        rebuilt public.rebuilt table 3
        replaced public.replaced incremental 3
        replaced_by_index public.replaced_by_index incremental 3
    "#]]
    .assert_eq(&show(&run(&project, &pool).await));
    for (name, expected) in [
        ("replaced", expect!["(a,1,1) (b,2,2) (c,2,2) "]),
        ("replaced_by_index", expect!["(a,1,1) (b,2,2) (c,2,2) "]),
        ("merged", expect!["(a,1,1) (b,2,2) (c,2,2) "]),
        ("rebuilt", expect!["(a,1,1) (b,2,2) (c,2,2) "]),
    ] {
        expected.assert_eq(&table(&pool, name).await);
    }
    let after = rows(&pool, places).await;
    assert!(before.lines().filter(|line| line.ends_with(",a)")).all(|line| after.contains(line)), "{after}");

    full_refresh(&project, &pool).await;
    assert_eq!(table(&pool, "replaced").await, table(&pool, "merged").await);
}

/// Rooms and their messages, with a foreign key and all that a contract can hold.
fn rooms() -> Project {
    project(&[
        ("dbt_project.yml", PROJECT),
        ("models/sources.yml", SOURCES),
        (
            "models/rooms.sql",
            "{{ config(unique_key='room_id', incremental_strategy='merge', contract={'enforced': true}) }}
             select distinct key as room_id from {{ source('raw', 'messages') }}",
        ),
        (
            "models/entries.sql",
            "{{ config(unique_key='id', incremental_strategy='merge', contract={'enforced': true},
                       on_schema_change='fail', indexes=[{'columns': ['batch_id'], 'type': 'brin'}]) }}
             select key as room_id, value as id, batch_id from {{ source('raw', 'messages') }}",
        ),
        (
            "models/schema.yml",
            "
models:
  - name: rooms
    description: A room isn't a customer.
    columns:
      - name: room_id
        data_type: text
        description: Who.
        constraints: [{type: primary_key}]
  - name: entries
    constraints:
      - {type: unique, columns: [room_id, id]}
      - {type: check, expression: batch_id > 0, name: counted}
    columns:
      - name: id
        data_type: int
        constraints: [{type: not_null}, {type: check, expression: id > 0}]
      - name: room_id
        data_type: text
        constraints: [{type: foreign_key, to: ref('rooms'), to_columns: [room_id]}]
      - {name: batch_id, data_type: bigint, description: When it came.}
",
        ),
    ])
}

#[tokio::test]
async fn contracts_are_kept_and_foreign_keys_survive_that_tables_are_made_anew() {
    let (pool, project) = (database(MESSAGES).await, rooms());
    pool.batch("insert into raw.messages values ('b', 3, 1)").await.expect("a row");
    let schema = "
        select conrelid::regclass::text, conname, pg_get_constraintdef(oid) from pg_constraint
        where connamespace = 'public'::regnamespace and contype <> 'n'
        union all select indrelid::regclass::text, indexrelid::regclass::text, '' from pg_index
        where indrelid in (to_regclass('rooms'), to_regclass('entries'))
        union all select oid::regclass::text, '', obj_description(oid) from pg_class where relname = 'rooms'
        union all select attrelid::regclass::text, attname, col_description(attrelid, attnum) from pg_attribute
        where attrelid in (to_regclass('rooms'), to_regclass('entries')) and attnum > 0
        order by 1, 2, 3";
    pool.batch("update raw.messages set value = 2 where key = 'a'").await.expect("a row");
    expect![[r#"
        rooms public.rooms table 2
        entries public.entries table 3
    "#]]
    .assert_eq(&show(&run(&project, &pool).await));
    let built = rows(&pool, schema).await;
    expect![[r#"
        (entries,batch_id,"When it came.")
        (entries,counted,"CHECK ((batch_id > 0))")
        (entries,entries_batch_id_idx,"")
        (entries,entries_id_check,"CHECK ((id > 0))")
        (entries,entries_room_id_fkey,"FOREIGN KEY (room_id) REFERENCES rooms(room_id)")
        (entries,entries_room_id_id_key,"")
        (entries,entries_room_id_id_key,"UNIQUE (room_id, id)")
        (entries,id,)
        (entries,room_id,)
        (rooms,"","A room isn't a customer.")
        (rooms,room_id,Who.)
        (rooms,rooms_pkey,"")
        (rooms,rooms_pkey,"PRIMARY KEY (room_id)")
    "#]]
    .assert_eq(&built);
    run(&project, &pool).await;
    assert_eq!(rows(&pool, schema).await, built);
    // Only the table that the other refers to: what is in the other is not checked again, what comes is.
    let options = Options { full_refresh: true, select: vec!["rooms".to_owned()], ..Options::default() };
    let report = project.run(&pool, &options).await.expect("a database that answers");
    assert!(report.is_complete(), "{}", show(&report));
    assert_eq!(rows(&pool, schema).await.replace(" NOT VALID", ""), built);
    let report = full_refresh(&project, &pool).await;
    assert!(report.is_complete(), "{}", show(&report));
    assert_eq!(rows(&pool, schema).await, built);
}

#[tokio::test]
async fn two_runs_at_once_leave_what_one_leaves() {
    let (pool, project) = (database(MESSAGES).await, each_strategy());
    // Half of the runs make the tables, or find them made, and each finds some of the rows new.
    for batch in 2..6 {
        let (one, other) = futures::join!(run(&project, &pool), run(&project, &pool));
        assert!(one.is_complete() && other.is_complete(), "{}{}", show(&one), show(&other));
        assert_eq!(table(&pool, "merged").await, table(&pool, "replaced").await);
        let repeated = "select from replaced group by key having count(*) > 1";
        assert_eq!(pool.query(repeated, &[]).await.expect("rows").len(), 0);
        pool.batch(&format!("insert into raw.messages values ('b', {batch}, {batch})")).await.expect("a row");
    }
}
