//! Git LFS pointers: the small text that stands in a repository where the real file was not fetched.

use crate::units::{Bytes, DigestSyntax, Sha256};

/// Longest pointer, in bytes.
pub const MAX_POINTER_BYTES: u64 = 1024;

/// First line of every pointer.
const VERSION: &str = "version https://git-lfs.github.com/spec/v1\n";

/// What a pointer says of the file it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pointer {
    /// Digest of the file.
    pub sha256: Sha256,
    /// Length of the file.
    pub size: Bytes,
}

/// Why a text that begins like a pointer is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoPointer {
    /// Another beginning, or longer than any pointer.
    #[error("not a Git LFS pointer")]
    Other,
    /// It departs from the one encoding the specification has.
    #[error("a Git LFS pointer with {0}")]
    Encoding(&'static str),
    /// Its digest is none.
    #[error("a Git LFS pointer whose oid is none: {0}")]
    Oid(DigestSyntax),
}

impl Pointer {
    /// Reads a pointer in its one byte-exact encoding.
    ///
    /// # Errors
    /// [`NoPointer`].
    ///
    /// Source: git-lfs, docs/spec.md, "The Pointer".
    pub fn parse(bytes: &[u8]) -> Result<Self, NoPointer> {
        if !looks_like_pointer(bytes) || bytes.len() as u64 >= MAX_POINTER_BYTES {
            return Err(NoPointer::Other);
        }
        let text =
            std::str::from_utf8(bytes).map_err(|_| NoPointer::Encoding("bytes not UTF-8"))?;
        let rest = text
            .strip_prefix(VERSION)
            .ok_or(NoPointer::Encoding("another version than v1"))?;
        let rest = rest
            .strip_suffix('\n')
            .ok_or(NoPointer::Encoding("no line end at its end"))?;
        let [oid, size] = rest
            .split('\n')
            .collect::<Vec<_>>()
            .try_into()
            .map_err(|_| NoPointer::Encoding("other lines than oid and size"))?;
        let oid = oid
            .strip_prefix("oid sha256:")
            .ok_or(NoPointer::Encoding("no `oid sha256:` in its second line"))?;
        if oid.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(NoPointer::Encoding("an oid in upper case"));
        }
        let size = size
            .strip_prefix("size ")
            .ok_or(NoPointer::Encoding("no `size ` in its third line"))?;
        let number: u64 = size
            .parse()
            .map_err(|_| NoPointer::Encoding("a size that is no number"))?;
        if number.to_string() != size {
            return Err(NoPointer::Encoding("a size in another spelling"));
        }
        Ok(Self {
            sha256: oid.parse().map_err(NoPointer::Oid)?,
            size: Bytes(number),
        })
    }
}

/// Whether bytes begin as every version of a pointer does.
pub fn looks_like_pointer(bytes: &[u8]) -> bool {
    bytes.starts_with(b"version https://git-lfs.github.com/spec/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointer(oid: &str, size: &str) -> String {
        format!("{VERSION}oid sha256:{oid}\nsize {size}\n")
    }

    #[test]
    fn the_pointer_of_git_lfs_is_read() {
        // `printf abc | git lfs pointer --stdin`, git-lfs 3.3.0.
        let text = "version https://git-lfs.github.com/spec/v1\n\
             oid sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\nsize 3\n";
        let pointer = Pointer::parse(text.as_bytes()).expect("a pointer");
        assert_eq!(pointer.sha256, Sha256::of(b"abc"));
        assert_eq!(pointer.size, Bytes(3));
    }

    #[test]
    fn other_encodings_are_refused() {
        let oid = Sha256::of(b"abc").to_string();
        let good = pointer(&oid, "3");
        for text in [
            good.replace('\n', "\r\n"),
            good.trim_end().to_owned(),
            format!("{good}\n"),
            format!("{good}x y\n"),
            good.replace("v1\n", "v2\n"),
            good.replace("sha256:", "md5:"),
            pointer(&oid.to_uppercase(), "3"),
            pointer(&oid[1..], "3"),
            pointer(&oid, "03"),
            pointer(&oid, "+3"),
            pointer(&oid, "-1"),
            format!("{VERSION}size 3\noid sha256:{oid}\n"),
            format!("{good}{}", " ".repeat(1024)),
            String::new(),
            "version".to_owned(),
        ] {
            assert!(Pointer::parse(text.as_bytes()).is_err(), "{text:?}");
        }
    }
}
