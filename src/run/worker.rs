//! The child side: loads one model, then answers requests until its input ends.
//!
//! In: request lines. Out: reply lines. Only a worker ever holds weights. It knows its role as an
//! opaque label and never branches on it.

use std::io::{self, BufRead, Write};
use std::process::ExitCode;
use std::time::Instant;

use rustix::process::{Resource, Rlimit, Signal};

use super::health::{Sources, arena_pages};
use super::lanes::{Forced, ForcedLimits, Natural, generate_batch, refused, warm_up};
use super::protocol::{
    self, Answer, BatchAnswer, BatchRequest, HelloAnswer, Lane, LineRead, LoadAnswer, LoadRequest,
    Malformed, MemoryAnswer, Op, OpenAnswer, OpenRequest, Refusal, RefusalKind, Reply, Request,
    Timing,
};
use super::reading::{self, ReadAnswer, ReadRequest};
use super::{probe, subject};
use crate::engine::{Engine, kernels};
use crate::units::Sha256;

/// Exit status of a worker that was spoken to off the protocol (`EX_PROTOCOL` of sysexits.h).
pub(super) const EXIT_PROTOCOL: u8 = 76;

/// Exit status of a worker that panicked, as Rust programs have it.
pub(super) const EXIT_PANIC: u8 = 101;

/// A loaded model as a worker uses it: the real one, or a canned one in tests.
pub trait Subject {
    /// Token ids of a prompt, the chat template applied.
    ///
    /// # Errors
    /// One line saying why the text cannot be encoded.
    fn encode_prompt(&self, text: &str) -> Result<Vec<u32>, String>;

    /// Token ids of plain text, nothing added.
    ///
    /// # Errors
    /// One line saying why the text cannot be encoded.
    fn encode_text(&self, text: &str) -> Result<Vec<u32>, String>;

    /// The text of token ids.
    ///
    /// # Errors
    /// One line saying why the ids have no text.
    fn decode(&self, ids: &[u32]) -> Result<String, String>;

    /// Ids that end an output.
    fn stop_ids(&self) -> &[u32];

    /// One line describing the model.
    fn card(&self) -> String;

    /// Digest of the tokenizer file.
    fn tokenizer_sha256(&self) -> Sha256;

    /// Identity of the ternary codes with their scales, where there are any.
    fn layers_sha256(&self) -> Option<Sha256>;

    /// Threads that compute.
    fn threads(&self) -> usize;

    /// The engine.
    fn engine(&mut self) -> &mut dyn Engine;
}

/// What loading gives: the model, and how long the checks around it took.
pub struct Loaded {
    /// The model, ready to prefill.
    pub subject: Box<dyn Subject>,
    /// Checks of digests and perplexity, wall.
    pub verify_ns: u64,
    /// The same, CPU time.
    pub verify_cpu_ns: u64,
}

/// Why a model was not loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadRefused {
    /// Whether this speaks against the model. False when its files are not the ones that were
    /// digested, or when this program does not support the format.
    pub is_evidence: bool,
    /// Why, in one line.
    pub message: String,
    /// What the user can do about it.
    pub hint: Option<String>,
}

/// Why a worker stopped answering.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The input or the output broke.
    #[error("lost the supervisor")]
    Io(#[from] io::Error),
    /// A line that is no request.
    #[error("malformed request")]
    Malformed(#[from] Malformed),
    /// The supervisor speaks another version.
    #[error(
        "supervisor speaks protocol {found}, this worker {}",
        protocol::VERSION
    )]
    Version {
        /// Version of the supervisor.
        found: u32,
    },
}

/// A natural or forced generation in progress.
enum Generation {
    Natural(Natural),
    Forced(Forced),
}

/// Everything a worker holds between requests.
struct Worker<L> {
    load: L,
    kernel: &'static str,
    is_greeted: bool,
    subject: Option<Box<dyn Subject>>,
    open: Option<(u64, Generation)>,
    n_opened: u64,
    sources: Sources,
    /// CPU time of this process when the last reply was sent.
    replied_cpu_ns: u64,
    /// CPU time between the last reply and the request in work.
    idle_cpu_ns: u64,
}

