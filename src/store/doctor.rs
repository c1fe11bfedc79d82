//! Looks for everything that is wrong with a store, and repairs what can be proved.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::flip::Flip;
use super::journal::Event;
use super::layout::{Current, INFO_FILE, Layout, VERSION_FILE, kind_of};
use super::ledger::Ledger;
use super::links::{self, Place};
use super::lock::Lock;
use super::record::Record;
use super::recover::{self, Recovered};
use super::verify::{self, Depth};
use super::{Error, compose, disk, install};
use crate::durable::{self, shown};

/// Something that is wrong, or was.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// Where, escaped.
    pub path: String,
    /// What is wrong, in words.
    pub problem: String,
    /// What to do about it.
    pub advice: String,
    /// Whether the store itself is damaged.
    pub is_damage: bool,
    /// Whether it was put right.
    pub is_repaired: bool,
}

/// What a doctor is asked to do.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// A compose file to look at as well.
    pub compose: Option<PathBuf>,
    /// Whether to put right what can be proved.
    pub repairs: bool,
    /// How long a busy store is waited for when repairing.
    pub wait: Duration,
}

/// Looks at a store from all sides.
///
/// # Errors
/// What keeps the store from being looked at; what is wrong with it is a [`Finding`].
pub fn examine(layout: &Layout, request: &Request) -> Result<Vec<Finding>, Error> {
    let mut findings = Vec::new();
    if let Some(path) = &request.compose {
        compose_findings(path, &mut findings)?;
    }
    if let Err(error) = layout.check_format() {
        findings.push(finding(
            &layout.root(),
            error.to_string(),
            "use the vv-eval that made it",
            true,
        ));
        return Ok(findings);
    }
    if !disk::exists(&layout.root())? {
        return Ok(findings);
    }
    if let Err(error) = layout.check_file_system() {
        let advice = "move the models directory to a local file system";
        findings.push(finding(layout.models(), error.to_string(), advice, true));
    }
    lock_findings(layout, &mut findings);
    let mut search = Search {
        layout,
        findings,
        recovered: None,
    };
    let _lock = if request.repairs {
        let lock = Lock::take(layout, request.wait)?;
        search.recovered = Some(recover::recover(layout)?);
        Some(lock)
    } else {
        None
    };
    search.all()?;
    Ok(search.findings)
}

fn finding(path: &Path, problem: String, advice: &str, is_damage: bool) -> Finding {
    Finding {
        path: shown(path),
        problem,
        advice: advice.to_owned(),
        is_damage,
        is_repaired: false,
    }
}

fn compose_findings(path: &Path, findings: &mut Vec<Finding>) -> Result<(), Error> {
    let text = fs::read_to_string(path).map_err(|source| Error::unreadable(path, source))?;
    for mount in compose::mounts(&text) {
        let at = format!("line {}: {}", mount.line, mount.path.escape_debug());
        if mount.is_leaf() {
            let problem = format!("{at} is mounted alone and will never see another generation");
            findings.push(finding(
                path,
                problem,
                "mount the whole directory: ./models:/app/models:ro",
                false,
            ));
        } else if mount.is_writable {
            let problem = format!("{at} is mounted for writing");
            findings.push(finding(
                path,
                problem,
                "add `:ro`: nothing inside the container may change the store",
                false,
            ));
        }
    }
    Ok(())
}

fn lock_findings(layout: &Layout, findings: &mut Vec<Finding>) {
    let path = layout.lock();
    if let Ok(found) = fs::symlink_metadata(&path)
        && !found.is_file()
    {
        let problem = format!("it is {}, not a regular file", kind_of(&found));
        findings.push(finding(
            &path,
            problem,
            "remove it; the next command makes it again",
            true,
        ));
    }
}

struct Search<'a> {
    layout: &'a Layout,
    findings: Vec<Finding>,
    /// Only while repairing, under the lock.
    recovered: Option<Recovered>,
}

