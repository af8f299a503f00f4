#!/usr/bin/env bash
# One would guess: an SFTP client gives the server's handle back as it came; it is a string of bytes that only the server reads.
# What happens: russh-sftp keeps a handle as a Rust String and puts U+FFFD for every byte that isn't UTF-8. OpenSSH's sftp-server numbers
# its handles, 4 bytes each: from the 129th open file on, the last byte is 0x80 or more. So that file opens without an error, each read of
# it gets "Failure", and its close "No such file": it stays open in the server. The server allows far more open files, and says so.
# Since: seen on russh-sftp 3.0.1, with sftp-server of OpenSSH 9.2.
# Source: try_get_string in src/buf.rs and Handle in src/protocol/handle.rs of russh-sftp; handle_to_string in OpenSSH's sftp-server.c.
# draft-ietf-secsh-filexfer-02, section 7: a handle is any string, opaque to the client, which must not modify it.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
# Debian's package, unpacked beside the system: neither root nor an installation is needed. The server speaks on its input and output.
mkdir -p apt/state/lists/partial apt/cache/archives/partial src
options=(-qq -o "Dir::State=$folder/apt/state" -o "Dir::Cache=$folder/apt/cache" -o Dir::State::status=/var/lib/dpkg/status)
options+=(-o APT::Sandbox::User=)
apt-get "${options[@]}" update
apt-get "${options[@]}" download openssh-sftp-server=1:9.2p1-2+deb12u10
dpkg -x ./*.deb .
echo rows > rows.csv
cat > Cargo.toml <<'TOML'
[package]
name = "handles"
version = "0.0.0"
edition = "2021"

[dependencies]
russh-sftp = "=3.0.1"
tokio = { version = "=1.54.1", features = ["io-util", "macros", "process", "rt", "time"] }
TOML
cat > src/main.rs <<'RUST'
use std::error::Error;
use std::process::Stdio;

use russh_sftp::client::RawSftpSession;
use russh_sftp::protocol::{FileAttributes, OpenFlags};
use tokio::io::join;
use tokio::process::Command;

const MISSING: &str = "the server has no pipe";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut server = Command::new("usr/lib/openssh/sftp-server")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let pipes = join(server.stdout.take().ok_or(MISSING)?, server.stdin.take().ok_or(MISSING)?);
    let session = RawSftpSession::new(pipes);
    session.init().await?;
    println!("the server allows more than 200 open files: {}", session.limits().await?.max_open_handles > 200);
    let mut handles = Vec::new();
    for _ in 0..130 {
        handles.push(session.open("rows.csv", OpenFlags::READ, FileAttributes::default()).await?.handle);
    }
    for (index, handle) in handles.iter().enumerate().skip(126) {
        let read = match session.read(handle, 0, 4).await {
            Ok(data) => String::from_utf8(data.data)?,
            Err(error) => error.to_string(),
        };
        let closed = match session.close(handle).await {
            Ok(status) => status.status_code.to_string(),
            Err(error) => error.to_string(),
        };
        println!("file {}: handle {:02x?}; read: {read}; close: {closed}", index + 1, handle.as_bytes());
    }
    Ok(())
}
RUST
CARGO_TARGET_DIR=$folder/target cargo run --quiet | tee found
diff found - <<'EXPECTED'
the server allows more than 200 open files: true
file 127: handle [00, 00, 00, 7e]; read: rows; close: Ok
file 128: handle [00, 00, 00, 7f]; read: rows; close: Ok
file 129: handle [00, 00, 00, ef, bf, bd]; read: Failure: Failure; close: No such file: No such file
file 130: handle [00, 00, 00, ef, bf, bd]; read: Failure: Failure; close: No such file: No such file
EXPECTED
echo "as described"
