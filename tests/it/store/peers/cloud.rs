//! Emulators of three object stores: moto, gcp-storage-emulator, azurite.

use std::process::Command;

use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use super::{
    ANYBODY, Missing, Peer, arrives, ends, entity_tag, free_port, model, program, resumes, run,
    wants,
};
use crate::store::{Host, SECRET};

/// A host with a release, and a directory for what a peer says.
struct Lab {
    host: Host,
    dir: tempfile::TempDir,
}

impl Lab {
    fn new() -> Result<Self, Missing> {
        if !cfg!(feature = "cloud") {
            return Err(Missing("built without feature `cloud`".to_owned()));
        }
        let host = Host::new();
        host.installed("1.0.0", "one");
        let dir = tempfile::tempdir().unwrap();
        Ok(Self { host, dir })
    }
}

#[track_caller]
fn put(url: &str, bytes: &[u8]) -> ureq::http::HeaderMap {
    let answer = ureq::put(url)
        .header("authorization", ANYBODY)
        .header("content-type", "application/octet-stream")
        .send(bytes)
        .unwrap();
    answer.headers().clone()
}

pub(super) fn check_s3() -> Result<(), Missing> {
    let lab = Lab::new()?;
    let moto = program("moto_server", "--help")?;
    let port = free_port();
    let mut command = Command::new(moto);
    command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
    let peer = Peer::start(&mut command, port, &lab.dir.path().join("log"));

    put(&peer.url("/models"), b"");
    let versioned = "<VersioningConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Status>Enabled</Status></VersioningConfiguration>";
    put(&peer.url("/models?versioning"), versioned.as_bytes());
    let object = peer.url("/models/v1/model.gguf");
    let version = put(&object, &model(1))["x-amz-version-id"]
        .to_str()
        .unwrap()
        .to_owned();
    put(&object, &model(2));

    let endpoint = peer.url("");
    let environment = [
        ("AWS_ENDPOINT_URL", endpoint.as_str()),
        ("AWS_ACCESS_KEY_ID", "AKIDTEST"),
        ("AWS_SECRET_ACCESS_KEY", SECRET),
        ("AWS_REGION", "us-east-1"),
    ];
    let key = "s3://models/v1/model.gguf";
    // The newest, resumed; then the one before, by its version.
    wants(&lab.host, "1.1.0", key, &model(2));
    resumes(
        &lab.host,
        &environment,
        key,
        &entity_tag(&object),
        &model(2),
    );
    assert!(peer.said().contains(" 206 "), "{}", peer.said());
    wants(
        &lab.host,
        "1.2.0",
        &format!("{key}?versionId={version}"),
        &model(1),
    );
    arrives(&lab.host, &environment, &model(1));

    wants(&lab.host, "1.3.0", "s3://models/gone.gguf", &model(3));
    ends(&lab.host, &environment, 21, "NoSuchKey");
    wants(&lab.host, "1.3.0", "s3://nowhere/model.gguf", &model(3));
    ends(&lab.host, &environment, 21, "NoSuchBucket");
    let gone = format!("{key}?versionId={}", "0".repeat(version.len()));
    wants(&lab.host, "1.3.0", &gone, &model(3));
    ends(&lab.host, &environment, 21, "status 4");
    wants(&lab.host, "1.3.0", key, &model(3));
    ends(&lab.host, &environment, 23, "expected");
    Ok(())
}

pub(super) fn check_google() -> Result<(), Missing> {
    let lab = Lab::new()?;
    let emulator = program("gcp-storage-emulator", "--help")?;
    let port = free_port();
    let mut command = Command::new(emulator);
    command.args(["start", "--host", "127.0.0.1", "--port", &port.to_string()]);
    command.args(["--in-memory", "--default-bucket", "models"]);
    let peer = Peer::start(&mut command, port, &lab.dir.path().join("log"));

    let upload = peer.url("/upload/storage/v1/b/models/o?uploadType=media&name=v1/model.gguf");
    ureq::post(&upload).send(model(1)).unwrap();
    let base = peer.url("");
    let environment = [
        ("GOOGLE_BASE_URL", base.as_str()),
        ("GOOGLE_BEARER_TOKEN", SECRET),
    ];
    wants(&lab.host, "1.1.0", "gs://models/v1/model.gguf", &model(1));
    arrives(&lab.host, &environment, &model(1));
    wants(&lab.host, "1.2.0", "gs://models/gone.gguf", &model(2));
    ends(&lab.host, &environment, 21, "status 404");
    wants(&lab.host, "1.2.0", "gs://models/v1/model.gguf", &model(2));
    ends(&lab.host, &environment, 23, "expected");
    Ok(())
}

/// Account and key of every emulator of Azure Blob Storage, as its documentation has them.
const ACCOUNT: &str = "devstoreaccount1";
const KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