/// Answers requests from `input` on `output` until `bye` or the end of the input.
///
/// * `kernel`: name of the compute kernel in use
/// * `load`: makes the model of a load request
///
/// # Errors
/// [`Error`] when the other side leaves the protocol; nothing is answered after that.
pub fn serve(
    mut input: impl BufRead,
    mut output: impl Write,
    kernel: &'static str,
    load: impl FnMut(&LoadRequest) -> Result<Loaded, LoadRefused>,
) -> Result<(), Error> {
    let mut worker = Worker {
        load,
        kernel,
        is_greeted: false,
        subject: None,
        open: None,
        n_opened: 0,
        sources: Sources::find(),
        replied_cpu_ns: probe::cpu_ns(),
        idle_cpu_ns: 0,
    };
    let mut line = Vec::new();
    loop {
        match protocol::read_line(&mut input, &mut line, protocol::MAX_LINE_BYTES)? {
            LineRead::Whole => {}
            LineRead::End => return Ok(()),
            LineRead::TooLong => {
                return Err(Malformed::TooLong {
                    limit: protocol::MAX_LINE_BYTES,
                }
                .into());
            }
        }
        worker.idle_cpu_ns = probe::cpu_ns().saturating_sub(worker.replied_cpu_ns);
        let Request { id, op } = protocol::from_line(&line)?;
        let accepted = Instant::now();
        let foreign = match &op {
            Op::Hello {
                protocol: found, ..
            } if *found != protocol::VERSION => Some(*found),
            _ => None,
        };
        let is_last = op == Op::Bye;
        let outcome = match foreign {
            Some(found) => Err(protocol_refusal(Error::Version { found }.to_string())),
            None => worker.answer(op, accepted),
        };
        let reply = match outcome {
            Ok(answer) => Reply {
                id,
                ok: Some(answer),
                err: None,
            },
            Err(refusal) => Reply {
                id,
                ok: None,
                err: Some(refusal),
            },
        };
        output.write_all(&protocol::to_line(&reply))?;
        output.flush()?;
        worker.replied_cpu_ns = probe::cpu_ns();
        if let Some(found) = foreign {
            return Err(Error::Version { found });
        }
        if is_last {
            return Ok(());
        }
    }
}

impl<L: FnMut(&LoadRequest) -> Result<Loaded, LoadRefused>> Worker<L> {
    fn answer(&mut self, op: Op, accepted: Instant) -> Result<Answer, Refusal> {
        if !self.is_greeted && !matches!(op, Op::Hello { .. }) {
            return Err(protocol_refusal("the handshake comes first".to_owned()));
        }
        match op {
            Op::Hello { .. } => {
                self.is_greeted = true;
                Ok(Answer::Hello(HelloAnswer {
                    protocol: protocol::VERSION,
                    version: env!("CARGO_PKG_VERSION").to_owned(),
                    pid: std::process::id(),
                    kernel: self.kernel.to_owned(),
                }))
            }
            Op::Load(request) => self.load(&request, accepted).map(Answer::Load),
            Op::Warmup { tokens } => {
                if self.open.is_some() {
                    return Err(protocol_refusal("a generation is open".to_owned()));
                }
                warm_up(self.subject()?.engine(), tokens).map(|()| Answer::Warmup)
            }
            Op::Open(request) => self.open(request).map(Answer::Open),
            Op::Prefill { handle } => self
                .watched(handle, |subject, forced| forced.prefill(subject.engine()))
                .map(Answer::Prefill),
            Op::Decode { handle, tokens } => self
                .watched(handle, |subject, forced| {
                    forced.decode(subject.engine(), tokens)
                })
                .map(Answer::Decode),
            Op::Generate { handle } => match self.generation(handle)? {
                (subject, Generation::Natural(natural)) => {
                    natural.generate(subject, accepted).map(Answer::Generate)
                }
                (_, Generation::Forced(_)) => {
                    Err(protocol_refusal("generate in the forced lane".to_owned()))
                }
            },
            Op::GenerateBatch(request) => self.generate_batch(&request).map(Answer::GenerateBatch),
            Op::Read(request) => self.read(&request).map(Answer::Read),
            Op::Close { handle } => {
                self.generation(handle)?;
                self.open = None;
                Ok(Answer::Close)
            }
            Op::Snapshot { reset } => snapshot(reset).map(Answer::Snapshot),
            Op::Bye => Ok(Answer::Bye),
        }
    }

