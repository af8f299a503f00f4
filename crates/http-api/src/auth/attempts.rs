use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// So many wrong passwords cost no more than their hashes: people mistype.
const FREE: u32 = 5;

/// The longest that a name or an address has to wait.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// After so long without another one, failures are forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_mins(15);

/// So many names and addresses are remembered; where there are more, those that failed longest ago are forgotten.
const MOST: usize = 10_000;

/// Failed attempts by the name that was tried and by the address it came from: after some of them each further one is followed by a
/// time in which neither is tried again, twice as long every time. Names that nobody has count like any other.
#[derive(Default)]
pub(super) struct Attempts {
    failures: Mutex<HashMap<u64, Failures>>,
    /// Of names and addresses only a number is kept.
    key: RandomState,
}

#[derive(Clone, Copy)]
struct Failures {
    count: u32,
    last: Instant,
}

impl Failures {
    /// Until when there is no further attempt.
    fn wait_until(self) -> Instant {
        match self.count.checked_sub(FREE) {
            None | Some(0) => self.last,
            Some(more) => self.last + Duration::from_secs(1 << (more - 1).min(6)).min(LONGEST_WAIT),
        }
    }

    fn is_forgotten(self, now: Instant) -> bool {
        now.saturating_duration_since(self.last) >= FORGOTTEN_AFTER
    }
}

impl Attempts {
    /// How long the name or the address still has to wait.
    pub(super) fn wait(&self, name: &str, address: &str, now: Instant) -> Option<Duration> {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let waits = self.keys(name, address).into_iter().filter_map(|key| failures.get(&key));
        let wait = waits.map(|failures| failures.wait_until().saturating_duration_since(now)).max()?;
        (!wait.is_zero()).then_some(wait)
    }

    pub(super) fn failed(&self, name: &str, address: &str, now: Instant) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        for key in self.keys(name, address) {
            let before = failures.get(&key).filter(|failures| !failures.is_forgotten(now));
            let count = before.map_or(0, |failures| failures.count).saturating_add(1);
            failures.insert(key, Failures { count, last: now });
        }
        if failures.len() > MOST {
            failures.retain(|_, failures| !failures.is_forgotten(now));
        }
        while failures.len() > MOST {
            let oldest = failures.iter().min_by_key(|(_, failures)| failures.last).map(|(key, _)| *key);
            oldest.and_then(|key| failures.remove(&key));
        }
    }

    /// The name's failures are forgotten; those of the address, from which others may be guessed at, are not.
    pub(super) fn succeeded(&self, name: &str) {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key_of_name(name));
    }

    fn keys(&self, name: &str, address: &str) -> [u64; 2] {
        [self.key_of_name(name), self.key.hash_one(("address", address))]
    }

    fn key_of_name(&self, name: &str) -> u64 {
        self.key.hash_one(("name", name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The waits in seconds after each of so many failures, one right after the other.
    fn waits(attempts: &Attempts, name: &str, address: &str, count: u32, now: Instant) -> Vec<u64> {
        let fail = || {
            attempts.failed(name, address, now);
            attempts.wait(name, address, now).map_or(0, |wait| wait.as_secs())
        };
        (0..count).map(|_| fail()).collect()
    }

    #[test]
    fn each_failure_after_some_is_waited_for_twice_as_long() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        assert_eq!(waits(&attempts, "ops", "192.0.2.1", 13, now), [0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(attempts.wait("ops", "192.0.2.1", now + LONGEST_WAIT), None);
    }

    #[test]
    fn names_and_addresses_wait_by_themselves() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        waits(&attempts, "ops", "192.0.2.1", 6, now);
        assert!(attempts.wait("ops", "192.0.2.2", now).is_some(), "the name");
        assert!(attempts.wait("shop", "192.0.2.1", now).is_some(), "the address");
        assert_eq!(attempts.wait("192.0.2.1", "ops", now), None);
        attempts.succeeded("ops");
        assert_eq!(attempts.wait("ops", "192.0.2.2", now), None);
        assert!(attempts.wait("ops", "192.0.2.1", now).is_some());
    }

    #[test]
    fn failures_are_forgotten() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        waits(&attempts, "ops", "192.0.2.1", 9, now);
        assert_eq!(waits(&attempts, "ops", "192.0.2.1", 1, now + FORGOTTEN_AFTER), [0]);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        for guess in 0..MOST as u32 {
            attempts.failed(&guess.to_string(), "192.0.2.1", now + Duration::from_millis(guess.into()));
        }
        assert_eq!(attempts.failures.lock().unwrap().len(), MOST);
        let later = now + Duration::from_secs(MOST as u64 / 1_000);
        assert!(attempts.wait("anybody", "192.0.2.1", later).is_some(), "the address is still remembered");
    }
}
