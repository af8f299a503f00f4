//! What the records, numbers, days and prices mean, as data.

mod csv;
mod json;
mod properties;
mod tariff;
mod values;
