//! Entries of a tar stream, one after the other, with the extensions that name them.

use std::io::{self, Read};

use tar::Header;

use super::Error;
use super::pax::{self, Pax};

/// Size of a block.
const BLOCK: usize = 512;

/// Longest extension of an entry, in bytes.
const MAX_EXTENSION: u64 = 64 << 10;

/// A stream that ends with an error once it gave more than it may.
pub(super) struct Counted<R> {
    inner: R,
    left: u64,
}

impl<R> Counted<R> {
    /// * `most`: bytes the stream may give
    pub(super) fn new(inner: R, most: u64) -> Self {
        Self { inner, left: most }
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.left = self.left.checked_sub(n as u64).ok_or_else(|| {
            let problem = "it unpacks to far more than its own size";
            io::Error::from(Error::OverLimits(problem.to_owned()))
        })?;
        Ok(n)
    }
}

/// A file or a directory.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// As it stands in the archive.
    pub(super) name: Vec<u8>,
    pub(super) is_directory: bool,
    /// Bytes of its data; 0 for a directory.
    pub(super) size: u64,
}

/// Reads entries. The data of one is read, or skipped, before the next.
pub(super) struct Tar<R> {
    stream: Counted<R>,
    /// Bytes of the current entry's data not read yet.
    left: u64,
    /// Bytes after them up to the next block.
    padding: u64,
}

/// Extensions seen before the entry they belong to.
#[derive(Default)]
struct Extensions {
    pax: Option<Pax>,
    long_name: Option<Vec<u8>>,
}

impl<R: Read> Tar<R> {
    pub(super) fn new(stream: Counted<R>) -> Self {
        Self {
            stream,
            left: 0,
            padding: 0,
        }
    }

    /// The next file or directory; `None` at the end, which was read to its last byte.
    ///
    /// # Errors
    /// [`Error`] for everything else.
    pub(super) fn next_entry(&mut self) -> Result<Option<Entry>, Error> {
        self.skip_data()?;
        let mut extensions = Extensions::default();
        loop {
            let Some(block) = self.header()? else {
                if extensions.pax.is_some() || extensions.long_name.is_some() {
                    let problem = "it ends after the extension of an entry";
                    return Err(Error::Malformed(problem.to_owned()));
                }
                self.finish()?;
                return Ok(None);
            };
            let header = Header::from_byte_slice(&block);
            let size = size_of(header)?;
            let name = header.path_bytes().into_owned();
            // The crate takes the old form of a regular file for the new one.
            match header.as_old().linkflag[0] {
                b'x' => {
                    let data = self.extension(size)?;
                    if extensions.pax.replace(pax::parse(&data)?).is_some() {
                        return Err(Error::unsafe_entry(&name, "is a second extended header"));
                    }
                }
                b'L' => {
                    let mut data = self.extension(size)?;
                    if data.last() == Some(&0) {
                        data.pop();
                    }
                    if extensions.long_name.replace(data).is_some() {
                        return Err(Error::unsafe_entry(&name, "is a second long name"));
                    }
                }
                kind => return self.entry(kind, size, name, extensions).map(Some),
            }
        }
    }

    /// The entry behind a header that is no extension.
    fn entry(
        &mut self,
        kind: u8,
        size: u64,
        name: Vec<u8>,
        extensions: Extensions,
    ) -> Result<Entry, Error> {
        let Extensions { pax, long_name } = extensions;
        if pax.is_some() && long_name.is_some() {
            let problem = "is named by two kinds of extensions";
            return Err(Error::unsafe_entry(&name, problem));
        }
        let pax = pax.unwrap_or_default();
        let name = pax.path.or(long_name).unwrap_or(name);
        let is_old = kind == 0;
        let is_directory = kind == b'5' || is_old && name.ends_with(b"/");
        if !is_directory && kind != b'0' && !is_old {
            return Err(Error::unsafe_entry(
                &name,
                format!("is {}", kind_in_words(kind)),
            ));
        }
        let size = match pax.size {
            Some(larger) if size != 0 && size != larger => {
                return Err(Error::unsafe_entry(&name, "has two different lengths"));
            }
            Some(larger) => larger,
            None => size,
        };
        if is_directory && size != 0 {
            return Err(Error::Malformed("a directory with data".to_owned()));
        }
        self.left = size;
        self.padding = padding_of(size);
        Ok(Entry {
            name,
            is_directory,
            size,
        })
    }

