use std::time::{Duration, SystemTime};

use anyhow::{Context, ensure};
use lake::names;
use lambda_boot::Deadline;
use telecom::FileName;

use crate::announce::announce;
use crate::copy::{Landed, recover};
use crate::{Deps, Report};

/// The counters refuse a file's rows 28 days after its first ones, which came after the copy (a test compares the two
/// figures). One day less, so that the rows are counted before that: file-to-topic and the counters work after this.
const REPROCESS_WITHIN: Duration = Duration::from_hours(27 * 24);

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
        age <= REPROCESS_WITHIN,
        "{name} can't be reprocessed: it landed more than {} days ago, too long for the counters to know which of its rows \
         they have; deliver the missing rows, and no others, as a new file under a new name",
        REPROCESS_WITHIN.as_secs() / 86_400,
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn a_file_whose_rows_would_be_refused_is_refused() {
        let name = FileName::parse("cdr_data_20240101_120000.csv").unwrap();
        check_age(name, REPROCESS_WITHIN).unwrap();
        let error = check_age(name, REPROCESS_WITHIN + Duration::from_secs(1)).unwrap_err();
        expect!["cdr_data_20240101_120000.csv can't be reprocessed: it landed more than 27 days ago, too long for the counters to know which of its rows they have; deliver the missing rows, and no others, as a new file under a new name"].assert_eq(&error.to_string());
    }

    #[test]
    fn what_is_announced_again_has_a_day_to_be_counted() {
        let counted_within = Duration::from_millis(usage_store::REPUBLISH_WITHIN_MS.try_into().unwrap());
        assert_eq!(counted_within - REPROCESS_WITHIN, Duration::from_hours(24));
    }
}
