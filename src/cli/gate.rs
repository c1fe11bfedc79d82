//! `vv-eval gate`: judges a pull request on the manifest.

use std::path::Path;

use super::Failure;
use super::args::{Color, Format};
use super::args_gate::Gate;
use super::compare;
use super::deliver::FILES;
use super::exit::Exit;
use super::output::print;
use super::progress::say;
use super::settings::{self, CompareParts};
use super::sources;
use crate::artifact::{self, Means, Resolved};
use crate::durable::{self, Temporary, write_atomic};
use crate::gate::Outcome;
use crate::manifest::Loaded;
use crate::promotion::git::Repository;
use crate::promotion::{Head, Paths, Request, export};
use crate::report::escape::{markdown_text, one_line};
use crate::report::unjudged::Unjudged;
use crate::report::wording::Lang;
use crate::scene::SceneSet;

/// Report for people, written also when nothing could be judged.
const REPORT: &str = "report.md";

/// The same for the test pane of a CI service.
const TESTS: &str = "junit.xml";

/// Runs the command. Whatever stops it, a report says so, if one can be written at all.
pub(super) fn run(args: &Gate, color: Color) -> Result<Exit, Failure> {
    let out = args.out.clone().unwrap_or_else(settings::new_out);
    durable::reserve_directory(&out).map_err(|error| Failure {
        hint: Some("name a writable directory with --out DIR".to_owned()),
        ..Failure::invalid(error)
    })?;
    forget_reports(&out)?;
    let mut notices = Vec::new();
    judge(args, &out, color, &mut notices).inspect_err(|failure| {
        let unjudged = unjudged(failure, notices, args.lang.lang());
        let files = [
            (REPORT, unjudged.markdown().into_bytes()),
            (TESTS, unjudged.junit()),
        ];
        for (name, bytes) in files {
            if let Err(error) = write_atomic(&out.join(name), &bytes) {
                say(&format!("warning: {error}"));
            }
        }
    })
}

