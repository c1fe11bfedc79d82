//! The program dies, the disk fails or the power goes at every moment of what changes a store.
//!
//! Each [`Scene`] is one run of the program over a store it finds in a known state. A run is first
//! recorded under `strace`; then it is cut short at one call after the other, and each time
//! [`Scene::survives`] looks at what is left and [`Scene::converges`] lets the next run finish.

mod disk;
mod errors;
mod invariants;
mod kills;
mod model;
mod power;
mod replay;
mod trace;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::server::{Answer, Server};
use super::{Host, artifact, gguf, manifest};

/// Version of the plain directory an earlier installer left.
const PLAIN: &str = "0.9.0";

/// What a run of the program does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scene {
    /// The first installation.
    First,
    /// A confirmed release is replaced.
    Upgrade,
    /// As [`Scene::Upgrade`], from a web server.
    Download,
    /// A plain directory of an earlier installer is taken over.
    Migration,
    /// Back to the confirmed release.
    Rollback,
    /// Two of four generations are deleted.
    Collection,
}

impl Scene {
    const ALL: [Self; 6] = [
        Self::First,
        Self::Upgrade,
        Self::Download,
        Self::Migration,
        Self::Rollback,
        Self::Collection,
    ];

    /// The command that is cut short, and its further arguments.
    fn command(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Self::First | Self::Upgrade | Self::Download | Self::Migration => {
                ("install", &["--smoke", "none", "--retries", "0"])
            }
            Self::Rollback => ("rollback", &["--to", "1"]),
            Self::Collection => ("gc", COLLECT),
        }
    }

    /// Version that is current before it; `None` where no model is installed.
    fn before(self) -> Option<&'static str> {
        match self {
            Self::First => None,
            Self::Upgrade | Self::Download => Some("1.0.0"),
            Self::Migration => Some(PLAIN),
            Self::Rollback => Some("1.1.0"),
            Self::Collection => Some("1.3.0"),
        }
    }

    /// Version that is current after it.
    fn after(self) -> &'static str {
        match self {
            Self::First | Self::Upgrade | Self::Download | Self::Migration => "1.1.0",
            Self::Rollback => "1.0.0",
            Self::Collection => "1.3.0",
        }
    }

    /// Generations that must be whole whatever happens, with their versions.
    fn kept(self) -> &'static [(u64, &'static str)] {
        match self {
            Self::First | Self::Migration => &[],
            Self::Upgrade | Self::Download => &[(1, "1.0.0")],
            Self::Rollback => &[(1, "1.0.0"), (2, "1.1.0")],
            Self::Collection => &[(1, "1.0.0"), (4, "1.3.0")],
        }
    }

    /// How many generations are left when everything that may go went.
    fn n_left(self) -> usize {
        if self == Self::First { 1 } else { 2 }
    }

    /// Makes a host the way it is just before.
    fn prepare(self, host: &Host, server: Option<&Server>) {
        let install = |version| {
            publish(host, version, None);
            done(host, "install", &["--smoke", "none"]);
        };
        match self {
            Self::First => {}
            Self::Upgrade | Self::Download | Self::Rollback | Self::Collection => {
                install("1.0.0");
                done(host, "verify", &["--mark", "good"]);
            }
            Self::Migration => {
                for (path, bytes) in files(PLAIN) {
                    let path = host.path("models/bitnet").join(path);
                    fs::create_dir_all(path.parent().unwrap()).unwrap();
                    fs::write(path, bytes).unwrap();
                }
                let info = format!(
                    r#"{{"version":"{PLAIN}","model_name":"bitnet","artifact_file":"o.tar.gz"}}"#
                );
                fs::write(host.path("models/.current_model_info.json"), info).unwrap();
            }
        }
        match self {
            Self::First | Self::Upgrade | Self::Download | Self::Migration => {
                publish(host, "1.1.0", server);
            }
            Self::Rollback => install("1.1.0"),
            Self::Collection => ["1.1.0", "1.2.0", "1.3.0"].into_iter().for_each(install),
        }
    }

    /// Invariants I1, I2, I3 and I5 on whatever is there. Gives the version a reader finds.
    fn survives(self, host: &Host) -> Result<Option<String>, String> {
        let found = invariants::check(host)?;
        let found = found.as_deref();
        if found != self.before() && found != Some(self.after()) {
            return Err(format!("a reader finds {found:?}"));
        }
        for (number, version) in self.kept() {
            invariants::check_generation(host, *number, version)?;
        }
        Ok(found.map(str::to_owned))
    }

    /// I4: the next run ends where one that nothing disturbed would have, and nothing is left over.
    #[track_caller]
    fn converges(self, host: &Host, at: &str) {
        let (command, further) = self.command();
        let ran = host.model(command, further);
        assert_eq!(ran.code, 0, "{at}: {}{}", ran.stdout, ran.stderr);
        let found = self.survives(host).unwrap_or_else(|e| panic!("{at}: {e}"));
        assert_eq!(found.as_deref(), Some(self.after()), "{at}");
        let ran = host.model("gc", COLLECT);
        assert_eq!(ran.code, 0, "{at}: {}{}", ran.stdout, ran.stderr);
        let found = self.survives(host).unwrap_or_else(|e| panic!("{at}: {e}"));
        assert_eq!(found.as_deref(), Some(self.after()), "{at}");
        invariants::check_tidy(host, self.n_left()).unwrap_or_else(|e| panic!("{at}: {e}"));
        let ran = host.model("doctor", &[]);
        assert_eq!(ran.code, 0, "{at}: {}{}", ran.stdout, ran.stderr);
    }
}

