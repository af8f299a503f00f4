//! Each rule of the protocol, broken, is caught.

use super::{SimulatedStore, run, run_on};
use crate::rules::{Design, Read, Rules, Write};

/// Schedules within which a broken rule has to show. Some need a rare coincidence.
const SCHEDULES: u64 = 20_000;

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
        const READS: [Read; 2] = [Read::Rows, Read::Sources];
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
    a_source_may_not_come_again_after_its_entry_expired: NoAgeLimit {
        fn is_too_old(_: i64, _: i64) -> bool { false }
    }
}

#[test]
fn a_lower_upto_may_not_win() {
    check_caught(|seed| run_on::<Design>(seed, SimulatedStore::where_the_last_arrival_wins));
}
