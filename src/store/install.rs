//! Installs what a manifest wants, step by step; one rename is the commit.
//!
//! Everything before the flip writes only into places `current` does not reach. The steps S0 to S16
//! are those of docs/store.md.

use std::path::Path;
use std::time::Duration;

use super::decide::{Decided, Means, decide};
use super::gc::{self, Collected, Keep};
use super::journal::Writer;
use super::layout::Layout;
use super::ledger::Ledger;
use super::lock::Lock;
use super::record::{self, Record};
use super::recover::{self, Recovered};
use super::source::Listener;
use super::stage::Staged;
use super::step::{Step, reached};
use super::verify::{self, Depth, Examined};
use super::{Error, Policy, adopt, clock, content, disk, flip, links, source};
use crate::artifact::{Blob, cache};
use crate::manifest::{self, Loaded, ModelOptions, Release};
use crate::units::{Bytes, Sha256};

/// What an installation is asked to do.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct Request<'a> {
    /// The manifest.
    pub manifest: &'a Path,
    /// The host's rules.
    pub policy: &'a Policy,
    /// How long a busy store is waited for.
    pub wait: Duration,
    /// Whether warnings about the manifest are errors.
    pub is_strict: bool,
    /// Whether nothing may be written.
    pub is_dry_run: bool,
    /// Whether a lower version is accepted although it never was installed here.
    pub allows_downgrade: bool,
    /// Whether a release marked bad is accepted.
    pub allows_known_bad: bool,
    /// Whether a moment without a model is accepted where a plain directory cannot be exchanged.
    pub allows_gap: bool,
    /// Whether artifacts stay in the cache after the commit.
    pub keeps_blobs: bool,
    /// Version of `summarize_scene` on this host, where known.
    pub consumer: Option<&'a str>,
    /// Where artifacts may come from.
    pub sources: &'a source::Sources,
}

/// A complete, checked release that is about to become current.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// Directory that holds its targets.
    pub directory: &'a Path,
    /// What it is made of.
    pub targets: &'a [record::Target],
    /// How the files are to be read.
    pub options: Option<&'a ModelOptions>,
    /// Label.
    pub name: &'a str,
    /// Label.
    pub version: &'a str,
    /// Its identity.
    pub release: Sha256,
}

/// Why a smoke test says no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmokeFailure {
    /// What happened, in words.
    pub problem: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// Tries a candidate before it becomes current. The store knows no engine; the command does.
pub type Smoke<'a> = &'a mut dyn FnMut(Candidate<'_>) -> Result<(), SmokeFailure>;

/// How a generation came to be the current one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It was current, as wanted, and intact: nothing was written.
    Unchanged,
    /// Its artifacts were obtained and laid out.
    Installed,
    /// The files of another generation on disk were linked under new records.
    Relabelled,
    /// A generation that stood on disk became current.
    Restored,
}

/// What an installation did, or would do.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// How.
    pub change: Change,
    /// The generation now current; in a dry run, the one that would be.
    pub generation: u64,
    /// The one current before.
    pub previous: Option<u64>,
    /// Version label of the release.
    pub version: String,
    /// Its identity.
    pub release: Sha256,
    /// Bytes that had to be laid out; in a dry run, their bound.
    pub size: Bytes,
    /// Generations deleted.
    pub collected: Vec<Collected>,
    /// What was odd, one line each.
    pub warnings: Vec<String>,
    /// What was tidied up, one line each.
    pub notes: Vec<String>,
    /// Whether an earlier run was cut short after its commit, so that nobody was told of it.
    pub completes_earlier: bool,
}