    fn load(&mut self, request: &LoadRequest, accepted: Instant) -> Result<LoadAnswer, Refusal> {
        if self.subject.is_some() {
            return Err(protocol_refusal("a model is loaded already".to_owned()));
        }
        let cpu_before = probe::cpu_ns();
        let loaded = (self.load)(request).map_err(|refused| Refusal {
            kind: if refused.is_evidence {
                RefusalKind::LoadRefused
            } else {
                RefusalKind::NotJudgeable
            },
            message: refused.message,
            hint: refused.hint,
        })?;
        let cpu_ns = probe::cpu_ns().saturating_sub(cpu_before);
        let wall_ns = probe::ns_between(accepted, Instant::now());
        let memory = probe::memory().map_err(|error| internal(&error))?;
        let subject = self.subject.insert(loaded.subject);
        Ok(LoadAnswer {
            load_ns: wall_ns.saturating_sub(loaded.verify_ns),
            load_cpu_ns: cpu_ns.saturating_sub(loaded.verify_cpu_ns),
            verify_ns: loaded.verify_ns,
            card: subject.card(),
            tokenizer_sha256: subject.tokenizer_sha256(),
            layers_sha256: subject.layers_sha256(),
            context_limit: subject.engine().context_limit(),
            threads: subject.threads(),
            anon_bytes: memory.anon,
            huge_bytes: probe::huge_bytes(),
        })
    }

    /// A timed segment with what disturbed it.
    fn watched(
        &mut self,
        handle: u64,
        segment: impl FnOnce(&mut dyn Subject, &mut Forced) -> Result<Timing, Refusal>,
    ) -> Result<Timing, Refusal> {
        let before = self.sources.read();
        let (subject, forced) = self.forced(handle)?;
        let timing = segment(subject, forced)?;
        let health = before.until(self.sources.read(), self.idle_cpu_ns);
        Ok(Timing {
            health: Some(health),
            ..timing
        })
    }

    fn generate_batch(&mut self, request: &BatchRequest) -> Result<BatchAnswer, Refusal> {
        if self.open.is_some() {
            return Err(protocol_refusal("a generation is open".to_owned()));
        }
        if request.max_batch == 0 || request.max_new_tokens == 0 || request.scenes.is_empty() {
            return Err(protocol_refusal("a batch of nothing".to_owned()));
        }
        let outputs = generate_batch(self.subject()?, request);
        Ok(BatchAnswer { outputs })
    }

    fn read(&mut self, request: &ReadRequest) -> Result<ReadAnswer, Refusal> {
        if self.open.is_some() {
            return Err(protocol_refusal("a generation is open".to_owned()));
        }
        if request.scenes.is_empty() {
            return Err(protocol_refusal("nothing to read".to_owned()));
        }
        reading::read(self.subject()?, request)
    }

