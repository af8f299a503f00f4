use expect_test::{Expect, expect};

use crate::read;

fn check(files: &[(&str, &str)], expected: Expect) {
    match read(files) {
        Ok(_) => expected.assert_eq("good"),
        Err(error) => expected.assert_eq(&error.to_string()),
    }
}

#[test]
fn what_is_unknown_is_refused_by_its_line() {
    check(&[], expect!["good"]);
    check(
        &[("dbt_project.yml", "name: x\non-run-start: select 1")],
        expect!["dbt_project.yml:2: dbt_project.yml can't have on-run-start here"],
    );
    check(
        &[("dbt_project.yml", "name: x\nmodels: {x: {materialized: table}}")],
        expect!["dbt_project.yml:2: materialized is no folder; if it is a setting, write +materialized"],
    );
    check(
        &[("dbt_project.yml", "name: x\nmodels:\n  x:\n    mart: {+schema: y}")],
        expect!["dbt_project.yml:4: there are no models in mart"],
    );
    check(
        &[("dbt_project.yml", "name: shop\nmodels:\n  +grants: {}"), ("models/a.sql", "select 1")],
        expect!["dbt_project.yml:3: grants: this setting is not known here"],
    );
    check(
        &[("models/a.sql", "select 1,\n {{ config(materialised='table') }} 2")],
        expect!["models/a.sql:2: materialised: this setting is not known here"],
    );
    check(
        &[("models/a.sql", "{{ config(materialized='snapshot') }}")],
        expect!["models/a.sql:1: materialized: snapshot is not known: use view, table or incremental"],
    );
    check(
        &[("models/a.sql", "{{ config(materialized='incremental', incremental_strategy='merge') }}")],
        expect!["models/a.sql:1: an incremental model needs a unique_key: rows are not appended without one"],
    );
    check(
        &[("models/a.sql", "{{ config(indexes=[{'column': 'x'}]) }}")],
        expect!["models/a.sql:1: indexes: an index has columns, unique and type, not column"],
    );
    check(&[("models/a.sql", "select {{ adapter.quote('x') }}")], expect!["models/a.sql:1: adapter is not known here"]);
    check(
        &[("models/a.sql", "\n{{ config(x=ref('b')) }}")],
        expect!["models/a.sql:2: ref('b'): there is no such model"],
    );
    check(&[("models/a.sql", "select\n{% endif %}")], expect!["models/a.sql:2: unknown statement endif"]);
    check(
        &[("models/a.sql", "select {{ var('x') }}")],
        expect!["models/a.sql:1: var('x') has no value: give it one in dbt_project.yml"],
    );
    check(&[("models/a.sql", "select {{ 'x' | nothing }}")], expect!["models/a.sql:1: filter nothing is unknown"]);
    check(
        &[("models/a.sql", "select * from\n {{ source('x', 'y') }}")],
        expect!["models/a.sql:2: source('x', 'y'): there is no such source"],
    );
    check(&[("models/a.py", "")], expect!["models/a.py:1: models in Python and seeds are not run here"]);
    check(
        &[("models/a/m.sql", "select 1"), ("models/b/m.sql", "select 1")],
        expect!["models/b/m.sql:1: there are two models m"],
    );
    check(
        &[("macros/a.sql", "\n{% macro f() %}{{ g() }}{% endmacro %}")],
        expect!["macros/a.sql:2: g is not known here"],
    );
    check(
        &[("macros/a.sql", "{% macro f() %}"), ("macros/b.sql", "{% endmacro %}")],
        expect!["macros/a.sql:1: unexpected end of input, expected end of block"],
    );
    check(
        &[("macros/a.sql", "\n{% macro ref() %}{% endmacro %}")],
        expect!["macros/a.sql:2: the macro ref is called by dbt itself, but not here: give it another name"],
    );
    check(
        &[("macros/a.sql", "{% macro generate_alias_name(a, b) %}x{% endmacro %}")],
        expect![
            "macros/a.sql:1: the macro generate_alias_name is called by dbt itself, but not here: give it another name"
        ],
    );
    check(
        &[("models/a.sql", "{{ config(schema=\"{{ var('x') }}\") }} select 1")],
        expect!["models/a.sql:1: schema: Jinja is not rendered here"],
    );
    check(&[("tests/a.sql", "select 1")], expect!["tests/a.sql:1: this test refers to no model and no source"]);
}

