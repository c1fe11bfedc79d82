//! The commands that look at a store: status, history, doctor.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::fault::Fault;
use super::settings::Settings;
use super::{Reply, args, digest};
use crate::cli::exit::Exit;
use crate::manifest;
use crate::store::doctor::{self, Finding};
use crate::store::events;
use crate::store::status::{self, Reign, Status};
use crate::store::verify::Depth;
use crate::store::{Current, Error};

pub(super) fn status(args: &args::Status, settings: &Settings) -> Result<Reply, Fault> {
    let policy = settings.policy()?;
    let depth = match args.verify {
        args::Depth::None => None,
        args::Depth::Quick => Some(Depth::Quick),
        args::Depth::Full => Some(Depth::Full),
    };
    let loaded = manifest::read(&settings.manifest).map_err(Error::from)?;
    let found = status::status(&settings.layout, Some(&loaded), depth)?;
    let mut warnings = Vec::new();
    let age = status::age(&settings.manifest);
    if let (Some(age), Some(limit)) = (age, policy.stale_manifest)
        && age > limit
    {
        let days = age.as_secs() / 86_400;
        warnings.push(format!(
            "the manifest is {days} days old: are updates being withheld?"
        ));
    }
    if !found.is_journal_sound {
        warnings.push("the journal is no unbroken chain; see vv-eval model history".into());
    }
    let loaded_is_current = match &args.expect_loaded {
        Some(path) => Some(is_loaded(path, &found)?),
        None => None,
    };
    let is_wanted = found
        .wanted
        .as_ref()
        .is_some_and(|wanted| wanted.is_current);
    let is_broken = matches!(found.current, Current::Broken { .. }) || !found.damages.is_empty();
    let exit = match () {
        () if is_broken => Exit::StoreCorrupt,
        () if !is_wanted || loaded_is_current == Some(false) => Exit::Fail,
        () => Exit::Pass,
    };
    let text = status_text(&found, loaded_is_current);
    let mut members = status_json(&found);
    members["loaded_is_current"] = json!(loaded_is_current);
    members["manifest_age_seconds"] = json!(age.map(|age| age.as_secs()));
    Ok(Reply {
        warnings,
        ..Reply::new(exit, members, text)
    })
}

/// Whether the service's last load is of the current generation.
fn is_loaded(events: &std::path::Path, found: &Status) -> Result<bool, Fault> {
    let last = events::last_load(events)?;
    let Some((last, record)) = last.zip(found.record.as_ref()) else {
        return Ok(false);
    };
    let is_generation = last
        .generation
        .is_none_or(|number| number == record.generation);
    let is_release = last
        .release
        .is_none_or(|release| release == record.release_digest);
    let says_either = last.generation.is_some() || last.release.is_some();
    Ok(says_either && is_generation && is_release)
}

fn status_json(found: &Status) -> Value {
    let record = found.record.as_ref();
    json!({
        "version": record.map(|record| &record.version),
        "release_digest": record.map(|record| digest(record.release_digest)),
        "manifest_sha256": record.and_then(|record| record.manifest_sha256),
        "since": found.since,
        "current": match &found.current {
            Current::Absent => "absent",
            Current::Generation(_) => "generation",
            Current::Broken { .. } => "broken",
        },
        "wanted": found.wanted.as_ref().map(|wanted| json!({
            "version": wanted.version,
            "release_digest": digest(wanted.release),
            "is_current": wanted.is_current,
        })),
        "damages": found.damages,
        "last_good": found.last_good,
        "generations": found.generations,
        "known_bad": found.known_bad.iter().map(|it| digest(*it)).collect::<Vec<_>>(),
        "is_journal_sound": found.is_journal_sound,
    })
}

