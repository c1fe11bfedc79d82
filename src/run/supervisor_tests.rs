//! What a supervisor makes of workers that misbehave. The workers are shell scripts.

use super::*;

const AT: At = At {
    pass: "memory",
    scene: Some("s1"),
};

fn effort() -> Effort {
    Effort {
        segment_timeout: Duration::from_secs(20),
        ..Effort::default()
    }
}

fn start(script: &str, effort: &Effort) -> Result<Session, Error> {
    let command = WorkerCommand {
        program: "/bin/sh".into(),
        args: vec!["-c".into(), script.into()],
    };
    Session::start(Role::Candidate, &command, effort)
}

const HELLO: &str = r#"read -r line; echo '{"id":1,"ok":{"hello":{"protocol":4,"version":"0","pid":1,"kernel":"scalar"}}}';"#;

/// A worker that shakes hands, reads one request and then does as the script says.
fn greeted(script: &str, effort: &Effort) -> Session {
    start(&format!("{HELLO} read -r line; {script}"), effort).unwrap()
}

#[track_caller]
fn check_failure(script: &str, kind: FailureKind, detail: &str, stderr_tail: &str) {
    let effort = Effort {
        segment_timeout: Duration::from_millis(700),
        ..effort()
    };
    let effort = if kind == FailureKind::TimedOut {
        effort
    } else {
        self::effort()
    };
    let Err(Fault::Failed { role, failure }) = greeted(script, &effort).snapshot(false, AT) else {
        panic!("no failure");
    };
    let expected = Failure {
        kind,
        pass: "memory".to_owned(),
        scene: Some("s1".to_owned()),
        detail: detail.to_owned(),
        stderr_tail: stderr_tail.to_owned(),
    };
    assert_eq!((role, *failure), (Role::Candidate, expected));
}

#[track_caller]
fn check_broken(script: &str, words: &str) {
    let Err(Fault::Broken(error)) = greeted(script, &effort()).snapshot(false, AT) else {
        panic!("not broken");
    };
    assert!(error.is_internal());
    assert!(error.to_string().contains(words), "{error}");
}

#[track_caller]
fn check_no_handshake(script: &str, words: &str) {
    let Err(error) = start(script, &effort()) else {
        panic!("started")
    };
    assert!(error.to_string().contains(words), "{error}");
}

