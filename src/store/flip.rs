//! Makes a complete generation current: steps S10 to S15, shared by installation, rollback and
//! repair.

use std::path::Path;

use super::journal::{Event, News, Writer};
use super::layout::{Layout, generation_name};
use super::record::Record;
use super::step::{Step, reached};
use super::{Error, links};
use crate::durable;
use crate::units::Sha256;

/// A generation about to become current.
pub(super) struct Flip<'a> {
    pub(super) layout: &'a Layout,
    pub(super) record: &'a Record,
    /// Digest of the record's bytes.
    pub(super) record_sha256: Sha256,
    /// What its becoming current is called: [`Event::Committed`] or [`Event::Rollback`].
    pub(super) event: Event,
    /// Manifest that asks for it.
    pub(super) manifest: Option<Sha256>,
    /// Why, in words.
    pub(super) reason: Option<String>,
}

impl Flip<'_> {
    fn news(&self, event: Event) -> News {
        News {
            event,
            generation: Some(self.record.generation),
            release: Some(self.record.release_digest),
            record: Some(self.record_sha256),
            version: Some(self.record.version.clone()),
            manifest: self.manifest.or(self.record.manifest_sha256),
            reason: self.reason.clone(),
        }
    }

    /// Puts the generation in force. Everything of it reached the disk before.
    ///
    /// After an error `current` names the generation before, or this one without a promise that it
    /// will after a power cut; [`recover`](super::recover::recover) flushes it again.
    pub(super) fn commit(&self, journal: &mut Writer) -> Result<(), Error> {
        let layout = self.layout;
        links::ensure(layout, self.record)?;
        reached(Step::Linked);
        journal.append(self.news(Event::Intent))?;
        reached(Step::Intended);
        set_current(layout, self.record.generation)?;
        reached(Step::Flipped);
        Ok(())
    }

    /// What follows the commit; where it fails, the next run makes up for it.
    pub(super) fn follow(&self, journal: &mut Writer) -> Result<(), Error> {
        let layout = self.layout;
        links::remove_vanished(layout, self.record)?;
        reached(Step::Unlinked);
        links::set_flag(layout, self.record)?;
        reached(Step::Flagged);
        journal.append(self.news(self.event))?;
        reached(Step::Committed);
        Ok(())
    }
}

/// The commit: one rename over `current`, flushed.
pub(super) fn set_current(layout: &Layout, generation: u64) -> Result<(), Error> {
    let text = Path::new("generations").join(generation_name(generation));
    let temporary = layout.temporary("current")?;
    Ok(durable::replace_link(&layout.current(), &temporary, &text)?)
}