fn status_text(found: &Status, loaded_is_current: Option<bool>) -> String {
    let mut text = String::new();
    let _ = match (&found.current, &found.record) {
        (Current::Absent, _) => writeln!(text, "current         nothing"),
        (Current::Broken { found }, _) => writeln!(text, "current         broken: {found}"),
        (Current::Generation(number), None) => {
            writeln!(
                text,
                "current         generation {number}, without a readable record"
            )
        }
        (Current::Generation(number), Some(record)) => writeln!(
            text,
            "current         version {}, generation {number}, since {}\nrelease         {}",
            record.version,
            found.since.as_deref().unwrap_or("unknown"),
            digest(record.release_digest)
        ),
    };
    if let Some(wanted) = &found.wanted {
        let word = if wanted.is_current {
            "installed"
        } else {
            "not installed"
        };
        let _ = writeln!(
            text,
            "manifest wants  version {}, {word}\n                {}",
            wanted.version,
            digest(wanted.release)
        );
    }
    let last_good = found
        .last_good
        .map_or("none".to_owned(), |it| format!("generation {it}"));
    let _ = writeln!(text, "rollback to     {last_good}");
    if let Some(is_current) = loaded_is_current {
        let word = if is_current {
            "the current generation"
        } else {
            "not the current generation"
        };
        let _ = writeln!(text, "service loaded  {word}");
    }
    for damage in &found.damages {
        let _ = writeln!(text, "damage          {}: {}", damage.path, damage.problem);
    }
    if !found.generations.is_empty() {
        text.push_str("\ngeneration  state  version           size        installed\n");
    }
    for line in &found.generations {
        let _ = writeln!(
            text,
            "{}{:>9}  {:<5}  {:<16}  {:<10}  {}",
            if line.is_current { "*" } else { " " },
            line.generation,
            line.state.as_str(),
            line.version.as_deref().unwrap_or("?"),
            line.size_bytes,
            line.installed_at.as_deref().unwrap_or("?"),
        );
    }
    text
}

pub(super) fn history(args: &args::History, settings: &Settings) -> Result<Reply, Fault> {
    let found = status::history(&settings.layout, args.at.as_deref())?;
    let mut text = String::new();
    for reign in &found.reigns {
        text.push_str(&reign_text(reign));
    }
    if found.reigns.is_empty() {
        text.push_str(match args.at {
            Some(_) => "nothing was in production then\n",
            None => "nothing was ever installed\n",
        });
    }
    let exit = if found.tail.n_broken == 0 {
        Exit::Pass
    } else {
        Exit::StoreCorrupt
    };
    let members = json!({
        "at": args.at,
        "reigns": found.reigns,
        "n_broken_lines": found.tail.n_broken,
        "broken_lines": found.tail.broken,
    });
    let mut reply = Reply::new(exit, members, text);
    if found.tail.n_broken > 0 {
        reply.warnings.push(format!(
            "{} lines of the journal do not follow from the ones before, the first being line {}: \
             someone edited it, so this history is no proof",
            found.tail.n_broken,
            found.tail.broken.first().copied().unwrap_or_default()
        ));
    }
    Ok(reply)
}

fn reign_text(reign: &Reign) -> String {
    let event = serde_json::to_value(reign.event).ok();
    let event = event.as_ref().and_then(Value::as_str).unwrap_or_default();
    let mut text = format!(
        "{} to {}: version {}, generation {} ({event})\n",
        reign.since,
        reign.until.as_deref().unwrap_or("now"),
        reign.version.as_deref().unwrap_or("unknown"),
        reign.generation,
    );
    if let Some(release) = reign.release_digest {
        let _ = writeln!(text, "  release   {}", digest(release));
    }
    if let Some(manifest) = reign.manifest_sha256 {
        let _ = writeln!(text, "  manifest  {}", digest(manifest));
    }
    if let Some(reason) = &reign.reason {
        let _ = writeln!(
            text,
            "  reason    {}",
            crate::report::escape::one_line(reason)
        );
    }
    text
}

pub(super) fn doctor(args: &args::Doctor, settings: &Settings) -> Result<Reply, Fault> {
    let request = doctor::Request {
        compose: args.compose.clone(),
        repairs: args.repair && !settings.is_dry_run,
        wait: settings.wait,
    };
    let findings = doctor::examine(&settings.layout, &request)?;
    let left: Vec<&Finding> = findings.iter().filter(|it| !it.is_repaired).collect();
    let exit = match () {
        () if left.iter().any(|it| it.is_damage) => Exit::StoreCorrupt,
        () if !left.is_empty() => Exit::Fail,
        () => Exit::Pass,
    };
    let mut text = String::new();
    for found in &findings {
        let word = if found.is_repaired {
            "repaired"
        } else {
            "found"
        };
        let _ = writeln!(
            text,
            "{word}: {}\n  {}\n  {}",
            found.path, found.problem, found.advice
        );
    }
    if findings.is_empty() {
        text.push_str("nothing found\n");
    }
    Ok(Reply::new(exit, json!({ "findings": findings }), text))
}
