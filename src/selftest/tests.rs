use super::cases::CASES;
use super::*;

fn case(name: &str) -> &'static Case {
    CASES.iter().find(|case| case.name == name).unwrap()
}

/// A program that says so much on stderr and ends with this code, instead of a comparison.
fn fake(folder: &Path, script: &str) -> Subjects {
    use std::os::unix::fs::PermissionsExt as _;
    let program = folder.join("fake");
    fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    for model in ["1.1.0", "1.1.1-undertrained", "1.1.2-heavy"] {
        let model = folder.join("models").join(model);
        fs::create_dir_all(&model).unwrap();
        fs::write(model.join("weights"), [0u8; 64]).unwrap();
        fs::write(model.join("small"), [0u8; 3]).unwrap();
    }
    Subjects {
        program,
        models: folder.join("models"),
        scenes: folder.to_owned(),
        work: folder.join("work"),
    }
}

#[track_caller]
fn check(name: &str, script: &str, expected: Result<(), &str>) {
    let folder = tempfile::tempdir().unwrap();
    let subjects = fake(folder.path(), script);
    let proof = prove(case(name), &subjects);
    match (expected, &proof.result) {
        (Ok(()), Ok(())) => {}
        (Err(words), Err(found)) => assert!(found.contains(words), "{found}"),
        (expected, found) => panic!("{expected:?} {found:?}"),
    }
}

#[test]
fn a_gate_that_always_passes_is_found_out() {
    for name in ["undertrained", "crash", "fat", "slow-10", "wrong-digest"] {
        check(name, "exit 0", Err("exit code 0 instead of "));
    }
}

#[test]
fn a_gate_that_always_fails_is_found_out() {
    check("same", "exit 1", Err("exit code 1 instead of 0 or 2"));
}

#[test]
fn the_right_code_for_the_wrong_reason_is_found_out() {
    check(
        "wrong-digest",
        "echo no such file >&2; exit 3",
        Err("for another reason than sha256: no such file"),
    );
    check("wrong-digest", "echo expected sha256 x >&2; exit 3", Ok(()));
}

#[test]
fn a_run_without_a_report_proves_nothing() {
    check(
        "crash",
        "echo crashed >&2; exit 1",
        Err("no report was written"),
    );
}

#[test]
fn a_run_that_is_killed_is_found_out() {
    check("crash", "kill -9 $$", Err(""));
}

#[test]
fn a_model_that_is_not_there_is_not_passed_over() {
    check("hallucinating", "exit 1", Err("not run: there is no model"));
}

#[test]
fn the_flipped_bit_is_in_the_largest_file() {
    let folder = tempfile::tempdir().unwrap();
    let subjects = fake(folder.path(), "");
    let copy = folder.path().join("copy");
    flipped(&subjects.models.join("1.1.0"), &copy).unwrap();
    let bytes = fs::read(copy.join("weights")).unwrap();
    assert_eq!(bytes.iter().map(|byte| byte.count_ones()).sum::<u32>(), 1);
    assert_eq!(fs::read(copy.join("small")).unwrap(), [0; 3]);
}

#[test]
fn the_program_is_asked_what_the_case_says() {
    let folder = tempfile::tempdir().unwrap();
    let subjects = fake(folder.path(), "echo \"$@\"; exit 1");
    for (name, words) in [
        ("slow-3", "--plant candidate=slow:3 --judge-scripted"),
        ("same", "--force-run"),
        ("baseline-crash", "--plant baseline=panic@40"),
    ] {
        let _ = prove(case(name), &subjects);
        let said = fs::read_to_string(subjects.work.join(name).join("stdout")).unwrap();
        assert!(said.contains(words), "{said}");
    }
}
