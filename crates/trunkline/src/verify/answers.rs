//! What the API answers for every subscriber, and what it should.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::stream::{self, StreamExt, TryStreamExt};
use hyper::StatusCode;
use serde_json::{Value, json};

use super::Verdict;
use super::count::{Amount, Counted, Usage};
use super::money::{Cost, Tariff};
use crate::client::{Client, Patience};
use crate::figures::Api;

/// Requests that wait for their answers at once: enough to keep the API busy, few enough for its database.
const REQUESTS_IN_FLIGHT: usize = 16;

/// The store may be busy or away for a while.
const PATIENCE: Patience = Patience { answer: Duration::from_secs(30), attempts: 5 };

/// Asks for every subscriber of the files.
pub(super) async fn compare_answers(
    counted: &Counted,
    tariff: &Tariff,
    api: &Api,
    verdict: &mut Verdict,
) -> anyhow::Result<()> {
    let client = Client::new(api, PATIENCE)?;
    let answers = stream::iter(&counted.subscribers).map(|(msisdn, usage)| compare(&client, tariff, msisdn, usage));
    let mut answers = answers.buffer_unordered(REQUESTS_IN_FLIGHT);
    while let Some(differences) = answers.try_next().await? {
        verdict.subscribers += 1;
        differences.into_iter().for_each(|difference| verdict.note(difference));
    }
    Ok(())
}

/// The differences of one subscriber: each year with usage is asked for whole, in both forms.
async fn compare(client: &Client, tariff: &Tariff, msisdn: &str, usage: &Usage) -> anyhow::Result<Vec<String>> {
    let mut years: BTreeMap<&str, Usage> = BTreeMap::new();
    for ((day, category, usage_type), amount) in usage {
        let key = (day.clone(), *category, usage_type.clone());
        years.entry(&day[..4]).or_default().insert(key, *amount);
    }
    let mut differences = Vec::new();
    for (year, usage) in years {
        let paths = [
            (
                format!("/v1/usage/{msisdn}?from={year}-01-01&to={year}-12-31"),
                expected_days(tariff, msisdn, year, &usage),
            ),
            (
                format!("/data_usage?msisdn={msisdn}&start_time={year}0101000000&end_time={year}1231235959"),
                expected_data_usage(msisdn, year, &usage),
            ),
        ];
        for (path, expected) in paths {
            let (status, body) = client.get(&path).await.map_err(explained)?;
            let difference = match read(status, &body) {
                Ok(found) => difference(&expected, &found, ""),
                Err(refusal) => Some(refusal),
            };
            differences.extend(difference.map(|difference| format!("GET {path}: {difference}")));
        }
    }
    Ok(differences)
}

/// An error, with what to do about it where it is the server's certificate.
fn explained(error: anyhow::Error) -> anyhow::Error {
    let text = format!("{error:#}");
    if !text.contains("invalid peer certificate") {
        return error;
    }
    error.context("the API's certificate is not trusted: SSL_CERT_FILE names a file with its authority, as PEM")
}

/// The answer, or what is wrong with it: no JSON, or no success.
fn read(status: StatusCode, body: &[u8]) -> Result<Value, String> {
    if !status.is_success() {
        return Err(format!("{status}: {}", String::from_utf8_lossy(body)));
    }
    serde_json::from_slice(body).map_err(|error| format!("no JSON: {error}"))
}

/// The answer to `/v1/usage/{msisdn}` that is right for one whole year.
pub(super) fn expected_days(tariff: &Tariff, msisdn: &str, year: &str, usage: &Usage) -> Value {
    let mut days: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    let mut sums: BTreeMap<&str, (Amount, Cost)> = BTreeMap::new();
    let mut total = (Amount::default(), Cost::default());
    for ((day, category, usage_type), amount) in usage.iter().filter(|(_, amount)| amount.events > 0) {
        let mut entry = figures(amount);
        entry["category"] = json!(category);
        entry["usage_type"] = json!(usage_type);
        days.entry(day).or_default().push(entry);
        let cost = tariff.cost(day, category, usage_type, amount);
        for sum in [sums.entry(day).or_default(), &mut total] {
            sum.0.add(amount);
            sum.1.add(cost);
        }
    }
    let days: Vec<Value> = days
        .into_iter()
        .map(|(day, usage)| {
            let mut answer = priced(&sums[day]);
            answer["day"] = json!(day);
            answer["usage"] = json!(usage);
            answer
        })
        .collect();
    json!({
        "msisdn": msisdn, "from": format!("{year}-01-01"), "to": format!("{year}-12-31"),
        "days": days, "totals": priced(&total),
    })
}

/// The answer to `/data_usage` that is right for one whole year.
pub(super) fn expected_data_usage(msisdn: &str, year: &str, usage: &Usage) -> Value {
    let entries = usage.iter().filter(|(_, amount)| amount.events > 0).map(|((day, category, usage_type), amount)| {
        let (total, measure) = match *category {
            "data" => (amount.up_bytes.saturating_add(amount.down_bytes), "bytes"),
            _ => (amount.seconds, "seconds"),
        };
        json!({
            "category": category, "usage_type": usage_type, "total": total, "measure": measure,
            "start_time": format!("{day} 00:00:00"),
        })
    });
    json!({
        "msisdn": msisdn, "start_time": format!("{year}0101000000"), "end_time": format!("{year}1231235959"),
        "usage": entries.collect::<Vec<_>>(),
    })
}

fn figures(amount: &Amount) -> Value {
    let Amount { up_bytes, down_bytes, seconds, events } = amount;
    json!({ "up_bytes": up_bytes, "down_bytes": down_bytes, "seconds": seconds, "events": events })
}

fn priced((amount, cost): &(Amount, Cost)) -> Value {
    let mut answer = figures(amount);
    answer["cost"] = json!({ "currency": "ZAR", "amount": cost.rand() });
    answer
}

/// The first place where two answers differ.
pub(super) fn difference(expected: &Value, found: &Value, at: &str) -> Option<String> {
    match (expected, found) {
        (Value::Object(e), Value::Object(f)) if e.len() == f.len() && e.keys().all(|key| f.contains_key(key)) => {
            e.iter().find_map(|(key, value)| difference(value, &f[key], &format!("{at}.{key}")))
        }
        (Value::Array(e), Value::Array(f)) => {
            let mut pairs = e.iter().zip(f).enumerate();
            let entry = pairs.find_map(|(i, (expected, found))| difference(expected, found, &format!("{at}[{i}]")));
            let length = (e.len() != f.len()).then(|| format!("{at} has {} entries instead of {}", f.len(), e.len()));
            entry.or(length)
        }
        _ if expected == found => None,
        _ => Some(format!("{} is {found} instead of {expected}", if at.is_empty() { "the answer" } else { at })),
    }
}
