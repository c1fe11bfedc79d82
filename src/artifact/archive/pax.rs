//! Records of a PAX extended header, read strictly.

use super::Error;

/// What of an extended header matters here.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Pax {
    /// Name of the entry.
    pub(super) path: Option<Vec<u8>>,
    /// Length of its data.
    pub(super) size: Option<u64>,
}

/// Reads records of the form `LENGTH KEY=VALUE\n`; `LENGTH` counts the whole record.
///
/// # Errors
/// [`Error::Malformed`] for a record that departs from that form; [`Error::Unsafe`] for sparse
/// files and links.
///
/// Source: POSIX.1-2017, pax, "pax Extended Header".
pub(super) fn parse(mut bytes: &[u8]) -> Result<Pax, Error> {
    let malformed = |what: &str| Error::Malformed(format!("an extended header with {what}"));
    let mut pax = Pax::default();
    while !bytes.is_empty() {
        let space = bytes.iter().take(20).position(|byte| *byte == b' ');
        let space = space.ok_or_else(|| malformed("a record without a length"))?;
        let length = decimal(&bytes[..space]).and_then(|length| usize::try_from(length).ok());
        let length = length.ok_or_else(|| malformed("a length that is no number"))?;
        if length <= space + 1 || length > bytes.len() {
            return Err(malformed("a length that is not that of its record"));
        }
        let (record, rest) = bytes.split_at(length);
        let record = &record[space + 1..];
        let record = record
            .strip_suffix(b"\n")
            .ok_or_else(|| malformed("a record without a line end"))?;
        let equals = record.iter().position(|byte| *byte == b'=');
        let equals = equals.ok_or_else(|| malformed("a record without a value"))?;
        let (key, value) = (&record[..equals], &record[equals + 1..]);
        let twice = || malformed("a key given twice");
        match key {
            b"path" if pax.path.is_none() => pax.path = Some(value.to_owned()),
            b"path" => return Err(twice()),
            b"size" => {
                let size = decimal(value).filter(|size| *size < 1 << 63);
                let size = size.ok_or_else(|| malformed("a size that is no number"))?;
                if pax.size.replace(size).is_some() {
                    return Err(twice());
                }
            }
            b"linkpath" => return Err(Error::unsafe_entry(value, "is the target of a link")),
            _ if key.starts_with(b"GNU.sparse.") => {
                return Err(Error::unsafe_entry(key, "makes a sparse file"));
            }
            // Times, owners, attributes and comments reach nothing that is written.
            _ => {}
        }
        bytes = rest;
    }
    Ok(pax)
}

/// A plain decimal number of at most 20 digits.
fn decimal(bytes: &[u8]) -> Option<u64> {
    let is_plain = !bytes.is_empty() && bytes.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(bytes).ok()?;
    is_plain.then(|| text.parse().ok()).flatten()
}
