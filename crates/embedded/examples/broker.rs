//! A Kafka broker to try clients on: `broker [FOLDER] [PROPERTY=VALUE…]` serves until Ctrl-C, and keeps its data in the folder.

use anyhow::Context;
use embedded::{Broker, Data};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut data = Data::Temporary;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut properties = Vec::new();
    for argument in &arguments {
        match argument.split_once('=') {
            Some(property) => properties.push(property),
            None => data = Data::Kept(argument.into()),
        }
    }
    let started =
        if properties.is_empty() { Broker::start(data).await } else { Broker::start_with(data, &properties).await };
    let mut broker = started?;
    show(&broker.bootstrap_servers)?;
    tokio::select! {
        reason = broker.ended() => Err(reason),
        pressed = tokio::signal::ctrl_c() => pressed.context("can't wait for Ctrl-C"),
    }
}

fn show(servers: &str) -> anyhow::Result<()> {
    use std::io::Write;
    writeln!(std::io::stdout(), "{servers}").context("can't print the address")
}
