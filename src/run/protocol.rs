//! What the supervisor and a worker say to each other: JSON lines, version 4.
//!
//! One object per line, UTF-8, at most [`MAX_LINE_BYTES`]. Every request carries an id and every
//! reply repeats it. Unknown fields are refused. Times are integers in nanoseconds.

use std::io::{self, BufRead};
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::reading::{ReadAnswer, ReadRequest};
use crate::record::{ArenaPages, LoadSettings, SegmentHealth, StopReason};
use crate::units::{Bytes, Sha256};

/// Version of the protocol and of the measuring behind it.
pub const VERSION: u32 = 4;

/// Longest line either side accepts, newline excluded.
pub const MAX_LINE_BYTES: usize = 16 << 20;

/// A line from the supervisor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Repeated by the reply.
    pub id: u64,
    /// What to do.
    #[serde(rename = "do")]
    pub op: Op,
}

/// What a worker can be asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Op {
    /// The handshake; must come first.
    Hello {
        /// [`VERSION`] of the supervisor.
        protocol: u32,
        /// An opaque name for messages; nothing branches on it.
        label: String,
    },
    /// Loads the one model of this worker.
    Load(LoadRequest),
    /// Feeds some tokens so that the first measured work is not the first work.
    Warmup {
        /// How many.
        tokens: usize,
    },
    /// Prepares one generation: tokenises, makes room, allocates buffers.
    Open(OpenRequest),
    /// Forced lane: feeds the prompt's tokens, timed.
    Prefill {
        /// From `open`.
        handle: u64,
    },
    /// Forced lane: feeds given tokens one by one, timed.
    Decode {
        /// From `open`.
        handle: u64,
        /// How many.
        tokens: usize,
    },
    /// Natural lane: the model's own greedy output.
    Generate {
        /// From `open`.
        handle: u64,
    },
    /// Natural lane: the outputs of many scenes, decoded together where the engine can do that.
    /// Nothing is timed.
    GenerateBatch(BatchRequest),
    /// Reads given texts and says how likely they are. Nothing is timed.
    Read(ReadRequest),
    /// Ends a generation.
    Close {
        /// From `open`.
        handle: u64,
    },
    /// Reads the worker's memory.
    Snapshot {
        /// Whether to start a new peak afterwards.
        reset: bool,
    },
    /// Ends the worker.
    Bye,
}

/// The model to load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadRequest {
    /// Its files, as the supervisor digested them.
    pub files: Vec<FileRequest>,
    /// Whether a manifest promised the digests.
    pub is_pinned: bool,
    /// Identity of the whole set.
    pub release_digest: Sha256,
    /// Where the files were found, for messages only.
    pub origin: PathBuf,
    /// What the files do not say, or what the user decided.
    pub settings: LoadSettings,
    /// Threads to compute with.
    pub threads: usize,
    /// The harm to plant, by its name; `None` in every run that counts.
    pub planted: Option<String>,
}

/// One file of [`LoadRequest`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileRequest {
    /// File name without directories.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// Digest its bytes must have.
    pub sha256: Sha256,
    /// Length it must have.
    pub size_bytes: Bytes,
}

/// One generation to prepare.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenRequest {
    /// Scene id, for messages.
    pub scene: String,
    /// The prompt's text.
    pub prompt: String,
    /// What is fed after the prompt.
    pub lane: Lane,
}

/// What is fed after the prompt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Lane {
    /// The model's own choice.
    Natural {
        /// Limit of new tokens.
        max_new_tokens: usize,
        /// Whether to write on after a stop token, to the limit; fills the caches.
        ignore_stop: bool,
    },
    /// Given text.
    Forced {
        /// The text whose tokens are fed.
        text: String,
        /// At most so many tokens of the prompt are used, and never more than half the context.
        prompt_tokens: usize,
        /// At most so much context is used; the same for both roles, whatever they could hold.
        context_tokens: usize,
    },
}

/// Scenes to write without taking times.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchRequest {
    /// At least one.
    pub scenes: Vec<BatchScene>,
    /// Limit of new tokens per output.
    pub max_new_tokens: usize,
    /// Most outputs in progress at the same time.
    pub max_batch: usize,
}

/// One scene of a [`BatchRequest`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchScene {
    /// Scene id, for messages.
    pub scene: String,
    /// The prompt's text.
    pub prompt: String,
}

/// A line from the worker: exactly one of `ok` and `err`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reply {
    /// The request's id.
    pub id: u64,
    /// What was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ok: Option<Answer>,
    /// Why it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub err: Option<Refusal>,
}

