//! The broker's thread: a task for each connection, and two that look after groups and logs.

use std::cell::RefCell;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;

use bytes::BytesMut;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Duration, Instant, sleep, sleep_until};

use super::api;
use super::node::{Node, Shared};
use super::wire::{Call, read_frame};

/// For requests that are small; the records of larger ones go past it.
const READ_BUFFER_BYTES: usize = 16 << 10;

/// When no more connections can be taken, for want of file descriptors mostly, waiting is all that helps.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// With no group to look after, it looks again so often.
const IDLE: Duration = Duration::from_secs(60);

/// Serves until it is dropped.
pub(super) async fn serve(listener: TcpListener, node: Node) -> Infallible {
    let node = Rc::new(RefCell::new(node));
    let (accepting, groups, logs) = (accept(listener, &node), look_after_groups(&node), look_after_logs(&node));
    tokio::select! {
        ended = accepting => ended,
        ended = groups => ended,
        ended = logs => ended,
    }
}

async fn accept(listener: TcpListener, node: &Shared) -> Infallible {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let connection = connection(stream, peer, Rc::clone(node));
                tokio::task::spawn_local(async move {
                    if let Err(error) = connection.await {
                        let reason = format!("{error:#}");
                        tracing::warn!(%peer, reason, "the Kafka broker hangs up on a client");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the Kafka broker can't take a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// One request after the other, as Kafka does: who waits for a group's others has a connection of its own for that.
async fn connection(stream: TcpStream, peer: SocketAddr, node: Shared) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let host = format!("/{}", peer.ip());
    let (reading, mut writing) = stream.into_split();
    let mut reading = BufReader::with_capacity(READ_BUFFER_BYTES, reading);
    let mut buffer = BytesMut::new();
    while let Some(mut frame) = read_frame(&mut reading, &mut buffer).await? {
        let call = Call::read(&mut frame, &host)?;
        if let Some(answer) = api::answer(&node, &call, frame).await? {
            writing.write_all(&answer).await?;
        }
    }
    Ok(())
}

async fn look_after_groups(node: &Shared) -> Infallible {
    let changed = Rc::clone(&node.borrow().groups.changed);
    loop {
        let next = node.borrow_mut().groups.expire().unwrap_or_else(|| Instant::now() + IDLE);
        tokio::select! {
            () = sleep_until(next) => {}
            () = changed.notified() => {}
        }
    }
}

async fn look_after_logs(node: &Shared) -> Infallible {
    let interval = node.borrow().settings.retention_check;
    loop {
        sleep(interval).await;
        if let Err(refusal) = node.borrow_mut().retain() {
            tracing::error!(?refusal, "the Kafka broker can't delete old records");
        }
    }
}
