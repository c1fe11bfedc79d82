//! The parent side of one worker: typed requests, deadlines, and what a missing answer means.
//!
//! The supervisor sleeps in a blocking receive while a worker computes; nothing is drawn or polled
//! during a timed segment. Endings are told apart as evidence against the model ([`Fault::Failed`])
//! or as a reason to stop the run ([`Fault::Broken`]).

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use rustix::process::Signal;

use super::environment;
use super::error::Error;
use super::machine::oom_kills;
use super::plan::Effort;
use super::protocol::{
    self, Answer, BatchOutput, BatchRequest, GenerateAnswer, HelloAnswer, LoadAnswer, LoadRequest,
    MemoryAnswer, Op, OpenAnswer, OpenRequest, Refusal, RefusalKind, Reply, Request, Timing,
};
use super::reading::{ReadAnswer, ReadRequest};
use super::worker::EXIT_PROTOCOL;
use super::worker_process::{Ending, NoLine, WorkerCommand, WorkerProcess};
use crate::model::arena;
use crate::record::{Failure, FailureKind, Role};
use crate::units::Bytes;

/// Lines of stderr kept in a failure.
const STDERR_LINES: usize = 20;

/// Longest time a fresh worker may take to say who it is.
const HELLO_TIMEOUT: Duration = Duration::from_secs(30);

/// What the allocator, and an arena, last say when there is no memory to be had.
const NO_MEMORY: [&str; 2] = ["memory allocation of", arena::NO_MEMORY];

/// Why a unit of work gave no result.
#[derive(Debug)]
pub(super) enum Fault {
    /// The model failed: evidence.
    Failed {
        /// Whose.
        role: Role,
        /// What happened.
        failure: Box<Failure>,
    },
    /// The run cannot go on.
    Broken(Error),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Broken(error)
    }
}

/// What is being worked on, for the words of a failure.
#[derive(Debug, Clone, Copy)]
pub(super) struct At<'a> {
    pub(super) pass: &'static str,
    pub(super) scene: Option<&'a str>,
}

impl<'a> At<'a> {
    pub(super) fn scene(pass: &'static str, scene: &'a str) -> Self {
        Self {
            pass,
            scene: Some(scene),
        }
    }

    pub(super) fn pass(pass: &'static str) -> Self {
        Self { pass, scene: None }
    }
}

/// The workers of a run that hold models at the same time.
#[derive(Debug, Clone, Default)]
pub(super) struct Company(Rc<Cell<usize>>);

impl Company {
    fn enter(&self) -> Member {
        self.0.set(self.0.get() + 1);
        Member(self.clone())
    }
}

/// One of them, for as long as it lives.
#[derive(Debug)]
struct Member(Company);

impl Drop for Member {
    fn drop(&mut self) {
        let n = &self.0.0;
        n.set(n.get() - 1);
    }
}

/// A worker that has been greeted.
pub(super) struct Session {
    role: Role,
    process: WorkerProcess,
    last_id: u64,
    segment_timeout: Duration,
    scene_timeout: Duration,
    load_timeout: Duration,
    hello: HelloAnswer,
    /// What the policy lets it take.
    memory: Option<Bytes>,
    /// Its place among the workers that hold models; `None` for one that is alone by itself.
    company: Option<Member>,
    /// Processes ended for want of memory before this one began.
    oom_kills: Option<u64>,
}

