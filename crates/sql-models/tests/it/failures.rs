use std::sync::Mutex;
use std::time::Instant;

use expect_test::{Expect, expect};
use sql_models::{Options, Project};

use crate::{database, project, rows, run, show};

const NUMBERS: &str = "create schema raw; create table raw.numbers (n int); insert into raw.numbers values (1), (2)";

/// `first` and, on it, `second`, with a test that fails from the third number on; `other` is on its own.
fn numbers() -> Project {
    project(&[
        ("models/sources.yml", "sources: [{name: raw, tables: [{name: numbers}]}]"),
        ("models/first.sql", "{{ config(materialized='table') }} select * from {{ source('raw', 'numbers') }}"),
        ("models/second.sql", "{{ config(materialized='table') }} select sum(n) from {{ ref('first') }}"),
        ("models/third.sql", "select * from {{ ref('second') }}"),
        ("models/other.sql", "{{ config(materialized='table') }} select count(*) from {{ source('raw', 'numbers') }}"),
        (
            "models/schema.yml",
            "models:
  - name: first
    columns:
      - name: n
        tests:
          - not_null
          - accepted_values: {values: [1, 2], quote: false}
",
        ),
    ])
}

#[tokio::test]
async fn a_failing_test_keeps_the_previous_table_and_what_is_built_from_it() {
    let (pool, project) = (database(NUMBERS).await, numbers());
    let report = run(&project, &pool).await;
    assert!(report.is_complete(), "{}", show(&report));
    pool.batch("insert into raw.numbers values (2), (3), (4)").await.expect("rows");
    let told = Mutex::new(Vec::new());
    let tell = |unit: &sql_models::Unit| told.lock().expect("nobody panics").push(unit.name.clone());
    let options = Options { on_progress: Some(&tell), ..Options::default() };
    let report = project.run(&pool, &options).await.expect("a database that answers");
    expect![[r#"
        first public.first tested 0 not_null_first_n=0 accepted_values_first_n=2 Failed("test accepted_values_first_n: 2 rows should not be there, those of\nselect n, count(*) from \"public\".\"first\" as tested where n not in (1, 2) group by n")
        other public.other table 1
        second public.second tested 0 Skipped("first")
        third public.third tested 0 Skipped("second")
    "#]].assert_eq(&show(&report));
    expect![[r#"
        first: test accepted_values_first_n: 2 rows should not be there, those of
        select n, count(*) from "public"."first" as tested where n not in (1, 2) group by n"#]]
    .assert_eq(&report.failures().collect::<Vec<_>>().join("\n"));
    assert_eq!(told.into_inner().expect("nobody panics").len(), report.units.len());
    assert_eq!(rows(&pool, "select sum from second union all select count from other order by 1").await, "(3)\n(5)\n");
    assert_eq!(rows(&pool, "select count(*) from first").await, "(2)\n");
}

async fn check(project: &Project, options: Options<'_>, expected: Expect) {
    let pool = database(NUMBERS).await;
    match project.run(&pool, &options).await {
        Ok(report) => expected.assert_eq(&show(&report)),
        Err(error) => expected.assert_eq(&format!("{error:#}")),
    }
}

#[tokio::test]
async fn only_what_is_selected_in_time_and_allowed_is_built() {
    let select = vec!["first".to_owned()];
    check(
        &numbers(),
        Options { select, ..Options::default() },
        expect![[r#"
        first public.first table 2 not_null_first_n=0 accepted_values_first_n=0
    "#]],
    )
    .await;
    let select = vec!["nothing".to_owned()];
    check(&numbers(), Options { select, ..Options::default() }, expect!["there is no model nothing"]).await;
    check(
        &numbers(),
        Options { deadline: Some(Instant::now()), ..Options::default() },
        expect![[r#"
        first public.first tested 0 OutOfTime
        other public.other tested 0 OutOfTime
        second public.second tested 0 OutOfTime
        third public.third tested 0 OutOfTime
    "#]],
    )
    .await;
    let guard = Some("do $$ begin raise 'another run has taken over'; end $$".to_owned());
    check(
        &numbers(),
        Options { guard, ..Options::default() },
        expect!["the run may not go on: another run has taken over (SQLSTATE P0001)"],
    )
    .await;
}

#[tokio::test]
async fn what_is_wrong_with_a_statement_is_told_by_the_line_of_its_template() {
    let bad = project(&[
        ("macros/twice.sql", "{% macro twice(x) %}\n\n{{ x }} * 2\n{% endmacro %}"),
        (
            "models/column.sql",
            "{#- numbers,\n  twice -#}\nselect {{ twice('1') }},\n  nothing\nfrom (select 1 as n) as one",
        ),
        ("models/syntax.sql", "{{ config(materialized='table') }}\nselect 1\nform x"),
        ("models/macro.sql", "select 1 as n,\n {{ twice('missing') }} as m"),
        ("models/value.sql", "{{ config(materialized='table') }} select 1 / 0 as x"),
        ("models/hook.sql", "{{ config(pre_hook='delete from nowhere') }} select 1 as n"),
        (
            "models/contract.sql",
            "{{ config(contract={'enforced': true}, materialized='table') }} select 1 as a, 'x'::text as b",
        ),
        (
            "models/contract.yml",
            "models:\n  - name: contract\n    columns: [{name: a, data_type: bigint}, {name: c, data_type: text}]",
        ),
        ("models/later.sql", "{% if execute %} select * from {{ ref('value') }} {% endif %}"),
        ("tests/failing.sql", "select x.y from {{ ref('hook') }}"),
    ]);
    check(&bad, Options::default(), expect![[r#"
        column public.column tested 0 Failed("models/column.sql:4: column \"nothing\" does not exist (SQLSTATE 42703)")
        contract public.contract tested 0 Failed("models/contract.yml:2: the contract promises a int8, c text, the query has a int4, b text")
        hook public.hook tested 0 Failed("models/hook.sql: relation \"nowhere\" does not exist (SQLSTATE 42P01)")
        later public.later tested 0 Failed("models/later.sql:1: ref('value') was not seen when the model was read: write `-- depends_on: {{ ref('value') }}` outside of the condition")
        macro public.macro tested 0 Failed("models/macro.sql:2: column \"missing\" does not exist (SQLSTATE 42703)")
        syntax public.syntax tested 0 Failed("models/syntax.sql:3: syntax error at or near \"x\" (SQLSTATE 42601)")
        value public.value tested 0 Failed("models/value.sql: division by zero (SQLSTATE 22012)")
    "#]]).await;
}

#[tokio::test]
async fn another_query_than_the_tables_wants_a_full_refresh() {
    let model = |columns| {
        let config = "materialized='incremental', unique_key='n', on_schema_change='fail'";
        project(&[("models/numbers.sql", &format!("{{{{ config({config}) }}}} select {columns}"))])
    };
    let pool = database("").await;
    run(&model("1 as n"), &pool).await;
    expect![[r#"
        numbers public.numbers tested 0 Failed("models/numbers.sql: the table has n int4, the query n int8, m int4: make it anew with a full refresh")
    "#]].assert_eq(&show(&run(&model("1::bigint as n, 2 as m"), &pool).await));
    let options = Options { full_refresh: true, ..Options::default() };
    let report = model("1::bigint as n, 2 as m").run(&pool, &options).await.expect("a database that answers");
    assert!(report.is_complete());
}
