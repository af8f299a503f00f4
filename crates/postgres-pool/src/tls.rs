use std::sync::Arc;

use anyhow::{Context, ensure};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Which certificates are accepted.
#[derive(Debug)]
pub(crate) enum Trust {
    /// Any: this keeps listeners out, not impostors.
    Anybody,
    /// The system's authorities, and the host's name.
    System,
    /// The authorities in this PEM file, and the host's name.
    File(String),
}

/// Makes TLS connections.
///
/// # Errors
/// When there are no authorities to trust.
pub(crate) fn connector(trust: &Trust) -> anyhow::Result<MakeRustlsConnect> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let roots = match trust {
        Trust::Anybody => {
            let verifier = Arc::new(Unchecked(provider));
            let config = config.dangerous().with_custom_certificate_verifier(verifier);
            return Ok(MakeRustlsConnect::new(config.with_no_client_auth()));
        }
        Trust::System => {
            let system = rustls_native_certs::load_native_certs();
            ensure!(
                !system.certs.is_empty(),
                "the system has no certificate authorities: name a file of them, sslrootcert=/path/ca.pem"
            );
            system.certs
        }
        Trust::File(path) => {
            let read = |path| CertificateDer::pem_file_iter(path)?.collect::<Result<Vec<_>, _>>();
            let certificates = read(path).with_context(|| format!("can't read sslrootcert {path}"))?;
            ensure!(!certificates.is_empty(), "sslrootcert {path} has no certificates in PEM");
            certificates
        }
    };
    let mut store = RootCertStore::empty();
    let (added, _) = store.add_parsable_certificates(roots);
    ensure!(added > 0, "none of the trusted certificates can be used");
    Ok(MakeRustlsConnect::new(config.with_root_certificates(store).with_no_client_auth()))
}

/// Takes any certificate; only the handshake itself must be sound.
#[derive(Debug)]
struct Unchecked(Arc<CryptoProvider>);

impl ServerCertVerifier for Unchecked {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
