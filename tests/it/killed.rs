//! Workers killed from outside, found through `/proc`.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::common::{Lab, PROGRAM};

/// CPU time after which a worker has surely said who it is, in clock ticks.
const BUSY_TICKS: u64 = 5;

/// Process ids of the workers of `parent`, each with the CPU time it has used, in ticks.
fn workers(parent: u32) -> Vec<(u32, u64)> {
    let worker = |entry: fs::DirEntry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        // After the name, which may hold anything: state, parent, …, 12th and 13th the CPU time.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = fields[11].parse::<u64>().ok()? + fields[12].parse::<u64>().ok()?;
        (fields[1].parse() == Ok(parent) && is_worker(pid)).then_some((pid, ticks))
    };
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(worker).collect()
}

fn is_worker(pid: u32) -> bool {
    fs::read(format!("/proc/{pid}/cmdline"))
        .is_ok_and(|line| String::from_utf8_lossy(&line).contains("__worker"))
}

#[test]
fn workers_killed_from_outside_never_lead_to_a_pass() {
    let lab = Lab::new();
    let mut child = Command::new(PROGRAM)
        .args(lab.compare_arguments("1.0.0", "1.1.0"))
        .arg("--no-cache")
        .current_dir(lab.path(""))
        .stdout(fs::File::create(lab.path("stdout")).unwrap())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    let (mut seen, mut killed) = (BTreeSet::new(), Vec::new());
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if begun.elapsed() > Duration::from_secs(400) {
            child.kill().unwrap();
            panic!("the run did not end");
        }
        for (pid, ticks) in workers(child.id()) {
            seen.insert(pid);
            if ticks >= BUSY_TICKS && !killed.contains(&pid) {
                let mut kill = Command::new("kill");
                // A worker that has just ended by itself is nobody's error.
                let _ = kill
                    .args(["-9", &pid.to_string()])
                    .stderr(Stdio::null())
                    .status();
                killed.push(pid);
            }
        }
        thread::sleep(Duration::from_millis(2));
    };
    let stdout = fs::read_to_string(lab.path("stdout")).unwrap();
    assert!(killed.len() >= 2, "{killed:?}");
    assert!(matches!(status.code(), Some(1 | 3)), "{status}\n{stdout}");
    assert!(stdout.contains("signal 9"), "{stdout}");
    assert!(!seen.iter().any(|pid| is_worker(*pid)));
}