/// Installs the release a manifest names, or says what that would do.
///
/// # Errors
/// [`Error`]; the first failing step decides. What is installed stays as it was.
pub fn install(
    layout: &Layout,
    request: &Request<'_>,
    smoke: Smoke<'_>,
    listener: Listener<'_>,
) -> Result<Outcome, Error> {
    if request.is_dry_run {
        return plan(layout, request);
    }
    let _lock = Lock::take(layout, request.wait)?;
    reached(Step::Locked);
    layout.check_format()?;
    let mut recovered = recover::recover(layout)?;
    reached(Step::Recovered);
    let loaded = manifest::read(request.manifest)?;
    let decided = decide(
        layout,
        request,
        &loaded,
        &recovered.ledger,
        &recovered.current,
    )?;
    reached(Step::Judged);
    let notes = std::mem::take(&mut recovered.notes);
    let mut installation = Installation {
        layout,
        request,
        loaded: &loaded,
        decided: &decided,
        recovered,
    };
    match installation.run(smoke, listener) {
        Ok(outcome) => Ok(Outcome { notes, ..outcome }),
        Err(error) => {
            // Whatever cannot be removed now, the next run removes.
            let _ = recover::sweep(layout);
            Err(error)
        }
    }
}

/// What was downloaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Version label of the release.
    pub version: String,
    /// Its identity.
    pub release: Sha256,
    /// Length of its artifacts.
    pub size: Bytes,
    /// What was odd, one line each.
    pub warnings: Vec<String>,
}

/// Downloads and verifies what a manifest names, and installs nothing: an installation that follows
/// needs no network.
///
/// * `is_fresh`: whether unfinished downloads are dropped first
///
/// # Errors
/// As [`install`] up to the artifacts.
pub fn fetch(
    layout: &Layout,
    request: &Request<'_>,
    is_fresh: bool,
    listener: Listener<'_>,
) -> Result<Fetched, Error> {
    let lock = if request.is_dry_run {
        None
    } else {
        Some(Lock::take(layout, request.wait)?)
    };
    layout.check_format()?;
    let loaded = manifest::read(request.manifest)?;
    let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    if request.is_strict && !warnings.is_empty() {
        return Err(Error::Strict { warnings });
    }
    let release = &loaded.manifest.release;
    request.sources.check(release, request.manifest)?;
    let mut size = source::download_bound(layout, release);
    if lock.is_none() {
        check_space(layout, size, request.policy)?;
    } else {
        recover::recover(layout)?;
        if is_fresh {
            source::drop_partials(layout)?;
        }
        make_room(layout, source::download_bound, release, request.policy)?;
        layout.prepare()?;
        recover::sweep(layout)?;
        let blobs = request
            .sources
            .obtain(layout, release, request.manifest, listener)?;
        size = Bytes(blobs.iter().map(|blob| blob.checked().size().0).sum());
    }
    Ok(Fetched {
        version: loaded.manifest.version.clone(),
        release: release.digest(),
        size,
        warnings,
    })
}

fn plan(layout: &Layout, request: &Request<'_>) -> Result<Outcome, Error> {
    layout.check_format()?;
    let loaded = manifest::read(request.manifest)?;
    let ledger = Ledger::read(layout)?;
    let current = layout.read_current()?;
    let decided = decide(layout, request, &loaded, &ledger, &current)?;
    let release = &loaded.manifest.release;
    let (generation, size) = match &decided.means {
        Means::Nothing(record) | Means::Restore { record, .. } => (record.generation, Bytes(0)),
        Means::Relabel { .. } => (next_number(layout, &ledger)?, Bytes(0)),
        Means::Obtain => (
            next_number(layout, &ledger)?,
            source::unpacked_bound(release),
        ),
    };
    if matches!(decided.means, Means::Obtain) {
        check_space(layout, needed(layout, release), request.policy)?;
    }
    Ok(Outcome {
        change: decided.means.change(),
        generation,
        previous: decided.previous,
        version: loaded.manifest.version.clone(),
        release: decided.release,
        size,
        collected: Vec::new(),
        warnings: decided.warnings,
        notes: Vec::new(),
        completes_earlier: false,
    })
}

struct Installation<'a> {
    layout: &'a Layout,
    request: &'a Request<'a>,
    loaded: &'a Loaded,
    decided: &'a Decided<'a>,
    recovered: Recovered,
}

