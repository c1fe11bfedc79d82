//! Arguments, environment and policy become validated settings.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::Failure;
use super::args::{self, Color, Format, ScoreFormat};
use crate::artifact::{self, Resolved};
use crate::durable;
use crate::gate::Policy;
use crate::manifest::{self, ModelOptions, QuantizationMode};
use crate::record::{LoadSettings, Role};
use crate::report::scores::SetView;
use crate::run::host;
use crate::scene::lexicon::{BUILT_IN, Lexicon};
use crate::scene::{Scene, SceneSet};

/// Policy file read when none is named.
const DEFAULT_POLICY: &str = "gate.toml";
/// Folder of scene sets named by NAME[@VERSION].
const EVAL_SETS: &str = "eval-sets";

/// What `compare` needs, everything checked that can be checked without running a model.
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(super) struct Compare {
    pub(super) baseline: Resolved,
    pub(super) candidate: Resolved,
    pub(super) load: [LoadSettings; 2],
    pub(super) planted: [Option<String>; 2],
    pub(super) policy: Policy,
    pub(super) scenes: SceneSet,
    pub(super) out: PathBuf,
    pub(super) format: Format,
    pub(super) uses_color: bool,
    pub(super) force_run: bool,
    pub(super) is_quiet: bool,
    pub(super) judges_planted: bool,
    /// What a reviewer must read directly below the verdict.
    pub(super) notices: Vec<String>,
}

/// What `gate` found out by itself, for a comparison.
pub(super) struct CompareParts {
    pub(super) baseline: Resolved,
    pub(super) candidate: Resolved,
    pub(super) policy: Policy,
    pub(super) scenes: SceneSet,
    pub(super) out: PathBuf,
    pub(super) head: args::Head,
    pub(super) format: Format,
    pub(super) color: Color,
    pub(super) is_quiet: bool,
    pub(super) notices: Vec<String>,
}

impl Compare {
    /// A comparison of what was found, under a policy nobody can change any more.
    pub(super) fn of_parts(parts: CompareParts) -> Result<Self, Failure> {
        check_pin(&parts.policy, &parts.scenes, "the base")?;
        parts
            .policy
            .check_expiry(&manifest::today())
            .map_err(Failure::invalid)?;
        let load = [&parts.baseline, &parts.candidate].map(|model| {
            let options = model.options.as_ref();
            load_settings(options, parts.head, options.and_then(|it| it.i2s_layout))
        });
        Ok(Self {
            baseline: parts.baseline,
            candidate: parts.candidate,
            load,
            planted: [None, None],
            policy: parts.policy,
            scenes: parts.scenes,
            out: parts.out,
            format: parts.format,
            uses_color: uses_color(parts.color),
            force_run: false,
            is_quiet: parts.is_quiet,
            judges_planted: false,
            notices: parts.notices,
        })
    }

    /// Reads policy, scenes and both models, in this order, and reserves the output directory.
    pub(super) fn new(args: args::Compare, color: Color) -> Result<Self, Failure> {
        let mut policy = policy(args.policy.as_deref())?;
        policy
            .check_expiry(&manifest::today())
            .map_err(Failure::invalid)?;
        let planted = planted(&args.plant)?;
        let scenes = scenes(args.scenes.as_deref(), &policy)?;
        if args.scenes.is_some() {
            // The flag wins over the policy's names; a digest the policy pins was checked.
            policy.scenes.set = Some(scenes.name.clone());
            policy.scenes.version = Some(scenes.version.clone());
        }
        let baseline = artifact::resolve(&args.baseline).map_err(Failure::invalid)?;
        let candidate = artifact::resolve(&args.candidate).map_err(Failure::invalid)?;
        let load = [&baseline, &candidate].map(|model| {
            let options = model.options.as_ref();
            // A manifest's word is part of the model's identity; the flag serves the others.
            let stated = options.and_then(|options| options.i2s_layout);
            let flag = args.i2s_layout.map(args::I2sBlock::values);
            load_settings(options, args.head, stated.or(flag))
        });
        let out = args
            .out
            .unwrap_or_else(|| default_out(&baseline, &candidate));
        // Before anything expensive is done: a report nobody can write is worth nothing.
        durable::reserve_directory(&out).map_err(|error| {
            let hint = "name a writable directory with --out DIR".to_owned();
            Failure {
                hint: Some(hint),
                ..Failure::invalid(error)
            }
        })?;
        Ok(Self {
            baseline,
            candidate,
            load,
            planted,
            policy,
            scenes,
            out,
            format: args.format,
            uses_color: uses_color(color),
            force_run: args.force_run,
            is_quiet: args.quiet,
            judges_planted: args.judge_scripted,
            notices: Vec::new(),
        })
    }
}

