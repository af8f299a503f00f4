//! One room: who writes, and what is said when. A pure function of the seed and the room's number.

use jiff::ToSpan;
use jiff::civil::DateTime;
use telecom::{Day, EventTime, Message};

use super::{Plan, texts};
use crate::draws::{Draws, Purpose};

/// A room, as far as it does not depend on what is said.
pub(super) struct Room {
    seed: u64,
    number: u32,
    customer: u32,
    opened_at: u64,
    channel: &'static str,
    subject: usize,
    draws: Draws,
}

/// What is said once, by whom, and when; ordered by time.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Turn {
    /// Since the run's start.
    pub(super) second: u64,
    pub(super) room: u32,
    /// From 0, within the room.
    place: u32,
    sender_type: &'static str,
    text: String,
}

const CHANNELS: [(u32, &str); 4] = [(55, "whatsapp"), (25, "web"), (12, "sms"), (8, "facebook")];

/// Seconds from one message to the next, where the same person goes on, and where the customer answers.
const SAME_SENDER_SECONDS: (u32, u32) = (5, 90);
const CUSTOMER_SECONDS: (u32, u32) = (10, 300);

/// An agent's first answers come within half an hour, more often soon.
const AGENT_SECONDS: (u32, u32) = (15, 1_800);

impl Room {
    pub(super) fn new(plan: &Plan, number: u32) -> Self {
        let mut draws = Draws::new(plan.seed, Purpose::ChatRooms, number.into());
        Self {
            seed: plan.seed,
            number,
            customer: plan.population.active(&mut draws),
            opened_at: plan.opened_at(number),
            channel: draws.weighted(&CHANNELS),
            subject: draws.below(texts::SUBJECTS.len() as u32) as usize,
            draws,
        }
    }

    /// What is said: the customer begins, and after that mostly the other one speaks.
    pub(super) fn turns(mut self, count: u32) -> Vec<Turn> {
        let draws = &mut self.draws;
        let subject = &texts::SUBJECTS[self.subject];
        let mut second = self.opened_at + u64::from(draws.below(30));
        let mut is_customer = true;
        let mut turns = Vec::with_capacity(count as usize);
        for place in 0..count {
            if place > 0 {
                let is_same = draws.below(5) == 0;
                is_customer ^= !is_same;
                second += u64::from(match (is_same, is_customer) {
                    (true, _) => draws.between(SAME_SENDER_SECONDS.0, SAME_SENDER_SECONDS.1),
                    (_, true) => draws.between(CUSTOMER_SECONDS.0, CUSTOMER_SECONDS.1),
                    (_, false) => AGENT_SECONDS.0 + draws.skewed(AGENT_SECONDS.1 - AGENT_SECONDS.0),
                });
            }
            let (sender_type, text) = match (is_customer, place) {
                (true, 0) => ("customer", subject.question),
                (true, _) => ("customer", draws.one_of(&texts::REPLIES)),
                (false, 1) => ("agent", subject.answer),
                (false, _) => ("agent", draws.one_of(&texts::ANSWERS)),
            };
            turns.push(Turn { second, room: self.number, place, sender_type, text: texts::filled(text, draws) });
        }
        turns
    }

    pub(super) fn message(&self, plan: &Plan, turn: Turn) -> Message {
        let mut person = Draws::new(plan.seed, Purpose::ChatCustomers, self.customer.into());
        let Self { seed, number, customer, .. } = *self;
        // Some are known by their number alone, and some web visitors not even by that.
        let is_named = person.below(20) > 0;
        let is_phoned = self.channel != "web" || person.below(3) > 0;
        Message {
            message_id: format!("msg-{seed}-{number:06}-{:04}", turn.place),
            room_id: format!("room-{seed}-{number:06}"),
            room_created_at: time(plan.start, self.opened_at),
            channel: self.channel.to_owned(),
            customer_id: format!("customer-{seed}-{customer:06}"),
            customer_name: is_named.then(|| texts::name(&mut person)),
            phone: is_phoned.then(|| format!("+{}", plan.population.msisdn(customer))),
            sender_type: turn.sender_type.to_owned(),
            message_text: turn.text,
            message_date: time(plan.start, turn.second).into(),
        }
    }
}

/// The clock on the operator's wall, so many seconds after the start; the plan has checked that the day can be counted.
fn time(start: DateTime, second: u64) -> EventTime {
    let at = start.saturating_add(i64::try_from(second).unwrap_or(i64::MAX).seconds());
    let [month, day, hour, minute, second] =
        [at.month(), at.day(), at.hour(), at.minute(), at.second()].map(i8::unsigned_abs);
    let day = Day::from_civil(at.year().into(), month.into(), day.into()).unwrap_or(Day::MAX);
    EventTime { day, hour, minute, second, microsecond: 0 }
}