impl Search<'_> {
    fn all(&mut self) -> Result<(), Error> {
        let ledger = Ledger::read(self.layout)?;
        self.journal(&ledger);
        let current = self.current(&ledger)?;
        self.leftovers(&ledger);
        if let Some(current) = current {
            let ledger = Ledger::read(self.layout)?;
            self.generations(&ledger, current)?;
            if let Ok((record, _)) = Record::read(&self.layout.generation(current)) {
                self.links(&record)?;
                self.flag(&record)?;
            }
        }
        Ok(())
    }

    fn journal(&mut self, ledger: &Ledger) {
        let path = self.layout.journal();
        if ledger.tail.n_broken > 0 {
            let lines: Vec<String> = ledger.tail.broken.iter().map(ToString::to_string).collect();
            let problem = format!(
                "{} lines do not follow from the ones before ({})",
                ledger.tail.n_broken,
                lines.join(", ")
            );
            let advice = "someone edited it: compare with a backup; installations go on";
            self.findings.push(finding(&path, problem, advice, true));
        }
        if ledger.tail.is_torn {
            let advice = "nothing: the next command that writes drops it";
            self.findings.push(finding(
                &path,
                "its last line is torn".into(),
                advice,
                false,
            ));
        }
    }

    /// The current generation, after going back to the last good one where that is asked for.
    fn current(&mut self, ledger: &Ledger) -> Result<Option<u64>, Error> {
        let found = match self.layout.read_current()? {
            Current::Absent if !is_lost(self.layout, ledger)? => return Ok(None),
            Current::Absent => "missing".to_owned(),
            Current::Generation(number) => {
                if ledger.believed != Some(number) && ledger.intent.is_none() {
                    let problem = format!(
                        "it names generation {number}, the journal {}",
                        ledger.believed.map_or("none".into(), |it| it.to_string())
                    );
                    let advice =
                        "someone changed it by hand; vv-eval model rollback --to N says it to both";
                    self.findings
                        .push(finding(&self.layout.current(), problem, advice, false));
                }
                return Ok(Some(number));
            }
            Current::Broken { found } => found,
        };
        let advice = "vv-eval model doctor --repair returns to the last good generation";
        let mut broken = finding(
            &self.layout.current(),
            format!("it is {found}"),
            advice,
            true,
        );
        let number = self.repair_current(ledger)?;
        if let Some(number) = number {
            broken.is_repaired = true;
            broken.advice = format!("generation {number} is current again");
        }
        self.findings.push(broken);
        Ok(number)
    }

    /// Makes the generation the journal believes in, or else the last good one, current again.
    fn repair_current(&mut self, ledger: &Ledger) -> Result<Option<u64>, Error> {
        let Some(recovered) = &mut self.recovered else {
            return Ok(None);
        };
        let on_disk = self.layout.generation_numbers()?;
        let believed = ledger.believed.filter(|it| on_disk.contains(it));
        let last_good = ledger.last_good(ledger.believed, &on_disk);
        for number in [believed, last_good].into_iter().flatten() {
            let examined = install::examine(self.layout, ledger, number, Depth::Full)?;
            if let (Some(record), Some(record_sha256)) = (examined.sound(), examined.record_sha256)
            {
                let path = self.layout.current();
                if fs::symlink_metadata(&path).is_ok_and(|found| found.is_dir()) {
                    return Ok(None);
                }
                let flip = Flip {
                    layout: self.layout,
                    record,
                    record_sha256,
                    event: Event::Rollback,
                    manifest: None,
                    reason: Some("repair of a broken current".into()),
                };
                flip.commit(&mut recovered.journal)?;
                flip.follow(&mut recovered.journal)?;
                recover::sweep(self.layout)?;
                return Ok(Some(number));
            }
        }
        Ok(None)
    }

    fn leftovers(&mut self, ledger: &Ledger) {
        let n = fs::read_dir(self.layout.staging()).map_or(0, Iterator::count);
        if n > 0 && self.recovered.is_none() {
            let problem =
                format!("{n} leftovers of a run that was cut short, or of one that runs now");
            let advice = "nothing: the next command that writes removes them";
            self.findings
                .push(finding(&self.layout.staging(), problem, advice, false));
        }
        if let Some(intent) = &ledger.intent {
            let problem = format!(
                "a change to generation {} was not closed",
                intent.generation
            );
            let advice = "nothing: the next command that writes closes it";
            self.findings
                .push(finding(&self.layout.journal(), problem, advice, false));
        }
    }

    fn generations(&mut self, ledger: &Ledger, current: u64) -> Result<(), Error> {
        for number in self.layout.generation_numbers()? {
            let examined = install::examine(self.layout, ledger, number, Depth::Full)?;
            let directory = self.layout.generation(number);
            if examined.is_unread() {
                return Err(verify::damaged(self.layout, number, &examined.damages));
            }
            let is_files_sound = examined.files_sound().is_some();
            for damage in examined.damages {
                let path = directory.join(&damage.path);
                let advice = if number == current {
                    "vv-eval model install puts a new generation in its place"
                } else {
                    "do not roll back to it; vv-eval model gc removes it in time"
                };
                let mut found = finding(&path, damage.problem, advice, number == current);
                // The bytes are the recorded ones, so the recorded permissions are right for them.
                if damage.is_mode_only && is_files_sound && self.recovered.is_some() {
                    repair_mode(&directory, &damage.path)?;
                    found.is_repaired = true;
                    "its permissions are as recorded again".clone_into(&mut found.advice);
                }
                self.findings.push(found);
            }
        }
        Ok(())
    }

    fn links(&mut self, record: &Record) -> Result<(), Error> {
        let targets = record.targets.iter().map(|target| target.name.as_str());
        for name in targets.chain([INFO_FILE, VERSION_FILE]) {
            let place = if name == INFO_FILE || name == VERSION_FILE {
                links::record_place(self.layout, name)?
            } else {
                links::target_place(self.layout, name)?
            };
            let (problem, is_replaced) = match place {
                Place::Linked => continue,
                Place::Free => ("the link of the store is missing".to_owned(), true),
                Place::Plain => (
                    "something plain stands where a link of the store belongs".to_owned(),
                    false,
                ),
                // A link that leads nowhere serves nobody, so nothing is lost with it.
                Place::Foreign { found, is_dangling } => (
                    format!("{found} stands where a link of the store belongs"),
                    is_dangling,
                ),
            };
            let path = self.layout.public(name);
            let advice = if is_replaced {
                "vv-eval model doctor --repair puts it back"
            } else {
                "look at it, move it away, and run vv-eval model doctor --repair"
            };
            let mut found = finding(&path, problem, advice, !is_replaced);
            if is_replaced && self.recovered.is_some() {
                let temporary = self.layout.temporary("link")?;
                durable::replace_link(&path, &temporary, &links::link_text(name))?;
                recover::sweep(self.layout)?;
                found.is_repaired = true;
                "the link is back".clone_into(&mut found.advice);
            }
            self.findings.push(found);
        }
        Ok(())
    }

    fn flag(&mut self, record: &Record) -> Result<(), Error> {
        let path = self.layout.flag();
        let wanted = super::record::flag_bytes(record.generation, record.release_digest);
        match fs::read(&path) {
            Ok(found) if found == wanted => return Ok(()),
            Err(source) if disk::is_silent(&source) => {
                return Err(Error::unreadable(&path, source));
            }
            _ => {}
        }
        let problem = "it does not name the current generation".to_owned();
        let advice = "vv-eval model doctor --repair brings it up";
        let mut found = finding(&path, problem, advice, false);
        if self.recovered.is_some() {
            found.is_repaired = links::set_flag(self.layout, record)?;
            recover::sweep(self.layout)?;
        }
        self.findings.push(found);
        Ok(())
    }
}

/// Whether the journal believes in a generation, so that a missing `current` is damage. It is none
/// when a migration was cut short just before it set `current`: the plain directory serves.
fn is_lost(layout: &Layout, ledger: &Ledger) -> Result<bool, Error> {
    let Some(believed) = ledger.believed else {
        return Ok(false);
    };
    let Ok((record, _)) = Record::read(&layout.generation(believed)) else {
        return Ok(true);
    };
    for target in &record.targets {
        if links::target_place(layout, &target.name)? == Place::Plain {
            return Ok(false);
        }
    }
    Ok(true)
}

fn repair_mode(generation: &Path, below: &str) -> Result<(), Error> {
    use super::layout::{DIRECTORY_MODE, FILE_MODE, OWN_MODE};
    let path = generation.join(below);
    let mode = match () {
        () if below == "." => OWN_MODE,
        () if path.is_dir() => DIRECTORY_MODE,
        () => FILE_MODE,
    };
    Ok(durable::set_mode(&path, mode)?)
}
