use crate::callers::{LONGEST_CALL_SECONDS, Turn};
use crate::draws::Purpose;
use crate::plan::Plan;

/// A use of mobile data.
pub(crate) struct DataRecord {
    pub(crate) msisdn: u64,
    pub(crate) tower_id: u32,
    pub(crate) up_bytes: u32,
    pub(crate) down_bytes: u32,
    pub(crate) data_type: &'static str,
    pub(crate) ip_address: [u8; 4],
    /// The URL's beginning, and the number that completes it.
    pub(crate) website: (&'static str, u32),
    /// Seconds since the run's start.
    pub(crate) second: u64,
}

/// A voice or video call.
pub(crate) struct VoiceRecord {
    pub(crate) msisdn: u64,
    pub(crate) tower_id: u32,
    pub(crate) call_type: &'static str,
    pub(crate) dest_nr: u64,
    pub(crate) call_duration_sec: u32,
    /// Seconds since the run's start.
    pub(crate) second: u64,
}

/// What people do with their data, how often, and where (names that are reserved for examples).
const DATA_TYPES: [(u32, (&str, [&str; 3])); 5] = [
    (
        40,
        (
            "video",
            ["https://video.example.com/watch/", "https://tv.example.org/live/", "https://shorts.example.net/v/"],
        ),
    ),
    (
        15,
        (
            "audio",
            [
                "https://music.example.com/track/",
                "https://radio.example.org/show/",
                "https://podcasts.example.net/episode/",
            ],
        ),
    ),
    (20, ("image", ["https://photos.example.com/p/", "https://img.example.net/", "https://gallery.example.org/view/"])),
    (
        15,
        (
            "text",
            [
                "https://news.example.com/article/",
                "https://wiki.example.org/page/",
                "https://forum.example.net/thread/",
            ],
        ),
    ),
    (
        10,
        (
            "application",
            [
                "https://bank.example.com/api/session/",
                "https://store.example.net/download/",
                "https://chat.example.org/sync/",
            ],
        ),
    ),
];

const CALL_TYPES: [(u32, &str); 2] = [(85, "voice"), (15, "video")];

/// First octets of AFRINIC's blocks: every address in them is public.
const PUBLIC_BLOCKS: [u8; 6] = [41, 102, 105, 154, 196, 197];

const PAGES: u32 = 100_000;

/// The data records of a set, in the order of their times.
pub(crate) fn data(plan: &Plan, set: u64) -> impl Iterator<Item = DataRecord> {
    let mut draws = plan.draws(Purpose::DataRows, set);
    (0..plan.rows_in(set)).map(move |row| {
        let subscriber = plan.population.active(&mut draws);
        let (data_type, websites) = draws.weighted(&DATA_TYPES);
        let [_, b, c, d] = draws.bits().to_le_bytes();
        DataRecord {
            msisdn: plan.population.msisdn(subscriber),
            tower_id: plan.population.tower(subscriber, &mut draws),
            up_bytes: draws.between(100_000, 1_000_000),
            down_bytes: draws.between(100_000, 1_000_000),
            data_type,
            // Neither a network's own address nor its broadcast address.
            ip_address: [draws.one_of(&PUBLIC_BLOCKS), b, c, d.clamp(1, 254)],
            website: (draws.one_of(&websites), draws.below(PAGES)),
            second: plan.second_of(set, row),
        }
    })
}

/// The voice records of a set, in the order of their times.
pub(crate) fn voice(plan: &Plan, set: u64) -> impl Iterator<Item = VoiceRecord> {
    let mut draws = plan.draws(Purpose::VoiceRows, set);
    (0..plan.rows_in(set)).zip(plan.turns(set)).map(move |(row, Turn { subscriber, max_seconds })| {
        VoiceRecord {
            msisdn: plan.population.msisdn(subscriber),
            tower_id: plan.population.tower(subscriber, &mut draws),
            call_type: draws.weighted(&CALL_TYPES),
            dest_nr: plan.population.callee(subscriber, &mut draws),
            // Short calls are the usual ones.
            call_duration_sec: (1 + draws.skewed(LONGEST_CALL_SECONDS)).min(max_seconds),
            second: plan.second_of(set, row),
        }
    })
}