/// What `score` needs.
pub(super) struct Score {
    pub(super) set: SetView,
    pub(super) scenes: Vec<Scene>,
    pub(super) lexicon: &'static Lexicon,
    pub(super) outputs: PathBuf,
    pub(super) format: ScoreFormat,
    pub(super) explains: bool,
}

impl Score {
    /// Reads the scenes: of a set, every digest checked, or of a bare file.
    pub(super) fn new(args: &args::Score) -> Result<Self, Failure> {
        let named = Path::new(&args.scenes);
        let (name, scenes, scenes_sha256, lexicon) = if named.is_file() {
            let (scenes, sha256) = SceneSet::load_bare(named).map_err(Failure::invalid)?;
            (None, scenes, sha256, &*BUILT_IN)
        } else {
            let set = SceneSet::load(&set_directory(&args.scenes)?).map_err(Failure::invalid)?;
            let name = Some((set.name, set.version));
            (name, set.scenes, set.scenes_sha256, set.lexicon)
        };
        let (name, version) = name.unzip();
        Ok(Self {
            set: SetView {
                name,
                version,
                scenes_sha256,
                lexicon_version: lexicon.version.clone(),
                lexicon_sha256: lexicon.sha256,
            },
            scenes,
            lexicon,
            outputs: args.outputs.clone(),
            format: args.format,
            explains: args.explain,
        })
    }
}

/// Directory of a set given by path or by name.
pub(super) fn set_directory(named: &str) -> Result<PathBuf, Failure> {
    if Path::new(named).is_dir() {
        return Ok(PathBuf::from(named));
    }
    let (name, version) = named
        .split_once('@')
        .map_or((named, None), |(name, version)| (name, Some(version)));
    find_set(name, version)
}

/// How to load a model.
///
/// * `options`: the manifest's word
/// * `i2s_layout`: values per block, where anyone says it
pub(super) fn load_settings(
    options: Option<&ModelOptions>,
    head: args::Head,
    i2s_layout: Option<u32>,
) -> LoadSettings {
    let default = LoadSettings::default();
    LoadSettings {
        head: head.as_str().to_owned(),
        i2s_layout: i2s_layout.unwrap_or(default.i2s_layout),
        is_online: options
            .and_then(|options| options.quantization_mode)
            .map(|mode| mode == QuantizationMode::Online),
        stop_token_ids: options
            .and_then(|options| options.stop_token_ids.clone())
            .unwrap_or_default(),
        max_load_perplexity: options.and_then(|options| options.max_load_perplexity),
    }
}

/// The policy named, else `gate.toml` of the working directory, else the built-in one.
fn policy(named: Option<&Path>) -> Result<Policy, Failure> {
    let path = match named {
        Some(path) => path,
        None if Path::new(DEFAULT_POLICY).exists() => Path::new(DEFAULT_POLICY),
        None => return Ok(Policy::built_in()),
    };
    let shown = durable::shown(path);
    let text = std::fs::read_to_string(path).map_err(|error| {
        Failure::usage(
            format!("cannot read policy {shown}: {error}"),
            "name an existing file with --policy, or leave it out for the built-in policy",
        )
    })?;
    Policy::parse(&text, &shown).map_err(Failure::invalid)
}

/// `ROLE=HARM` flags, one at most for each role; baseline first.
fn planted(flags: &[String]) -> Result<[Option<String>; 2], Failure> {
    let mut planted = [None, None];
    for flag in flags {
        let known = "`--plant baseline=HARM` or `--plant candidate=HARM`";
        let wrong = || Failure::usage(format!("`--plant {flag}` is not understood"), known);
        let (role, harm) = flag.split_once('=').ok_or_else(wrong)?;
        let slot = match role {
            "baseline" => &mut planted[0],
            "candidate" => &mut planted[1],
            _ => return Err(wrong()),
        };
        *slot = Some(harm.to_owned());
    }
    Ok(planted)
}

