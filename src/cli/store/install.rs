//! The commands that change a store: install, verify with its marks, rollback, gc.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::json;

use super::fault::Fault;
use super::settings::{self, Settings};
use super::{Reply, args, digest, smoke};
use crate::cli::exit::Exit;
use crate::cli::sources;
use crate::store::gc::{self, Freed, Keep};
use crate::store::health::{self, Consequence, Health};
use crate::store::install::{self, Change, Outcome, Request};
use crate::store::notify::{News, Notification};
use crate::store::rollback::{self, Named};
use crate::store::status;
use crate::units::Bytes;

pub(super) fn install(args: &args::Install, settings: &Settings) -> Result<Reply, Fault> {
    let mut policy = settings.policy()?;
    let consumer = settings::consumer(args.consumer.as_deref())?;
    policy.keep = args.keep.unwrap_or(policy.keep);
    let request = Request {
        manifest: &settings.manifest,
        policy: &policy,
        wait: settings.wait,
        is_strict: args.strict,
        is_dry_run: settings.is_dry_run,
        allows_downgrade: args.allow_downgrade,
        allows_known_bad: args.allow_known_bad,
        allows_gap: args.allow_gap,
        keeps_blobs: args.keep_blobs,
        consumer: consumer.as_deref(),
        sources: &settings::sources(&args.download, &policy, args.common.offline)?,
    };
    let timeout = Duration::from_secs(args.smoke_timeout);
    let mut broken = None;
    let mut try_candidate = |candidate: install::Candidate<'_>| {
        smoke::test(args.smoke, timeout, &candidate).map_err(|refused| {
            broken = refused.broken;
            refused.failure
        })
    };
    let outcome = install::install(
        &settings.layout,
        &request,
        &mut try_candidate,
        &mut sources::tell,
    );
    if let Some(failure) = broken {
        return Err(failure.into());
    }
    let outcome = outcome?;
    let mut reply = installed(&outcome, settings.is_dry_run);
    let is_changed = outcome.change != Change::Unchanged || outcome.completes_earlier;
    if is_changed && !settings.is_dry_run {
        let news = News {
            generation: outcome.generation,
            version: &outcome.version,
            release: outcome.release,
        };
        notify(
            settings::notification(&args.notify_cmd),
            settings,
            &news,
            &mut reply,
        );
    }
    Ok(reply)
}

pub(super) fn fetch(args: &args::Fetch, settings: &Settings) -> Result<Reply, Fault> {
    let policy = &settings.policy()?;
    let request = Request {
        manifest: &settings.manifest,
        policy,
        wait: settings.wait,
        is_strict: args.strict,
        is_dry_run: settings.is_dry_run,
        allows_downgrade: false,
        allows_known_bad: false,
        allows_gap: false,
        keeps_blobs: true,
        consumer: None,
        sources: &settings::sources(&args.download, policy, args.common.offline)?,
    };
    let fetched = install::fetch(&settings.layout, &request, args.fresh, &mut sources::tell)?;
    let done = if settings.is_dry_run {
        "would be fetched"
    } else {
        "verified and kept for the installation"
    };
    let text = format!("version {}, {}: {done}\n", fetched.version, fetched.size);
    let members = json!({
        "dry_run": settings.is_dry_run,
        "version": fetched.version,
        "release_digest": digest(fetched.release),
        "size_bytes": fetched.size,
    });
    Ok(Reply {
        warnings: fetched.warnings,
        ..Reply::new(Exit::Pass, members, text)
    })
}

/// Tells the running system; that it could not be told is a warning: the release is installed.
fn notify(
    notification: Option<Notification>,
    settings: &Settings,
    news: &News<'_>,
    reply: &mut Reply,
) {
    if let Some(notification) = notification
        && let Err(problem) = notification.run(&settings.layout, news)
    {
        reply
            .warnings
            .push(format!("the notification command {problem}"));
    }
}

fn installed(outcome: &Outcome, is_dry_run: bool) -> Reply {
    let Outcome {
        change,
        generation,
        previous,
        version,
        release,
        size,
        collected,
        warnings,
        notes,
        completes_earlier: _,
    } = outcome;
    let release = digest(*release);
    let done = match (change, is_dry_run) {
        (Change::Unchanged, _) => "already current",
        (Change::Installed, false) => "installed",
        (Change::Installed, true) => "would be installed",
        (Change::Relabelled, false) => "installed under new labels",
        (Change::Relabelled, true) => "would be installed under new labels",
        (Change::Restored, false) => "current again",
        (Change::Restored, true) => "would become current again",
    };
    let mut text =
        format!("version {version}, generation {generation}: {done}\nrelease {release}\n");
    if let Some(previous) = previous.filter(|previous| previous != generation) {
        let _ = writeln!(text, "before: generation {previous}");
    }
    if size.0 > 0 {
        let _ = writeln!(text, "size {size}");
    }
    for gone in collected {
        let _ = writeln!(
            text,
            "deleted: generation {}, {}",
            gone.generation, gone.size_bytes
        );
    }
    let members = json!({
        "change": change,
        "dry_run": is_dry_run,
        "generation": generation,
        "previous_generation": previous,
        "version": version,
        "release_digest": release,
        "size_bytes": size,
        "collected": collected,
    });
    Reply {
        warnings: warnings.clone(),
        notes: notes.clone(),
        ..Reply::new(Exit::Pass, members, text)
    }
}

