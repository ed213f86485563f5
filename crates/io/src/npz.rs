//! The `.npz` format: a ZIP archive of `.npy` members, as `numpy.savez` and `numpy.savez_compressed` write it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Seek, Write};
use std::path::{Path, PathBuf};

use wootz_ir::HostTensor;
use zip::result::ZipError;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use crate::{Error, npy, write_atomically};

const FORMAT: &str = "npz";
/// Deflate cannot shrink data further than this, so a member that claims to be larger lies.
const MAX_RATIO: u64 = 1032;
/// From this many bytes on a member needs ZIP's 64-bit fields.
const LARGE: u64 = u32::MAX as u64;

/// How members are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// As they are, as `numpy.savez` does.
    #[default]
    Stored,
    /// Deflated, as `numpy.savez_compressed` does.
    Deflated,
}

/// Reads all arrays of `path`, by their names without `.npy`.
///
/// # Errors
/// [`Error::Read`], [`Error::Malformed`], [`Error::MalformedTensor`], [`Error::UnsupportedDType`].
pub fn read(path: &Path) -> Result<BTreeMap<String, HostTensor>, Error> {
    let file = File::open(path).map_err(|source| Error::read(path, source))?;
    read_archive(BufReader::new(file), path)
}

/// Reads all arrays from `bytes`; errors call the file `label`.
///
/// # Errors
/// As [`read`].
pub fn from_bytes(bytes: &[u8], label: &str) -> Result<BTreeMap<String, HostTensor>, Error> {
    read_archive(Cursor::new(bytes), Path::new(label))
}

/// Writes `tensors` to `path`; a reader sees the old file or the new one, never a part. The same tensors always make
/// the same bytes.
///
/// # Errors
/// [`Error::Write`], [`Error::NotInFormat`] for bf16, [`Error::BadName`] for an empty name.
pub fn write(
    path: &Path,
    tensors: &BTreeMap<String, HostTensor>,
    compression: Compression,
) -> Result<(), Error> {
    let members = members_of(tensors)?;
    write_atomically(path, |writer| write_archive(writer, &members, compression))
}

/// The bytes that [`write()`] would write.
///
/// # Errors
/// [`Error::NotInFormat`] for bf16, [`Error::BadName`] for an empty name.
pub fn to_bytes(tensors: &BTreeMap<String, HostTensor>, compression: Compression) -> Result<Vec<u8>, Error> {
    let members = members_of(tensors)?;
    let mut cursor = Cursor::new(Vec::new());
    write_archive(&mut cursor, &members, compression)
        .map_err(|source| Error::Write { path: PathBuf::from("memory"), source })?;
    Ok(cursor.into_inner())
}

fn read_archive(stream: impl Read + Seek, path: &Path) -> Result<BTreeMap<String, HostTensor>, Error> {
    let malformed = |reason: String| Error::malformed(path, FORMAT, reason);
    let broken = |error: ZipError| match error {
        ZipError::Io(source) if source.kind() != io::ErrorKind::UnexpectedEof => Error::read(path, source),
        other => malformed(other.to_string()),
    };
    let mut archive = ZipArchive::new(stream).map_err(broken)?;
    let mut tensors = BTreeMap::new();
    for index in 0..archive.len() {
        let mut member = archive.by_index(index).map_err(broken)?;
        let file_name = member.name().map_err(broken)?.into_owned();
        let Some(name) = file_name.strip_suffix(".npy") else {
            return Err(malformed(format!("its member `{file_name}` is not a .npy file")));
        };
        let size = member.size();
        if size > member.compressed_size().saturating_mul(MAX_RATIO).saturating_add(MAX_RATIO) {
            return Err(Error::tensor(
                path,
                name,
                format!("it claims {size} bytes, more than its data can hold"),
            ));
        }
        let tensor = npy::read_stream(&mut member, size, path, name)?;
        // Reading on to the end is also what checks the member's checksum.
        let rest = io::copy(&mut member.by_ref().take(1), &mut io::sink());
        match rest {
            Ok(0) => {}
            Ok(_) => return Err(Error::tensor(path, name, "there are bytes after the array's data")),
            Err(error) => return Err(Error::tensor(path, name, format!("its data is damaged: {error}"))),
        }
        if tensors.insert(name.to_owned(), tensor).is_some() {
            return Err(Error::tensor(path, name, "the archive has it twice"));
        }
    }
    Ok(tensors)
}

/// A member's name, its header and its data.
type Member<'a> = (&'a str, Vec<u8>, &'a HostTensor);

fn members_of(tensors: &BTreeMap<String, HostTensor>) -> Result<Vec<Member<'_>>, Error> {
    tensors
        .iter()
        .map(|(name, tensor)| {
            if name.is_empty() {
                return Err(Error::BadName {
                    name: String::new(),
                    format: FORMAT,
                    reason: "the name is empty",
                });
            }
            Ok((name.as_str(), npy::header_of(tensor, name, FORMAT)?, tensor))
        })
        .collect()
}

fn write_archive(
    stream: &mut (impl Write + Seek),
    members: &[Member<'_>],
    compression: Compression,
) -> io::Result<()> {
    let method = match compression {
        Compression::Stored => CompressionMethod::Stored,
        Compression::Deflated => CompressionMethod::Deflated,
    };
    let mut archive = ZipWriter::new(stream);
    for (name, header, tensor) in members {
        let size = (header.len() + tensor.as_bytes().len()) as u64;
        // No time of last change is set: the same tensors must make the same bytes.
        let options = SimpleFileOptions::default().compression_method(method).large_file(size >= LARGE);
        archive.start_file(format!("{name}.npy"), options).map_err(io::Error::from)?;
        npy::write_parts(&mut archive, header, tensor)?;
    }
    archive.finish().map_err(io::Error::from)?;
    Ok(())
}
