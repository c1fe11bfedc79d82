//! The tokenizer and chat template that GGUF metadata hold.
//!
//! Source of the rules: llama.cpp, `llama-vocab.cpp` (pre-tokenizers by name, merges ignored for
//! whole tokens), and the `tokenizer.json` files of the models named.

use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::normalizers::NFC;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{AddedToken, SplitDelimiterBehavior};

use super::keys::Keys;
use super::reader::Gguf;
use super::value::{Array, Strings, Value};
use crate::model::{Error, MAX_TOKENIZER_BYTES, Origin, Tokenizer};
use crate::units::{Hasher, Sha256};

/// Text is cut like this before merging, in Llama 3; digits in threes.
pub(super) const LLAMA_3: &str = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// The same in Qwen 2; digits one by one.
pub(super) const QWEN_2: &str = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// Most merges taken: each fills a row of a table. The longest published lists have 600,000.
const MAX_MERGES: usize = 1 << 21;

/// Type of a token that stands for something no text spells.
pub(super) const CONTROL: i64 = 3;
/// Type of a token that is matched in text before anything is cut.
pub(super) const USER_DEFINED: i64 = 4;

/// Key of a whole `tokenizer.json`, which wins over the other keys.
pub(in crate::model) const HUGGING_FACE: &str = "tokenizer.huggingface.json";

/// A rule for cutting text, with what goes with it.
struct Pre {
    regex: &'static str,
    /// Whether text that is a token as a whole stays one, merges or not.
    ignores_merges: bool,
    is_composed: bool,
    adds_bos: bool,
}

const LLAMA_BPE: Pre = Pre {
    regex: LLAMA_3,
    ignores_merges: true,
    is_composed: false,
    adds_bos: true,
};

const QWEN_BPE: Pre = Pre {
    regex: QWEN_2,
    ignores_merges: false,
    is_composed: true,
    adds_bos: false,
};

/// A tokenizer with its identity.
pub(in crate::model) struct Embedded {
    pub(in crate::model) tokenizer: Tokenizer,
    pub(in crate::model) origin: Origin,
    pub(in crate::model) warnings: Vec<String>,
}

/// The tokenizer in the metadata, where there is one.
///
/// # Errors
/// [`Error::Unsupported`] for kinds and cutting rules that are not known, [`Error::MissingKey`],
/// [`Error::BadKey`], [`Error::Tokenizer`].
pub(in crate::model) fn tokenizer(gguf: &Gguf) -> Result<Option<Embedded>, Error> {
    let keys = Keys::of(gguf)?;
    if let Some(json) = keys.text(HUGGING_FACE)? {
        if json.len() as u64 > MAX_TOKENIZER_BYTES {
            let expected = format!("at most {MAX_TOKENIZER_BYTES} bytes");
            let found = format!("a text of {} bytes", json.len());
            return Err(keys.bad(HUGGING_FACE, &expected, &found));
        }
        return Ok(Some(Embedded {
            tokenizer: Tokenizer::parse(gguf.path(), json.as_bytes())?,
            origin: Origin {
                source: HUGGING_FACE.to_owned(),
                digest: Sha256::of(json.as_bytes()),
            },
            warnings: Vec::new(),
        }));
    }
    let Some(kind) = keys.word("tokenizer.ggml.model")? else {
        return Ok(None);
    };
    if kind != "gpt2" {
        return Err(keys.unsupported(format!(
            "tokenizer `{}` without a tokenizer.json beside the file",
            kind.escape_debug()
        )));
    }
    let needed = |key: &str| match gguf.metadata.get(key) {
        Some(Value::Array(Array::Strings(strings))) => Ok(strings),
        Some(other) => Err(keys.bad(key, "a list of texts", other)),
        None => Err(Error::MissingKey {
            path: gguf.path().to_owned(),
            key: key.to_owned(),
        }),
    };
    let tokens = needed("tokenizer.ggml.tokens")?;
    let merges = needed("tokenizer.ggml.merges")?;
    if merges.len() > MAX_MERGES {
        let expected = format!("at most {MAX_MERGES} texts");
        let found = format!("a list of {}", merges.len());
        return Err(keys.bad("tokenizer.ggml.merges", &expected, &found));
    }
    let types = token_types(gguf, &keys, tokens.len())?;
    let mut warnings = Vec::new();
    let pre = pre(&keys, tokens, &mut warnings)?;
    if keys.flag("tokenizer.ggml.add_eos_token")? == Some(true) {
        return Err(
            keys.unsupported("an end token after every prompt (`add_eos_token`)".to_owned())
        );
    }
    let adds_bos = keys
        .flag("tokenizer.ggml.add_bos_token")?
        .unwrap_or(pre.adds_bos);
    let bos = match keys.id("tokenizer.ggml.bos_token_id")?.filter(|_| adds_bos) {
        None => None,
        Some(id) => {
            let token = tokens.get(id as usize);
            let bad = || keys.bad("tokenizer.ggml.bos_token_id", "the id of a token", &id);
            Some((id, token.ok_or_else(bad)?.to_owned()))
        }
    };
    let digest = digest(pre.regex, tokens, merges, &types, bos.as_ref());
    let failed = |reason: tokenizers::Error| Error::Tokenizer {
        path: gguf.path().to_owned(),
        reason: reason.to_string(),
    };
    let tokenizer =
        Tokenizer::built(|| build(&pre, tokens, merges, &types, bos)).map_err(failed)?;
    Ok(Some(Embedded {
        tokenizer,
        origin: Origin {
            source: "gguf metadata".to_owned(),
            digest,
        },
        warnings,
    }))
}

