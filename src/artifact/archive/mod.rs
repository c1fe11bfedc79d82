//! Unpacks a verified archive entry by entry, under limits, into a directory of its own.
//!
//! In: a [`Blob`], how its manifest says it is packed, and [`Limits`]. Out: files in a
//! [`Destination`], each with its length and digest. The rules are those of the installer: regular
//! files and directories only, names that no system misreads, nothing skipped in silence. The
//! headers are decoded by the `tar` crate; what they mean is decided here, and nothing of that
//! crate writes a file.

mod destination;
mod error;
mod gzip;
mod name;
mod pax;
mod reader;

use std::io::{BufReader, Read, Seek as _};

pub use destination::{Destination, Unpacked};
pub use error::Error;

use super::cache::Blob;
use crate::manifest::{Artifact, Format};
use crate::units::Bytes;
use reader::{Counted, Tar};

/// What one archive may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most files and directories.
    pub max_entries: usize,
    /// Most bytes in files; the manifest's `unpacked_bytes` may lower it.
    pub max_unpacked: Bytes,
    /// Most bytes unpacked from each byte of the archive.
    pub max_ratio: u64,
    /// Bytes up to which the ratio does not count.
    pub ratio_floor: Bytes,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_entries: 4096,
            max_unpacked: Bytes(32 << 30),
            max_ratio: 200,
            ratio_floor: Bytes(64 << 20),
        }
    }
}

/// Adds the files of one artifact to `into`: those of an archive, or the file itself.
///
/// # Errors
/// [`Error`]. What was written before stays in the destination, which is the caller's to drop.
pub fn unpack(
    blob: &Blob,
    artifact: &Artifact,
    limits: &Limits,
    into: &mut Destination,
) -> Result<(), Error> {
    let mut file = blob.file();
    file.rewind().map_err(Error::Read)?;
    let limits = Limits {
        max_unpacked: artifact
            .unpacked
            .unwrap_or(limits.max_unpacked)
            .min(limits.max_unpacked),
        ..*limits
    };
    let strip = artifact.strip_components;
    match artifact.format {
        Format::File => {
            let name = name::parts(artifact.filename.as_bytes(), 0)?;
            into.add_file(&name, blob.checked().size().0, &mut file)
        }
        Format::Tar => {
            let counted = Counted::new(BufReader::new(file), u64::MAX);
            unpack_tar(counted, strip, &limits, into)
        }
        Format::TarGz => {
            let members = gzip::Members::new(BufReader::new(file))?;
            let Bytes(size) = blob.checked().size();
            let most = size
                .saturating_mul(limits.max_ratio)
                .max(limits.ratio_floor.0);
            unpack_tar(Counted::new(members, most), strip, &limits, into)
        }
    }
}

fn unpack_tar<R: Read>(
    stream: Counted<R>,
    strip: u8,
    limits: &Limits,
    into: &mut Destination,
) -> Result<(), Error> {
    let mut tar = Tar::new(stream);
    let (mut n_entries, mut unpacked, mut n_files) = (0, 0u64, 0);
    while let Some(entry) = tar.next_entry()? {
        n_entries += 1;
        if n_entries > limits.max_entries {
            return Err(Error::OverLimits(format!(
                "more than {} entries",
                limits.max_entries
            )));
        }
        if entry.is_directory {
            if let Some(parts) = name::directory_parts(&entry.name, strip)? {
                into.add_directory(&parts)?;
            }
            continue;
        }
        unpacked = unpacked.saturating_add(entry.size);
        if unpacked > limits.max_unpacked.0 {
            let Bytes(limit) = limits.max_unpacked;
            return Err(Error::OverLimits(format!(
                "its files have more than {limit} bytes"
            )));
        }
        let parts = name::parts(&entry.name, strip)?;
        into.add_file(&parts, entry.size, &mut tar.data())?;
        n_files += 1;
    }
    if n_files == 0 {
        return Err(Error::Malformed("it holds no file".to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
