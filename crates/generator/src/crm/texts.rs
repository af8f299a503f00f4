//! What people are called, where they live and what they call home with: also with the texts that break pipelines.

use super::statement::{Account, Address, Device};
use crate::draws::Draws;

const FIRST_NAMES: [&str; 24] = [
    "Nomvula", "Thabo", "Zanele", "Sipho", "Lerato", "Kagiso", "Ayanda", "Bongani", "Naledi", "Themba", "Palesa",
    "Mpho", "Johan", "Anneke", "Pieter", "Elmarie", "Fatima", "Yusuf", "Priya", "Rajesh", "Zoë", "René", "Chloé",
    "Jürgen",
];

const LAST_NAMES: [&str; 24] = [
    "Dlamini",
    "Nkosi",
    "Ndlovu",
    "Khumalo",
    "Mokoena",
    "Mahlangu",
    "Botha",
    "van der Merwe",
    "Pretorius",
    "du Plessis",
    "Naidoo",
    "Pillay",
    "Govender",
    "Adams",
    "O'Brien",
    "D'Arcy",
    "Smith-Jones",
    "Müller",
    "Nel",
    "Mthembu",
    "Zulu",
    "Sithole",
    "Molefe",
    "Ferreira",
];

/// What makes trouble where texts are put together instead of passed on.
const ODD_TEXTS: [&str; 16] = [
    "",
    " ",
    "NULL",
    "null",
    "\\N",
    "O''Reilly; DROP TABLE accounts; --",
    "\"Queenie\", {\"a\": [1]}",
    "back\\slash \\u0041",
    "two\nlines",
    "tab\tand\rreturn",
    "नमस्ते दुनिया",
    "李小龍",
    "עברית",
    "👩‍👩‍👧‍👦 🏠",
    "e\u{301}\u{200b}\u{feff}",
    "\u{1}\u{7f}",
];

/// City, province, first digits of the postal code.
const PLACES: [(&str, &str, u32); 12] = [
    ("Johannesburg", "Gauteng", 2000),
    ("Pretoria", "Gauteng", 1),
    ("Soweto", "Gauteng", 1800),
    ("Cape Town", "Western Cape", 8000),
    ("Stellenbosch", "Western Cape", 7600),
    ("Durban", "KwaZulu-Natal", 4000),
    ("Gqeberha", "Eastern Cape", 6000),
    ("Bloemfontein", "Free State", 9300),
    ("Polokwane", "Limpopo", 700),
    ("Mbombela", "Mpumalanga", 1200),
    ("Mahikeng", "North West", 2740),
    ("Kimberley", "Northern Cape", 8300),
];

const STREETS: [&str; 8] = [
    "Nelson Mandela Avenue",
    "Long Street",
    "Jan Smuts Avenue",
    "Vilakazi Street",
    "Kerkstraat",
    "Beach Road",
    "Oxford Road",
    "Church Street",
];

const DEVICES: [(&str, &str, &str); 8] = [
    ("phone", "Galaxy S24", "Android"),
    ("phone", "iPhone 15", "iOS"),
    ("phone", "Redmi 13C", "Android"),
    ("phone", "Nokia 105", "S30+"),
    ("tablet", "iPad Air", "iPadOS"),
    ("tablet", "Galaxy Tab A9", "Android"),
    ("router", "Huawei B535", "Linux"),
    ("watch", "Galaxy Watch 6", "Wear OS"),
];

/// Directions to a place without an address, in bytes: long enough that PostgreSQL stores them outside the row.
const DIRECTIONS_BYTES: (u32, u32) = (2_500, 6_000);

pub(super) fn account(draws: &mut Draws, account_id: i32, phone_number: String) -> Account {
    let owner_name = match draws.below(12) {
        0 => odd(draws),
        _ => format!("{} {}", draws.one_of(&FIRST_NAMES), draws.one_of(&LAST_NAMES)),
    };
    Account { account_id, owner_name, email: email(draws, account_id), phone_number: Some(phone_number) }
}

pub(super) fn email(draws: &mut Draws, account_id: i32) -> Option<String> {
    match draws.below(12) {
        0 => None,
        1 => Some(odd(draws)),
        _ => Some(format!("c{account_id}.{}@example.{}", draws.below(1_000), draws.one_of(&["com", "net", "org"]))),
    }
}

pub(super) fn address(draws: &mut Draws, account_id: i32) -> Address {
    let street_address = match draws.below(40) {
        0 => None,
        1 | 2 => Some(odd(draws)),
        3 => Some(directions(draws)),
        _ => Some(format!("{} {}", draws.between(1, 400), draws.one_of(&STREETS))),
    };
    let (city, state, code) = draws.one_of(&PLACES);
    Address {
        account_id,
        street_address,
        city: Some(city.to_owned()),
        state: Some(state.to_owned()),
        postal_code: postal_code(draws, code),
        country: Some("ZA".to_owned()),
    }
}

/// Leading zeros belong to it, so it is a text.
pub(super) fn postal_code(draws: &mut Draws, first: u32) -> Option<String> {
    (draws.below(20) > 0).then(|| format!("{:04}", first + draws.below(100)))
}

pub(super) fn device(draws: &mut Draws, device_id: i32, account_id: i32) -> Device {
    let (device_type, model, system) = draws.one_of(&DEVICES);
    let device_name = match draws.below(12) {
        0 => odd(draws),
        1 => format!("{}'s {model}", draws.one_of(&FIRST_NAMES)),
        _ => model.to_owned(),
    };
    Device {
        device_id,
        account_id,
        device_name: Some(device_name),
        device_type: Some(device_type.to_owned()),
        device_os: device_os(draws, system),
    }
}

pub(super) fn device_os(draws: &mut Draws, system: &str) -> Option<String> {
    (draws.below(12) > 0).then(|| format!("{system} {}.{}", draws.between(1, 18), draws.below(10)))
}

fn odd(draws: &mut Draws) -> String {
    draws.one_of(&ODD_TEXTS).to_owned()
}

/// Letters without a pattern: they don't get shorter by compression.
fn directions(draws: &mut Draws) -> String {
    let bytes = draws.between(DIRECTIONS_BYTES.0, DIRECTIONS_BYTES.1);
    (0..bytes)
        .map(|_| char::from(draws.one_of(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 ")))
        .collect()
}
