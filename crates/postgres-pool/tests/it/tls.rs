//! A server with a certificate of an authority that the test makes.

use std::path::Path;
use std::process::Command;

use expect_test::{Expect, expect};
use postgres_pool::Pool;
use tempfile::TempDir;
use test_support::{eventually, postgres_database};

use crate::{PATIENCE, check_error, pool};

/// Makes an authority `name`, and a certificate of it for 127.0.0.1, with the `openssl` command.
fn authority(folder: &Path, name: &str) {
    let script = format!(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj '/CN={name}' \
           -addext 'keyUsage=critical,keyCertSign' -keyout {name}.key -out {name}.pem && \
         openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj '/CN=server' \
           -keyout {name}-server.key -out {name}.csr && \
         printf 'subjectAltName=IP:127.0.0.1\\nbasicConstraints=CA:FALSE' > {name}.ext && \
         openssl x509 -req -in {name}.csr -CA {name}.pem -CAkey {name}.key -CAcreateserial -days 2 \
           -extfile {name}.ext -out {name}-server.pem"
    );
    let made = Command::new("sh").arg("-ec").arg(script).current_dir(folder).output().unwrap();
    assert!(made.status.success(), "this test needs openssl: {}", String::from_utf8_lossy(&made.stderr));
}

/// Turns the server's TLS on. The server writes its key itself: it takes only a file of its own user's.
async fn turn_tls_on(url: &str, folder: &Path) {
    let plain = pool(&format!("{url}?sslmode=disable"));
    for (from, to) in [("right-server.pem", "server.crt"), ("right-server.key", "server.key")] {
        let pem = std::fs::read_to_string(folder.join(from)).unwrap();
        let lines = pem.trim().replace('\n', "'), ('");
        plain.batch(&format!("COPY (VALUES ('{lines}')) TO PROGRAM 'umask 077; cat > {to}'")).await.unwrap();
    }
    plain.query("ALTER SYSTEM SET ssl = on", &[]).await.unwrap();
    plain.query("SELECT pg_reload_conf()", &[]).await.unwrap();
    eventually(PATIENCE, async || is_encrypted(&pool(&format!("{url}?sslmode=require"))).await.is_ok()).await;
}

async fn is_encrypted(pool: &Pool) -> anyhow::Result<bool> {
    let rows = pool.query("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", &[]).await?;
    Ok(rows[0].get(0))
}

#[tokio::test]
async fn certificates_are_checked_as_the_address_says() {
    let (url, folder) = (postgres_database().await, TempDir::new().unwrap());
    let folder = folder.path();
    check_error(
        is_encrypted(&pool(&format!("{url}?sslmode=require"))).await,
        expect!["the database failed: error performing TLS handshake: server does not support TLS"],
    );
    assert!(!is_encrypted(&pool(&url)).await.unwrap());

    for name in ["right", "wrong"] {
        authority(folder, name);
    }
    turn_tls_on(&url, folder).await;
    let ca = |name| format!("sslrootcert={}/{name}.pem", folder.display());
    let verified = |url: &str, name| format!("{url}?sslmode=verify-full&{}", ca(name));

    assert!(!is_encrypted(&pool(&format!("{url}?sslmode=disable"))).await.unwrap());
    for options in ["", "?sslmode=require", &format!("?{}", ca("right")), &format!("?sslmode=require&{}", ca("right"))]
    {
        assert!(is_encrypted(&pool(&format!("{url}{options}"))).await.unwrap(), "{options}");
    }
    assert!(is_encrypted(&pool(&verified(&url, "right"))).await.unwrap());

    let refused = expect![
        "the database failed: invalid peer certificate: UnknownIssuer: check the host in DATABASE_URL, or name its certificate authority's file with sslrootcert"
    ];
    check_refused(&verified(&url, "wrong"), &refused).await;
    check_refused(&format!("{url}?sslmode=require&{}", ca("wrong")), &refused).await;
    check_refused(&verified(&url.replace("127.0.0.1", "localhost"), "right"), &expect![[r#"the database failed: invalid peer certificate: certificate not valid for name "localhost"; certificate is only valid for IpAddress(127.0.0.1): check the host in DATABASE_URL, or name its certificate authority's file with sslrootcert"#]]).await;
}

async fn check_refused(url: &str, expect: &Expect) {
    expect.assert_eq(&format!("{:#}", is_encrypted(&pool(url)).await.unwrap_err()));
}

#[test]
fn an_authority_that_is_not_there_is_named_at_the_start() {
    let refused = |options: &str| Pool::new(&format!("postgres://u:secret@h/d?{options}"), crate::NAMES).map(drop);
    check_error(
        refused("sslmode=verify-full&sslrootcert=/no/ca.pem"),
        expect!["DATABASE_URL: can't read sslrootcert /no/ca.pem: I/O error: No such file or directory (os error 2)"],
    );
}