pub(super) fn check_azure() -> Result<(), Missing> {
    let lab = Lab::new()?;
    let azurite = program("azurite-blob", "--version")?;
    let port = free_port();
    let mut command = Command::new(azurite);
    command.current_dir(lab.dir.path());
    command.args([
        "--inMemoryPersistence",
        "--silent",
        "--disableTelemetry",
        "--skipApiVersionCheck",
    ]);
    command.args(["--blobHost", "127.0.0.1", "--blobPort", &port.to_string()]);
    let peer = Peer::start(&mut command, port, &lab.dir.path().join("log"));

    put_signed(&peer, "/models", Some("container"), b"");
    let tag = put_signed(&peer, "/models/v1/model.gguf", None, &model(1))["etag"]
        .to_str()
        .unwrap()
        .to_owned();
    let endpoint = peer.url(&format!("/{ACCOUNT}"));
    let environment = |key: &'static str| {
        [
            ("AZURE_STORAGE_ENDPOINT", endpoint.as_str()),
            ("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT),
            ("AZURE_STORAGE_ACCOUNT_KEY", key),
        ]
    };
    let key = "az://models/v1/model.gguf";
    wants(&lab.host, "1.1.0", key, &model(1));
    // This one verifies signatures.
    let other = "dG9wc2VjcmV0dG9wc2VjcmV0dG9wc2VjcmV0dG9wc2U=";
    ends(&lab.host, &environment(other), 21, "status 403");
    resumes(&lab.host, &environment(KEY), key, &tag, &model(1));
    wants(&lab.host, "1.2.0", "az://models/gone.gguf", &model(2));
    ends(&lab.host, &environment(KEY), 21, "BlobNotFound");
    wants(&lab.host, "1.2.0", "az://nowhere/m.gguf", &model(2));
    ends(&lab.host, &environment(KEY), 21, "ContainerNotFound");
    wants(&lab.host, "1.2.0", key, &model(2));
    ends(&lab.host, &environment(KEY), 23, "expected");
    Ok(())
}

/// Makes a container or a blob, signed as the service documents it.
///
/// Source: Microsoft, "Authorize with Shared Key".
#[track_caller]
fn put_signed(
    peer: &Peer,
    path: &str,
    restype: Option<&str>,
    bytes: &[u8],
) -> ureq::http::HeaderMap {
    let date = run(Command::new("date")
        .env("LC_ALL", "C")
        .args(["-u", "+%a, %d %b %Y %H:%M:%S GMT"]));
    let date = date.trim();
    let length = match bytes.len() {
        0 => String::new(),
        n => n.to_string(),
    };
    let query = restype.map_or(String::new(), |it| format!("\nrestype:{it}"));
    let text = format!(
        "PUT\n\n\n{length}\n\napplication/octet-stream\n\n\n\n\n\n\n\
         x-ms-blob-type:BlockBlob\nx-ms-date:{date}\nx-ms-version:2021-08-06\n\
         /{ACCOUNT}/{ACCOUNT}{path}{query}"
    );
    let mut mac = Hmac::<Sha256>::new_from_slice(&decoded(KEY)).unwrap();
    mac.update(text.as_bytes());
    let signature = encoded(&mac.finalize().into_bytes());
    let query = restype.map_or(String::new(), |it| format!("?restype={it}"));
    let answer = ureq::put(peer.url(&format!("/{ACCOUNT}{path}{query}")))
        .header("x-ms-blob-type", "BlockBlob")
        .header("x-ms-date", date)
        .header("x-ms-version", "2021-08-06")
        .header("content-type", "application/octet-stream")
        .header("authorization", format!("SharedKey {ACCOUNT}:{signature}"))
        .send(bytes)
        .unwrap();
    answer.headers().clone()
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Base64, RFC 4648, section 4.
fn decoded(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b'=').collect();
    let mut out = Vec::new();
    for four in digits.chunks(4) {
        let value = |digit: &u8| ALPHABET.iter().position(|it| it == digit).unwrap();
        let bits = four.iter().fold(0, |bits, digit| bits << 6 | value(digit));
        let bits = u32::try_from(bits << (6 * (4 - four.len()))).unwrap();
        out.extend(&bits.to_be_bytes()[1..four.len()]);
    }
    out
}

fn encoded(bytes: &[u8]) -> String {
    let mut out = String::new();
    for three in bytes.chunks(3) {
        let mut padded = [0; 3];
        padded[..three.len()].copy_from_slice(three);
        let bits = u32::from_be_bytes([0, padded[0], padded[1], padded[2]]);
        for i in 0..4 {
            let digit = ALPHABET[(bits >> (18 - 6 * i) & 63) as usize];
            out.push(if i <= three.len() {
                char::from(digit)
            } else {
                '='
            });
        }
    }
    out
}
