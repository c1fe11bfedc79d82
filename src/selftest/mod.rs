//! Proves that the gate can fail: known harms go through the whole program and must be caught.
//!
//! In: this program's file, the reference models, a scene set. Out: one [`Proof`] per case. Every
//! case is a `compare` of its own, started through a shell as a CI job would, so that a lost exit
//! code shows too. Judges nothing itself: it compares exit code and reasons with the table.

pub mod cases;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::gate::file::ReportFile;
use crate::units::Sha256;
use cases::{Case, Plant};

/// A case that takes longer hangs, which is a finding of its own.
const TIME_LIMIT: Duration = Duration::from_secs(1200);

/// What a self-test needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subjects {
    /// The program to prove: this one.
    pub program: PathBuf,
    /// Folder of the reference models.
    pub models: PathBuf,
    /// Directory of the scene set.
    pub scenes: PathBuf,
    /// Where the cases work; each gets a folder of its name.
    pub work: PathBuf,
}

/// How one case ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// Its name.
    pub case: &'static str,
    /// Whether the gate did what it had to.
    pub result: Result<(), String>,
    /// How long it took.
    pub took: Duration,
    /// Key of the program and the machine in its report; `None` without one.
    pub machine_key: Option<Sha256>,
}

/// Runs one case.
pub fn prove(case: &Case, subjects: &Subjects) -> Proof {
    let begun = Instant::now();
    let mut said = Said::default();
    let result = try_to_prove(case, subjects, &mut said);
    Proof {
        case: case.name,
        result,
        took: begun.elapsed(),
        machine_key: said
            .report
            .and_then(|report| report.evidence?.baseline_record.machine_key()),
    }
}

fn try_to_prove(case: &Case, subjects: &Subjects, said: &mut Said) -> Result<(), String> {
    let folder = subjects.work.join(case.name);
    let candidate = prepare(case, subjects, &folder)?;
    let child = command(case, subjects, &folder, &candidate)?
        .spawn()
        .map_err(|error| format!("cannot start a shell: {error}"))?;
    let code = wait(child).map_err(|error| format!("lost the run: {error}"))?;
    let code = code.ok_or_else(|| {
        let minutes = TIME_LIMIT.as_secs() / 60;
        format!("no end within {minutes} minutes, or ended by a signal")
    })?;
    *said = Said::read(&folder);
    examine(case, code, said)
}

/// Makes the folder of a case with its policy; gives the candidate's directory.
fn prepare(case: &Case, subjects: &Subjects, folder: &Path) -> Result<PathBuf, String> {
    let failed = |error: io::Error| format!("cannot prepare {}: {error}", folder.display());
    for model in [case.baseline, case.candidate] {
        let path = subjects.models.join(model);
        if !path.is_dir() {
            return Err(format!("not run: there is no model {}", path.display()));
        }
    }
    if folder.exists() {
        if !folder.join("gate.toml").is_file() {
            return Err(format!(
                "{} is not of an earlier self-test",
                folder.display()
            ));
        }
        fs::remove_dir_all(folder).map_err(failed)?;
    }
    fs::create_dir_all(folder).map_err(failed)?;
    fs::write(folder.join("gate.toml"), case.rules.policy()).map_err(failed)?;
    let candidate = subjects.models.join(case.candidate);
    match case.plant {
        Plant::Nothing | Plant::Harm(..) => Ok(candidate),
        Plant::FlippedBit => {
            let copy = folder.join("candidate");
            flipped(&candidate, &copy).map_err(failed)?;
            Ok(copy)
        }
    }
}

/// Copies a model's files and flips one bit in the middle of the largest.
fn flipped(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    let mut largest = (0, PathBuf::new());
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let copy = to.join(entry.file_name());
        let length = fs::copy(entry.path(), &copy)?;
        if length > largest.0 {
            largest = (length, copy);
        }
    }
    let mut bytes = fs::read(&largest.1)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&largest.1, bytes)
}

fn command(
    case: &Case,
    subjects: &Subjects,
    folder: &Path,
    candidate: &Path,
) -> Result<Command, String> {
    let output = |name: &str| {
        fs::File::create(folder.join(name))
            .map_err(|error| format!("cannot write to {}: {error}", folder.display()))
    };
    let mut command = Command::new("/bin/sh");
    // As a step of a CI job: the shell's exit code is all that counts.
    command
        .args(["-ec", "\"$@\"", "selftest"])
        .arg(&subjects.program)
        .arg("compare")
        .arg(subjects.models.join(case.baseline))
        .arg(candidate)
        .arg("--policy")
        .arg(folder.join("gate.toml"))
        .arg("--scenes")
        .arg(&subjects.scenes)
        .arg("--out")
        .arg(folder.join("out"))
        .args(["--no-cache", "--quiet"])
        .stdin(Stdio::null())
        .stdout(output("stdout")?)
        .stderr(output("stderr")?);
    match case.plant {
        Plant::Harm(role, harm) => {
            command.arg("--plant").arg(format!("{role}={harm}"));
            command.arg("--judge-scripted");
        }
        // The same files twice would pass without a run.
        Plant::Nothing if case.baseline == case.candidate => {
            command.arg("--force-run");
        }
        Plant::Nothing | Plant::FlippedBit => {}
    }
    Ok(command)
}

/// Waits for a run; `None` when a signal ended it or its time was up.
fn wait(mut child: Child) -> io::Result<Option<i32>> {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.code());
        }
        if begun.elapsed() > TIME_LIMIT {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        // Rarely, and outside the measured processes.
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// What a run left behind.
#[derive(Default)]
struct Said {
    /// The report, when there is one.
    report: Option<ReportFile>,
    stderr: String,
}

impl Said {
    fn read(folder: &Path) -> Self {
        let report = fs::read(folder.join("out/report.json")).ok();
        Self {
            report: report.and_then(|bytes| serde_json::from_slice(&bytes).ok()),
            stderr: fs::read_to_string(folder.join("stderr")).unwrap_or_default(),
        }
    }
}

/// Compares a run with what the table demands.
fn examine(case: &Case, code: i32, said: &Said) -> Result<(), String> {
    let reasons = match &said.report {
        Some(report) => report.verdict.reasons.join("; "),
        None => said.stderr.trim().replace('\n', "; "),
    };
    if !case.codes.contains(&code) {
        let expected: Vec<String> = case.codes.iter().map(ToString::to_string).collect();
        return Err(format!(
            "exit code {code} instead of {}: {reasons}",
            expected.join(" or ")
        ));
    }
    let is_named =
        case.reasons.is_empty() || case.reasons.iter().any(|word| starts_word(&reasons, word));
    if !is_named {
        return Err(format!(
            "exit code {code}, but for another reason than {}: {reasons}",
            case.reasons.join(", ")
        ));
    }
    let planted = matches!(case.plant, Plant::Harm(..));
    match &said.report {
        Some(report) if planted && report.verdict.counts => {
            Err("a verdict on a planted harm counts".to_owned())
        }
        None if matches!(case.plant, Plant::FlippedBit) => Ok(()),
        None => Err("no report was written".to_owned()),
        Some(_) if matches!(case.plant, Plant::FlippedBit) => {
            Err("files with a wrong digest were run".to_owned())
        }
        Some(_) => Ok(()),
    }
}

/// Whether `word` stands in `text` at the beginning of a word: `valid` is not said by `invalid`.
fn starts_word(text: &str, word: &str) -> bool {
    let mut places = text.match_indices(word);
    places.any(|(at, _)| !text[..at].ends_with(char::is_alphanumeric))
}

#[cfg(test)]
mod tests;