impl Session {
    /// Starts a worker and shakes hands. A worker that fails before it was given a model is a
    /// protocol error: no model is to blame.
    pub(super) fn start(
        role: Role,
        command: &WorkerCommand,
        effort: &Effort,
    ) -> Result<Self, Error> {
        let process = spawn(command, effort).map_err(|source| Error::Spawn {
            program: command.program.clone(),
            source,
        })?;
        let mut session = Self {
            role,
            process,
            last_id: 0,
            segment_timeout: effort.segment_timeout,
            scene_timeout: effort.scene_timeout,
            load_timeout: effort.load_timeout,
            hello: HelloAnswer {
                protocol: 0,
                version: String::new(),
                pid: 0,
                kernel: String::new(),
            },
            memory: effort.worker_memory,
            company: None,
            oom_kills: oom_kills(),
        };
        let op = Op::Hello {
            protocol: protocol::VERSION,
            label: role.to_string(),
        };
        let answer = session.call(op, HELLO_TIMEOUT, At::pass("load"));
        match answer {
            Ok(Answer::Hello(hello)) if hello.protocol == protocol::VERSION => {
                session.hello = hello;
                Ok(session)
            }
            Ok(Answer::Hello(hello)) => Err(session.broken(format!(
                "worker speaks protocol {}, this program {}",
                hello.protocol,
                protocol::VERSION
            ))),
            Ok(other) => Err(session.unexpected(&other)),
            Err(Fault::Broken(error)) => Err(error),
            Err(Fault::Failed { failure, .. }) => {
                Err(session.broken(format!("no handshake: {}", failure.detail)))
            }
        }
    }

    /// Counts among the workers that hold models until it is dropped.
    pub(super) fn join(&mut self, company: &Company) {
        self.company = Some(company.enter());
    }

    /// What the worker said it is.
    pub(super) fn hello(&self) -> &HelloAnswer {
        &self.hello
    }

    pub(super) fn load(&mut self, request: LoadRequest) -> Result<LoadAnswer, Fault> {
        match self.call(Op::Load(request), self.load_timeout, At::pass("load"))? {
            Answer::Load(answer) => Ok(answer),
            other => Err(self.unexpected(&other).into()),
        }
    }

    pub(super) fn warmup(&mut self, tokens: usize, at: At) -> Result<(), Fault> {
        match self.call(Op::Warmup { tokens }, self.segment_timeout, at)? {
            Answer::Warmup => Ok(()),
            other => Err(self.unexpected(&other).into()),
        }
    }

    pub(super) fn open(&mut self, request: OpenRequest, at: At) -> Result<OpenAnswer, Fault> {
        match self.call(Op::Open(request), self.segment_timeout, at)? {
            Answer::Open(answer) => Ok(answer),
            other => Err(self.unexpected(&other).into()),
        }
    }

    pub(super) fn prefill(&mut self, handle: u64, at: At) -> Result<Timing, Fault> {
        match self.call(Op::Prefill { handle }, self.segment_timeout, at)? {
            Answer::Prefill(timing) => Ok(timing),
            other => Err(self.unexpected(&other).into()),
        }
    }

    pub(super) fn decode(&mut self, handle: u64, tokens: usize, at: At) -> Result<Timing, Fault> {
        match self.call(Op::Decode { handle, tokens }, self.segment_timeout, at)? {
            Answer::Decode(timing) if timing.tokens == tokens => Ok(timing),
            other => Err(self.unexpected(&other).into()),
        }
    }

    pub(super) fn generate(&mut self, handle: u64, at: At) -> Result<GenerateAnswer, Fault> {
        match self.call(Op::Generate { handle }, self.scene_timeout, at)? {
            Answer::Generate(answer) => Ok(answer),
            other => Err(self.unexpected(&other).into()),
        }
    }

    /// The outputs of a batch, one entry per scene. The time limit grows with the batch.
    pub(super) fn generate_batch(
        &mut self,
        request: BatchRequest,
        at: At,
    ) -> Result<Vec<Result<BatchOutput, Refusal>>, Fault> {
        let n_scenes = request.scenes.len();
        let times = u32::try_from(n_scenes).unwrap_or(u32::MAX);
        let timeout = self.scene_timeout.saturating_mul(times);
        let outputs = match self.call(Op::GenerateBatch(request), timeout, at)? {
            Answer::GenerateBatch(answer) if answer.outputs.len() == n_scenes => answer.outputs,
            other => return Err(self.unexpected(&other).into()),
        };
        let outcomes = outputs
            .into_iter()
            .map(|output| match (output.ok, output.err) {
                (Some(output), None) => Some(Ok(output)),
                (None, Some(refusal)) => Some(Err(refusal)),
                (Some(_), Some(_)) | (None, None) => None,
            });
        outcomes.collect::<Option<Vec<_>>>().ok_or_else(|| {
            let id = self.last_id;
            self.broken(protocol::Malformed::NotOneOutcome { id }.to_string())
                .into()
        })
    }

