//! Encrypted connections.

use std::sync::Arc;

use anyhow::{Context, ensure};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use super::address::Tls;

/// Connections to nodes whose certificate is signed by one of these authorities, for the node's IP address: the driver
/// finds nodes by their addresses and knows no names of them.
pub(super) fn config(tls: &Tls) -> anyhow::Result<Arc<ClientConfig>> {
    let authorities = match tls {
        Tls::System => rustls_native_certs::load_native_certs().certs,
        Tls::Ca(path) => {
            let read = |path| CertificateDer::pem_file_iter(path)?.collect::<Result<Vec<_>, _>>();
            read(path).with_context(|| format!("USAGE_STORE: can't read ca={}", path.display()))?
        }
    };
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(authorities);
    ensure!(added > 0, "USAGE_STORE: there are no certificate authorities to trust: name a PEM file of them with ca=");
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
