//! Messages that are posted, one request after another.

use std::time::{Duration, Instant};

use anyhow::ensure;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use generator::chat;
use serde_json::Value;
use test_support::Sandbox;

use crate::Bench;
use crate::report::{Line, grouped};
use crate::usage_http::users;
use crate::world::{Counters, Kafka, World};

/// What API Gateway sends: NDJSON in base64.
const EVENT: &str = include_str!("../../../../events/intake-http/ndjson.json");

/// `Timeout` of the template.
const TIMEOUT: Duration = Duration::from_secs(29);

/// Messages of a request, up to as many as the function takes, and requests.
const REQUESTS: [(u64, u64); 3] = [(1, 1_000), (1_000, 100), (5_000, 20)];

/// Requests of few and of many messages, and the largest one. The first has its password verified and connects to Kafka.
pub(crate) async fn post(bench: &mut Bench) -> anyhow::Result<()> {
    let world = World::new(Kafka::Cluster, Counters::Postgres).await?;
    let mut vars = world.vars.clone();
    vars.push(("API_USERS", users()?));
    let mut function = Sandbox::start(&bench.binary("intake-http"), vars).await?;
    let count = 1 + REQUESTS.iter().map(|(messages, requests)| messages * requests).sum::<u64>();
    let options = chat::Options { count: u32::try_from(count)?, rooms: 20_000, ..chat::Options::default() };
    let mut lines = chat::lines(&options)?.map(|line| [line.json, b"\n".to_vec()].concat());
    post_all(&mut function, lines.by_ref().take(1).flatten().collect(), 1).await?;
    for (messages, requests) in REQUESTS {
        let (mut bytes, mut seconds) = (0, 0.0);
        for _ in 0..requests {
            let body: Vec<u8> = lines.by_ref().take(messages as usize).flatten().collect();
            bytes += body.len() as u64;
            seconds += post_all(&mut function, body, messages).await?;
        }
        bench.add(Line {
            function: "intake-http",
            input: format!("requests of {}, three Kafka brokers", grouped(messages)),
            items: messages * requests,
            unit: "messages",
            bytes,
            seconds,
            peak_bytes: function.peak_memory_bytes()?,
        });
    }
    function.stop().await
}

/// Seconds until all of a request's messages are accepted.
async fn post_all(function: &mut Sandbox, body: Vec<u8>, messages: u64) -> anyhow::Result<f64> {
    let mut event: Value = serde_json::from_str(EVENT)?;
    event["body"] = STANDARD.encode(body).into();
    let began = Instant::now();
    let answer: Value = serde_json::from_slice(&function.invoke(event.to_string(), TIMEOUT).await?)?;
    let seconds = began.elapsed().as_secs_f64();
    let told: Value = serde_json::from_str(answer["body"].as_str().unwrap_or_default())?;
    ensure!(answer["statusCode"] == 202 && told["accepted"] == messages, "the answer is {answer}");
    Ok(seconds)
}
