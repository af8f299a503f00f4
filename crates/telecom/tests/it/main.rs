//! What the records, numbers, days and prices mean, as data.

#![expect(clippy::unwrap_used, reason = "a test may panic, also in its helper functions")]

mod csv;
mod json;
mod message;
mod properties;
mod rejected;
mod rules;
mod tariff;
mod values;
