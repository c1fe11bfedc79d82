//! Reading of given texts by a worker: its messages, and the child's side of them.
//!
//! A worker reads the texts of some scenes and says how likely each token was. To compare
//! next-token distributions as well, one worker writes the logits behind the tokens to a file as it
//! goes and the other reads them while it computes its own: nobody holds more than a piece of one
//! text, and nothing is rounded.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read as _, Write as _};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::protocol::{Refusal, RefusalKind};
use super::worker::Subject;
use crate::engine;
use crate::engine::likelihood::{Distance, Reader, log_prob};

/// After a scene that brings the file of logits to this size, the worker answers with the scenes it
/// has read so far.
const ENOUGH_BYTES: u64 = 64 << 20;

/// Texts to read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadRequest {
    /// At least one.
    pub scenes: Vec<ReadScene>,
    /// What to do with the logits behind the tokens of compared texts; `None` keeps none.
    pub logits: Option<Logits>,
}

/// One scene of a [`ReadRequest`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadScene {
    /// Scene id, for messages.
    pub scene: String,
    /// The prompt's text.
    pub prompt: String,
    /// What follows the prompt, each by itself.
    pub texts: Vec<ReadText>,
}

/// One text of a [`ReadScene`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadText {
    /// The text.
    pub text: String,
    /// Whether the logits behind its tokens are written or compared.
    pub is_compared: bool,
}

/// Where logits go to or come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Logits {
    /// Written to this file, which is replaced.
    Write(PathBuf),
    /// Compared with those another worker wrote to this file for the same scenes.
    Compare(PathBuf),
}

/// What was read: of the first scenes of the request, at least one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadAnswer {
    /// Scenes in the order of the request.
    pub scenes: Vec<SceneRead>,
    /// Why no logits were compared although that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_compared: Option<String>,
}

/// What was read of one scene.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SceneRead {
    /// Texts in the order of the request.
    pub texts: Vec<TextRead>,
}

/// What was read of one text; fields as in [`Reading`](crate::record::Reading).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextRead {
    /// −ln of the probability of each token, in nats.
    pub nll: Vec<f32>,
    /// Divergence from the logits of the file, one per token; absent where none were compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub divergence: Option<Vec<f32>>,
    /// Places where the most probable token is another one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_first: Vec<usize>,
    /// Why the text was not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absent: Option<String>,
}

impl ReadAnswer {
    /// Whether it can be an answer to a request with so many texts in each scene.
    pub(super) fn answers(&self, n_texts: &[usize]) -> bool {
        let is_some = !self.scenes.is_empty() && self.scenes.len() <= n_texts.len();
        let mut scenes = self.scenes.iter().zip(n_texts);
        is_some && scenes.all(|(scene, n)| scene.texts.len() == *n)
    }
}

impl TextRead {
    fn nothing(absent: Option<String>) -> Self {
        Self {
            nll: Vec::new(),
            divergence: None,
            other_first: Vec::new(),
            absent,
        }
    }
}

/// Why reading stopped.
enum Stop {
    Engine(engine::Error),
    /// The file of logits could not be written or read.
    File(io::Error),
    /// The file holds logits of another kind: a sentence.
    Foreign(String),
}

impl From<engine::Error> for Stop {
    fn from(error: engine::Error) -> Self {
        Self::Engine(error)
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::File(error)
    }
}

/// Reads the texts of the request, in order.
///
/// A text that cannot be tokenised or does not fit in the context is absent with the reason, which
/// is nobody's fault. Logits that are not finite end the request.
pub(super) fn read(
    subject: &mut dyn Subject,
    request: &ReadRequest,
) -> Result<ReadAnswer, Refusal> {
    let mut tokenised = Vec::new();
    for scene in &request.scenes {
        tokenised.push(Tokenised::of(subject, scene));
    }
    let mut exchange = Exchange::open(request.logits.as_ref()).map_err(|error| file(&error))?;
    let mut reader = Reader::new(subject.engine());
    let mut answer = ReadAnswer {
        scenes: Vec::new(),
        not_compared: None,
    };
    for (scene, tokens) in request.scenes.iter().zip(&tokenised) {
        let mut texts = Vec::new();
        for (text, ids) in scene.texts.iter().zip(&tokens.texts) {
            let given = Given::of(&reader, &tokens.prompt, ids);
            let mut none = Exchange::None;
            let is_compared = text.is_compared && answer.not_compared.is_none();
            let exchange = if is_compared {
                &mut exchange
            } else {
                &mut none
            };
            let read = match read_text(&mut reader, &given, exchange) {
                Err(Stop::Foreign(reason)) => {
                    answer.not_compared = Some(reason);
                    read_text(&mut reader, &given, &mut Exchange::None)
                }
                read => read,
            };
            texts.push(read.map_err(|stop| refusal(stop, &scene.scene))?);
        }
        answer.scenes.push(SceneRead { texts });
        if exchange.is_full() {
            break;
        }
    }
    exchange.close().map_err(|error| file(&error))?;
    subject.engine().reset();
    Ok(answer)
}

