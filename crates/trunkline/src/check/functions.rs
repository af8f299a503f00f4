//! The functions' parameters: whether each of them can start.

use std::collections::BTreeMap;

use super::Sheet;
use crate::functions::Project;

pub(super) async fn check(sheet: &mut Sheet, project: &Project) -> anyhow::Result<()> {
    let mut refused: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    let mut started = 0_usize;
    for function in &project.template.functions {
        match project.boot_only(&function.name).await {
            Ok(_) => started += 1,
            Err(error) => {
                // Many functions have the same parameters; which of them can't start is said once.
                let why: Vec<_> = error.chain().skip(1).map(ToString::to_string).collect();
                let why = if why.is_empty() { error.to_string() } else { why.join(": ") };
                refused.entry(why).or_default().push(&function.name);
            }
        }
    }
    if started > 0 {
        sheet.ok(format!("the parameters of {started} functions can be read"));
    }
    for (why, functions) in refused {
        sheet.fault(format!("{} can't start: {why}", functions.join(", ")));
    }
    Ok(())
}
