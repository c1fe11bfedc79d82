//! S07, S08 on a real ext4: a run is killed before a call, and what did not reach the disk by then
//! is lost as when the power goes.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::super::tell;
use super::kills::Recorded;
use super::{Scene, trace};

/// An ext4 file system in a file, mounted while this lives.
struct Disk {
    dir: TempDir,
}

impl Disk {
    /// `None` where this process may not mount one; says so then.
    fn new() -> Option<Self> {
        /// Room for a journal, what the scenes write, and what the store leaves free.
        const BYTES: u64 = 160 << 20;
        let disk = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        fs::create_dir(disk.mount_point()).unwrap();
        let image = fs::File::create(disk.image()).unwrap();
        image.set_len(BYTES).unwrap();
        let made = Command::new("mkfs.ext4")
            .args(["-q", "-F"])
            .arg(disk.image())
            .status();
        if made.is_ok_and(|status| status.success()) && disk.mount() {
            return Some(disk);
        }
        tell("skipped: no ext4 on a loop device here, or not root");
        None
    }

    fn image(&self) -> PathBuf {
        self.dir.path().join("image")
    }

    fn mount_point(&self) -> PathBuf {
        self.dir.path().join("disk")
    }

    fn mount(&self) -> bool {
        let mounted = Command::new("mount")
            .args(["-o", "loop"])
            .arg(self.image())
            .arg(self.mount_point())
            .stderr(Stdio::null())
            .status();
        mounted.is_ok_and(|status| status.success())
    }

    fn unmount(&self) {
        let _ = Command::new("umount")
            .arg(self.mount_point())
            .stderr(Stdio::null())
            .status();
    }

    /// Everything reaches the disk.
    fn sync(&self) {
        let synced = Command::new("sync")
            .arg("-f")
            .arg(self.mount_point())
            .status();
        assert!(synced.unwrap().success());
    }

    /// What is not on the disk is lost; the journal of the file system is not even flushed.
    fn cut_power(&self) {
        /// `EXT4_IOC_SHUTDOWN` with `EXT4_GOING_FLAGS_NOLOGFLUSH`.
        const SHUTDOWN: &str = "import fcntl, os, struct, sys\n\
            fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587D, struct.pack('I', 2))";
        let cut = Command::new("python3")
            .args(["-c", SHUTDOWN])
            .arg(self.mount_point())
            .status();
        assert!(cut.unwrap().success(), "the file system goes on");
        self.unmount();
        assert!(self.mount(), "the file system does not come back");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.unmount();
    }
}

/// Cuts the power before some of the calls that change the store, and after the end of the run.
///
/// * `is_wanted`: before which of them, counted from 0; the end is always one
///
/// Gives how many cuts there were; `None` where there is no disk for them.
fn cut(scene: Scene, is_wanted: impl Fn(usize) -> bool) -> Option<usize> {
    let recorded = Recorded::new(scene);
    let commit = recorded.commit_change();
    let wanted = (0..recorded.changes.len()).filter(|nth| is_wanted(*nth));
    let mut n_cuts = 0;
    for nth in wanted.map(Some).chain([None]) {
        let disk = Disk::new()?;
        let host = recorded.stage.on(&disk.mount_point());
        // What was there before was there for long.
        disk.sync();
        let at = if let Some(nth) = nth {
            let call = &recorded.calls[recorded.changes[nth]];
            let is_killed = trace::kill_at(&host, scene, call);
            assert!(is_killed, "{scene:?} never came to {call:?}");
            format!("{scene:?}, cut before {} {}", call.name, call.nth)
        } else {
            let (command, further) = scene.command();
            super::done(&host, command, further);
            format!("{scene:?}, cut after its end")
        };
        disk.cut_power();
        n_cuts += 1;
        let found = scene
            .survives(&host)
            .unwrap_or_else(|e| panic!("{at}: {e}"));
        let found = found.as_deref();
        // The call after the one that commits flushes it.
        match (nth, commit) {
            (Some(nth), Some(commit)) if nth <= commit => {
                assert_eq!(found, scene.before(), "{at}");
            }
            (Some(nth), Some(commit)) if nth == commit + 1 => {}
            _ => assert_eq!(found, Some(scene.after()), "{at}: the commit was lost"),
        }
        scene.converges(&host, &at);
    }
    Some(n_cuts)
}

#[test]
fn s07_s08_the_power_goes_around_the_commit() {
    if !trace::can_trace() {
        return;
    }
    let commit = Recorded::new(Scene::Upgrade).commit_change().unwrap();
    let n_cuts = cut(Scene::Upgrade, |nth| (commit..commit + 3).contains(&nth));
    if let Some(n_cuts) = n_cuts {
        tell(&format!("{n_cuts} power cuts"));
    }
}

#[test]
#[ignore = "needs root, ext4 and a loop device; minutes; see docs/store.md"]
fn s07_s08_the_power_goes_before_every_call_that_changes_the_store() {
    assert!(
        trace::can_trace(),
        "strace is missing or may not trace here"
    );
    let mut sum = 0;
    for scene in Scene::ALL {
        let n_cuts = cut(scene, |_| true).expect("an ext4 file system on a loop device");
        tell(&format!("{scene:?}: {n_cuts} power cuts"));
        sum += n_cuts;
    }
    tell(&format!("{sum} power cuts"));
}