    /// The data of the current entry.
    pub(super) fn data(&mut self) -> Data<'_, R> {
        Data { tar: self }
    }

    /// A header block; `None` for the first of the two zero blocks at the end.
    fn header(&mut self) -> Result<Option<[u8; BLOCK]>, Error> {
        let mut block = [0; BLOCK];
        match fill(&mut self.stream, &mut block)? {
            0 => {
                let problem = "it ends without the two zero blocks that mark its end";
                return Err(Error::Malformed(problem.to_owned()));
            }
            BLOCK => {}
            _ => return Err(Error::Malformed("it is cut short".to_owned())),
        }
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let header = Header::from_byte_slice(&block);
        // The checksum counts its own field as spaces.
        let sum: u32 = block
            .iter()
            .enumerate()
            .map(|(i, byte)| {
                if (148..156).contains(&i) {
                    32
                } else {
                    u32::from(*byte)
                }
            })
            .sum();
        if header.cksum().ok() != Some(sum) {
            let problem = "a header whose checksum is wrong";
            return Err(Error::Malformed(problem.to_owned()));
        }
        Ok(Some(block))
    }

    /// What stands after the first zero block: another one, and zeros to the end.
    fn finish(&mut self) -> Result<(), Error> {
        let mut block = [0; BLOCK];
        if fill(&mut self.stream, &mut block)? < BLOCK || block.iter().any(|byte| *byte != 0) {
            let problem = "one zero block instead of the two that mark its end";
            return Err(Error::Malformed(problem.to_owned()));
        }
        loop {
            let n = fill(&mut self.stream, &mut block)?;
            if n == 0 {
                return Ok(());
            }
            if block[..n].iter().any(|byte| *byte != 0) {
                let problem = "stands after the end of the archive";
                return Err(Error::unsafe_entry(b"(data)", problem));
            }
        }
    }

    /// The data of an extension, whole.
    fn extension(&mut self, size: u64) -> Result<Vec<u8>, Error> {
        if size > MAX_EXTENSION {
            let problem = format!("is an extension of more than {MAX_EXTENSION} bytes");
            return Err(Error::unsafe_entry(b"(extension)", problem));
        }
        // At most 64 KiB: it fits.
        let mut data = vec![0; usize::try_from(size).unwrap_or(0)];
        self.left = size;
        self.padding = padding_of(size);
        self.data()
            .read_exact(&mut data)
            .map_err(Error::of_stream)?;
        self.skip_data()?;
        Ok(data)
    }

    fn skip_data(&mut self) -> Result<(), Error> {
        let mut left = self.left.saturating_add(self.padding);
        (self.left, self.padding) = (0, 0);
        let mut buffer = [0; BLOCK];
        while left > 0 {
            let wanted = usize::try_from(left).unwrap_or(BLOCK).min(BLOCK);
            if fill(&mut self.stream, &mut buffer[..wanted])? < wanted {
                return Err(Error::Malformed("it is cut short".to_owned()));
            }
            left -= wanted as u64;
        }
        Ok(())
    }
}

/// Reads the data of one entry; an early end of the stream is an error.
pub(super) struct Data<'a, R> {
    tar: &'a mut Tar<R>,
}

impl<R: Read> Read for Data<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.tar.left).map_or(buffer.len(), |it| it.min(buffer.len()));
        if wanted == 0 {
            return Ok(0);
        }
        let n = self.tar.stream.read(&mut buffer[..wanted])?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.tar.left -= n as u64;
        Ok(n)
    }
}

/// Reads until `buffer` is full or the stream ends.
fn fill(stream: &mut impl Read, buffer: &mut [u8]) -> Result<usize, Error> {
    let mut n = 0;
    while n < buffer.len() {
        match stream.read(&mut buffer[n..]) {
            Ok(0) => break,
            Ok(more) => n += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::of_stream(error)),
        }
    }
    Ok(n)
}

fn padding_of(size: u64) -> u64 {
    let block = BLOCK as u64;
    (block - size % block) % block
}

/// The length of an entry's data: octal digits, or a binary number below 2^63.
fn size_of(header: &Header) -> Result<u64, Error> {
    let malformed = || Error::Malformed("a header whose size is no number".to_owned());
    let field = &header.as_old().size;
    let size = if field[0] & 0x80 == 0 {
        header.entry_size().map_err(|_| malformed())?
    } else {
        // Base 256: the top bit marks it, the next one is the sign.
        if field[0] != 0x80 || field[1..4].iter().any(|byte| *byte != 0) {
            return Err(malformed());
        }
        field[4..]
            .iter()
            .fold(0, |size, byte| size << 8 | u64::from(*byte))
    };
    if size < 1 << 63 {
        Ok(size)
    } else {
        Err(malformed())
    }
}

fn kind_in_words(kind: u8) -> String {
    let known = match kind {
        b'1' => "a hard link",
        b'2' => "a symbolic link",
        b'3' => "a character device",
        b'4' => "a block device",
        b'6' => "a named pipe",
        b'7' => "a contiguous file",
        b'g' => "a global extended header",
        b'K' => "a long link name",
        b'S' => "a sparse file",
        other => return format!("of the unknown type {:?}", char::from(other)),
    };
    known.to_owned()
}
