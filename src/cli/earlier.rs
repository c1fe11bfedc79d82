//! Findings that outlive a run, one JSON line each in the cache's folder: self-tests, found again by
//! program and machine, and noise floors, found again by comparability key.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::progress::say;
use crate::gate::earlier::{Earlier, FloorFound, SelftestFound};
use crate::record::RunRecord;
use crate::units::Sha256;

/// Name of the file.
const FILE: &str = "earlier.jsonl";

/// Version of its lines; others are passed over.
const SCHEMA_VERSION: u32 = 1;

/// Something found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Found {
    Selftest(SelftestFound),
    NoiseFloor(FloorFound),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    schema_version: u32,
    key: Sha256,
    found: Found,
}

/// Keeps a finding; a cache that cannot be written is no failure.
///
/// * `folder`: of the cache; `None` keeps nothing
pub(super) fn remember(folder: Option<PathBuf>, key: Sha256, found: Found) {
    let Some(folder) = folder else {
        return;
    };
    if let Err(error) = append(&folder, key, found) {
        say(&format!("warning: the result could not be kept: {error}"));
    }
}

/// The newest findings of a run's program, machine and comparability key; `None` of an older record,
/// which tells neither.
pub(super) fn recall(folder: &Path, record: &RunRecord) -> Option<Earlier> {
    let keys = [record.machine_key()?, record.comparability_key()?];
    Some(read(folder, keys))
}

fn append(folder: &Path, key: Sha256, found: Found) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let path = folder.join(FILE);
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    let line = Line {
        schema_version: SCHEMA_VERSION,
        key,
        found,
    };
    let line = serde_json::to_string(&line).map_err(io::Error::other)?;
    // One write, so that lines of runs that end together do not mix, on a line of its own whatever
    // stands there.
    file.write_all(format!("\n{line}\n").as_bytes())
}

fn read(folder: &Path, [machine, comparable]: [Sha256; 2]) -> Earlier {
    let text = fs::read(folder.join(FILE)).unwrap_or_default();
    let mut earlier = Earlier::default();
    // A torn line tells nothing.
    let lines = text.split(|byte| *byte == b'\n');
    let lines = lines.filter_map(|line| serde_json::from_slice::<Line>(line).ok());
    for line in lines.filter(|line| line.schema_version == SCHEMA_VERSION) {
        match line.found {
            Found::Selftest(found) if line.key == machine => earlier.selftest = Some(found),
            Found::NoiseFloor(found) if line.key == comparable => {
                earlier.noise_floor = Some(found);
            }
            Found::Selftest(_) | Found::NoiseFloor(_) => {}
        }
    }
    earlier
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_finding_of_the_same_machine_and_program_is_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let [here, there, nowhere] = [b"a", b"b", b"c"].map(|key| Sha256::of(key));
        let selftest = |n_caught| SelftestFound {
            at: "2026-01-02T03:04:05Z".to_owned(),
            n_caught,
            n_cases: 13,
            missed: Vec::new(),
        };
        for (key, n_caught) in [(here, 12), (here, 13), (there, 1)] {
            append(folder.path(), key, Found::Selftest(selftest(n_caught))).unwrap();
        }
        let floor = FloorFound {
            at: "2026-01-03T03:04:05Z".to_owned(),
            model: "tiny 1.1.0".to_owned(),
            n_launches: 6,
            pairs: 20,
            changes: [("cpu_ms_per_token".to_owned(), [0.0, -0.01, 0.01])].into(),
        };
        let path = folder.path().join(FILE);
        let torn = OpenOptions::new().append(true).open(path).unwrap();
        (&torn).write_all(b"{\"comparability_key\":\"12").unwrap();
        append(folder.path(), here, Found::NoiseFloor(floor.clone())).unwrap();
        let expected = Earlier {
            selftest: Some(selftest(13)),
            noise_floor: Some(floor),
        };
        assert_eq!(read(folder.path(), [here, here]), expected);
        let mixed = read(folder.path(), [there, nowhere]);
        assert_eq!(
            (mixed.selftest, mixed.noise_floor),
            (Some(selftest(1)), None)
        );
        let nothing = Earlier::default();
        assert_eq!(read(folder.path(), [nowhere, there]), nothing);
        assert_eq!(read(&folder.path().join("absent"), [here, here]), nothing);
    }
}
