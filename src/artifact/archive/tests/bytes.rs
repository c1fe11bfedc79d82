//! Archives written byte by byte, however wrong they are. For tests only.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

pub(crate) const END: [u8; 1024] = [0; 1024];

/// One entry: header, data, padding.
pub(crate) fn entry(kind: u8, name: &[u8], data: &[u8]) -> Vec<u8> {
    let mut bytes = header(kind, name, &format!("{:011o}\0", data.len()));
    bytes.extend_from_slice(data);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

/// A header with `size` as its 12 bytes of size.
pub(crate) fn header(kind: u8, name: &[u8], size: &str) -> Vec<u8> {
    let mut block = vec![0; 512];
    let kept = name.len().min(100);
    block[..kept].copy_from_slice(&name[..kept]);
    block[100..108].copy_from_slice(b"0000644\0");
    block[108..116].copy_from_slice(b"0001750\0");
    block[116..124].copy_from_slice(b"0001750\0");
    block[124..136].copy_from_slice(size.as_bytes());
    block[136..148].copy_from_slice(b"14000000000\0");
    block[156] = kind;
    block[257..265].copy_from_slice(b"ustar\x0000");
    summed(block)
}

/// Puts the checksum in.
pub(crate) fn summed(mut block: Vec<u8>) -> Vec<u8> {
    block[148..156].copy_from_slice(b"        ");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

pub(crate) fn file(name: &str, data: &[u8]) -> Vec<u8> {
    entry(b'0', name.as_bytes(), data)
}

pub(crate) fn directory(name: &str) -> Vec<u8> {
    entry(b'5', name.as_bytes(), b"")
}

/// A PAX extended header with these records.
pub(crate) fn pax(records: &[(&str, &str)]) -> Vec<u8> {
    let mut data = String::new();
    for (key, value) in records {
        let bare = key.len() + value.len() + 3;
        let length = (1..6)
            .map(|digits| bare + digits)
            .find(|length| length.to_string().len() + bare == *length)
            .expect("a record has a length");
        data.push_str(&format!("{length} {key}={value}\n"));
    }
    entry(b'x', b"PaxHeaders/x", data.as_bytes())
}

/// A whole archive of these entries.
pub(crate) fn tar(entries: &[Vec<u8>]) -> Vec<u8> {
    [entries.concat(), END.to_vec()].concat()
}

pub(crate) fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("into memory");
    encoder.finish().expect("into memory")
}
