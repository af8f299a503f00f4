//! Rules, broken one at a time, are caught.

use content::Digest;
use telecom::SourceId;

use super::world::Habits;
use super::{SCHEDULES, run};
use crate::rules::Rules;

/// A broken rule has to show within as many schedules as those in which the design deviates nowhere: schedules of all habits,
/// or of those that the rule is about.
fn check_caught(run: fn(u64) -> Result<(), String>, habits: Option<Habits>) {
    let seeds = (0..).filter(|seed| habits.is_none_or(|habits| Habits::of(*seed) == habits));
    let caught = seeds.take(SCHEDULES as usize).find_map(|seed| run(seed).err());
    assert!(caught.is_some(), "no schedule of {SCHEDULES} deviates");
}

macro_rules! mutants {
    (@habits) => { None };
    (@habits $habits:ident) => { Some(Habits::$habits) };
    ($($name:ident: $mutant:ident $(where $habits:ident)? { $($rule:tt)* })*) => {
        $(
            #[test]
            fn $name() {
                struct $mutant;
                impl Rules for $mutant { $($rule)* }
                check_caught(run::<$mutant>, mutants!(@habits $($habits)?));
            }
        )*
    };
}

mutants! {
    bytes_may_not_lie_there_without_a_note: BytesFirst {
        const NOTES_FIRST: bool = false;
    }
    half_a_line_may_not_be_taken: TakesHalves {
        const HOLDS_BACK: bool = false;
    }
    a_file_that_was_written_anew_has_not_grown: TrustsLength {
        const CHECKS_BLOCKS: bool = false;
    }
    a_decision_may_not_overwrite_another: Overwrites {
        const SWAPS_HEADS: bool = false;
    }
    a_line_may_not_come_before_those_in_front_of_it: WaitsForNothing {
        const WAITS_FOR_RESULTS: bool = false;
    }
    what_is_not_published_may_not_be_taken_back: WithdrawsAtOnce where PEOPLE_DECIDE {
        const WITHDRAWS_WHAT_IS_PUBLISHED: bool = false;
    }
    a_decision_may_not_be_overlooked: LooksAhead where POLLS_DIE {
        const CATCHES_UP: bool = false;
    }
    a_header_is_no_identity: IdsOfHeaders {
        const IDS_NEED_A_ROW: bool = false;
    }
    a_twin_may_not_publish_what_the_other_one_continues: TwinsPublishAll {
        const TWINS_CONTINUE: bool = false;
    }
    files_that_begin_alike_may_go_on_otherwise: SharesByHead {
        const SHARES_BY_CONTENT: bool = false;
    }
    content_that_was_replaced_may_not_come_back: Forgets {
        const REMEMBERS_WITHDRAWN: bool = false;
    }
    what_a_file_continues_is_withdrawn_with_it: WithdrawsOwnRows {
        const WITHDRAWS_WHAT_IS_CONTINUED: bool = false;
    }
    a_replacement_may_not_be_forgotten_half_done: ReplacesAtOnce {
        const INTENDS_FIRST: bool = false;
    }
    a_note_of_somebody_at_work_may_not_be_removed: RemovesNotes {
        const KEEPS_NOTES: bool = false;
    }
    files_with_the_same_content_need_ids_of_their_own: SharesIds {
        fn source_id(digest: &Digest, _: impl Fn(SourceId) -> bool) -> SourceId { digest.source_id() }
    }
}