    /// What was made of the texts of the first scenes, at least one. The time limit grows with the
    /// number of scenes.
    pub(super) fn read(&mut self, request: ReadRequest, at: At) -> Result<ReadAnswer, Fault> {
        let n_texts: Vec<usize> = request.scenes.iter().map(|it| it.texts.len()).collect();
        let times = u32::try_from(n_texts.len()).unwrap_or(u32::MAX);
        let timeout = self.scene_timeout.saturating_mul(times);
        match self.call(Op::Read(request), timeout, at)? {
            Answer::Read(answer) if answer.answers(&n_texts) => Ok(answer),
            other => Err(self.unexpected(&other).into()),
        }
    }

    pub(super) fn close(&mut self, handle: u64, at: At) -> Result<(), Fault> {
        match self.call(Op::Close { handle }, self.segment_timeout, at)? {
            Answer::Close => Ok(()),
            other => Err(self.unexpected(&other).into()),
        }
    }

    pub(super) fn snapshot(&mut self, reset: bool, at: At) -> Result<MemoryAnswer, Fault> {
        match self.call(Op::Snapshot { reset }, self.segment_timeout, at)? {
            Answer::Snapshot(answer) => Ok(answer),
            other => Err(self.unexpected(&other).into()),
        }
    }

    /// Ends the worker; an exit status other than 0 is a crash.
    pub(super) fn bye(mut self, at: At) -> Result<(), Fault> {
        match self.call(Op::Bye, self.segment_timeout, at)? {
            Answer::Bye => {}
            other => return Err(self.unexpected(&other).into()),
        }
        match self.process.finish() {
            Ending::Status(0) => Ok(()),
            ending => Err(self.ended(ending, at)),
        }
    }

    /// Sends a request and waits for its answer.
    fn call(&mut self, op: Op, timeout: Duration, at: At) -> Result<Answer, Fault> {
        if self.process.has_unexpected_line() {
            return Err(self.broken("a line nobody asked for".to_owned()).into());
        }
        self.last_id += 1;
        let id = self.last_id;
        self.process.send(protocol::to_line(&Request { id, op }));
        let line = match self.process.receive(timeout) {
            Ok(line) => line,
            Err(NoLine::TooLong) => {
                let limit = protocol::MAX_LINE_BYTES;
                return Err(self
                    .broken(protocol::Malformed::TooLong { limit }.to_string())
                    .into());
            }
            Err(NoLine::TimedOut) => {
                let detail = format!("no answer within {timeout:?}");
                return Err(self.failed(FailureKind::TimedOut, detail, at));
            }
            Err(NoLine::Ended(Ending::Status(status))) if status == i32::from(EXIT_PROTOCOL) => {
                return Err(self
                    .broken("the worker refused the request".to_owned())
                    .into());
            }
            Err(NoLine::Ended(ending)) => return Err(self.ended(ending, at)),
        };
        let outcome = protocol::from_line::<Reply>(&line).and_then(|reply| {
            let found = reply.id;
            reply.outcome().map(|outcome| (found, outcome))
        });
        match outcome {
            Err(malformed) => Err(self.broken(malformed.to_string()).into()),
            Ok((found, _)) if found != id => Err(self
                .broken(format!("reply to request {found} instead of {id}"))
                .into()),
            Ok((_, Ok(answer))) => Ok(answer),
            Ok((_, Err(refusal))) => Err(self.refused(refusal, at)),
        }
    }

    /// What a refusal means: evidence against the model, or the end of the run.
    pub(super) fn refused(&mut self, refusal: Refusal, at: At) -> Fault {
        let Refusal {
            kind,
            message,
            hint,
        } = refusal;
        let kind = match kind {
            RefusalKind::LoadRefused if self.role == Role::Candidate => FailureKind::LoadRefused,
            RefusalKind::PromptRefused => FailureKind::PromptRefused,
            RefusalKind::NotFinite => FailureKind::NotFinite,
            // Without a baseline there is nothing to hold a candidate against.
            RefusalKind::LoadRefused | RefusalKind::NotJudgeable => {
                return Error::NotJudgeable {
                    role: self.role,
                    message,
                    hint,
                }
                .into();
            }
            RefusalKind::Protocol | RefusalKind::Internal => return self.broken(message).into(),
        };
        let detail = hint.map_or(message.clone(), |hint| format!("{message} ({hint})"));
        self.failed(kind, detail, at)
    }

