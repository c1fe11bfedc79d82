//! Arguments, environment and policy become validated settings.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::args::{self, Color, Format, ScoreFormat};
use super::scene_sets::{
    check_lexicon, check_pin, check_sentinels, lexicon_of, scenes, sentinels, set_directory,
    slices_exist,
};
use super::{Failure, sources};
use crate::artifact::Resolved;
use crate::durable;
use crate::gate::Policy;
use crate::gate::policy::Mode;
use crate::manifest::{self, ModelOptions, QuantizationMode};
use crate::record::{LoadSettings, Role, journal};
use crate::report::scores::SetView;
use crate::report::wording::Lang;
use crate::scene::lexicon::{BUILT_IN, Lexicon};
use crate::scene::{Scene, SceneSet};

/// Policy file read when none is named.
const DEFAULT_POLICY: &str = "gate.toml";
/// Folder of reports when none is named.
pub(super) const REPORTS: &str = "reports";
/// Names the folder of cached outputs.
const CACHE_VARIABLE: &str = "VV_EVAL_CACHE";

/// What `compare` needs, everything checked that can be checked without running a model.
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(super) struct Compare {
    pub(super) baseline: Resolved,
    pub(super) candidate: Resolved,
    pub(super) load: [LoadSettings; 2],
    pub(super) planted: [Option<String>; 2],
    pub(super) policy: Policy,
    pub(super) scenes: SceneSet,
    pub(super) sentinels: Option<SceneSet>,
    pub(super) out: PathBuf,
    pub(super) format: Format,
    pub(super) reports: Vec<(Format, PathBuf)>,
    pub(super) lang: Lang,
    pub(super) uses_color: bool,
    pub(super) force_run: bool,
    pub(super) is_quiet: bool,
    pub(super) judges_planted: bool,
    pub(super) budget: Option<Duration>,
    pub(super) resumes: bool,
    pub(super) cache_dir: Option<PathBuf>,
    pub(super) has_control: bool,
    /// What a reviewer must read directly below the verdict.
    pub(super) notices: Vec<String>,
}

/// What `gate` found out by itself, for a comparison.
pub(super) struct CompareParts {
    pub(super) baseline: Resolved,
    pub(super) candidate: Resolved,
    pub(super) policy: Policy,
    pub(super) scenes: SceneSet,
    pub(super) sentinels: Option<SceneSet>,
    pub(super) out: PathBuf,
    pub(super) head: args::Head,
    pub(super) format: Format,
    pub(super) lang: Lang,
    pub(super) color: Color,
    pub(super) is_quiet: bool,
    pub(super) notices: Vec<String>,
}

impl Compare {
    /// A comparison of what was found, under a policy nobody can change any more.
    pub(super) fn of_parts(parts: CompareParts) -> Result<Self, Failure> {
        check_pin(&parts.policy, &parts.scenes, "the base")?;
        check_lexicon(parts.scenes.lexicon, &parts.policy)?;
        slices_exist(&parts.policy, &parts.scenes)?;
        if let (Some(demanded), Some(set)) = (&parts.policy.sentinels, &parts.sentinels) {
            check_sentinels(demanded, set, &parts.scenes, "the base")?;
        }
        parts
            .policy
            .check_expiry(&manifest::today())
            .map_err(Failure::invalid)?;
        let load = [&parts.baseline, &parts.candidate].map(|model| {
            let options = model.options.as_ref();
            load_settings(options, parts.head, options.and_then(|it| it.i2s_layout))
        });
        // A first model is its own baseline.
        let is_first = parts.policy.mode == Mode::Bootstrap;
        Ok(Self {
            baseline: parts.baseline,
            candidate: parts.candidate,
            load,
            planted: [None, None],
            policy: parts.policy,
            scenes: parts.scenes,
            sentinels: parts.sentinels,
            out: parts.out,
            format: parts.format,
            reports: Vec::new(),
            lang: parts.lang,
            budget: None,
            resumes: false,
            cache_dir: None,
            has_control: false,
            uses_color: uses_color(parts.color),
            force_run: is_first,
            is_quiet: parts.is_quiet,
            judges_planted: false,
            notices: parts.notices,
        })
    }