/// Removes the reports an earlier run, or the pull request, left in `out`: they are none of this one.
fn forget_reports(out: &Path) -> Result<(), Failure> {
    for (name, _) in FILES {
        match std::fs::remove_file(out.join(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                let message = format!("cannot remove an old {name}: {error}");
                return Err(Failure::usage(
                    message,
                    "name another directory with --out DIR",
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

/// * `notices`: what a reviewer has to know, as soon as it is known
fn judge(
    args: &Gate,
    out: &Path,
    color: Color,
    notices: &mut Vec<String>,
) -> Result<Exit, Failure> {
    let repository = Repository::open(Path::new(".")).map_err(Failure::invalid)?;
    let paths = Paths {
        manifest: args.manifest.clone(),
        policy: args.policy.clone(),
    };
    let request = Request::read(&repository, &args.base, args.head.as_deref(), &paths)
        .map_err(Failure::invalid)?;
    *notices = request.notices();
    for notice in notices.iter() {
        say(&format!("notice: {}", one_line(notice)));
    }
    for change in &request.changes {
        say(&format!("change: {}", one_line(&change.to_string())));
    }
    if request.is_unchanged() {
        return unchanged(args, out, &request);
    }
    let baseline = request.baseline(&paths).map_err(Failure::invalid)?;
    // Removed at the end, unpacked models with it.
    let workspace = Temporary::create(Some(out)).map_err(Failure::invalid)?;
    let sources = Obtain {
        repository: &repository,
        request: &request,
        args,
        workspace: workspace.path(),
    };
    let candidate = sources.candidate()?;
    // A first model is its own baseline.
    let baseline = baseline.map_or_else(|| Ok(candidate.clone()), |it| sources.baseline(it))?;
    let scenes = request
        .export_scenes(&repository, &workspace.path().join("scenes"))
        .map_err(Failure::invalid)?;
    let scenes = SceneSet::load(&scenes).map_err(Failure::invalid)?;
    let sentinels = request
        .export_sentinels(&repository, &workspace.path().join("sentinels"))
        .map_err(Failure::invalid)?
        .map(|directory| SceneSet::load(&directory).map_err(Failure::invalid))
        .transpose()?;
    let settings = settings::Compare::of_parts(CompareParts {
        baseline,
        candidate,
        policy: request.policy.clone(),
        scenes,
        sentinels,
        out: out.to_owned(),
        head: args.head_storage,
        format: args.format,
        lang: args.lang.lang(),
        color,
        is_quiet: args.quiet,
        notices: request.notices(),
    })?;
    compare::run(&settings)
}

/// Obtains both models.
struct Obtain<'a> {
    repository: &'a Repository,
    request: &'a Request,
    args: &'a Gate,
    workspace: &'a Path,
}

impl Obtain<'_> {
    /// The files the candidate's manifest names, at the head.
    fn candidate(&self) -> Result<Resolved, Failure> {
        let path = match &self.request.head {
            Head::WorkTree => self.repository.root().join(&self.args.manifest),
            Head::Commit(commit) => {
                let into = self.workspace.join("head");
                let loaded = &self.request.candidate;
                export(self.repository, commit, loaded, &self.args.manifest, &into)
                    .map_err(Failure::invalid)?
            }
        };
        self.resolve(self.request.candidate.clone(), &path, "candidate")
    }

    /// The files the baseline's manifest names, at the base.
    fn baseline(&self, loaded: &Loaded) -> Result<Resolved, Failure> {
        let into = self.workspace.join("base");
        let (repository, base) = (self.repository, &self.request.base);
        let path = export(repository, base, loaded, &self.args.manifest, &into)
            .map_err(Failure::invalid)?;
        self.resolve(loaded.clone(), &path, "baseline")
    }

    fn resolve(&self, loaded: Loaded, path: &Path, role: &str) -> Result<Resolved, Failure> {
        let policy = &self.request.policy;
        let mut rules = sources::rules(policy)?;
        // A pull request must not choose whom this machine asks.
        rules.requires_host_list = true;
        let cache = sources::cache_directory(self.args.cache.as_deref());
        let reach = (self.args.offline, self.args.retries);
        let fetcher = sources::fetcher(policy, rules, &cache, reach)?;
        let mut means = Means {
            fetcher: Some(&fetcher),
            limits: sources::limits(policy),
            workspace: Some(self.workspace),
            listener: &mut sources::tell,
        };
        artifact::resolve_loaded(loaded, path, &mut means).map_err(|error| {
            let failure = Failure::invalid(error);
            Failure {
                error: failure.error.context(format!("cannot obtain the {role}")),
                ..failure
            }
        })
    }
}

/// The manifest says what it said: nothing is judged, and the report says that.
fn unchanged(args: &Gate, out: &Path, request: &Request) -> Result<Exit, Failure> {
    let lang = args.lang.lang();
    let manifest = args.manifest.replace('`', "'").escape_debug().to_string();
    let mut text = lang.nothing_to_judge(&manifest, request.base.short());
    text.push('\n');
    for notice in request.notices() {
        text += &format!("\n{}\n", markdown_text(&lang.sentence(&notice)));
    }
    write_atomic(&out.join(REPORT), text.as_bytes()).map_err(Failure::invalid)?;
    if args.format != Format::Json {
        print(text.as_bytes())?;
    }
    Ok(Exit::from(Outcome::Pass))
}

/// What is said of a pull request that could not be judged.
fn unjudged(failure: &Failure, notices: Vec<String>, lang: Lang) -> Unjudged {
    let mut cause = failure.error.to_string();
    for deeper in failure.error.chain().skip(1) {
        cause.push_str("\ncaused by: ");
        cause.push_str(&deeper.to_string());
    }
    if let Some(hint) = &failure.hint {
        cause.push_str("\n\nhint: ");
        cause.push_str(hint);
    }
    Unjudged {
        lang,
        exit: failure.exit.code(),
        is_bug: matches!(failure.exit, Exit::Internal),
        notices,
        cause,
    }
}