    fn ended(&mut self, ending: Ending, at: At) -> Fault {
        let n_killed = oom_kills().zip(self.oom_kills);
        let is_short = n_killed.is_some_and(|(now, before)| now > before);
        self.meaning(ending, is_short, at)
    }

    /// What the end of a worker means. One that found no memory says nothing about its model while
    /// another is in memory too, unless it wanted more than the policy lets it take: each had its room
    /// alone.
    ///
    /// * `is_short`: whether the system has ended processes for want of memory meanwhile
    fn meaning(&mut self, ending: Ending, is_short: bool, at: At) -> Fault {
        let is_alone = self.company.as_ref().is_none_or(|it| it.0.0.get() < 2);
        let mut fault = self.failed(FailureKind::Crashed, ending.to_string(), at);
        let Fault::Failed { failure, .. } = &mut fault else {
            return fault;
        };
        let is_killed = is_short && ending == Ending::Signal(Signal::KILL.as_raw());
        let is_refused = NO_MEMORY.iter().any(|it| failure.stderr_tail.contains(it));
        failure.detail = match self.memory.filter(|_| is_refused) {
            Some(most) => format!("{ending}; a worker may take {most}"),
            None if !is_killed && !is_refused => return fault,
            None if !is_alone => return Error::NoRoom { role: self.role }.into(),
            None => format!("{ending}: the system had no memory left"),
        };
        failure.kind = FailureKind::OutOfMemory;
        fault
    }

    fn failed(&mut self, kind: FailureKind, detail: String, at: At) -> Fault {
        self.process.kill();
        let failure = Failure {
            kind,
            pass: at.pass.to_owned(),
            scene: at.scene.map(str::to_owned),
            detail,
            stderr_tail: self.process.stderr_tail(STDERR_LINES),
        };
        Fault::Failed {
            role: self.role,
            failure: Box::new(failure),
        }
    }

    fn broken(&mut self, detail: String) -> Error {
        self.process.kill();
        let stderr_tail = self.process.stderr_tail(STDERR_LINES);
        Error::Protocol {
            role: self.role,
            detail,
            stderr_tail,
        }
    }

    fn unexpected(&mut self, answer: &Answer) -> Error {
        let mut shown = format!("{answer:?}");
        if let Some((end, _)) = shown.char_indices().nth(80) {
            shown.truncate(end);
        }
        self.broken(format!("unexpected answer {shown}"))
    }
}

/// A worker under the policy's limit of memory, else, where that can be set, under what there is: a
/// model that wants more shall end itself and nobody else.
fn spawn(command: &WorkerCommand, effort: &Effort) -> io::Result<WorkerProcess> {
    let under = |memory| WorkerProcess::spawn(command, effort.threads, memory);
    match effort.worker_memory {
        Some(most) => under(Some(most)),
        None => under(environment::memory()).or_else(|_| under(None)),
    }
}

/// Whether the machine, rather than the model, may be to blame.
pub(super) fn is_worth_repeating(kind: FailureKind) -> bool {
    match kind {
        FailureKind::Crashed | FailureKind::OutOfMemory | FailureKind::TimedOut => true,
        FailureKind::LoadRefused | FailureKind::NotFinite | FailureKind::PromptRefused => false,
    }
}

/// The note on a repetition.
pub(super) fn repetition(role: Role, failure: &Failure) -> String {
    let Failure {
        pass,
        scene,
        detail,
        ..
    } = failure;
    let scene = scene
        .as_deref()
        .map_or(String::new(), |scene| format!(" at scene `{scene}`"));
    format!("{role}: {detail} in pass {pass}{scene}; repeated in a fresh worker")
}

#[cfg(test)]
#[path = "supervisor_tests.rs"]
mod tests;
