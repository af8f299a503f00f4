//! Questions about subscribers' usage, one after another.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use argon2::{Argon2, PasswordHasher as _};
use serde_json::{Value, json};
use test_support::Sandbox;

use crate::Bench;
use crate::records::Reader;
use crate::report::Line;
use crate::world::{Counters, World};

const REQUESTS: u64 = 2_000;

/// What API Gateway sends.
const EVENT: &str = include_str!("../../../../events/usage-http/usage.json");

/// `example:example-password`, as in the event.
const USER: &str = "example";
const PASSWORD: &str = "example-password";

/// `Timeout` of the template.
const TIMEOUT: Duration = Duration::from_secs(29);

/// Asks for a month of subscribers who have usage. The first request has its password verified and connects to the store.
pub(crate) async fn ask(bench: &mut Bench, world: &World, counters: Counters) -> anyhow::Result<()> {
    let mut vars = world.vars.clone();
    vars.push(("API_USERS", users()?));
    let mut function = Sandbox::start(&bench.binary("usage-http"), vars).await?;
    let published = Reader::new(&world.brokers, "cdr-data")?.batch(REQUESTS).await?;
    let mut records = published.iter().flat_map(|partition| &partition.records);
    for (requests, which) in [(1, "the first"), (REQUESTS - 1, "the others")] {
        let (mut bytes, mut seconds) = (0, 0.0);
        for record in records.by_ref().take(requests as usize) {
            let msisdn = str::from_utf8(record.key.as_deref().context("a record without a key")?)?;
            let event = EVENT.replace("27821234567", msisdn);
            bytes += event.len() as u64;
            let began = Instant::now();
            let answer = function.invoke(event, TIMEOUT).await?;
            seconds += began.elapsed().as_secs_f64();
            let answer: Value = serde_json::from_slice(&answer)?;
            ensure!(answer["statusCode"] == 200, "the answer is {answer}");
        }
        bench.add(Line {
            function: "usage-http",
            input: format!("a subscriber's month, {}, {which}", counters.name()),
            items: requests,
            unit: "requests",
            bytes,
            seconds,
            peak_bytes: function.peak_memory_bytes()?,
        });
    }
    function.stop().await
}

/// A hash as `trunkline hash-password` makes it, with argon2id's recommended memory and passes.
pub(crate) fn users() -> anyhow::Result<String> {
    let hash = Argon2::default()
        .hash_password(PASSWORD.as_bytes())
        .map_err(|error| anyhow::anyhow!("the password can't be hashed: {error}"))?;
    Ok(json!([{"user": USER, "password_hash": hash.to_string(), "msisdns": "*", "may_post": true}]).to_string())
}