impl Installation<'_> {
    fn run(&mut self, smoke: Smoke<'_>, listener: Listener<'_>) -> Result<Outcome, Error> {
        let decided = self.decided;
        let (record, sha256) = match &decided.means {
            Means::Nothing(record) => return self.unchanged(record),
            Means::Restore { record, sha256 } => {
                self.layout.prepare()?;
                reached(Step::Prepared);
                (record.clone(), *sha256)
            }
            Means::Relabel { record } => self.relabel(record, smoke)?,
            Means::Obtain => self.obtain(smoke, listener)?,
        };
        let flip = flip::Flip {
            layout: self.layout,
            record: &record,
            record_sha256: sha256,
            event: self
                .recovered
                .ledger
                .flip_event(Some(record.release_digest)),
            manifest: Some(self.loaded.sha256),
            reason: None,
        };
        self.adopt()?;
        flip.commit(&mut self.recovered.journal)?;
        // What follows the commit can be made up for. Nothing is deleted before the journal tells
        // what is current.
        let collected = match flip.follow(&mut self.recovered.journal) {
            Ok(()) => self
                .tidy()
                .map_err(|error| format!("tidying up failed: {error}")),
            Err(error) => Err(format!("{error}; the next run completes it")),
        };
        reached(Step::Collected);
        Ok(match collected {
            Ok(collected) => self.outcome(&record, collected),
            Err(late) => {
                let mut outcome = self.outcome(&record, Vec::new());
                outcome
                    .warnings
                    .push(format!("the release is current, but: {late}"));
                outcome
            }
        })
    }

    /// Nothing to do but put links back that someone removed.
    fn unchanged(&mut self, record: &Record) -> Result<Outcome, Error> {
        self.adopt()?;
        links::ensure(self.layout, record)?;
        recover::sweep(self.layout)?;
        Ok(self.outcome(record, Vec::new()))
    }

    fn adopt(&mut self) -> Result<(), Error> {
        if self.decided.plain.is_empty() {
            return Ok(());
        }
        let journal: &mut Writer = &mut self.recovered.journal;
        adopt::adopt(
            self.layout,
            &self.decided.plain,
            journal,
            self.request.allows_gap,
        )
    }

    /// S6: every artifact, verified.
    fn fetch(&self, listener: Listener<'_>) -> Result<Vec<Blob>, Error> {
        let release = &self.loaded.manifest.release;
        let manifest = self.request.manifest;
        self.request
            .sources
            .obtain(self.layout, release, manifest, listener)
    }

    /// S5 to S9 for a release that is not on disk.
    fn obtain(
        &mut self,
        smoke: Smoke<'_>,
        listener: Listener<'_>,
    ) -> Result<(Record, Sha256), Error> {
        let release = &self.loaded.manifest.release;
        make_room(self.layout, needed, release, self.request.policy)?;
        self.layout.prepare()?;
        reached(Step::Prepared);
        let blobs = self.fetch(listener)?;
        reached(Step::Obtained);
        let staged = Staged::new(self.layout)?;
        let release = &self.loaded.manifest.release;
        let targets = self
            .request
            .sources
            .lay_out(release, &blobs, staged.path())?;
        reached(Step::Unpacked);
        content::check(staged.path(), &targets, &self.request.policy.allow)?;
        self.smoke(&staged, &targets, smoke)?;
        reached(Step::Checked);
        let sizes: Vec<Bytes> = blobs.iter().map(|blob| blob.checked().size()).collect();
        self.name(staged, &sizes, targets)
    }

    fn smoke(
        &self,
        staged: &Staged,
        targets: &[record::Target],
        smoke: Smoke<'_>,
    ) -> Result<(), Error> {
        let manifest = &self.loaded.manifest;
        let candidate = Candidate {
            directory: staged.path(),
            targets,
            options: manifest.release.model_options.as_ref(),
            name: &manifest.model_name,
            version: &manifest.version,
            release: self.decided.release,
        };
        smoke(candidate).map_err(|SmokeFailure { problem, hint }| Error::Smoke { problem, hint })
    }

    /// S9 for files that are on disk under other labels.
    fn relabel(&mut self, before: &Record, smoke: Smoke<'_>) -> Result<(Record, Sha256), Error> {
        self.layout.prepare()?;
        reached(Step::Prepared);
        let staged = Staged::new(self.layout)?;
        let directory = self.layout.generation(before.generation);
        for target in &before.targets {
            staged.link_target(&directory.join(&target.name), &target.name, &target.files)?;
        }
        // The same files may be a failing model when they are to be read in another way.
        if before.release_digest != self.decided.release {
            self.smoke(&staged, &before.targets, smoke)?;
        }
        let sizes: Vec<Bytes> = before.artifacts.iter().map(|it| it.size_bytes).collect();
        self.name(staged, &sizes, before.targets.clone())
    }

    fn name(
        &mut self,
        staged: Staged,
        sizes: &[Bytes],
        targets: Vec<record::Target>,
    ) -> Result<(Record, Sha256), Error> {
        let number = next_number(self.layout, &self.recovered.ledger)?;
        let installed_at = clock::text(clock::now());
        let record = Record::new(&self.decided.labels, number, installed_at, sizes, targets);
        let sha256 = staged.finish(&record)?;
        reached(Step::Recorded);
        staged.name(self.layout, number)?;
        reached(Step::Named);
        Ok((record, sha256))
    }

    /// S16 and what else is left over.
    fn tidy(&mut self) -> Result<Vec<Collected>, Error> {
        if !self.request.keeps_blobs {
            source::drop_blobs(self.layout)?;
        }
        recover::sweep(self.layout)?;
        let ledger = Ledger::read(self.layout)?;
        let keep = Keep {
            newest: self.request.policy.keep,
            grace: self.request.policy.gc_grace,
        };
        gc::collect(self.layout, &ledger, &mut self.recovered.journal, keep)
    }

    fn outcome(&self, record: &Record, collected: Vec<Collected>) -> Outcome {
        let size = record.targets.iter().map(|target| target.size().0).sum();
        Outcome {
            change: self.decided.means.change(),
            generation: record.generation,
            previous: self.decided.previous,
            version: record.version.clone(),
            release: record.release_digest,
            size: Bytes(size),
            collected,
            warnings: self.decided.warnings.clone(),
            notes: Vec::new(),
            completes_earlier: self.recovered.has_closed_commit,
        }
    }
}

