//! What happens at the CRM: transaction `n` of a run, a pure function of the seed and `n`.

use anyhow::ensure;

use super::statement::{self, Account, Address, Device, Statement};
use super::texts;
use crate::draws::{Draws, Purpose};
use crate::population::{NUMBERS, Population};

/// Statements that take effect together, or, when rolled back, not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// In the order of their execution.
    pub statements: Vec<Statement>,
    /// How it ends.
    pub ending: Ending,
}

/// How a transaction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// What it changed stays.
    Commit,
    /// Nobody ever sees what it changed.
    Rollback,
}

/// Which changes there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mix {
    /// What the CRM's users do: customers come, change, are renumbered and go.
    #[default]
    Everyday,
    /// Also what its administrators do, and what goes wrong: TRUNCATE and reload, hundreds of changes in one transaction, keys
    /// swapped, rollbacks, infinite times.
    Everything,
}

/// The most accounts there may be: with the room for new ones, each has a number of its own and one in reserve.
const MAX_ACCOUNTS: u32 = NUMBERS / 5 * 2;

/// Accounts that a transaction of the first filling writes.
const ACCOUNTS_PER_FILL: u32 = 500;

/// Keys of devices that belong to an account: `8 · account_id + 0..8`.
const DEVICES_PER_ACCOUNT: i32 = 8;

/// Changes that a bulk transaction makes.
const BULK: (u32, u32) = (50, 300);

/// What happens, and how often.
const EVERYDAY: [(u32, Event); 11] = [
    (25, Event::ContactChanges),
    (10, Event::EmailChanges),
    (2, Event::NumberChanges),
    (15, Event::Moves),
    (10, Event::PostalCodeIsCorrected),
    (12, Event::DeviceIsReplaced),
    (6, Event::DeviceIsUpgraded),
    (6, Event::DeviceIsLost),
    (7, Event::Joins),
    (5, Event::Leaves),
    (2, Event::IsRenumbered),
];

#[derive(Clone, Copy)]
enum Event {
    ContactChanges,
    EmailChanges,
    NumberChanges,
    Moves,
    PostalCodeIsCorrected,
    DeviceIsReplaced,
    DeviceIsUpgraded,
    DeviceIsLost,
    Joins,
    Leaves,
    IsRenumbered,
}

/// All transactions of a run: first those that fill the tables, then the changes, without end.
#[derive(Clone)]
pub struct Plan {
    seed: u64,
    accounts: u32,
    mix: Mix,
    population: Population,
}

impl Plan {
    /// # Errors
    /// One line that names the option and says what it may be.
    pub fn new(seed: u64, accounts: u32, mix: Mix) -> anyhow::Result<Self> {
        ensure!((1..=MAX_ACCOUNTS).contains(&accounts), "--accounts {accounts}: give 1 to {MAX_ACCOUNTS}");
        Ok(Self { seed, accounts, mix, population: Population::new(seed, NUMBERS) })
    }

    /// Transactions that fill the tables.
    #[must_use]
    pub fn fills(&self) -> u64 {
        self.accounts.div_ceil(ACCOUNTS_PER_FILL).into()
    }

    /// The transaction with this number.
    #[must_use]
    pub fn transaction(&self, number: u64) -> Transaction {
        match number.checked_sub(self.fills()) {
            None => self.fill(number),
            Some(change) => self.change(change),
        }
    }

    fn fill(&self, number: u64) -> Transaction {
        let mut draws = Draws::new(self.seed, Purpose::CrmFills, number);
        let first = u32::try_from(number).map_or(self.accounts, |number| number * ACCOUNTS_PER_FILL);
        let accounts = first..self.accounts.min(first.saturating_add(ACCOUNTS_PER_FILL));
        let customers: Vec<_> = accounts.map(|account| self.customer(&mut draws, 1 + account as i32)).collect();
        Transaction { statements: join(&customers), ending: Ending::Commit }
    }

    fn change(&self, number: u64) -> Transaction {
        let draws = &mut Draws::new(self.seed, Purpose::CrmChanges, number);
        let mut ending = Ending::Commit;
        let statements = match (self.mix, draws.below(300)) {
            (Mix::Everything, 0) => self.reload_devices(draws),
            (Mix::Everything, 1..=3) => (0..draws.between(BULK.0, BULK.1)).flat_map(|_| self.everyday(draws)).collect(),
            (Mix::Everything, 4..=6) => self.swap_devices(draws),
            (Mix::Everything, 7..=9) => vec![statement::set_modified_to_infinity(self.account_id(draws))],
            (Mix::Everything, 10..=24) => {
                ending = Ending::Rollback;
                self.everyday(draws)
            }
            _ => self.everyday(draws),
        };
        Transaction { statements, ending }
    }

