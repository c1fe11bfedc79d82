//! `vv-eval model convert`: the same weights in another container; the other `model` commands are
//! handed on.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

use super::exit::Exit;
use super::output::print;
use super::settings::load_settings;
use super::{Failure, args, progress, store};
use crate::artifact::{self, Resolved};
use crate::durable::{self, NewDirectory, shown};
use crate::manifest::{self, Local};
use crate::model::convert::{self, Converted, Form, Label, model_card};
use crate::report::escape::one_line;
use crate::run::load_options;
use crate::units::Bytes;

const CARD: &str = "MODEL_CARD.md";

/// Runs the command.
pub(super) fn run(command: &args::Model) -> Result<Exit, Failure> {
    match command {
        args::Model::Convert(args) => convert(args).map(|()| Exit::Pass),
        args::Model::Store(command) => store::run(command),
    }
}

/// Converts into a hidden directory, which gets its name when everything in it was read back.
fn convert(args: &args::Convert) -> Result<(), Failure> {
    let form = args.to.form();
    let new = NewDirectory::create(&args.destination).map_err(unwritable)?;
    let found = artifact::resolve(&args.source).map_err(Failure::invalid)?;
    let stated = found
        .options
        .as_ref()
        .and_then(|options| options.i2s_layout);
    let i2s_layout = args.i2s_layout.map(args::I2sBlock::values).or(stated);
    let settings = load_settings(found.options.as_ref(), args::Head::Exact, i2s_layout);
    let options = load_options(&settings).expect("flags and manifests have known values only");
    let name = found.files.is_pinned.then_some(found.name.as_str());
    let converted =
        convert::convert(&found.files, &options, form, new.path(), name).map_err(not_converted)?;
    for note in found.warnings.iter().chain(&converted.notes) {
        progress::say(&format!("warning: {}", one_line(note)));
    }

    let version = found
        .version
        .as_deref()
        .map(|version| version_of(version, form));
    let label = Label {
        name: &found.name,
        from_version: found.version.as_deref(),
        version: version.as_deref(),
        from_release: found.files.release_digest,
    };
    write(new.path(), CARD, &model_card(&converted, &label))?;
    if let Some(version) = &version {
        let manifest = manifest_of(&args.source, &found, &converted, version)?;
        write(new.path(), manifest::FILE_NAME, &manifest)?;
        // The labels are new; whatever rule they break is found here.
        artifact::resolve(new.path()).map_err(Failure::invalid)?;
    }
    new.complete().map_err(unwritable)?;
    print(summary(&found, &converted, &label, &args.destination).as_bytes())
}

/// The version of a model in another container: what names an earlier container gives way.
fn version_of(version: &str, form: Form) -> String {
    let (version, build) = match version.split_once('+') {
        Some((version, build)) => (version, format!("+{build}")),
        None => (version, String::new()),
    };
    let plain = Form::ALL
        .into_iter()
        .find_map(|form| version.strip_suffix(&format!("-{}", form.version_suffix())));
    let version = plain.unwrap_or(version);
    format!("{version}-{}{build}", form.version_suffix())
}

/// The manifest that pins the files written, with what the source's manifest says of their use.
fn manifest_of(
    source: &Path,
    found: &Resolved,
    converted: &Converted,
    version: &str,
) -> Result<String, Failure> {
    let path = if source.is_dir() {
        source.join(manifest::FILE_NAME)
    } else {
        source.to_owned()
    };
    let before = manifest::read(&path).map_err(Failure::invalid)?.manifest;
    let options = before
        .release
        .model_options
        .as_ref()
        .and_then(manifest::ModelOptions::of_other_container);
    let description = format!(
        "{} {} as {}: the same weights, layers digest sha256 {}",
        found.name, before.version, converted.form, converted.identity.layers
    );
    let files = converted.files.files.iter();
    let local = Local {
        model_name: &found.name,
        version,
        description: &description,
        requires_summarize_scene: before.requires_summarize_scene.as_deref(),
        target: &before.release.artifacts[0].target,
        options: options.as_ref(),
        files: files
            .map(|(name, file)| (name.as_str(), file.sha256(), file.size()))
            .collect(),
    };
    Ok(local.to_json())
}

