//! Which certificate authorities are trusted: Mozilla's, or those of a file the operator names.

use std::path::Path;
use std::sync::Arc;

use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use super::Error;

/// The settings of TLS.
///
/// * `certificates`: a PEM file whose authorities alone are trusted; `None` for the list of Mozilla
///   built in
///
/// # Errors
/// [`Error::Unreadable`] when the file cannot be read or holds no certificate.
pub(super) fn tls_config(certificates: Option<&Path>) -> Result<TlsConfig, Error> {
    let roots = match certificates {
        Some(path) => RootCerts::Specific(Arc::new(read(path)?)),
        None => RootCerts::WebPki,
    };
    Ok(TlsConfig::builder().root_certs(roots).build())
}

fn read(path: &Path) -> Result<Vec<Certificate<'static>>, Error> {
    let unreadable = |source| Error::Unreadable {
        path: path.to_owned(),
        source,
    };
    let pem = std::fs::read(path).map_err(unreadable)?;
    let found: Vec<Certificate<'static>> = parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if found.is_empty() {
        return Err(unreadable(std::io::Error::other("it holds no certificate")));
    }
    Ok(found)
}