/// A reply that went well; each variant answers the request of the same name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Answer {
    /// The handshake.
    Hello(HelloAnswer),
    /// The model is ready to prefill.
    Load(LoadAnswer),
    /// Warm.
    Warmup,
    /// The generation is prepared.
    Open(OpenAnswer),
    /// The prompt is in the cache.
    Prefill(Timing),
    /// The given tokens are in the cache.
    Decode(Timing),
    /// The output.
    Generate(GenerateAnswer),
    /// The outputs, in the order of the scenes.
    GenerateBatch(BatchAnswer),
    /// What was read.
    Read(ReadAnswer),
    /// Closed.
    Close,
    /// Memory now.
    Snapshot(MemoryAnswer),
    /// The worker ends.
    Bye,
}

/// What the worker is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HelloAnswer {
    /// [`VERSION`] of the worker.
    pub protocol: u32,
    /// Version of the program.
    pub version: String,
    /// Process id.
    pub pid: u32,
    /// Compute kernel chosen.
    pub kernel: String,
}

/// How loading went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadAnswer {
    /// Digest checks done → ready to prefill, wall.
    pub load_ns: u64,
    /// The same, CPU time.
    pub load_cpu_ns: u64,
    /// Time of the checks of digests and, where asked for, of perplexity; not part of `load_ns`.
    pub verify_ns: u64,
    /// One line describing the model.
    pub card: String,
    /// Digest of the tokenizer file.
    pub tokenizer_sha256: Sha256,
    /// Identity of the ternary codes with their scales; absent for a model without any.
    #[serde(default)]
    pub layers_sha256: Option<Sha256>,
    /// Longest context, in tokens.
    pub context_limit: usize,
    /// Threads that compute.
    pub threads: usize,
    /// Anonymous resident memory after loading.
    pub anon_bytes: Bytes,
    /// The part of it on huge pages; `None` where the system does not say.
    pub huge_bytes: Option<Bytes>,
}

/// What was prepared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenAnswer {
    /// Names the generation in what follows.
    pub handle: u64,
    /// Tokens of the prompt that are used.
    pub n_prompt: usize,
    /// Forced tokens that fit behind the prompt; 0 in the natural lane.
    pub n_forced: usize,
}

/// One timed region.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timing {
    /// Tokens fed inside it.
    pub tokens: usize,
    /// Monotonic time.
    pub wall_ns: u64,
    /// CPU time of the process, user and system, all threads.
    pub cpu_ns: u64,
    /// What disturbed it; absent where nobody looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<SegmentHealth>,
}

impl Timing {
    /// Adds a later turn of the same segment.
    pub(super) fn add(&mut self, later: Self) {
        self.tokens += later.tokens;
        self.wall_ns += later.wall_ns;
        self.cpu_ns += later.cpu_ns;
        self.health = match (self.health, later.health) {
            (Some(health), Some(more)) => Some(health.plus(more)),
            (one, other) => one.or(other),
        };
    }
}

/// A natural output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenerateAnswer {
    /// Tokens of the prompt.
    pub n_prompt: usize,
    /// Tokens after the prompt without the stop token.
    pub token_ids: Vec<u32>,
    /// The decoded text.
    pub text: String,
    /// Why it ended.
    pub stop: StopReason,
    /// Request accepted → first token chosen.
    pub ttft_ns: u64,
    /// Between completions of consecutive tokens.
    pub itl_ns: Vec<u64>,
    /// Request accepted → text ready.
    pub e2e_ns: u64,
}

/// What a batch gave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchAnswer {
    /// One entry per scene, in the order of the request.
    pub outputs: Vec<BatchOutcome>,
}

/// The end of one scene of a batch: exactly one of `ok` and `err`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchOutcome {
    /// What was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ok: Option<BatchOutput>,
    /// Why nothing was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub err: Option<Refusal>,
}

/// One output of a batch; fields as in [`GenerateAnswer`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchOutput {
    /// Tokens of the prompt.
    pub n_prompt: usize,
    /// Tokens after the prompt without the stop token.
    pub token_ids: Vec<u32>,
    /// The decoded text.
    pub text: String,
    /// Why it ended.
    pub stop: StopReason,
}

/// Memory of the worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemoryAnswer {
    /// `VmHWM`.
    pub peak_bytes: Bytes,
    /// `RssAnon`.
    pub anon_bytes: Bytes,
    /// `RssFile`.
    pub file_bytes: Bytes,
    /// `RssShmem`.
    #[serde(default)]
    pub shmem_bytes: Option<Bytes>,
    /// `Pss`.
    #[serde(default)]
    pub pss_bytes: Option<Bytes>,
    /// `Pss_File`.
    #[serde(default)]
    pub pss_file_bytes: Option<Bytes>,
    /// `AnonHugePages`.
    #[serde(default)]
    pub huge_bytes: Option<Bytes>,
    /// Huge pages under the arenas.
    #[serde(default)]
    pub pages: Option<ArenaPages>,
    /// Whether a new peak was started.
    pub is_reset: bool,
}