pub(super) fn verify(args: &args::Verify, settings: &Settings) -> Result<Reply, Fault> {
    if let Some(events) = &args.health {
        return health(args, events, settings);
    }
    let marks_good = args.mark == Some(args::Mark::Good) && !settings.is_dry_run;
    let (number, record) =
        status::verify(&settings.layout, args.generation, marks_good, settings.wait)?;
    let n_files: usize = record.targets.iter().map(|target| target.files.len()).sum();
    let size = Bytes(record.targets.iter().map(|target| target.size().0).sum());
    let mut text = format!(
        "version {}, generation {number}: {n_files} files, {size}, as recorded\n",
        record.version
    );
    if marks_good {
        text.push_str("confirmed as good\n");
    }
    let members = json!({
        "generation": number,
        "version": record.version,
        "release_digest": digest(record.release_digest),
        "n_files": n_files,
        "size_bytes": size,
        "marked_good": marks_good,
    });
    Ok(Reply::new(Exit::Pass, members, text))
}

fn health(
    args: &args::Verify,
    events: &std::path::Path,
    settings: &Settings,
) -> Result<Reply, Fault> {
    let consequence = match (settings.is_dry_run, args.auto_rollback) {
        (true, _) => Consequence::Say,
        (false, false) => Consequence::Note,
        (false, true) => Consequence::RollBack,
    };
    let rules = &settings.policy()?.health;
    let report = health::judge(&settings.layout, events, rules, consequence, settings.wait)?;
    let (word, exit) = match report.health {
        Health::Good => ("good", Exit::Pass),
        Health::Pending => ("undecided", Exit::Pass),
        Health::Bad => ("bad", Exit::Fail),
    };
    let mut text = format!(
        "generation {}: {word}: {}\n",
        report.generation, report.reason
    );
    if report.is_rolled_back {
        let _ = writeln!(text, "rolled back to generation {}", report.current);
    }
    let members = json!({
        "generation": report.generation,
        "health": report.health,
        "reason": report.reason,
        "tries": report.n_tries,
        "tally": report.tally,
        "rolled_back": report.is_rolled_back,
    });
    let mut reply = Reply {
        notes: report.notes.clone(),
        ..Reply::new(exit, members, text)
    };
    if report.is_rolled_back {
        let release_of = status::status(&settings.layout, None, None)?;
        if let Some(record) = release_of.record {
            let news = News {
                generation: record.generation,
                version: &record.version,
                release: record.release_digest,
            };
            notify(
                settings::notification(&args.notify_cmd),
                settings,
                &news,
                &mut reply,
            );
        }
    }
    Ok(reply)
}

pub(super) fn rollback(args: &args::Rollback, settings: &Settings) -> Result<Reply, Fault> {
    let request = rollback::Request {
        to: args.to.as_deref().map(Named::parse),
        mark_bad: args.mark_bad.as_deref().map(Named::parse),
        reason: args.reason.clone(),
        wait: settings.wait,
        is_dry_run: settings.is_dry_run,
    };
    let outcome = rollback::rollback(&settings.layout, &request)?;
    let is_flip = outcome.generation != outcome.previous;
    let mut text = String::new();
    if let Some(condemned) = outcome.condemned {
        let word = if settings.is_dry_run {
            "would be marked bad"
        } else {
            "marked bad"
        };
        let _ = writeln!(text, "release {}: {word}", digest(condemned));
    }
    match (outcome.generation, is_flip) {
        (Some(number), true) => {
            let word = if settings.is_dry_run {
                "would become current"
            } else {
                "current"
            };
            let version = outcome.version.as_deref().unwrap_or_default();
            let _ = writeln!(text, "version {version}, generation {number}: {word}");
        }
        (Some(number), false) => {
            let _ = writeln!(text, "generation {number} stays current");
        }
        (None, _) => {}
    }
    let members = json!({
        "dry_run": settings.is_dry_run,
        "generation": outcome.generation,
        "previous_generation": outcome.previous,
        "version": outcome.version,
        "release_digest": outcome.release.map(digest),
        "marked_bad": outcome.condemned.map(digest),
        "changed": is_flip,
    });
    let mut reply = Reply {
        notes: outcome.notes.clone(),
        ..Reply::new(Exit::Pass, members, text)
    };
    if let (Some(generation), Some(release), true) = (
        outcome.generation,
        outcome.release,
        (is_flip || outcome.completes_earlier) && !settings.is_dry_run,
    ) {
        let news = News {
            generation,
            version: outcome.version.as_deref().unwrap_or_default(),
            release,
        };
        notify(
            settings::notification(&args.notify_cmd),
            settings,
            &news,
            &mut reply,
        );
    }
    Ok(reply)
}

pub(super) fn gc(args: &args::Gc, settings: &Settings) -> Result<Reply, Fault> {
    let policy = settings.policy()?;
    let hours = args
        .grace
        .map(|hours| Duration::from_secs(u64::from(hours) * 3600));
    let keep = Keep {
        newest: args.keep.unwrap_or(policy.keep),
        grace: hours.unwrap_or(policy.gc_grace),
    };
    let Freed {
        collected,
        downloads,
    } = gc::run(&settings.layout, keep, settings.wait, settings.is_dry_run)?;
    let word = if settings.is_dry_run {
        "would be deleted"
    } else {
        "deleted"
    };
    let mut text = String::new();
    for gone in &collected {
        let _ = writeln!(
            text,
            "generation {}, {}: {word}",
            gone.generation, gone.size_bytes
        );
    }
    if downloads.0 > 0 {
        let _ = writeln!(text, "downloads kept too long, {downloads}: {word}");
    }
    if text.is_empty() {
        text.push_str("nothing to delete\n");
    }
    let members = json!({
        "dry_run": settings.is_dry_run,
        "collected": collected,
        "downloads_size_bytes": downloads,
    });
    Ok(Reply::new(Exit::Pass, members, text))
}