/// The scene set named, else the policy's, checked against what the policy pins.
fn scenes(named: Option<&str>, policy: &Policy) -> Result<SceneSet, Failure> {
    let pinned = &policy.scenes;
    let directory = match (named, &pinned.set) {
        (Some(named), _) => set_directory(named)?,
        (None, Some(set)) => find_set(set, pinned.version.as_deref())?,
        (None, None) => {
            return Err(Failure::usage(
                "no scene set: the policy names none",
                "name one with --scenes NAME[@VERSION] or --scenes DIR",
            ));
        }
    };
    let set = SceneSet::load(&directory).map_err(Failure::invalid)?;
    check_pin(policy, &set, &durable::shown(&directory))?;
    Ok(set)
}

/// Refuses a scene set that is not the one the policy pins by digest.
///
/// * `place`: where it was found, for the message
fn check_pin(policy: &Policy, set: &SceneSet, place: &str) -> Result<(), Failure> {
    match policy.scenes.digest {
        Some(expected) if expected != set.scenes_sha256 => Err(Failure::usage(
            format!(
                "scene set {place} is not the one the policy pins\n  expected:  sha256 \
                 {expected}\n  found:     sha256 {}",
                set.scenes_sha256
            ),
            "change `scenes.digest` of the policy in review, or use the pinned set",
        )),
        _ => Ok(()),
    }
}

/// `eval-sets/NAME/VERSION`; the highest version when none is named.
fn find_set(name: &str, version: Option<&str>) -> Result<PathBuf, Failure> {
    let folder = Path::new(EVAL_SETS).join(name);
    if let Some(version) = version {
        return Ok(folder.join(version));
    }
    let mut versions: Vec<(Vec<u64>, PathBuf)> = std::fs::read_dir(&folder)
        .map_err(|error| {
            Failure::usage(
                format!(
                    "no scene set `{name}`: cannot read {}: {error}",
                    durable::shown(&folder)
                ),
                "run from the repository's root, or name a directory with --scenes DIR",
            )
        })?
        .flatten()
        .filter(|entry| entry.path().join("set.toml").is_file())
        .map(|entry| {
            let text = entry.file_name().to_string_lossy().into_owned();
            (
                text.split('.')
                    .filter_map(|part| part.parse().ok())
                    .collect(),
                entry.path(),
            )
        })
        .collect();
    versions.sort();
    versions.pop().map(|(_, path)| path).ok_or_else(|| {
        Failure::usage(
            format!(
                "no version of scene set `{name}` in {}",
                durable::shown(&folder)
            ),
            "a scene set is a directory with set.toml and scenes.jsonl",
        )
    })
}

/// `reports/<time>-gate`: named before either model is known.
pub(super) fn new_out() -> PathBuf {
    Path::new("reports").join(format!("{}-gate", compact_time()))
}

/// The time in UTC without separators, e.g. `20251123T173000Z`.
fn compact_time() -> String {
    let seconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_secs());
    host::rfc3339(seconds)
        .chars()
        .filter(|c| !matches!(c, '-' | ':'))
        .collect()
}

/// `reports/<time>-<baseline>-vs-<candidate>`.
fn default_out(baseline: &Resolved, candidate: &Resolved) -> PathBuf {
    let time = compact_time();
    let label = |model: &Resolved| {
        let label = model.version.as_ref().unwrap_or(&model.name);
        let keep = |c: char| {
            if c.is_ascii_alphanumeric() || ".-".contains(c) {
                c
            } else {
                '_'
            }
        };
        label.chars().take(40).map(keep).collect::<String>()
    };
    Path::new("reports").join(format!(
        "{time}-{}-vs-{}",
        label(baseline),
        label(candidate)
    ))
}

fn uses_color(color: Color) -> bool {
    match color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => {
            std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
                && std::io::stdout().is_terminal()
        }
    }
}

/// Place of a role in `Compare::planted`.
pub(super) fn role_index(role: Role) -> usize {
    match role {
        Role::Baseline => 0,
        Role::Candidate => 1,
    }
}
