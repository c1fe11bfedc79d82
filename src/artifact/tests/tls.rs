//! Downloads from servers that speak TLS, rightly and wrongly. Where there is no `openssl`, these
//! tests say that they were skipped.

use std::path::Path;

use super::http::Case;
use super::tls_server::{Proof, TlsServer, answer};

/// The server, or a line that says that the test was skipped.
macro_rules! server {
    ($($argument:expr),*) => {
        match TlsServer::start($($argument),*) {
            Some(server) => server,
            None => {
                println!("skipped: there is no `openssl` on this host");
                return;
            }
        }
    };
}

#[test]
fn a_trusted_server_is_read() {
    let file = answer("200 OK", "", b"abc");
    let server = server!("IP:127.0.0.1", Proof::Given, &[("m", &file)], &[]);
    let mut case = Case::new(server.url("m"), b"abc");
    case.certificates = Some(server.authority());
    case.run().arrives();
}

#[test]
fn n02_certificates_that_prove_nothing_end_at_once() {
    let file = answer("200 OK", "", b"abc");
    for (name, proof, words) in [
        ("DNS:elsewhere.dev", Proof::Given, "not valid for"),
        // Why a certificate of its own is refused depends on the openssl that made it.
        (
            "IP:127.0.0.1",
            Proof::SelfSigned,
            "invalid peer certificate",
        ),
    ] {
        let server = server!(name, proof, &[("m", &file)], &[]);
        let mut case = Case::new(server.url("m"), b"abc");
        case.certificates = Some(server.authority());
        let done = case.run().ends(20, words);
        let text = done.result.expect_err("failed").to_string();
        assert!(!text.contains("requests"), "one attempt only: {text}");
    }
    // The authority of the test is none of Mozilla's.
    let server = server!("IP:127.0.0.1", Proof::Given, &[("m", &file)], &[]);
    Case::new(server.url("m"), b"abc")
        .run()
        .ends(20, "UnknownIssuer");
}

#[test]
fn n02_a_certificate_that_is_over_and_an_old_protocol_end_at_once() {
    let file = answer("200 OK", "", b"abc");
    let old = ["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"];
    for (proof, further, words) in [
        (Proof::Expired, &[][..], "Expired"),
        (Proof::Given, &old[..], "TLS"),
    ] {
        let server = server!("IP:127.0.0.1", proof, &[("m", &file)], further);
        let mut case = Case::new(server.url("m"), b"abc");
        case.certificates = Some(server.authority());
        let done = case.run().ends(20, words);
        let text = done.result.expect_err("failed").to_string();
        assert!(!text.contains("requests"), "one attempt only: {text}");
    }
}

#[test]
fn n19_a_redirect_never_leads_from_https_to_http() {
    let plain = super::server::Server::start(|request| super::server::good(request, b"abc"));
    let location = format!("Location: {}\r\n", plain.url("/m"));
    let moved = answer("302 Found", &location, b"");
    let server = server!("IP:127.0.0.1", Proof::Given, &[("m", &moved)], &[]);
    let mut case = Case::new(server.url("m"), b"abc");
    case.certificates = Some(server.authority());
    case.run().ends(11, "https as before");
    assert_eq!(plain.requests().len(), 0);
}

#[test]
fn a_file_without_certificates_is_refused() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("ca.pem");
    for text in ["", "nothing of the kind"] {
        std::fs::write(&path, text).expect("written");
        assert!(crate::artifact::trust::tls_config(Some(&path)).is_err());
    }
    assert!(crate::artifact::trust::tls_config(Some(Path::new("/nonexistent"))).is_err());
    assert!(crate::artifact::trust::tls_config(None).is_ok());
}