/// The token ids of a scene, or why there are none.
struct Tokenised {
    prompt: Result<Vec<u32>, String>,
    texts: Vec<Result<Vec<u32>, String>>,
}

impl Tokenised {
    fn of(subject: &dyn Subject, scene: &ReadScene) -> Self {
        let prompt = match subject.encode_prompt(&scene.prompt) {
            Ok(ids) if ids.is_empty() => Err("the prompt has no tokens".to_owned()),
            ids => ids,
        };
        let texts = scene.texts.iter();
        let texts = texts.map(|text| subject.encode_text(&text.text));
        Self {
            prompt,
            texts: texts.collect(),
        }
    }
}

/// A text to read, or why it cannot be.
enum Given<'a> {
    Text { prompt: &'a [u32], ids: &'a [u32] },
    Absent(String),
}

impl<'a> Given<'a> {
    fn of(
        reader: &Reader<'_>,
        prompt: &'a Result<Vec<u32>, String>,
        text: &'a Result<Vec<u32>, String>,
    ) -> Self {
        match (prompt, text) {
            (Err(reason), _) | (_, Err(reason)) => Self::Absent(reason.clone()),
            (_, Ok(ids)) if ids.is_empty() => Self::Absent("the text has no tokens".to_owned()),
            (Ok(prompt), Ok(ids)) => match reader.fits(prompt, ids) {
                Ok(()) => Self::Text { prompt, ids },
                Err(error) => Self::Absent(error.to_string()),
            },
        }
    }
}

fn read_text(
    reader: &mut Reader<'_>,
    given: &Given<'_>,
    exchange: &mut Exchange,
) -> Result<TextRead, Stop> {
    let vocab_size = reader.vocab_size();
    let (prompt, ids) = match given {
        Given::Text { prompt, ids } => (prompt, ids),
        Given::Absent(reason) => {
            // The other worker may have read it: both keep to the same place in the file.
            exchange.begin(0, vocab_size)?;
            return Ok(TextRead::nothing(Some(reason.clone())));
        }
    };
    let mut read = TextRead::nothing(None);
    if exchange.begin(ids.len(), vocab_size)? {
        read.divergence = Some(Vec::new());
    }
    reader.read(prompt, ids, &mut |logits, id| {
        if let Some(distance) = exchange.row(logits)? {
            let divergence = read.divergence.get_or_insert_default();
            if !distance.is_same_first {
                read.other_first.push(divergence.len());
            }
            divergence.push(rounded(distance.divergence));
        }
        read.nll.push(rounded(-log_prob(logits, id)));
        Ok::<(), Stop>(())
    })?;
    Ok(read)
}

/// As it stands in the record: single precision, and never below zero by rounding.
fn rounded(value: f64) -> f32 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the precision of the record"
    )]
    let value = value.max(0.0) as f32;
    value
}

/// The end of a request.
fn refusal(stop: Stop, scene: &str) -> Refusal {
    let (kind, message) = match stop {
        Stop::Engine(error @ engine::Error::NotFinite { .. }) => {
            (RefusalKind::NotFinite, error.to_string())
        }
        Stop::Engine(
            error @ (engine::Error::Library { .. }
            | engine::Error::ContextFull { .. }
            | engine::Error::UnknownToken { .. }),
        ) => (RefusalKind::Internal, error.to_string()),
        Stop::File(error) => return file(&error),
        Stop::Foreign(reason) => (RefusalKind::Internal, reason),
    };
    Refusal {
        kind,
        message: format!("{message} (a text of scene `{scene}`)"),
        hint: None,
    }
}

