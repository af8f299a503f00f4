//! The bad line, with a server that gives back what it gets.

use std::time::Duration;

use test_support::{Line, Proxy};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

/// A proxy before an echo, which ends with the test's runtime.
async fn echo(line: Line) -> Proxy {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (mut from, mut to) = stream.into_split();
            tokio::spawn(async move { tokio::io::copy(&mut from, &mut to).await });
        }
    });
    test_support::proxy(address.to_string(), line).await
}

async fn connect(proxy: &Proxy) -> std::io::Result<TcpStream> {
    TcpStream::connect(proxy.address()).await
}

/// Sends so many bytes and the end, and returns how many came back.
async fn there_and_back(mut stream: TcpStream, bytes: usize) -> usize {
    let (mut from, mut to) = stream.split();
    let mut returned = Vec::new();
    let sending = async {
        let sent = vec![7; bytes];
        // A cut ends the sending too.
        to.write_all(&sent).await.is_ok() && to.shutdown().await.is_ok()
    };
    let (_, received) = tokio::join!(sending, from.read_to_end(&mut returned));
    // A reset loses nothing of what was read before.
    received.unwrap_or_default();
    returned.len()
}

#[tokio::test]
async fn a_delay_is_kept_and_takes_no_bandwidth() {
    let delay = Duration::from_millis(500);
    let proxy = echo(Line { delay, ..Line::default() }).await;
    let began = Instant::now();
    let bytes = 16 << 20;
    // One after another, its 128 chunks would take 64 seconds each way.
    let returned = timeout(Duration::from_secs(30), there_and_back(connect(&proxy).await.unwrap(), bytes)).await;
    assert_eq!(returned, Ok(bytes));
    assert!(began.elapsed() >= 2 * delay);
}

#[tokio::test]
async fn a_narrow_line_takes_its_time() {
    let proxy = echo(Line { bytes_per_second: Some(1_000_000), ..Line::default() }).await;
    let began = Instant::now();
    assert_eq!(there_and_back(connect(&proxy).await.unwrap(), 200_000).await, 200_000);
    assert!(began.elapsed() >= Duration::from_millis(200), "{:?}", began.elapsed());
}

#[tokio::test]
async fn it_cuts_once_after_so_many_bytes() {
    let proxy = echo(Line::default()).await;
    proxy.cut_after(1_000_000);
    let returned = there_and_back(connect(&proxy).await.unwrap(), 2_000_000).await;
    assert!(returned < 1_000_000, "{returned}");
    assert_eq!(there_and_back(connect(&proxy).await.unwrap(), 2_000_000).await, 2_000_000);
}

#[tokio::test]
async fn a_stalled_line_goes_on_and_a_cut_one_does_not() {
    let proxy = echo(Line::default()).await;
    let mut stream = connect(&proxy).await.unwrap();
    stream.write_all(b"x").await.unwrap();
    assert_eq!(stream.read_u8().await.unwrap(), b'x');
    proxy.stall();
    stream.write_all(b"y").await.unwrap();
    assert!(timeout(Duration::from_millis(100), stream.read_u8()).await.is_err());
    proxy.resume();
    assert_eq!(stream.read_u8().await.unwrap(), b'y');
    proxy.cut();
    assert!(stream.read_u8().await.is_err());
}

#[tokio::test]
async fn it_refuses_and_accepts() {
    let proxy = echo(Line::default()).await;
    proxy.refuse().await;
    assert!(connect(&proxy).await.is_err());
    proxy.accept().await;
    assert_eq!(there_and_back(connect(&proxy).await.unwrap(), 10).await, 10);
}
