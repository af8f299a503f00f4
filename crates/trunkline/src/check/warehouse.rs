//! The warehouse: whether it answers, takes writes, and lets this user make what the loader and the models make.

use anyhow::Context;
use lake_loader::table::{LoadedTopic, Table};
use lambda_boot::Vars;
use postgres_pool::{Names, Pool};

use super::{Sheet, naming};

/// What messages call the database.
pub(crate) const WAREHOUSE: Names = Names { variable: "DATABASE_URL", service: "the warehouse" };

/// The schemas that functions and models fill.
const SCHEMAS: [&str; 7] = ["crm_data", "cdr_data", "raw", "ops", "staging", "prepared_layers", "analytics"];

/// Tables that are written to, beside those that are loaded: of each schema enough to see whether `trunkline init` has run.
const TABLES: [&str; 6] =
    ["ops.runs", "ops.chunks", "ops.layer_audit", "crm_data.accounts", "crm_data.addresses", "crm_data.devices"];

pub(super) async fn check(sheet: &mut Sheet, vars: &Vars) -> anyhow::Result<()> {
    let lake_loader::DatabaseConfig { url } = vars.read()?;
    let pool = Pool::new(&url, WAREHOUSE)?;
    let loaded = LoadedTopic::ALL.into_iter().flat_map(LoadedTopic::tables).map(Table::full_name);
    let tables: Vec<String> = TABLES.map(str::to_owned).into_iter().chain(loaded).collect();
    let rows = pool.query(include_str!("warehouse.sql"), &[&SCHEMAS.as_slice(), &tables]).await;
    let rows = rows.map_err(|error| naming(WAREHOUSE.variable, &error))?;
    let row = rows.first().context("the warehouse does not tell what it has")?;
    let (user, is_standby, may_create): (String, bool, bool) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    let [no_schema, no_right, no_table, not_writable]: [Vec<String>; 4] =
        [row.try_get(3)?, row.try_get(4)?, row.try_get(5)?, row.try_get(6)?];
    sheet.ok(format!("PostgreSQL answers, and lets {user} in"));
    if is_standby {
        sheet.fault("this server is a standby, which takes no writes: name the primary in DATABASE_URL");
    }
    if !no_schema.is_empty() {
        let first = if may_create { "" } else { "let an administrator GRANT CREATE ON DATABASE, or make them, and " };
        sheet.fault(format!("these schemas are missing: {}: {first}run `trunkline init`", no_schema.join(", ")));
    }
    if !no_right.is_empty() {
        let names = no_right.join(", ");
        sheet.fault(format!("{user} may not make tables in {names}: GRANT USAGE, CREATE ON SCHEMA {names} TO {user}"));
    }
    if !no_table.is_empty() {
        sheet.fault(format!("these tables are missing: {}: run `trunkline init`", no_table.join(", ")));
    }
    if !not_writable.is_empty() {
        let names = not_writable.join(", ");
        sheet.fault(format!("{user} may not read and write {names}: make it their owner, or GRANT ALL ON {names}"));
    }
    if no_schema.is_empty() && no_right.is_empty() && no_table.is_empty() && not_writable.is_empty() {
        sheet.ok(format!("its {} schemas take tables, and those that are loaded are there", SCHEMAS.len()));
    }
    Ok(())
}