/// Examines a generation against what the journal remembers of it.
pub(super) fn examine(
    layout: &Layout,
    ledger: &Ledger,
    number: u64,
    depth: Depth,
) -> Result<Examined, Error> {
    let promised = ledger
        .generations
        .get(&number)
        .and_then(|account| account.record);
    verify::examine(layout, number, promised, depth)
}

/// S5: room for what is still to be written, and the reserve.
fn check_space(layout: &Layout, Bytes(wanted): Bytes, policy: &Policy) -> Result<(), Error> {
    let path = layout.models();
    let mut existing = path;
    while let Some(above) = existing.parent()
        && !disk::exists(existing)?
    {
        existing = above;
    }
    if existing.as_os_str().is_empty() {
        existing = Path::new(".");
    }
    let free = cache::free_space(existing)?;
    let needed = Bytes(wanted.saturating_add(policy.min_free.0));
    if needed <= free {
        return Ok(());
    }
    Err(Error::NoSpace {
        path: path.to_owned(),
        needed,
        free,
    })
}

/// S5, with the lock held: downloads that serve nothing else than to be quicker next time go
/// before a full disk ends the run.
///
/// * `wanted`: bytes that are still to be written, given what is on the disk
fn make_room(
    layout: &Layout,
    wanted: fn(&Layout, &Release) -> Bytes,
    release: &Release,
    policy: &Policy,
) -> Result<(), Error> {
    match check_space(layout, wanted(layout, release), policy) {
        Err(Error::NoSpace { .. }) => {}
        done => return done,
    }
    source::drop_partials(layout)?;
    source::drop_other_blobs(layout, release)?;
    check_space(layout, wanted(layout, release), policy)
}

/// Most bytes a release still needs on the disk: what is fetched, and what it is unpacked to.
fn needed(layout: &Layout, release: &Release) -> Bytes {
    let Bytes(download) = source::download_bound(layout, release);
    let Bytes(unpacked) = source::unpacked_bound(release);
    Bytes(download.saturating_add(unpacked))
}

fn next_number(layout: &Layout, ledger: &Ledger) -> Result<u64, Error> {
    let on_disk = layout.generation_numbers()?.last().copied();
    Ok(on_disk
        .max(ledger.highest())
        .map_or(1, |highest| highest + 1))
}
