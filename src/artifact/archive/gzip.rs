//! All members of a gzip stream, as one stream of bytes.
//!
//! A decoder of one member stops silently after it, and one of several takes zero padding for
//! damage; so the members are read one by one here.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;

use super::Error;

/// First bytes of a gzip member.
const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Beginnings of files that are often taken for gzip.
const OTHERS: [(&[u8], &str); 7] = [
    (b"PK\x03\x04", "a zip file"),
    (b"\xfd7zXZ\0", "an xz stream"),
    (b"\x28\xb5\x2f\xfd", "a zstd stream"),
    (b"BZh", "a bzip2 stream"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z file"),
    (b"GGUF", "a GGUF file"),
    (b"<", "a web page or XML"),
];

/// A reader of all members; between them nothing may stand, after them only zero bytes.
pub(super) struct Members<R: BufRead> {
    /// `None` once the end was reached.
    member: Option<GzDecoder<R>>,
}

impl<R: BufRead> Members<R> {
    /// # Errors
    /// [`Error::Malformed`] when the stream does not begin as gzip does, with what it looks like.
    pub(super) fn new(mut stream: R) -> Result<Self, Error> {
        let start = stream.fill_buf().map_err(Error::Read)?;
        if !start.starts_with(&MAGIC) {
            let looks = OTHERS.iter().find(|(magic, _)| start.starts_with(magic));
            let found = match looks {
                Some((_, what)) => format!("it looks like {what}"),
                None if start.is_empty() => "it is empty".to_owned(),
                None => "it begins with other bytes".to_owned(),
            };
            return Err(Error::Malformed(format!("it is not gzip: {found}")));
        }
        Ok(Self {
            member: Some(GzDecoder::new(stream)),
        })
    }
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            match member.read(buffer) {
                Ok(0) if !buffer.is_empty() => {}
                done => return done,
            }
            let ended = self.member.take().expect("it was there just now");
            let mut stream = ended.into_inner();
            match stream.fill_buf()? {
                [] => {}
                [0x1f, ..] => self.member = Some(GzDecoder::new(stream)),
                _ => only_zeros(&mut stream)?,
            }
        }
        Ok(0)
    }
}

/// Reads to the end.
fn only_zeros(stream: &mut impl BufRead) -> io::Result<()> {
    loop {
        let bytes = stream.fill_buf()?;
        if bytes.is_empty() {
            return Ok(());
        }
        if bytes.iter().any(|byte| *byte != 0) {
            let problem = "after the compressed data stands something else";
            return Err(Error::Malformed(problem.to_owned()).into());
        }
        let n = bytes.len();
        stream.consume(n);
    }
}
