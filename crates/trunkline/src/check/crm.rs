//! The CRM's database: what there would lose changes, or have them rejected.

use lambda_boot::Vars;

use super::Sheet;

pub(super) async fn check(sheet: &mut Sheet, url: &str, vars: &Vars) -> anyhow::Result<()> {
    let findings = findings(url, vars).await?;
    if findings.is_empty() {
        sheet.ok("its tables can be followed");
    }
    for finding in findings {
        sheet.fault(finding);
    }
    Ok(())
}

/// What in the CRM's database would lose changes, each in a line that says what to do.
pub(crate) async fn findings(url: &str, vars: &Vars) -> anyhow::Result<Vec<String>> {
    let cdc_handler::Config { topics, optional, .. } = cdc_handler::Config::from_vars(vars)?;
    cdc_handler::check_source(url, &topics, &optional).await
}