fn write(directory: &Path, name: &str, text: &str) -> Result<(), Failure> {
    let path = directory.join(name);
    std::fs::write(&path, text)
        .map_err(|source| not_converted(convert::Error::Write { path, source }))
}

/// What was done, one property a line.
fn summary(
    found: &Resolved,
    converted: &Converted,
    label: &Label<'_>,
    destination: &Path,
) -> String {
    let version = |version: Option<&str>| version.map_or(String::new(), |v| format!(" {v}"));
    let size =
        |files: &artifact::ModelFiles| Bytes(files.files.values().map(|file| file.size().0).sum());
    let types: Vec<String> = converted
        .tensors
        .iter()
        .map(|(kind, n)| format!("{n} {kind}"))
        .collect();
    let rows = [
        (
            "model",
            format!("{}{}", label.name, version(label.from_version)),
        ),
        (
            "from",
            format!("{}, {}", converted.from, size(&found.files)),
        ),
        (
            "to",
            format!(
                "{}, {}{}",
                converted.form,
                size(&converted.files),
                label
                    .version
                    .map_or(String::new(), |v| format!(", version {v}"))
            ),
        ),
        ("tensors", types.join(", ")),
        (
            "layers digest",
            format!("sha256 {}, equal in both", converted.identity.layers),
        ),
        (
            "codes digest",
            format!("sha256 {}, equal in both", converted.identity.codes),
        ),
        ("written", shown(destination)),
    ];
    let mut text = String::new();
    for (name, value) in rows {
        let _ = writeln!(text, "{name:<16}{}", one_line(&value));
    }
    text.push_str("\nfiles\n");
    for (name, file) in &converted.files.files {
        let (size, digest) = (file.size(), file.sha256());
        let _ = writeln!(text, "  {:<26}{size:>10}  sha256 {digest}", one_line(name));
    }
    text
}

fn not_converted(error: convert::Error) -> Failure {
    let exit = match &error {
        convert::Error::Write { source, .. } => exit_of(source),
        error if error.is_internal() => Exit::Internal,
        _ => Exit::Invalid,
    };
    Failure::invalid(error).with_exit(exit)
}

fn unwritable(error: durable::Error) -> Failure {
    let exit = exit_of(&error.source);
    Failure::invalid(error).with_exit(exit)
}

/// The code of a place that cannot be written to; a wrong place is wrong usage.
fn exit_of(error: &io::Error) -> Exit {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::StorageFull | Kind::QuotaExceeded => Exit::NoSpace,
        Kind::PermissionDenied | Kind::ReadOnlyFilesystem => Exit::Permission,
        Kind::AlreadyExists
        | Kind::NotFound
        | Kind::NotADirectory
        | Kind::InvalidInput
        | Kind::InvalidFilename
        | Kind::ResourceBusy => Exit::Invalid,
        _ => Exit::Io,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_version(before: &str, form: Form, after: &str) {
        assert_eq!(version_of(before, form), after);
    }

    #[test]
    fn a_version_says_its_container_once() {
        check_version("1.0.0", Form::GgufQ4_0, "1.0.0-q4-0");
        check_version("1.0.0-q4-0", Form::GgufTq1_0, "1.0.0-tq1-0");
        check_version("1.0.0-tq1-0", Form::HfPacked, "1.0.0-hf-packed");
        check_version("1.2-rc.1+x", Form::GgufI2S, "1.2-rc.1-i2-s+x");
    }

    #[track_caller]
    fn check_exit(kind: io::ErrorKind, code: u8) {
        assert_eq!(exit_of(&kind.into()).code(), code, "{kind:?}");
    }

    #[test]
    fn places_that_cannot_be_written_have_codes_of_their_own() {
        check_exit(io::ErrorKind::StorageFull, 40);
        check_exit(io::ErrorKind::BrokenPipe, 41);
        check_exit(io::ErrorKind::PermissionDenied, 42);
        check_exit(io::ErrorKind::AlreadyExists, 3);
    }

    #[test]
    fn the_flag_has_the_names_of_the_library() {
        use clap::ValueEnum as _;
        for form in args::Form::value_variants() {
            let name = form.to_possible_value().expect("it is shown");
            assert_eq!(name.get_name(), form.form().as_str());
        }
        assert_eq!(args::Form::value_variants().len(), Form::ALL.len());
    }
}
