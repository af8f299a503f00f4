//! `trunkline verify` against an API behind TLS.

use std::convert::Infallible;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::AUTHORIZATION;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::program::Program;

/// Makes an authority `name`, and a certificate of it for localhost, with the `openssl` command.
fn authority(folder: &Path, name: &str) {
    let script = format!(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj '/CN={name}' \
           -addext 'keyUsage=critical,keyCertSign' -keyout {name}.key -out {name}.pem && \
         openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj '/CN=server' \
           -keyout {name}-server.key -out {name}.csr && \
         printf 'subjectAltName=DNS:localhost\\nbasicConstraints=CA:FALSE' > {name}.ext && \
         openssl x509 -req -in {name}.csr -CA {name}.pem -CAkey {name}.key -CAcreateserial -days 2 \
           -extfile {name}.ext -out {name}-server.pem"
    );
    let made = Command::new("sh").arg("-ec").arg(script).current_dir(folder).output().expect("sh");
    assert!(made.status.success(), "this test needs openssl: {}", String::from_utf8_lossy(&made.stderr));
}

/// Answers over TLS, with the right figures of one call of 60 seconds. Returns the port.
async fn serve(folder: &Path, name: &str) -> u16 {
    let certificate = CertificateDer::from_pem_file(folder.join(format!("{name}-server.pem"))).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(folder.join(format!("{name}-server.key"))).expect("a key");
    let config = rustls::ServerConfig::builder_with_provider(rustls::crypto::aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![certificate], key))
        .expect("a configuration");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // A client that does not trust the certificate hangs up.
                let Ok(socket) = acceptor.accept(socket).await else { return };
                let answers = service_fn(|request| std::future::ready(Ok::<_, Infallible>(answer(&request))));
                let served = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), answers);
                if let Err(error) = served.await {
                    eprintln!("the client went away: {error}");
                }
            });
        }
    });
    port
}

fn answer(request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let figures = r#""up_bytes":0,"down_bytes":0,"seconds":60,"events":1"#;
    let cost = r#""cost":{"currency":"ZAR","amount":"1.00"}"#;
    let body = match request.uri().path() {
        "/v1/usage/27821234567" => format!(
            r#"{{"msisdn":"27821234567","from":"2024-01-01","to":"2024-12-31","days":[{{"day":"2024-01-01",{figures},
            {cost},"usage":[{{"category":"call","usage_type":"voice",{figures}}}]}}],"totals":{{{figures},{cost}}}}}"#
        ),
        _ => r#"{"msisdn":"27821234567","start_time":"20240101000000","end_time":"20241231235959","usage":[{
            "category":"call","usage_type":"voice","total":60,"measure":"seconds",
            "start_time":"2024-01-01 00:00:00"}]}"#
            .to_owned(),
    };
    let is_known = request.headers()[AUTHORIZATION] == "Basic ZGVtbzpzZWNyZXQ="; // demo:secret
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = if is_known { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
    response
}

/// What a run of `verify` prints that trusts this authority, and whether it succeeds.
async fn verify(folder: &Path, port: u16, authority: &str) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trunkline"));
    command
        .args(["verify", "files", "--user", "demo", "--url", &format!("https://localhost:{port}")])
        .args(["--parameters", "parameters"])
        .env("TRUNKLINE_API_PASSWORD", "secret")
        .env("SSL_CERT_FILE", folder.join(authority))
        .env_remove("SSL_CERT_DIR");
    let mut program = Program::run(folder, &mut command);
    tokio::task::spawn_blocking(move || (program.ends().success(), program.printed())).await.expect("it ran")
}

#[tokio::test]
async fn answers_are_verified_over_https() {
    let scratch = tempfile::tempdir().expect("a folder");
    let folder = scratch.path();
    ["right", "wrong"].iter().for_each(|name| authority(folder, name));
    std::fs::create_dir(folder.join("files")).expect("a folder");
    let text = "msisdn,tower_id,call_type,dest_nr,call_duration_sec,start_time\n\
                27821234567,1,voice,1,60,2024-01-01 10:00:00\n";
    std::fs::write(folder.join("files/cdr_voice_20240101_000000.csv"), text).expect("a file");
    // What has no default. Nothing of it is asked.
    let needed = "KafkaBrokers SftpHost SftpUser SftpHostKey LakeBucket UsageStore DatabaseUrl ApiUsers";
    let parameters: String = needed.split(' ').map(|name| format!("{name}=none\n")).collect();
    std::fs::write(folder.join("parameters"), parameters).expect("parameters");
    let port = serve(folder, "right").await;

    let (is_verified, printed) = verify(folder, port, "right.pem").await;
    assert!(is_verified, "{printed}");
    assert_eq!(printed, "Verified: the answers for all 1 subscribers equal a second count of the 1 files\n");

    let (is_verified, printed) = verify(folder, port, "wrong.pem").await;
    assert!(!is_verified, "{printed}");
    let advice = "the API's certificate is not trusted: SSL_CERT_FILE names a file with its authority, as PEM";
    assert!(printed.contains(advice) && printed.contains("UnknownIssuer"), "{printed}");
}