    /// Reads policy, scenes and both models, in this order, and reserves the output directory.
    pub(super) fn new(args: args::Compare, color: Color) -> Result<Self, Failure> {
        let mode = args.mode.map(args::PolicyMode::mode);
        let mut policy = policy_for(args.policy.as_deref(), mode)?;
        policy
            .check_expiry(&manifest::today())
            .map_err(Failure::invalid)?;
        let planted = planted(&args.plant)?;
        let mut scenes = scenes(args.scenes.as_deref(), &policy)?;
        scenes.lexicon = lexicon_of(scenes.lexicon, args.lexicon.as_deref())?;
        check_lexicon(scenes.lexicon, &policy)?;
        if args.scenes.is_some() {
            // The flag wins over the policy's names; a digest the policy pins was checked.
            policy.scenes.set = Some(scenes.name.clone());
            policy.scenes.version = Some(scenes.version.clone());
        }
        let sentinels = sentinels(&policy, &scenes)?;
        slices_exist(&policy, &scenes)?;
        let [baseline, candidate] = models(&args, &policy)?;
        let load = [&baseline, &candidate].map(|model| {
            let options = model.options.as_ref();
            // A manifest's word is part of the model's identity; the flag serves the others.
            let stated = options.and_then(|options| options.i2s_layout);
            let flag = args.i2s_layout.map(args::I2sBlock::values);
            load_settings(options, args.head, stated.or(flag))
        });
        let newest = || {
            args.resume
                .then(|| unfinished(&baseline, &candidate))
                .flatten()
        };
        let out = args
            .out
            .or_else(newest)
            .unwrap_or_else(|| default_out(&baseline, &candidate));
        // Before anything expensive is done: a report nobody can write is worth nothing.
        durable::reserve_directory(&out).map_err(|error| {
            let hint = "name a writable directory with --out DIR".to_owned();
            Failure {
                hint: Some(hint),
                ..Failure::invalid(error)
            }
        })?;
        for (_, path) in &args.report {
            reserve_file(path)?;
        }
        Ok(Self {
            baseline,
            candidate,
            load,
            planted,
            // A first model is measured beside itself.
            force_run: args.force_run || policy.mode == Mode::Bootstrap,
            policy,
            scenes,
            sentinels,
            out,
            format: args.format,
            reports: args.report,
            lang: args.lang.lang(),
            uses_color: uses_color(color),
            is_quiet: args.quiet,
            judges_planted: args.judge_scripted,
            budget: args.budget,
            resumes: args.resume,
            cache_dir: if args.no_cache { None } else { cache_dir() },
            has_control: args.control,
            notices: Vec::new(),
        })
    }
}

/// Proves that a file can be put at `path` before anything expensive is done.
fn reserve_file(path: &Path) -> Result<(), Failure> {
    let hint = "name a file in a writable directory".to_owned();
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    durable::reserve_directory(directory.unwrap_or(Path::new("."))).map_err(|error| Failure {
        hint: Some(hint.clone()),
        ..Failure::invalid(error)
    })?;
    if path.exists() && !path.is_file() {
        let shown = durable::shown(path);
        return Err(Failure::usage(
            format!("`{shown}` is no regular file"),
            hint,
        ));
    }
    Ok(())
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
        let lexicon = lexicon_of(lexicon, args.lexicon.as_deref())?;
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
        max_summary_perplexity: options.and_then(|options| options.max_summary_perplexity),
    }
}

/// The policy named, else `gate.toml` of the working directory, else the built-in one.
pub(super) fn policy(named: Option<&Path>) -> Result<Policy, Failure> {
    policy_for(named, None)
}

/// The same in another mode than the file's; `None` keeps it.
fn policy_for(named: Option<&Path>, mode: Option<Mode>) -> Result<Policy, Failure> {
    match policy_text(named)? {
        Some((text, file)) => Policy::parse_as(&text, &file, mode).map_err(Failure::invalid),
        None => Ok(mode.map_or_else(Policy::built_in, Policy::built_in_for)),
    }
}

