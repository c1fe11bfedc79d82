//! `vv-eval scenes`: generates, imports, checks and describes scene sets.

use std::path::{Path, PathBuf};

use super::args::{Generate, Import, ScenesAction};
use super::exit::Exit;
use super::output::print;
use super::progress::say;
use super::scene_sets::set_directory;
use super::{Failure, args};
use crate::durable::{shown, write_atomic};
use crate::metric::accept;
use crate::report::escape::one_line;
use crate::report::wording::count;
use crate::scene::lexicon::BUILT_IN;
use crate::scene::lint::{Checks, lint};
use crate::scene::set::{DraftInfo, Generator, Scene, SceneSet, draft};
use crate::scene::synthetic::{MAX_LEFT_OUT, Order, STREAM, VERSION, make};
use crate::scene::telling::Family;
use crate::scene::{census, import};

/// Version of a set that nobody has released.
const DRAFT: &str = "0.0.0-draft";
/// Template of a new set, and its name in the set's directory.
const PROMPT: (&str, &str) = (
    "scene_summarizer.prompt",
    include_str!("../../prompts/scene_summarizer.prompt"),
);
/// Fewest scenes that a verdict may rest on.
const MIN_SCENES: usize = 60;

/// Does what was asked for.
pub(super) fn run(action: &ScenesAction) -> Result<Exit, Failure> {
    match action {
        ScenesAction::Generate(args) => generate(args),
        ScenesAction::Import(args) => import_folder(args),
        ScenesAction::Lint(args) => lint_set(args),
        ScenesAction::Stats(args) => stats(args),
    }
}

fn generate(args: &Generate) -> Result<Exit, Failure> {
    let families = args
        .families
        .iter()
        .map(|letter| letter.trim().parse())
        .collect::<Result<Vec<Family>, _>>()
        .map_err(|error| {
            Failure::usage(error.to_string(), "name families like --families F,G,H")
        })?;
    refuse_existing(&args.out)?;
    let order = Order {
        seed: args.seed,
        purpose: STREAM,
        families: &families,
    };
    let n = args.n as usize;
    let made = make(n, &order, &|scene, text| {
        accept::rejects(scene, text, &BUILT_IN).is_empty()
    });
    let n_left_out = made.left_out.len();
    // One scene of a handful may well be noise; a share says something from twenty on.
    if made.scenes.len() < n || (n >= 20 && n_left_out as f64 > MAX_LEFT_OUT * n as f64) {
        let message = format!(
            "{n_left_out} scenes contradict themselves, {} of {n} are sound",
            made.scenes.len()
        );
        let hint = "this is a bug of the generator; please report it with the seed";
        return Err(Failure::usage(message, hint).with_exit(Exit::Internal));
    }
    let generator = Generator {
        name: "vv-eval scenes generate".into(),
        version: VERSION.into(),
        seed: args.seed,
        families: families
            .iter()
            .map(|family| family.letter().into())
            .collect(),
    };
    write(&args.out, made.scenes, Some(generator))?;
    say(&format!(
        "{n_left_out} scenes left out: their noise contradicts their world"
    ));
    Ok(Exit::Pass)
}

fn import_folder(args: &Import) -> Result<Exit, Failure> {
    refuse_existing(&args.out)?;
    let imported = import::import(&args.from).map_err(Failure::invalid)?;
    for (path, warning) in &imported.warnings {
        let text = format!("{}: `{}`: {}", shown(path), warning.path, warning.message);
        say(&format!("warning: {}", one_line(&text)));
    }
    write(&args.out, imported.scenes, None)?;
    Ok(Exit::Pass)
}

fn lint_set(args: &args::NamedSet) -> Result<Exit, Failure> {
    let checks = Checks {
        rejects: &accept::rejects,
        similarity: &accept::similarity,
    };
    let findings = lint(&place(&args.set)?, &checks).map_err(Failure::invalid)?;
    let mut text = String::new();
    for finding in &findings {
        text.push_str(&one_line(&finding.to_string()));
        text.push('\n');
    }
    print(text.as_bytes())?;
    let n_wrong = findings
        .iter()
        .filter(|finding| !finding.rule.is_warning())
        .count();
    say(&format!(
        "{}, {}",
        count(n_wrong, "finding"),
        count(findings.len() - n_wrong, "warning")
    ));
    Ok(if n_wrong > 0 { Exit::Fail } else { Exit::Pass })
}

fn stats(args: &args::NamedSet) -> Result<Exit, Failure> {
    let path = place(&args.set)?;
    let (scenes, lexicon) = if path.is_file() {
        let (scenes, _) = SceneSet::load_bare(&path).map_err(Failure::invalid)?;
        (scenes, &*BUILT_IN)
    } else {
        let set = SceneSet::load(&path).map_err(Failure::invalid)?;
        (set.scenes, set.lexicon)
    };
    let text = census::describe(&scenes, lexicon, &accept::similarity);
    print(text.as_bytes())?;
    Ok(Exit::Pass)
}

/// A bare file, or the directory of a set.
fn place(named: &str) -> Result<PathBuf, Failure> {
    if Path::new(named).is_file() {
        return Ok(PathBuf::from(named));
    }
    set_directory(named)
}

fn refuse_existing(out: &Path) -> Result<(), Failure> {
    if out.exists() {
        let message = format!("{} exists", shown(out));
        return Err(Failure::usage(
            message,
            "name a new directory; sets are never overwritten",
        ));
    }
    Ok(())
}

/// Writes a draft set, named after the folder it is in.
fn write(out: &Path, scenes: Vec<Scene>, generator: Option<Generator>) -> Result<(), Failure> {
    let folder = out.parent().and_then(Path::file_name);
    let name = folder.map_or("draft".into(), |name| name.to_string_lossy().into_owned());
    let n = scenes.len();
    let draft = draft(
        scenes,
        DraftInfo {
            name: &name,
            version: DRAFT,
            created: "1970-01-01",
            prompt: PROMPT,
            min_scenes: MIN_SCENES,
            generator,
        },
    );
    std::fs::create_dir_all(out).map_err(|error| {
        let message = format!("cannot make {}: {error}", shown(out));
        Failure::usage(message, "check the path and its permissions")
    })?;
    let files = [
        (PROMPT.0, PROMPT.1),
        ("scenes.jsonl", draft.scenes_jsonl.as_str()),
        ("set.toml", draft.set_toml.as_str()),
    ];
    for (name, text) in files {
        write_atomic(&out.join(name), text.as_bytes()).map_err(Failure::invalid)?;
    }
    say(&format!("{n} scenes in {}", shown(out)));
    Ok(())
}