fn file(error: &io::Error) -> Refusal {
    Refusal {
        kind: RefusalKind::Internal,
        message: format!("the file of logits: {error}"),
        hint: None,
    }
}

/// The file between two workers: for each compared text its number of tokens and the size of the
/// vocabulary, `[2]` u32, then its logits `[tokens, vocab]` f32, all little-endian. A text that was
/// not read has no tokens.
enum Exchange {
    None,
    Write {
        file: BufWriter<File>,
        n_bytes: u64,
    },
    Compare {
        file: BufReader<File>,
        /// Whether both have read the text in work.
        is_shared: bool,
        /// The other worker's logits `[vocab]` and their bytes.
        row: Vec<f32>,
        bytes: Vec<u8>,
    },
}

impl Exchange {
    fn open(logits: Option<&Logits>) -> io::Result<Self> {
        Ok(match logits {
            None => Self::None,
            Some(Logits::Write(path)) => Self::Write {
                file: BufWriter::new(File::create(path)?),
                n_bytes: 0,
            },
            Some(Logits::Compare(path)) => Self::Compare {
                file: BufReader::new(File::open(path)?),
                is_shared: false,
                row: Vec::new(),
                bytes: Vec::new(),
            },
        })
    }

    /// Begins a text; gives whether it will be compared.
    ///
    /// * `n_tokens`: 0 for a text that is not read
    fn begin(&mut self, n_tokens: usize, vocab_size: usize) -> Result<bool, Stop> {
        match self {
            Self::None => Ok(false),
            Self::Write { file, n_bytes } => {
                for size in [n_tokens, vocab_size] {
                    file.write_all(&size_bytes(size))?;
                }
                *n_bytes += 8 + 4 * (n_tokens * vocab_size) as u64;
                Ok(false)
            }
            Self::Compare {
                file,
                is_shared,
                row,
                bytes,
            } => {
                let (found, found_vocab) = (read_size(file)?, read_size(file)?);
                if found_vocab != vocab_size {
                    return Err(Stop::Foreign(format!(
                        "the vocabularies differ in size: {found_vocab} in the baseline and \
                         {vocab_size} in the candidate"
                    )));
                }
                *is_shared = found > 0 && n_tokens > 0;
                if *is_shared && found != n_tokens {
                    return Err(Stop::Foreign(format!(
                        "a text has {found} tokens in the baseline and {n_tokens} in the candidate"
                    )));
                }
                if !*is_shared {
                    let skipped = i64::try_from(4 * found * vocab_size).unwrap_or(i64::MAX);
                    file.seek_relative(skipped)?;
                }
                row.resize(vocab_size, 0.0);
                bytes.resize(4 * vocab_size, 0);
                Ok(*is_shared)
            }
        }
    }

    /// Writes one row of logits, or compares it with the one in the file.
    fn row(&mut self, logits: &[f32]) -> io::Result<Option<Distance>> {
        match self {
            Self::Write { file, .. } => {
                for logit in logits {
                    file.write_all(&logit.to_le_bytes())?;
                }
                Ok(None)
            }
            Self::Compare {
                file,
                is_shared: true,
                row,
                bytes,
            } => {
                file.read_exact(bytes)?;
                for (value, bytes) in row.iter_mut().zip(bytes.chunks_exact(4)) {
                    *value = f32::from_le_bytes(bytes.try_into().expect("four bytes"));
                }
                Ok(Some(Distance::of(row, logits)))
            }
            Self::None | Self::Compare { .. } => Ok(None),
        }
    }

    fn is_full(&self) -> bool {
        matches!(self, Self::Write { n_bytes, .. } if *n_bytes >= ENOUGH_BYTES)
    }

    /// Writes what is still buffered.
    fn close(self) -> io::Result<()> {
        match self {
            Self::Write { mut file, .. } => file.flush(),
            Self::None | Self::Compare { .. } => Ok(()),
        }
    }
}

fn size_bytes(size: usize) -> [u8; 4] {
    u32::try_from(size)
        .expect("a vocabulary and a context fit u32")
        .to_le_bytes()
}

fn read_size(file: &mut BufReader<File>) -> io::Result<usize> {
    let mut bytes = [0; 4];
    file.read_exact(&mut bytes)?;
    Ok(u32::from_le_bytes(bytes) as usize)
}

#[cfg(test)]
#[path = "reading_tests.rs"]
mod tests;