/// A reply that says no.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// Which sort of no.
    pub kind: RefusalKind,
    /// Why, in one line.
    pub message: String,
    /// What the user can do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// Sorts of [`Refusal`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalKind {
    /// Another version, or a request out of order: a bug of this program.
    Protocol,
    /// The model is broken: evidence against it.
    LoadRefused,
    /// The files changed since they were digested, or the format is not supported: nobody's loss.
    NotJudgeable,
    /// The prompt could not be tokenised, rendered or held in the context.
    PromptRefused,
    /// Logits were NaN or infinite.
    NotFinite,
    /// The worker could not read its own clocks or memory, or a library it computes with failed.
    Internal,
}

/// A line that does not follow the protocol.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    /// Longer than allowed.
    #[error("line is longer than {limit} bytes")]
    TooLong {
        /// The limit.
        limit: usize,
    },
    /// Not the JSON expected.
    #[error("{reason} at `{key}`")]
    Json {
        /// Path of the offending key, `.` for the whole line.
        key: String,
        /// What is wrong.
        reason: String,
    },
    /// Neither or both of `ok` and `err`, in the reply or in an entry of a batch.
    #[error("reply {id} must have exactly one of `ok` and `err`")]
    NotOneOutcome {
        /// The reply's id.
        id: u64,
    },
}

impl Reply {
    /// The answer or the refusal.
    ///
    /// # Errors
    /// [`Malformed::NotOneOutcome`].
    pub fn outcome(self) -> Result<Result<Answer, Refusal>, Malformed> {
        match (self.ok, self.err) {
            (Some(answer), None) => Ok(Ok(answer)),
            (None, Some(refusal)) => Ok(Err(refusal)),
            _ => Err(Malformed::NotOneOutcome { id: self.id }),
        }
    }
}

/// A message as one line, newline included.
///
/// # Panics
/// Never: messages hold nothing JSON cannot express (paths are UTF-8, checked on entry).
pub fn to_line<T: Serialize>(message: &T) -> Vec<u8> {
    let mut line = serde_json::to_vec(message).expect("a message is plain JSON data");
    line.push(b'\n');
    line
}

/// Reads a message from one line without its newline.
///
/// # Errors
/// [`Malformed::Json`] with the offending key.
pub fn from_line<T: DeserializeOwned>(line: &[u8]) -> Result<T, Malformed> {
    let mut reader = serde_json::Deserializer::from_slice(line);
    let message =
        serde_path_to_error::deserialize(&mut reader).map_err(|error| Malformed::Json {
            key: error.path().to_string(),
            reason: error.inner().to_string(),
        })?;
    reader.end().map_err(|error| Malformed::Json {
        key: ".".to_owned(),
        reason: error.to_string(),
    })?;
    Ok(message)
}

/// How reading a line ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineRead {
    /// The buffer holds a line without its newline.
    Whole,
    /// The input ended; what the buffer holds is not a line.
    End,
    /// The line is longer than the limit; the buffer holds its beginning.
    TooLong,
}

