use expect_test::expect;

use crate::{database, full_refresh, project, rows, run, show};

const ORDERS: &str = "
    create schema raw;
    create table raw.orders (id int, customer text, amount numeric(10, 2), batch_id bigint);
    insert into raw.orders values (1, 'ann', 5, 1), (2, 'bob', 7.50, 1), (3, 'ann', 1, 1);
";

const SOURCES: (&str, &str) = (
    "models/sources.yml",
    "sources:
  - name: raw
    tables:
      - name: orders
        columns:
          - name: id
            data_tests: [unique, not_null]
",
);

#[tokio::test]
async fn each_materialization_is_built_in_the_order_of_the_graph() {
    let pool = database(ORDERS).await;
    let project = project(&[
        ("dbt_project.yml", "name: shop\nmodels:\n  shop:\n    marts: {+schema: marts, +materialized: table}\n"),
        (
            "macros/schema.sql",
            "{% macro generate_schema_name(custom, node) %} {{ custom or target.schema }} {% endmacro %}",
        ),
        ("macros/cents.sql", "{% macro cents(x, by=100) -%} ({{ x }} * {{ by }})::bigint {%- endmacro %}"),
        ("macros/total.sql", "{% macro total(x) %}sum({{ cents(x) }})::bigint{% endmacro %}"),
        SOURCES,
        (
            "models/orders.sql",
            "{{ config(materialized='view') }} -- all\nselect * from {{ source('raw', 'orders') }};"
                .trim_end_matches(';'),
        ),
        (
            "models/marts/customers.sql",
            "/* of large orders */ with c as (select * from {{ ref('orders') }} where amount > 2)
             select customer, {{ total('amount') }} as cents from c group by 1",
        ),
        (
            "models/marts/customers.yml",
            "models:
  - name: customers
    columns:
      - name: customer
        data_tests:
          - unique
          - accepted_values: {arguments: {values: [ann, bob]}}
          - relationships: {arguments: {to: ref('orders'), field: customer}, config: {where: \"cents > 0\"}}
",
        ),
        (
            "models/marts/best.sql",
            "{{ config(indexes=[{'columns': ['customer'], 'unique': true}]) }}
            select * from {{ ref('customers') }} order by cents desc limit 1",
        ),
        ("tests/no_loss.sql", "select 1 from {{ ref('customers') }} c join {{ ref('best') }} t on c.cents > t.cents"),
    ]);
    let first = run(&project, &pool).await;
    expect![[r#"
        raw.orders - tested 0 unique_raw_orders_id=0 not_null_raw_orders_id=0
        orders public.orders view 0
        customers marts.customers table 2 unique_customers_customer=0 accepted_values_customers_customer=0 relationships_customers_customer=0
        best marts.best table 1 no_loss=0
    "#]].assert_eq(&show(&first));
    expect![[r#"
        (ann,500)
        (bob,750)
    "#]]
    .assert_eq(&rows(&pool, "select * from marts.customers order by 1").await);
    expect![[r#"
        (bob,750)
    "#]]
    .assert_eq(&rows(&pool, "select * from marts.best").await);
    // What is dropped with a table that is made anew comes again, and nothing else is left over.
    let relations = "select relkind, relnamespace::regnamespace, relname from pg_class \
                     where relnamespace::regnamespace::text in ('marts', 'public') order by 2, 3";
    let before = rows(&pool, relations).await;
    assert_eq!(show(&run(&project, &pool).await), show(&first));
    assert_eq!(show(&full_refresh(&project, &pool).await), show(&first));
    expect![[r#"
        (v,public,orders)
        (r,marts,best)
        (i,marts,best_customer_idx)
        (r,marts,customers)
    "#]]
    .assert_eq(&before);
    expect![[r#"
        (v,public,orders)
        (r,marts,best)
        (i,marts,best_customer_idx)
        (r,marts,customers)
    "#]]
    .assert_eq(&rows(&pool, relations).await);
}
