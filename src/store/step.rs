//! Named moments of an installation, so that tests can end the process at each of them.
//!
//! Outside tests reaching a step does nothing.

/// A moment between two steps of an installation or a rollback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The lock is held.
    Locked,
    /// What an earlier crash left was tidied up.
    Recovered,
    /// Manifest and policy allow the installation.
    Judged,
    /// The store's directories exist.
    Prepared,
    /// All artifacts are on disk and verified.
    Obtained,
    /// All artifacts were unpacked into staging.
    Unpacked,
    /// The files were checked and the smoke test passed.
    Checked,
    /// Records are written and everything in staging reached the disk.
    Recorded,
    /// A plain directory was copied into a generation that nothing names yet.
    Adopted,
    /// `current` names the adopted generation, the plain directory still stands.
    AdoptedCurrent,
    /// A compatibility link stands in place of a plain directory.
    Exchanged,
    /// The new generation has its number.
    Named,
    /// The compatibility links of new targets stand.
    Linked,
    /// The intent is in the journal.
    Intended,
    /// `current` names the new generation.
    Flipped,
    /// Links of targets that vanished are gone.
    Unlinked,
    /// The flag names the new generation.
    Flagged,
    /// The commit is in the journal.
    Committed,
    /// An old generation has lost its number and is about to be deleted.
    Unnamed,
    /// Old generations are gone.
    Collected,
}

/// Says that a step was reached.
#[cfg(not(test))]
pub(super) const fn reached(_: Step) {}

/// Kills this very process when the environment asks for it at this step.
#[cfg(test)]
pub(super) fn reached(step: Step) {
    use rustix::process::{Signal, getpid, kill_process};
    if std::env::var("VV_TEST_KILL_AT").is_ok_and(|wanted| wanted == format!("{step:?}")) {
        let _ = kill_process(getpid(), Signal::KILL);
    }
}
