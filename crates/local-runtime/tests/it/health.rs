//! What monitors are told of the mappings.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use bytes::Bytes;
use expect_test::{Expect, expect};
use futures::FutureExt;
use local_runtime::{Options, Runtime, Template};
use serde_json::{Value, json};
use test_support::eventually;

use crate::fixture::{PATIENCE, create_on, invoker, kafka, produce_large, produce_on, status};
use crate::http::send;

fn template(topic: &str) -> Template {
    let text = format!(
        "Resources:
  F:
    Type: AWS::Serverless::Function
    Properties:
      Timeout: 30
      Events:
        Health: {{Type: HttpApi, Properties: {{Path: /health, Method: GET}}}}
        Other: {{Type: HttpApi, Properties: {{Path: /other, Method: ANY}}}}
        Kafka:
          Type: SelfManagedKafka
          Properties: {{KafkaBootstrapServers: [nowhere], Topics: [{topic}], ConsumerGroupId: g-{topic},
            StartingPosition: TRIM_HORIZON, MaximumBatchingWindowInSeconds: 0}}
"
    );
    Template::parse(&text, &BTreeMap::new()).unwrap()
}

/// Status and body, without what differs from run to run.
async fn check(address: SocketAddr, method: &str, path: &str, topic: &str, expect: Expect) {
    let response = send(address, method, path, Bytes::new()).await;
    let mut shown = response.status().to_string();
    if let Ok(mut body) = serde_json::from_slice::<Value>(response.body()) {
        anonymize(&mut body);
        shown.push_str(&format!("\n{body:#}").replace(topic, "TOPIC"));
    }
    expect.assert_eq(&shown);
}

/// Moments differ from run to run, and how often a batch was cut.
fn anonymize(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match name.as_str() {
                    "since" | "last_step" => {
                        value.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
                        *value = json!("…");
                    }
                    "batches" => *value = json!("…"),
                    // Two figures more or less, as long as the brokers' ports are.
                    "payload_bytes" => {
                        assert!((8_000_000..8_001_000).contains(&value.as_u64().unwrap()), "{value}");
                        *value = json!("…");
                    }
                    _ => anonymize(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(anonymize),
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_stands_still_is_told_and_the_api_goes_on() {
    let client = kafka().await;
    let topic = test_support::topic("health");
    create_on(&client, &topic, 2, 3).await;
    let answers = invoker(|invocation| {
        async move {
            let event: Value = serde_json::from_slice(&invocation.payload)?;
            let answer = match event["rawPath"].as_str() {
                Some("/health") => json!({"statusCode": 200, "body": r#"{"status":"ok"}"#}),
                _ => json!({"statusCode": 200, "body": r#"{"status":"another"}"#}),
            };
            Ok(answer.to_string().into())
        }
        .boxed()
    });
    let options = Options {
        brokers: client.get("bootstrap.servers").map(str::to_owned),
        health_path: Some("/health".to_owned()),
        ..Options::default()
    };
    let runtime = Runtime::start(&template(&topic), answers, options).await.unwrap();
    let address = runtime.http_addr().unwrap();
    eventually(PATIENCE, async || status(&runtime).lag() == Some(0)).await;
    check(
        address,
        "GET",
        "/health",
        &topic,
        expect![[r#"
        200 OK
        {
          "status": "ok"
        }"#]],
    )
    .await;
    check(
        address,
        "GET",
        "/health/mappings",
        &topic,
        expect![[r#"
        200 OK
        {
          "mappings": [
            {
              "batches": "…",
              "failures": 0,
              "function": "f",
              "group": "g-TOPIC",
              "lag": 0,
              "last_step": "…",
              "lost_offsets": 0,
              "partitions": [
                {
                  "end": 0,
                  "lag": 0,
                  "partition": 0,
                  "position": 0,
                  "stop": null
                },
                {
                  "end": 0,
                  "lag": 0,
                  "partition": 1,
                  "position": 0,
                  "stop": null
                }
              ],
              "records": 0,
              "since": "…",
              "state": "running",
              "status": "ok",
              "topic": "TOPIC"
            }
          ],
          "status": "ok"
        }"#]],
    )
    .await;

    produce_large(&client, &topic, 1).await;
    produce_on(&client, &topic, 2, 1, 10).await;
    eventually(PATIENCE, async || status(&runtime).lag() == Some(2)).await;
    check(
        address,
        "GET",
        "/health",
        &topic,
        expect![[r#"
        200 OK
        {
          "mappings": [
            {
              "batches": "…",
              "failures": 0,
              "function": "f",
              "group": "g-TOPIC",
              "lag": 2,
              "last_step": "…",
              "lost_offsets": 0,
              "partitions": [
                {
                  "end": 1,
                  "lag": 0,
                  "partition": 0,
                  "position": 1,
                  "stop": null
                },
                {
                  "end": 2,
                  "lag": 2,
                  "partition": 1,
                  "position": 0,
                  "stop": {
                    "limit_bytes": 6291456,
                    "next_offset": 1,
                    "offset": 0,
                    "payload_bytes": "…",
                    "reason": "too_large",
                    "since": "…"
                  }
                }
              ],
              "records": 1,
              "since": "…",
              "state": "running",
              "status": "degraded",
              "topic": "TOPIC"
            }
          ],
          "status": "degraded"
        }"#]],
    )
    .await;
    check(
        address,
        "GET",
        "/health/mappings",
        &topic,
        expect![[r#"
        503 Service Unavailable
        {
          "mappings": [
            {
              "batches": "…",
              "failures": 0,
              "function": "f",
              "group": "g-TOPIC",
              "lag": 2,
              "last_step": "…",
              "lost_offsets": 0,
              "partitions": [
                {
                  "end": 1,
                  "lag": 0,
                  "partition": 0,
                  "position": 1,
                  "stop": null
                },
                {
                  "end": 2,
                  "lag": 2,
                  "partition": 1,
                  "position": 0,
                  "stop": {
                    "limit_bytes": 6291456,
                    "next_offset": 1,
                    "offset": 0,
                    "payload_bytes": "…",
                    "reason": "too_large",
                    "since": "…"
                  }
                }
              ],
              "records": 1,
              "since": "…",
              "state": "running",
              "status": "degraded",
              "topic": "TOPIC"
            }
          ],
          "status": "degraded"
        }"#]],
    )
    .await;
    check(address, "HEAD", "/health/mappings", &topic, expect!["503 Service Unavailable"]).await;
    check(
        address,
        "POST",
        "/health/mappings",
        &topic,
        expect![[r#"
        404 Not Found
        {
          "message": "Not Found"
        }"#]],
    )
    .await;
    check(
        address,
        "GET",
        "/other",
        &topic,
        expect![[r#"
        200 OK
        {
          "status": "another"
        }"#]],
    )
    .await;

    runtime.mappings().skip(&topic, 1, 0);
    eventually(PATIENCE, async || status(&runtime).lag() == Some(0)).await;
    check(
        address,
        "GET",
        "/health",
        &topic,
        expect![[r#"
        200 OK
        {
          "status": "ok"
        }"#]],
    )
    .await;
    runtime.shutdown().await;
}