    fn open(&mut self, request: OpenRequest) -> Result<OpenAnswer, Refusal> {
        if self.open.is_some() {
            return Err(protocol_refusal("a generation is open already".to_owned()));
        }
        let subject = self.subject()?;
        let OpenRequest {
            scene,
            prompt,
            lane,
        } = request;
        let (n_prompt, n_forced, generation) = match lane {
            Lane::Natural {
                max_new_tokens: 0, ..
            } => {
                return Err(refused(format!("scene `{scene}` may have no new token")));
            }
            Lane::Natural {
                max_new_tokens,
                ignore_stop,
            } => {
                let natural = Natural::open(subject, prompt, max_new_tokens, ignore_stop)?;
                (natural.n_prompt, 0, Generation::Natural(natural))
            }
            Lane::Forced {
                text,
                prompt_tokens,
                context_tokens,
            } => {
                let limits = ForcedLimits {
                    prompt_tokens,
                    context_tokens,
                };
                let forced = Forced::open(subject, &prompt, &text, limits)?;
                (
                    forced.n_prompt(),
                    forced.n_forced(),
                    Generation::Forced(forced),
                )
            }
        };
        self.n_opened += 1;
        self.open = Some((self.n_opened, generation));
        Ok(OpenAnswer {
            handle: self.n_opened,
            n_prompt,
            n_forced,
        })
    }

    fn subject(&mut self) -> Result<&mut dyn Subject, Refusal> {
        match &mut self.subject {
            Some(subject) => Ok(subject.as_mut()),
            None => Err(protocol_refusal("no model is loaded".to_owned())),
        }
    }

    fn generation(&mut self, handle: u64) -> Result<(&mut dyn Subject, &mut Generation), Refusal> {
        match (&mut self.subject, &mut self.open) {
            (Some(subject), Some((open, generation))) if *open == handle => {
                Ok((subject.as_mut(), generation))
            }
            _ => Err(protocol_refusal(format!("generation {handle} is not open"))),
        }
    }

    fn forced(&mut self, handle: u64) -> Result<(&mut dyn Subject, &mut Forced), Refusal> {
        match self.generation(handle)? {
            (subject, Generation::Forced(forced)) => Ok((subject, forced)),
            (_, Generation::Natural(_)) => Err(protocol_refusal(
                "a timed segment in the natural lane".to_owned(),
            )),
        }
    }
}

fn snapshot(reset: bool) -> Result<MemoryAnswer, Refusal> {
    // The peak first: reading the rest takes memory of its own.
    let memory = probe::memory().map_err(|error| internal(&error))?;
    let rollup = probe::rollup();
    Ok(MemoryAnswer {
        peak_bytes: memory.peak,
        anon_bytes: memory.anon,
        file_bytes: memory.file,
        shmem_bytes: probe::shmem_bytes(),
        pss_bytes: rollup.pss,
        pss_file_bytes: rollup.pss_file,
        huge_bytes: rollup.huge,
        pages: arena_pages(),
        is_reset: reset && probe::reset_peak(),
    })
}

fn internal(error: &probe::Error) -> Refusal {
    Refusal {
        kind: RefusalKind::Internal,
        message: error.to_string(),
        hint: None,
    }
}

fn protocol_refusal(message: String) -> Refusal {
    Refusal {
        kind: RefusalKind::Protocol,
        message,
        hint: None,
    }
}

/// Runs a worker on stdin and stdout: the hidden command `__worker`.
///
/// Gives the exit status that tells the supervisor how it ended. A panic prints its message to
/// stderr as always and gives 101.
pub fn worker_main() -> ExitCode {
    limit_this_process();
    let serve = std::panic::AssertUnwindSafe(|| {
        serve(
            io::stdin().lock(),
            io::stdout().lock(),
            kernels::chosen(),
            subject::load,
        )
    });
    match std::panic::catch_unwind(serve) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            // Nobody is left to tell when stderr is gone too.
            let _ = writeln!(io::stderr(), "{}", chain(&error));
            ExitCode::from(EXIT_PROTOCOL)
        }
        Err(_) => ExitCode::from(EXIT_PANIC),
    }
}

/// No core dumps, and death with the supervisor. Both are precautions: a system that refuses them
/// still ends the worker through the end of its input.
fn limit_this_process() {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    let _ = rustix::process::setrlimit(Resource::Core, none);
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
}

/// An error and its sources in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

#[cfg(test)]
#[path = "worker_tests.rs"]
mod tests;
