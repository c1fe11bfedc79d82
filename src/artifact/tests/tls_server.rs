//! Servers that speak TLS, rightly and wrongly: `openssl s_server` on loopback. For tests only.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// What a server proves itself with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    /// A certificate the authority gave.
    Given,
    /// One that only signs itself.
    SelfSigned,
    /// One the authority gave, whose time is over.
    Expired,
}

/// A certificate authority, a certificate of it for one name, and a server that shows it.
pub(crate) struct TlsServer {
    dir: TempDir,
    child: Child,
    port: u16,
}

impl TlsServer {
    /// Serves `files`, whole answers with their status and headers, under a certificate for `name`
    /// of one kind; `None` without `openssl`.
    ///
    /// * `further`: arguments of `openssl s_server`
    pub(crate) fn start(
        name: &str,
        proof: Proof,
        files: &[(&str, &[u8])],
        further: &[&str],
    ) -> Option<Self> {
        let dir = tempfile::tempdir().expect("a temporary directory");
        for (path, bytes) in files {
            std::fs::write(dir.path().join(path), bytes).expect("written");
        }
        make_certificates(dir.path(), name, proof)?;
        let mut child = Command::new("openssl")
            .current_dir(dir.path())
            .args([
                "s_server",
                "-accept",
                "127.0.0.1:0",
                "-HTTP",
                "-key",
                "key.pem",
                "-cert",
                "cert.pem",
            ])
            .args(further)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        // It prints the port it was given: `ACCEPT 127.0.0.1:40123`.
        let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut lines = stdout.lines().map_while(Result::ok);
        let accept = lines.find(|line| line.starts_with("ACCEPT ") && !line.ends_with(":0"));
        let port = accept.and_then(|line| line.rsplit(':').next()?.parse().ok());
        // Whatever else it prints has to go somewhere.
        std::thread::spawn(move || lines.for_each(drop));
        let Some(port) = port else {
            let _ = child.kill();
            panic!("openssl s_server names no port");
        };
        Some(Self { dir, child, port })
    }

    /// The URL of a file.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://127.0.0.1:{}/{path}", self.port)
    }

    /// The certificate of the authority.
    pub(crate) fn authority(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `ca.pem`, `cert.pem` and `key.pem` in a directory; `None` without `openssl`.
pub(crate) fn make_certificates(dir: &Path, name: &str, proof: Proof) -> Option<()> {
    let openssl = |arguments: &[&str]| {
        let output = Command::new("openssl")
            .current_dir(dir)
            .args(arguments)
            .output()
            .ok()?;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
        Some(())
    };
    let new = [
        "req",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-sha256",
    ];
    let names = format!("subjectAltName={name}");
    let of = |further: &[&str]| openssl(&[&new[..], further].concat());
    of(&[
        "-x509",
        "-days",
        "2",
        "-subj",
        "/CN=test authority",
        "-keyout",
        "ca.key",
        "-out",
        "ca.pem",
    ])?;
    if proof == Proof::SelfSigned {
        let further = [
            "-x509", "-days", "2", "-subj", "/CN=self", "-addext", &names,
        ];
        return of(&[&further[..], &["-keyout", "key.pem", "-out", "cert.pem"]].concat());
    }
    of(&[
        "-subj",
        "/CN=server",
        "-keyout",
        "key.pem",
        "-out",
        "request.pem",
    ])?;
    std::fs::write(dir.join("names"), names).expect("written");
    let days = if proof == Proof::Expired { "-1" } else { "2" };
    openssl(&[
        "x509",
        "-req",
        "-in",
        "request.pem",
        "-CA",
        "ca.pem",
        "-CAkey",
        "ca.key",
        "-CAcreateserial",
        "-days",
        days,
        "-sha256",
        "-extfile",
        "names",
        "-out",
        "cert.pem",
    ])
}

/// A whole answer, as a file the server has.
pub(crate) fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{headers}\r\n");
    [head.into_bytes(), body.to_vec()].concat()
}