/// Reads one line of at most `limit` bytes into `line`, which is emptied first.
///
/// # Errors
/// What the reader says.
pub fn read_line(
    input: &mut impl BufRead,
    line: &mut Vec<u8>,
    limit: usize,
) -> io::Result<LineRead> {
    line.clear();
    loop {
        let available = match input.fill_buf() {
            Ok(available) => available,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if available.is_empty() {
            return Ok(LineRead::End);
        }
        let newline = available.iter().position(|&byte| byte == b'\n');
        let taken = newline.unwrap_or(available.len());
        if line.len() + taken > limit {
            return Ok(LineRead::TooLong);
        }
        line.extend_from_slice(&available[..taken]);
        input.consume(taken + usize::from(newline.is_some()));
        if newline.is_some() {
            return Ok(LineRead::Whole);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_round_trip(op: Op, text: &str) {
        let request = Request { id: 7, op };
        let line = to_line(&request);
        assert_eq!(
            String::from_utf8(line.clone()).unwrap(),
            format!("{text}\n")
        );
        assert_eq!(from_line::<Request>(&line).unwrap(), request);
    }

    #[rustfmt::skip]
    #[test]
    fn requests_round_trip() {
        check_round_trip(
            Op::Hello { protocol: 4, label: "a".into() },
            r#"{"id":7,"do":{"hello":{"protocol":4,"label":"a"}}}"#,
        );
        check_round_trip(
            Op::GenerateBatch(BatchRequest {
                scenes: vec![BatchScene { scene: "s1".into(), prompt: "olá".into() }],
                max_new_tokens: 5,
                max_batch: 8,
            }),
            r#"{"id":7,"do":{"generate_batch":{"scenes":[{"scene":"s1","prompt":"olá"}],"max_new_tokens":5,"max_batch":8}}}"#,
        );
        check_round_trip(Op::Warmup { tokens: 3 }, r#"{"id":7,"do":{"warmup":{"tokens":3}}}"#);
        check_round_trip(Op::Prefill { handle: 1 }, r#"{"id":7,"do":{"prefill":{"handle":1}}}"#);
        check_round_trip(
            Op::Decode { handle: 1, tokens: 2 },
            r#"{"id":7,"do":{"decode":{"handle":1,"tokens":2}}}"#,
        );
        check_round_trip(Op::Generate { handle: 1 }, r#"{"id":7,"do":{"generate":{"handle":1}}}"#);
        check_round_trip(Op::Close { handle: 1 }, r#"{"id":7,"do":{"close":{"handle":1}}}"#);
        check_round_trip(Op::Snapshot { reset: true }, r#"{"id":7,"do":{"snapshot":{"reset":true}}}"#);
        check_round_trip(Op::Bye, r#"{"id":7,"do":"bye"}"#);
        check_round_trip(
            Op::Open(OpenRequest {
                scene: "s\n1".into(),
                prompt: "olá".into(),
                lane: Lane::Forced { text: "x".into(), prompt_tokens: 3, context_tokens: 9 },
            }),
            r#"{"id":7,"do":{"open":{"scene":"s\n1","prompt":"olá","lane":{"forced":{"text":"x","prompt_tokens":3,"context_tokens":9}}}}}"#,
        );
    }

    #[track_caller]
    fn check_refused<T: DeserializeOwned + std::fmt::Debug>(line: &str, expected: &str) {
        let message = from_line::<T>(line.as_bytes()).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }

    #[rustfmt::skip]
    #[test]
    fn lines_off_the_protocol_are_refused() {
        check_refused::<Request>("", "EOF");
        check_refused::<Request>("hello", "expected value");
        check_refused::<Request>(r#"{"id":1}"#, "missing field `do`");
        check_refused::<Request>(r#"{"id":-1,"do":"bye"}"#, "at `id`");
        check_refused::<Request>(r#"{"id":1,"id":2,"do":"bye"}"#, "duplicate field `id`");
        check_refused::<Request>(r#"{"id":1,"do":"bye"} {}"#, "trailing characters");
        check_refused::<Request>(r#"{"id":1,"do":"dance"}"#, "unknown variant `dance`");
        check_refused::<Request>(r#"{"id":1,"do":"bye","now":true}"#, "unknown field `now`");
        check_refused::<Request>(r#"{"id":1,"do":{"warmup":{"tokens":1,"x":2}}}"#, "unknown field `x`");
        check_refused::<Request>(r#"{"id":1,"do":{"decode":{"handle":1,"tokens":1.5}}}"#, "at `do.decode.tokens`");
        check_refused::<Reply>(r#"{"id":1,"ok":{"decode":{"tokens":1,"wall_ns":1,"cpu_ns":1,"spin_ns":0}}}"#, "unknown field `spin_ns`");
        check_refused::<Reply>(r#"{"id":1,"err":{"kind":"tired","message":""}}"#, "unknown variant `tired`");
    }

    #[test]
    fn a_reply_has_exactly_one_outcome() {
        let refusal = Refusal {
            kind: RefusalKind::NotFinite,
            message: "nan".into(),
            hint: None,
        };
        let outcome = |ok, err| Reply { id: 1, ok, err }.outcome();
        assert_eq!(outcome(Some(Answer::Bye), None).unwrap(), Ok(Answer::Bye));
        assert_eq!(
            outcome(None, Some(refusal.clone())).unwrap(),
            Err(refusal.clone())
        );
        assert!(outcome(None, None).is_err());
        assert!(outcome(Some(Answer::Bye), Some(refusal)).is_err());
    }

    #[track_caller]
    fn check_lines(text: &str, limit: usize, expected: &[(&str, LineRead)]) {
        // A buffer of three bytes makes every line arrive in pieces.
        let mut input = io::BufReader::with_capacity(3, text.as_bytes());
        let mut line = Vec::new();
        for (bytes, end) in expected {
            let found = read_line(&mut input, &mut line, limit).unwrap();
            assert_eq!(found, *end);
            if *end == LineRead::Whole {
                assert_eq!(line, bytes.as_bytes());
            }
        }
    }

    #[test]
    fn lines_are_split_and_bounded() {
        use LineRead::{End, TooLong, Whole};
        check_lines("", 5, &[("", End)]);
        check_lines(
            "ab\n\ncdefg\n",
            5,
            &[("ab", Whole), ("", Whole), ("cdefg", Whole), ("", End)],
        );
        check_lines("abcdef\n", 5, &[("", TooLong)]);
        check_lines("ab\ntorn", 5, &[("ab", Whole), ("", End)]);
    }
}