/// The chat template in the metadata; the placeholder that converters of BitNet write is none.
pub(in crate::model) fn template(gguf: &Gguf) -> Result<Option<String>, Error> {
    let text = Keys::of(gguf)?.text("tokenizer.chat_template")?;
    Ok(text
        .filter(|text| !text.contains("BITNETAssistant:"))
        .map(str::to_owned))
}

/// Type of every token; 1, a normal one, where nothing is stored.
fn token_types(gguf: &Gguf, keys: &Keys<'_>, n: usize) -> Result<Vec<i64>, Error> {
    let key = "tokenizer.ggml.token_type";
    let types: Vec<i64> = match gguf.metadata.get(key) {
        None => vec![1; n],
        Some(Value::Array(Array::I32(types))) => types.iter().map(|t| i64::from(*t)).collect(),
        Some(Value::Array(Array::U32(types))) => types.iter().map(|t| i64::from(*t)).collect(),
        Some(other) => return Err(keys.bad(key, "a list of numbers", other)),
    };
    if types.len() == n {
        return Ok(types);
    }
    let expected = format!("one number for each of {n} tokens");
    Err(keys.bad(key, &expected, &format!("a list of {}", types.len())))
}

/// The rule named by the file, or the one that its vocabulary gives away.
fn pre(keys: &Keys<'_>, tokens: &Strings, warnings: &mut Vec<String>) -> Result<Pre, Error> {
    match keys.word("tokenizer.ggml.pre")? {
        Some("llama3" | "llama-v3" | "llama-bpe" | "falcon3") => Ok(LLAMA_BPE),
        Some("qwen2") => Ok(QWEN_BPE),
        Some(other) => Err(keys.unsupported(format!(
            "pre-tokenizer `{}` without a tokenizer.json beside the file",
            other.escape_debug()
        ))),
        None if tokens.len() == 128_256 && tokens.get(128_000) == Some("<|begin_of_text|>") => {
            warnings.push("no key `tokenizer.ggml.pre`: llama-bpe by its vocabulary".to_owned());
            Ok(LLAMA_BPE)
        }
        None => Err(keys.unsupported(
            "a vocabulary without `tokenizer.ggml.pre` or a tokenizer.json beside the file"
                .to_owned(),
        )),
    }
}

fn build(
    pre: &Pre,
    tokens: &Strings,
    merges: &Strings,
    types: &[i64],
    bos: Option<(u32, String)>,
) -> tokenizers::Result<tokenizers::Tokenizer> {
    let mut vocabulary = Vocab::default();
    for (id, token) in (0u32..).zip(tokens.iter()) {
        if vocabulary.insert(token.to_owned(), id).is_some() {
            return Err(format!("token `{}` occurs twice", token.escape_debug()).into());
        }
    }
    // The space that parts the two halves is never the first character.
    let halves = |merge: &str| {
        let first = merge.chars().next().map_or(0, char::len_utf8);
        let space = first + merge[first..].find(' ')?;
        Some((merge[..space].to_owned(), merge[space + 1..].to_owned()))
    };
    let merges = merges.iter().map(|merge| {
        halves(merge).ok_or_else(|| format!("merge `{}` has no space", merge.escape_debug()))
    });
    let model = BPE::builder()
        .vocab_and_merges(vocabulary, merges.collect::<Result<_, String>>()?)
        .ignore_merges(pre.ignores_merges)
        .build()?;
    let mut tokenizer = tokenizers::Tokenizer::new(model);
    if pre.is_composed {
        tokenizer.with_normalizer(Some(NFC))?;
    }
    let split = Split::new(
        SplitPattern::Regex(pre.regex.to_owned()),
        SplitDelimiterBehavior::Isolated,
        false,
    )?;
    let bytes = ByteLevel::new(false, true, false);
    tokenizer.with_pre_tokenizer(Some(Sequence::new(vec![split.into(), bytes.into()])));
    tokenizer.with_decoder(Some(ByteLevel::default()));
    let of_type = |wanted: i64| {
        let all = types.iter().zip(tokens.iter());
        all.filter(move |(kind, _)| **kind == wanted)
            .map(|(_, token)| token.to_owned())
    };
    tokenizer.add_special_tokens(of_type(CONTROL).map(|token| AddedToken::from(token, true)))?;
    tokenizer.add_tokens(
        of_type(USER_DEFINED).map(|token| AddedToken::from(token, false).normalized(false)),
    )?;
    if let Some((id, token)) = bos {
        let single = format!("{token}:0 $A:0");
        let template = TemplateProcessing::builder()
            .try_single(single.as_str())?
            .special_tokens(vec![(token, id)])
            .build()?;
        tokenizer.with_post_processor(Some(template));
    }
    Ok(tokenizer)
}

/// Identity of everything that decides which ids a text becomes.
fn digest(
    regex: &str,
    tokens: &Strings,
    merges: &Strings,
    types: &[i64],
    bos: Option<&(u32, String)>,
) -> Sha256 {
    let mut hasher = Hasher::default();
    let mut text = |text: &str| {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    };
    text("vv-gguf-tokenizer-1");
    text(regex);
    text(&bos.map(|(id, _)| id.to_string()).unwrap_or_default());
    tokens.iter().for_each(&mut text);
    merges.iter().for_each(&mut text);
    for kind in types {
        hasher.update(&kind.to_le_bytes());
    }
    hasher.finish()
}
