//! Which certificate authorities are trusted: Mozilla's, or those of a file the operator names.

use std::sync::Arc;

use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

/// Environment variable with a PEM file of certificates, as OpenSSL and curl read it.
const CERTIFICATES: &str = "SSL_CERT_FILE";

/// The settings of TLS: the certificates of `SSL_CERT_FILE` alone when it is set and holds any,
/// else the list of Mozilla built in.
pub(super) fn tls_config() -> TlsConfig {
    let named = std::env::var_os(CERTIFICATES)
        .and_then(|path| std::fs::read(path).ok())
        .map(|bytes| certificates(&bytes))
        .filter(|found| !found.is_empty());
    let roots = match named {
        Some(found) => RootCerts::Specific(Arc::new(found)),
        None => RootCerts::WebPki,
    };
    TlsConfig::builder().root_certs(roots).build()
}

fn certificates(pem: &[u8]) -> Vec<Certificate<'static>> {
    parse_pem(pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect()
}
