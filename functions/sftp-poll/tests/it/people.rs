//! What a person decides about a file that waits.

use expect_test::expect;
use futures::{StreamExt as _, stream};
use lake::names;
use lake::registers::ConflictNote;
use lambda_boot::Deadline;
use sftp_poll::{Event, Report, handle};
use telecom::FileName;
use test_support::cut_off;

use crate::published::Counted;
use crate::{Fixture, HEADER, HOUR, NOTHING, calls, file_of};

const NAME: &str = "cdr_voice_20240301_100000.csv";

impl Fixture {
    /// Somebody decides, and what follows from it is published.
    pub(crate) async fn decide(&self, event: Event) -> anyhow::Result<Report> {
        let report = handle(&self.deps().await, event, Deadline::NONE).await;
        self.publish().await;
        report
    }

    /// A file that counts, and another version of it that waits.
    async fn with_a_conflict() -> Self {
        let fixture = Self::start().await;
        fixture.deliver(NAME, file_of(0..3).as_bytes(), 2 * HOUR);
        fixture.poll().await;
        fixture.publish().await;
        let other = format!("{HEADER}{}{}", calls(0..1), calls(10..13));
        fixture.deliver(NAME, other.as_bytes(), HOUR);
        assert_eq!(fixture.poll().await, Report { changed: 1, conflicts: 1, ..Report::default() });
        fixture
    }
}

fn name() -> FileName {
    FileName::parse(NAME).unwrap()
}

const ANNOUNCED: Report = Report { announced: 1, ..NOTHING };

#[tokio::test]
async fn what_waits_is_shown_with_both_names() {
    let fixture = Fixture::with_a_conflict().await;
    let note: ConflictNote = fixture.lake.get_json(&names::conflict(&name())).await.unwrap().unwrap();
    assert_eq!((note.name, note.with, note.rows), (name(), name(), 4));
    assert_ne!(note.version, note.with_version);
    // It goes on waiting, and the first one goes on counting.
    assert_eq!(fixture.poll().await, Report { conflicts: 1, ..Report::default() });
    assert_eq!(fixture.counted().await, Counted { seconds: 300, ..Counted::default() });
}

#[tokio::test]
async fn accepted_it_counts_beside_the_other_one() {
    let fixture = Fixture::with_a_conflict().await;
    assert_eq!(fixture.decide(Event::Accept(name())).await.unwrap(), ANNOUNCED);
    assert_eq!(fixture.counted().await.seconds, 700);
    assert_eq!(fixture.poll().await, Report::default());
    let again = fixture.decide(Event::Accept(name())).await.unwrap_err();
    assert!(again.to_string().starts_with("nothing of cdr_voice_20240301_100000.csv waits"), "{again}");
}

#[tokio::test]
async fn dropped_it_is_one_rejected_record() {
    let fixture = Fixture::with_a_conflict().await;
    let before = fixture.rejected().await;
    assert_eq!(fixture.decide(Event::Drop(name())).await.unwrap(), ANNOUNCED);
    assert_eq!(fixture.counted().await.seconds, 300);
    assert_eq!(fixture.rejected().await, before + 1);
    assert_eq!(fixture.poll().await, Report::default());
}

#[tokio::test]
async fn what_can_not_be_done_is_refused_with_the_reason() {
    let fixture = Fixture::start().await;
    let refused = async |event| format!("{:#}", fixture.decide(event).await.unwrap_err());
    expect!["cdr_voice_20240301_100000.csv has never landed"].assert_eq(&refused(Event::Accept(name())).await);
    fixture.deliver(NAME, file_of(0..3).as_bytes(), 2 * HOUR);
    fixture.poll().await;
    expect!["nothing of cdr_voice_20240301_100000.csv waits: its newest version is Counted"]
        .assert_eq(&refused(Event::Drop(name())).await);
}

/// The invocation ends at its waits, one after the other: called again, or left to the next polls, the outcome is the same.
#[tokio::test]
async fn a_replacement_that_ends_anywhere_is_carried_out() {
    // Side by side, as they mostly wait.
    let mut ended = stream::iter((0..).step_by(4).map(replaced_after)).buffered(8);
    let mut ends = 0;
    while !ended.next().await.unwrap() {
        ends += 1;
    }
    assert!(ends > 5, "{ends} ends are too few to have met every step");
}

/// Whether the invocation came to its end before it was to end.
async fn replaced_after(waits: usize) -> bool {
    let fixture = Fixture::with_a_conflict().await;
    let event = Event::Replace(name());
    let ended = cut_off(handle(&fixture.deps().await, event, Deadline::NONE), waits).await.is_some();
    // Where nothing was written down yet, it is to be called again.
    if fixture.poll().await.conflicts > 0 {
        fixture.decide(event).await.unwrap();
    }
    fixture.publish().await;
    fixture.poll().await;
    assert_eq!(fixture.counted().await.seconds, 400, "after {waits} waits");
    assert_eq!(fixture.poll().await, Report::default(), "after {waits} waits");
    ended
}
