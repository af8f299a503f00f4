//! Each rule of the protocol, broken, is caught.

use super::store::Fault;
use super::world::{run, run_with};
use crate::RecordRules;
use crate::rules::{Design, Read, Rules, Write};

/// Schedules within which a broken rule has to show. Some need a rare coincidence.
const SCHEDULES: u64 = 100_000;

fn check_caught(run: fn(u64) -> Result<(), String>) {
    let caught = (0..SCHEDULES).find_map(|seed| Some((seed, run(seed).err()?)));
    let (seed, how) = caught.unwrap_or_else(|| panic!("no schedule of {SCHEDULES} deviates"));
    println!("schedule {seed}: {how}");
}

macro_rules! mutants {
    ($($name:ident: $mutant:ident { $($rule:tt)* })*) => {
        $(
            #[test]
            fn $name() {
                struct $mutant;
                impl Rules for $mutant { $($rule)* }
                check_caught(run::<$mutant>);
            }
        )*
    };
}

mutants! {
    rows_may_not_be_read_before_entries: RowsFirst {
        const READS: [Read; 4] = [Read::Lane, Read::Rows, Read::Sources, Read::Claims];
    }
    entries_may_not_be_read_before_progress: EntriesFirst {
        const READS: [Read; 4] = [Read::Sources, Read::Lane, Read::Claims, Read::Rows];
    }
    a_missing_entry_may_not_be_taken_for_new: NeverLooksAgain {
        const CHECKS_UNSEEN: bool = false;
        const MAX_REMEMBERED_SOURCES: usize = 1;
    }
    memory_may_not_be_kept_when_the_lane_has_moved_on: IgnoresProgress {
        const MAX_REMEMBERED_SOURCES: usize = 1;
        fn is_lane_newer(_: i64, _: i64) -> bool { false }
    }
    entries_may_not_be_written_before_rows: EntriesEarly {
        const WRITES: [Write; 3] = [Write::Sources, Write::Rows, Write::Lane];
    }
    progress_may_not_be_written_before_rows_and_entries: ProgressEarly {
        const WRITES: [Write; 3] = [Write::Lane, Write::Rows, Write::Sources];
    }
    memory_may_not_be_kept_when_something_newer_is_read: NeverForgets {
        fn is_newer(_: i64, _: i64) -> bool { false }
    }
    fresh_entries_may_not_be_mixed_with_remembered_rows: FreshEntries {
        const RECALLS_SOURCES: bool = false;
        fn is_newer(_: i64, _: i64) -> bool { false }
    }
    memory_may_not_be_used_where_the_batch_does_not_continue: AnyMemory {
        fn continues(remembered_end: Option<i64>, _: i64) -> bool { remembered_end.is_some() }
    }
    records_that_a_row_holds_may_not_be_added: AddsAgain {
        fn is_held(_: i64, _: i64) -> bool { false }
    }
    records_that_an_entry_holds_may_not_be_decided_again: DecidesAgain {
        fn is_settled(_: i64, _: i64) -> bool { false }
    }
    the_last_line_counted_is_not_new: CountsLastLineAgain {
        fn is_new(line: u64, last_line: u64) -> bool { line >= last_line }
    }
    a_file_that_comes_again_is_not_a_duplicate: RepeatsAreDuplicates {
        fn is_repeat(_: u64, _: u64) -> bool { false }
    }
    a_line_may_not_be_taken_back_twice: TakesBackTwice {
        fn is_withdrawn(_: u64, _: u64) -> bool { false }
    }
    a_line_that_was_not_counted_may_not_be_taken_back: TakesBackAnything {
        fn was_never_counted(_: u64, _: u64) -> bool { false }
    }
    a_line_that_was_taken_back_first_may_not_be_counted: CountsWhatWasTakenBack {
        fn close(_: &mut u64, _: u64) {}
    }
    records_may_not_be_counted_by_other_rules: AnyRules {
        fn may_count(_: &RecordRules, _: &RecordRules) -> bool { true }
    }
    other_rules_may_not_be_taken_before_all_is_counted: Undrained {
        fn is_drained(_: i64, _: i64) -> bool { true }
    }
    a_record_of_other_rules_is_no_lost_row: AlwaysLost {
        fn was_read_otherwise(_: i64, _: i64) -> bool { false }
    }
    a_closed_source_may_not_be_counted: NeverClosed {
        fn is_closed(_: i64, _: i64) -> bool { false }
    }
    a_slow_clock_may_not_close_a_source: ClaimedByItsClock {
        fn claimed_at(timestamp_ms: i64, _: Option<i64>) -> i64 { timestamp_ms }
    }
    an_entry_that_is_used_may_not_expire: ExpiresInUse {
        fn is_silent(_: i64, _: i64) -> bool { true }
    }
    an_entry_may_not_expire_soon: ExpiresSoon {
        const LATER_DAYS: usize = 1;
    }
    a_mark_with_a_wrong_time_may_not_let_entries_expire: TrustsClocks {
        fn is_after(_: i64, _: i64) -> bool { true }
    }
    an_entry_may_not_expire_while_records_wait: ExpiresUncounted {
        fn is_reached(_: i64, _: i64) -> bool { true }
    }
    a_claim_may_not_expire_while_another_lane_waits: AsksOneLane {
        const ASKS_ALL_LANES: bool = false;
    }
    an_entry_may_not_expire_while_the_file_is_on_its_way: ExpiresUnpublished {
        fn was_published(_: i64, _: i64) -> bool { true }
    }
}

#[test]
fn a_lower_upto_may_not_win() {
    check_caught(|seed| run_with::<Design>(seed, Fault::LastArrivalWins));
}

#[test]
fn a_deletion_may_not_win_over_what_is_newer() {
    check_caught(|seed| run_with::<Design>(seed, Fault::DeletesWhatIsNewer));
}