/// Both models; in a first promotion the one there is, twice.
fn models(args: &args::Compare, policy: &Policy) -> Result<[Resolved; 2], Failure> {
    let resolve = |path: &Path| sources::resolve(path, policy);
    match (policy.mode, &args.candidate) {
        (Mode::Bootstrap, None) => {
            let model = resolve(&args.baseline)?;
            Ok([model.clone(), model])
        }
        (Mode::Bootstrap, Some(_)) => Err(Failure::usage(
            "a first promotion has no baseline, but two models were named",
            "name the new model only: `vv-eval compare --mode bootstrap MODEL`",
        )),
        (Mode::Smoke | Mode::Promotion, Some(candidate)) => {
            Ok([resolve(&args.baseline)?, resolve(candidate)?])
        }
        (Mode::Smoke | Mode::Promotion, None) => Err(Failure::usage(
            "no candidate was named",
            "`vv-eval compare BASELINE CANDIDATE`, or `--mode bootstrap MODEL` for a first model",
        )),
    }
}

/// Text and name of the policy file in force; `None` when the built-in policy is.
pub(super) fn policy_text(named: Option<&Path>) -> Result<Option<(String, String)>, Failure> {
    let path = match named {
        Some(path) => path,
        None if Path::new(DEFAULT_POLICY).exists() => Path::new(DEFAULT_POLICY),
        None => return Ok(None),
    };
    let shown = durable::shown(path);
    let text = std::fs::read_to_string(path).map_err(|error| {
        Failure::usage(
            format!("cannot read policy {shown}: {error}"),
            "name an existing file with --policy, or leave it out for the built-in policy",
        )
    })?;
    Ok(Some((text, shown)))
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

/// `reports/<time>-gate`: named before either model is known.
pub(super) fn new_out() -> PathBuf {
    Path::new("reports").join(format!("{}-gate", compact_time()))
}

/// The time in UTC without separators, e.g. `20251123T173000Z`.
fn compact_time() -> String {
    let seconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_secs());
    crate::units::rfc3339(seconds)
        .chars()
        .filter(|c| !matches!(c, '-' | ':'))
        .collect()
}

/// `reports/<time>-<baseline>-vs-<candidate>`.
fn default_out(baseline: &Resolved, candidate: &Resolved) -> PathBuf {
    let time = compact_time();
    Path::new(REPORTS).join(format!("{time}{}", pair_name(baseline, candidate)))
}

/// Folder of cached outputs: `VV_EVAL_CACHE`, else `vv-eval` in the user's cache; `None` where
/// there is neither.
pub(super) fn cache_dir() -> Option<PathBuf> {
    let named = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(folder) = named(CACHE_VARIABLE) {
        return Some(PathBuf::from(folder));
    }
    let user = named("XDG_CACHE_HOME").map(PathBuf::from);
    let user = user.or_else(|| Some(PathBuf::from(named("HOME")?).join(".cache")));
    Some(user?.join("vv-eval"))
}

/// The newest folder below reports/ in which a comparison of these models was begun and not ended.
fn unfinished(baseline: &Resolved, candidate: &Resolved) -> Option<PathBuf> {
    let name = pair_name(baseline, candidate);
    let found = std::fs::read_dir(REPORTS).ok()?.flatten();
    found
        .filter(|entry| entry.file_name().to_string_lossy().ends_with(&name))
        .map(|entry| entry.path())
        .filter(|path| path.join(journal::FILE_NAME).is_file())
        .filter(|path| !path.join("report.json").exists())
        // Names begin with the time.
        .max()
}

/// `-<baseline>-vs-<candidate>`, the end of a default folder's name.
fn pair_name(baseline: &Resolved, candidate: &Resolved) -> String {
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
    format!("-{}-vs-{}", label(baseline), label(candidate))
}

pub(super) fn uses_color(color: Color) -> bool {
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