fn refusal(kind: &str) -> String {
    format!(r#"echo '{{"id":2,"err":{{"kind":"{kind}","message":"no","hint":"do"}}}}'"#)
}

#[test]
fn a_crash_is_evidence_with_its_last_words() {
    check_failure(
        "echo a >&2; echo b >&2; exit 101",
        FailureKind::Crashed,
        "exit status 101",
        "a\nb",
    );
    check_failure("kill -9 $$", FailureKind::Crashed, "signal 9", "");
    check_failure(
        "printf '{\"id\":2'; kill -ABRT $$",
        FailureKind::Crashed,
        "signal 6",
        "",
    );
    // A worker that leaves politely in the middle of the work has crashed too.
    check_failure("exit 0", FailureKind::Crashed, "exit status 0", "");
}

/// The worker's end after its last words, with a limit of memory or without, alone or not.
fn end(words: &str, memory: Option<Bytes>, n_others: usize) -> Fault {
    let effort = Effort {
        worker_memory: memory,
        ..effort()
    };
    let company = Company::default();
    let _others: Vec<Member> = (0..n_others).map(|_| company.enter()).collect();
    let mut session = greeted(&format!("echo '{words}' >&2; kill -ABRT $$"), &effort);
    session.join(&company);
    session.snapshot(false, AT).unwrap_err()
}

#[test]
fn a_worker_that_wants_more_than_it_may_have_speaks_against_its_model() {
    let arena = format!("panicked: {} 4294967296 bytes: ENOMEM", arena::NO_MEMORY);
    for words in ["memory allocation of 4294967296 bytes failed", &arena] {
        for n_others in [0, 1] {
            let most = Some(Bytes(128 << 20));
            let Fault::Failed { failure, .. } = end(words, most, n_others) else {
                panic!("no failure");
            };
            assert_eq!(failure.kind, FailureKind::OutOfMemory);
            assert_eq!(failure.detail, "signal 6; a worker may take 128.0 MiB");
            assert_eq!(failure.stderr_tail, words);
        }
        // Without a limit of the policy the machine is too small for two, or the model for it.
        let Fault::Failed { failure, .. } = end(words, None, 0) else {
            panic!("no failure");
        };
        assert_eq!(failure.kind, FailureKind::OutOfMemory);
        assert!(failure.detail.contains("no memory left"), "{failure:?}");
        let together = end(words, None, 1);
        assert!(matches!(together, Fault::Broken(Error::NoRoom { .. })));
    }
}

/// The system's killer: whose model it was shows only while nobody else holds one.
#[test]
fn a_worker_ended_for_want_of_memory_speaks_against_its_model_when_alone() {
    let meaning = |ending, n_others: usize| {
        let company = Company::default();
        let _others: Vec<Member> = (0..n_others).map(|_| company.enter()).collect();
        let mut session = greeted("sleep 600", &effort());
        session.join(&company);
        session.meaning(ending, true, AT)
    };
    let killed = Ending::Signal(Signal::KILL.as_raw());
    let found = meaning(killed, 1);
    assert!(matches!(
        found,
        Fault::Broken(Error::NoRoom {
            role: Role::Candidate
        })
    ));
    for (ending, kind) in [
        (killed, FailureKind::OutOfMemory),
        (Ending::Signal(Signal::SEGV.as_raw()), FailureKind::Crashed),
    ] {
        let Fault::Failed { failure, .. } = meaning(ending, 0) else {
            panic!("no failure");
        };
        assert_eq!(failure.kind, kind);
    }
    // A crash stays one, whoever else is in memory.
    let crashed = meaning(Ending::Status(101), 1);
    assert!(matches!(crashed, Fault::Failed { .. }));
}

#[test]
fn whoever_is_gone_takes_no_memory() {
    let company = Company::default();
    let (first, second) = (company.enter(), company.enter());
    assert_eq!(company.0.get(), 2);
    drop(first);
    assert_eq!(company.0.get(), 1);
    drop(second);
    assert_eq!(company.0.get(), 0);
}

#[test]
fn a_hang_is_evidence() {
    let detail = "no answer within 700ms";
    check_failure(
        "echo busy >&2; sleep 600",
        FailureKind::TimedOut,
        detail,
        "busy",
    );
}

#[test]
fn the_models_own_refusals_are_evidence() {
    check_failure(
        &refusal("load_refused"),
        FailureKind::LoadRefused,
        "no (do)",
        "",
    );
    check_failure(
        &refusal("not_finite"),
        FailureKind::NotFinite,
        "no (do)",
        "",
    );
    check_failure(
        &refusal("prompt_refused"),
        FailureKind::PromptRefused,
        "no (do)",
        "",
    );
}

#[test]
fn what_is_nobodys_loss_is_no_evidence() {
    let outcome = greeted(&refusal("not_judgeable"), &effort()).snapshot(false, AT);
    let Err(Fault::Broken(error)) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(error.to_string(), "the candidate cannot be judged: no");
    assert_eq!(crate::hint::Hint::hint(&error).as_deref(), Some("do"));
    assert!(!error.is_internal());
}

#[test]
fn leaving_the_protocol_is_a_bug() {
    check_broken("echo garbage", "expected value");
    check_broken(
        "echo '{\"id\":9,\"ok\":\"close\"}'",
        "reply to request 9 instead of 2",
    );
    check_broken(
        "echo '{\"id\":2,\"ok\":\"close\"}'",
        "unexpected answer Close",
    );
    check_broken("echo '{\"id\":2}'", "exactly one of `ok` and `err`");
    check_broken(
        "echo '{\"id\":2,\"ok\":\"close\",\"x\":1}'",
        "unknown field `x`",
    );
    check_broken(
        "head -c 17000000 /dev/zero | tr '\\0' x; echo",
        "longer than 16777216 bytes",
    );
    check_broken(&refusal("protocol"), "left the protocol: no");
    check_broken(&refusal("internal"), "left the protocol: no");
    check_broken("exit 76", "refused the request");
}

#[test]
fn a_line_nobody_asked_for_is_a_bug() {
    let mut session = greeted(
        "echo '{\"id\":2,\"ok\":\"close\"}'; echo '{\"id\":2,\"ok\":\"close\"}'; read -r line",
        &effort(),
    );
    session.close(1, AT).unwrap();
    // Seen before the next request or instead of its answer, depending on when it arrives.
    assert!(matches!(
        session.close(1, AT),
        Err(Fault::Broken(Error::Protocol { .. }))
    ));
}

#[test]
fn the_handshake_refuses_strangers() {
    check_no_handshake(
        "read -r line; echo '{\"id\":1,\"ok\":{\"hello\":{\"protocol\":9,\"version\":\"0\",\
         \"pid\":1,\"kernel\":\"x\"}}}'; read -r line",
        "worker speaks protocol 9, this program 4",
    );
    check_no_handshake("echo oh >&2; exit 1", "no handshake: exit status 1");
    check_no_handshake(
        "read -r line; echo '{\"id\":1,\"ok\":\"bye\"}'",
        "unexpected answer Bye",
    );
}

#[test]
fn a_missing_program_is_named() {
    let command = WorkerCommand {
        program: "/nowhere/vv-eval".into(),
        args: vec![],
    };
    let Err(error) = Session::start(Role::Baseline, &command, &effort()) else {
        panic!()
    };
    assert_eq!(error.to_string(), "cannot start worker /nowhere/vv-eval");
}

#[test]
fn a_worker_must_leave_with_status_0() {
    let leave = |status: u8| {
        greeted(
            &format!("echo '{{\"id\":2,\"ok\":\"bye\"}}'; exit {status}"),
            &effort(),
        )
        .bye(AT)
    };
    assert!(leave(0).is_ok());
    let Err(Fault::Failed { failure, .. }) = leave(3) else {
        panic!("left with 3")
    };
    assert_eq!(failure.detail, "exit status 3");
}