/// Deletes whatever may be deleted.
const COLLECT: &[&str] = &["--keep", "1", "--grace", "0"];

/// A host just before a scene, to be copied.
struct Stage {
    scene: Scene,
    host: Host,
    server: Option<Server>,
}

impl Stage {
    fn new(scene: Scene) -> Self {
        let server = (scene == Scene::Download)
            .then(|| Server::new([(ARCHIVE, Answer::ok(&archive(scene.after())))]));
        let host = Host::new();
        scene.prepare(&host, server.as_ref());
        Self {
            scene,
            host,
            server,
        }
    }

    /// The same host on another file system.
    fn on(&self, directory: &Path) -> Host {
        let host = Host::new_in(directory);
        self.scene.prepare(&host, self.server.as_ref());
        host
    }

    /// A host of its own.
    fn copy(&self) -> Host {
        let copy = Host::bare();
        let copied = Command::new("cp")
            .arg("-a")
            .arg(self.host.root().join("."))
            .arg(copy.root())
            .status();
        assert!(copied.unwrap().success(), "the host could not be copied");
        copy
    }
}

/// Where the web server has the archive.
const ARCHIVE: &str = "/m.tar.gz";

/// The files of a release, below its target.
fn files(version: &str) -> BTreeMap<String, Vec<u8>> {
    let model = if version == PLAIN {
        ("weights.bin", b"old weights".to_vec())
    } else {
        ("model.gguf", gguf(version))
    };
    let note = ("sub/README.md", version.as_bytes().to_vec());
    [model, note]
        .map(|(path, bytes)| (path.to_owned(), bytes))
        .into()
}

/// A release as an archive; the same bytes each time.
fn archive(version: &str) -> Vec<u8> {
    let encoder = GzEncoder::new(Vec::new(), Compression::default());
    let mut tar = tar::Builder::new(encoder);
    for (path, bytes) in files(version) {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(1);
        tar.append_data(&mut header, path, bytes.as_slice())
            .unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}

/// Makes the manifest name a release.
fn publish(host: &Host, version: &str, server: Option<&Server>) {
    let bytes = archive(version);
    let url = if let Some(server) = server {
        server.url(ARCHIVE)
    } else {
        let name = format!("{version}.tar.gz");
        fs::write(host.path("repo").join(&name), &bytes).unwrap();
        format!("repo:{name}")
    };
    host.set_manifest(manifest(version, &[artifact("m.tar.gz", &url, &bytes)]));
}

/// Runs a command that must succeed.
#[track_caller]
fn done(host: &Host, command: &str, further: &[&str]) {
    let ran = host.model(command, further);
    assert_eq!(ran.code, 0, "{command}: {}{}", ran.stdout, ran.stderr);
}