    fn everyday(&self, draws: &mut Draws) -> Vec<Statement> {
        let account_id = self.account_id(draws);
        let device_id = device_id(account_id, draws);
        match draws.weighted(&EVERYDAY) {
            Event::ContactChanges => {
                let account = texts::account(draws, account_id, self.phone_number(account_id));
                vec![statement::upsert_accounts(&[account])]
            }
            Event::EmailChanges => vec![statement::set_email(account_id, texts::email(draws, account_id))],
            Event::NumberChanges => {
                let number = (draws.below(10) > 0).then(|| self.number_in_reserve(account_id));
                vec![statement::set_phone_number(account_id, number)]
            }
            Event::Moves => {
                let address = texts::address(draws, account_id);
                // Typed in, looked at, and corrected before it is saved: the same row twice.
                let correction = (draws.below(4) == 0).then(|| self.postal_code(draws, account_id));
                [statement::upsert_addresses(&[address])].into_iter().chain(correction).collect()
            }
            Event::PostalCodeIsCorrected => vec![self.postal_code(draws, account_id)],
            Event::DeviceIsReplaced => {
                vec![statement::upsert_devices(&[texts::device(draws, device_id, account_id)])]
            }
            Event::DeviceIsUpgraded => vec![statement::set_device_os(device_id, texts::device_os(draws, "Android"))],
            Event::DeviceIsLost => vec![statement::delete_device(device_id)],
            Event::Joins => join(&[self.customer(draws, account_id)]),
            Event::Leaves => statement::delete_account(account_id).into(),
            Event::IsRenumbered => match draws.below(2) {
                0 => vec![statement::renumber_device(device_id, self.free_device_id(draws))],
                _ => statement::renumber_account(account_id, self.new_account_id(draws)).into(),
            },
        }
    }

    /// Keys swapped by way of a third one: each key is given up and taken within one transaction.
    fn swap_devices(&self, draws: &mut Draws) -> Vec<Statement> {
        let (one, other) = (self.any_device_id(draws), self.any_device_id(draws));
        let between = self.free_device_id(draws);
        [(one, between), (other, one), (between, other)].map(|(from, to)| statement::renumber_device(from, to)).into()
    }

    /// The table is emptied and some of it comes back, in one transaction.
    fn reload_devices(&self, draws: &mut Draws) -> Vec<Statement> {
        let accounts = 1..=self.accounts.min(ACCOUNTS_PER_FILL) as i32;
        let mut devices = Vec::new();
        for account_id in accounts {
            if draws.below(3) > 0 {
                devices.push(texts::device(draws, account_id * DEVICES_PER_ACCOUNT, account_id));
            }
        }
        vec![statement::truncate_devices(), statement::upsert_devices(&devices)]
    }

    fn customer(&self, draws: &mut Draws, account_id: i32) -> Customer {
        let devices = draws.skewed(DEVICES_PER_ACCOUNT as u32) as i32;
        Customer {
            account: texts::account(draws, account_id, self.phone_number(account_id)),
            address: texts::address(draws, account_id),
            devices: (0..devices)
                .map(|slot| texts::device(draws, account_id * DEVICES_PER_ACCOUNT + slot, account_id))
                .collect(),
        }
    }

    fn postal_code(&self, draws: &mut Draws, account_id: i32) -> Statement {
        statement::set_postal_code(account_id, texts::postal_code(draws, 2000))
    }

    /// An account, some of them much more often than others; one in nine is new at first.
    fn account_id(&self, draws: &mut Draws) -> i32 {
        1 + draws.skewed(self.keys()) as i32
    }

    /// An account's key that the first filling leaves free.
    fn new_account_id(&self, draws: &mut Draws) -> i32 {
        (1 + self.accounts + draws.below(self.keys() - self.accounts)) as i32
    }

    fn any_device_id(&self, draws: &mut Draws) -> i32 {
        let account_id = self.account_id(draws);
        device_id(account_id, draws)
    }

    /// A device's key that belongs to no account.
    fn free_device_id(&self, draws: &mut Draws) -> i32 {
        (1 + self.keys() + draws.below(self.keys())) as i32 * DEVICES_PER_ACCOUNT
    }

    fn keys(&self) -> u32 {
        self.accounts + self.accounts.div_ceil(8)
    }

    /// Account `n` belongs to subscriber `n - 1` of the call records.
    fn phone_number(&self, account_id: i32) -> String {
        format!("+{}", self.population.msisdn(account_id as u32 - 1))
    }

    /// A number that no account begins with.
    fn number_in_reserve(&self, account_id: i32) -> String {
        format!("+{}", self.population.msisdn(NUMBERS - account_id as u32))
    }
}

/// An account with everything that belongs to it.
struct Customer {
    account: Account,
    address: Address,
    devices: Vec<Device>,
}

fn join(customers: &[Customer]) -> Vec<Statement> {
    let accounts: Vec<_> = customers.iter().map(|customer| customer.account.clone()).collect();
    let addresses: Vec<_> = customers.iter().map(|customer| customer.address.clone()).collect();
    let devices: Vec<_> = customers.iter().flat_map(|customer| customer.devices.clone()).collect();
    vec![
        statement::upsert_accounts(&accounts),
        statement::upsert_addresses(&addresses),
        statement::upsert_devices(&devices),
    ]
}

fn device_id(account_id: i32, draws: &mut Draws) -> i32 {
    account_id * DEVICES_PER_ACCOUNT + draws.skewed(DEVICES_PER_ACCOUNT as u32) as i32
}