#[test]
fn what_dbt_has_and_this_crate_has_not_is_refused_with_advice() {
    let setting = |setting: &str, expected: Expect| {
        check(&[("models/a.sql", &format!("{{{{ config({setting}) }}}} select 1"))], expected);
    };
    setting(
        "alias='b'",
        expect!["models/a.sql:1: alias: not supported here: give the model's file the name of the table"],
    );
    setting(
        "full_refresh=false",
        expect![
            "models/a.sql:1: full_refresh: not supported here: use materialized='table' for a model that is always built from all rows"
        ],
    );
    setting(
        "incremental_predicates=['x > 1']",
        expect![
            "models/a.sql:1: incremental_predicates: not supported here: limit the rows in the model's query, and add an index that begins with the unique_key"
        ],
    );
    setting(
        "incremental_strategy='append'",
        expect!["models/a.sql:1: incremental_strategy: append is not supported here: use merge or delete+insert"],
    );
    setting(
        "materialized='ephemeral'",
        expect!["models/a.sql:1: materialized: ephemeral is not supported here: use view"],
    );
    setting(
        "merge_exclude_columns=['x']",
        expect![
            "models/a.sql:1: merge_exclude_columns: not supported here: a merge writes all columns; select from {{ this }} what has to stay"
        ],
    );
    setting(
        "merge_update_columns=['x']",
        expect![
            "models/a.sql:1: merge_update_columns: not supported here: a merge writes all columns; select from {{ this }} what has to stay"
        ],
    );
    setting(
        "post_hook='select 1'",
        expect!["models/a.sql:1: post_hook: not supported here: use a pre_hook, or a model that refers to this one"],
    );
    setting(
        "unlogged=true",
        expect!["models/a.sql:1: unlogged: not supported here: leave it out, every table is logged"],
    );
    check(
        &[("dbt_project.yml", "name: shop\nmodels:\n  +post-hook: select 1"), ("models/a.sql", "select 1")],
        expect!["dbt_project.yml:3: post-hook: not supported here: use a pre_hook, or a model that refers to this one"],
    );
    let properties = |columns: &str, expected: Expect| {
        let yaml = format!("models:\n  - name: a\n    columns:\n      - {columns}");
        check(&[("models/a.sql", "select 1 as n"), ("models/a.yml", &yaml)], expected);
    };
    properties(
        "{name: n, constraints: [{type: custom, expression: x}]}",
        expect![
            "models/a.yml:4: the constraint type custom is not supported here: use not_null, unique, primary_key, foreign_key or check"
        ],
    );
    properties(
        "{name: n, tests: [{unique: {config: {severity: warn}}}]}",
        expect![
            "models/a.yml:4: severity is not supported here: leave it out, a test that fails always rolls its model back"
        ],
    );
    check(
        &[("models/a.sql", "select 1"), ("tests/t.sql", "{{ config(severity='warn') }} select 1 from {{ ref('a') }}")],
        expect![
            "tests/t.sql:1: severity is not supported here: leave it out, a test that fails always rolls its model back"
        ],
    );
}

#[test]
fn properties_are_of_what_there_is() {
    let check = |yaml: &str, expected: Expect| {
        check(&[("models/a.sql", "select 1 as n"), ("models/a.yml", yaml)], expected);
    };
    check("models: [{name: b}]", expect!["models/a.yml:1: there is no model b"]);
    check("models:\n  - name: a\n    versions: []", expect!["models/a.yml:3: a model can't have versions here"]);
    check(
        "models:\n  - name: a\n    columns: [{name: n, tests: [{expression_is_true: {}}]}]",
        expect![
            "models/a.yml:3: the test expression_is_true is not known: use unique, not_null, accepted_values, relationships, or a file in tests/"
        ],
    );
    check(
        "models:\n  - name: a\n    columns: [{name: n, tests: [{unique: {where: x}}]}]",
        expect!["models/a.yml:3: this test can't have where here"],
    );
    check(
        "models:\n  - name: a\n    columns: [{name: n, tests: [{unique: {config: {limit: 1}}}]}]",
        expect!["models/a.yml:3: a test's config can't have limit here"],
    );
    check(
        "models:\n  - name: a\n    columns: [{name: n, tests: [accepted_values]}]",
        expect!["models/a.yml:3: the test accepted_values needs values"],
    );
    check(
        "models:\n  - name: a\n    columns: [{name: n, tests: [{relationships: {to: a, field: n}}]}]",
        expect!["models/a.yml:3: a is not known here"],
    );
    check(
        "models:\n  - name: a\n    columns: [{name: n, constraints: [{type: not_null}]}]",
        expect!["models/a.yml:2: constraints need `contract: {enforced: true}`"],
    );
    check(
        "models:\n  - name: a\n    config: {contract: {enforced: true}}\n    columns: [{name: n}]",
        expect!["models/a.yml:4: a contract needs the data_type of n"],
    );
    check(
        "models:\n  - name: a\n    config: {contract: {enforced: true}}",
        expect!["models/a.yml:2: a contract needs the model's columns"],
    );
    check(
        "sources:\n  - name: raw\n    tables:\n      - name: x\n        external: {}",
        expect!["models/a.yml:5: a source's table can't have external here"],
    );
    check(
        "models:\n  - name: a\n    description: \"{{ doc('a') }}\"",
        expect!["models/a.yml:3: Jinja is not rendered here"],
    );
    check("seeds: []", expect!["models/a.yml:1: a properties file can't have seeds here"]);
    check("models: &x []\nsources: *x", expect!["models/a.yml:2: YAML's tags and aliases are not taken here"]);
}

#[test]
fn a_circle_is_told_by_its_models() {
    check(
        &[
            ("models/a.sql", "select * from {{ ref('c') }}"),
            ("models/b.sql", "select * from {{ ref('a') }}"),
            ("models/c.sql", "select * from {{ ref('b') }}"),
            ("models/d.sql", "select * from {{ ref('b') }}"),
        ],
        expect!["models/a.sql:1: models depend on each other in a circle: a → b → c → a"],
    );
}
