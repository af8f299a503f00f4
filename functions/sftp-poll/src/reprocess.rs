use std::time::{Duration, SystemTime};

use anyhow::{Context, ensure};
use lake::names;
use lambda_boot::Deadline;
use telecom::FileName;

use crate::announce::announce;
use crate::copy::{Landed, recover};
use crate::{Deps, Report};

/// The counters remember for 35 days how far they have counted a file. One day less, so that a file that is announced
/// again is also counted again, as duplicates, within them.
const REMEMBERED: Duration = Duration::from_hours(34 * 24);

/// Announces a landed file again, for rows that did not get through. Rows that did are recognised as duplicates.
pub(crate) async fn reprocess(deps: &Deps, name: FileName, deadline: Deadline) -> anyhow::Result<Report> {
    let key = names::landing(name.as_str());
    let head = deps.lake.head(&key).await?;
    let head = head.with_context(|| {
        format!(
            "{name} can't be reprocessed: the lake has no {key}; a file that lies on the SFTP server lands by itself"
        )
    })?;
    // The copy is older than anything that was counted from it.
    let age = SystemTime::now().duration_since(head.last_modified).unwrap_or_default();
    check_age(name, age)?;
    let marker = match deps.lake.get_json(&names::announced(name.as_str())).await? {
        Some(marker) => marker,
        None => recover(&deps.lake, name).await?.with_context(|| format!("{key} has gone"))?,
    };
    let mut session = deps.sink.session()?;
    announce(deps, &mut session, &[Landed { name, marker, copied: false }], deadline).await?;
    tracing::info!(
        file.name = name.as_str(),
        file.bytes = marker.bytes,
        file.source_id = %marker.source_id,
        "file announced again"
    );
    Ok(Report { announced: 1, ..Report::default() })
}

fn check_age(name: FileName, age: Duration) -> anyhow::Result<()> {
    ensure!(
        age <= REMEMBERED,
        "{name} can't be reprocessed: it landed {} days ago, and after {} days its rows are no longer recognised as \
         already counted, so they would count twice; deliver the missing rows as a new file (`trunkline rejected \
         export` writes one)",
        age.as_secs() / 86_400,
        REMEMBERED.as_secs() / 86_400,
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn a_file_whose_rows_are_forgotten_is_refused() {
        let name = FileName::parse("cdr_data_20240101_120000.csv").unwrap();
        assert!(check_age(name, REMEMBERED).is_ok());
        let error = check_age(name, Duration::from_hours(40 * 24)).unwrap_err();
        expect!["cdr_data_20240101_120000.csv can't be reprocessed: it landed 40 days ago, and after 34 days its rows are no longer recognised as already counted, so they would count twice; deliver the missing rows as a new file (`trunkline rejected export` writes one)"].assert_eq(&error.to_string());
    }
}
