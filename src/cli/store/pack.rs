//! `vv-eval model pack`: an archive for others to install.

use serde_json::json;

use super::fault::Fault;
use super::settings::Settings;
use super::{Reply, args, digest};
use crate::artifact::pack::{self, PackError};
use crate::cli::Failure;
use crate::cli::exit::Exit;
use crate::durable::shown;
use crate::store::{Error, check_directory};

pub(super) fn pack(args: &args::Pack, settings: &Settings) -> Result<Reply, Fault> {
    let policy = settings.policy()?;
    let directory = args
        .directory
        .canonicalize()
        .map_err(|source| Error::Unreadable {
            path: args.directory.clone(),
            source,
        })?;
    let found = pack::list(&directory).map_err(fault)?;
    check_directory(&directory, &found.files, &policy.allow)?;
    if settings.is_dry_run {
        let text = format!("{} files would be packed\n", found.files.len());
        let members = json!({ "dry_run": true, "files": found.files, "left_out": found.left_out });
        return Ok(Reply::new(Exit::Pass, members, text));
    }
    let packed = pack::pack(&directory, &args.out).map_err(fault)?;
    let name = args.out.file_name().unwrap_or_default().to_string_lossy();
    let entry = json!({
        "filename": name,
        "sha256": packed.sha256,
        "size_bytes": packed.size,
        "unpacked_bytes": packed.unpacked,
    });
    let text = format!(
        "{}: {} files, {}\n{entry:#}\n",
        shown(&args.out),
        packed.files.len(),
        packed.size
    );
    let members = json!({
        "dry_run": false,
        "artifact": entry,
        "archive_digest": digest(packed.sha256),
        "files": packed.files,
        "left_out": packed.left_out,
    });
    let mut reply = Reply::new(Exit::Pass, members, text);
    let left_out = packed.left_out.iter();
    reply
        .notes
        .extend(left_out.map(|path| format!("left out: {path}")));
    Ok(reply)
}

fn fault(error: PackError) -> Fault {
    match error {
        PackError::Write(error) => Error::File(error).into(),
        unfit @ PackError::Unfit { .. } => Failure::invalid(unfit).into(),
    }
}
