//! Files that appear as a whole or not at all.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use tempfile::Builder;

use crate::Error;

/// Writes the file `path` through `write`: into a temporary file in the same folder, flushed to the disk, then
/// renamed. A reader sees the old file or the new one, never a part; after an error the old file is untouched and
/// nothing else is left. A symbolic link stays, and the file that it leads to is replaced.
///
/// # Errors
/// [`Error::Write`] with `path`, whatever failed; also if there is something at `path` that is no regular file.
pub fn write_atomically(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>,
) -> Result<(), Error> {
    let target = follow_links(path).and_then(|target| require_replaceable(&target).map(|()| target));
    target
        .and_then(|target| write_and_rename(&target, write))
        .map_err(|source| Error::Write { path: path.to_path_buf(), source })
}

/// Where symbolic links lead, to a file that need not exist.
fn follow_links(path: &Path) -> io::Result<PathBuf> {
    // As many as Linux follows.
    const MOST: usize = 40;
    let mut target = path.to_path_buf();
    for _ in 0..MOST {
        match fs::read_link(&target) {
            Ok(link) => target = target.parent().unwrap_or(Path::new("")).join(link),
            // No link, or nothing at all.
            Err(_) => return Ok(target),
        }
    }
    Err(io::Error::other("too many symbolic links"))
}

/// Refuses what a rename would replace by a file, such as a device.
fn require_replaceable(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder")),
        Ok(found) if !found.is_file() => Err(io::Error::other("it is not a regular file")),
        _ => Ok(()),
    }
}

fn write_and_rename(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>,
) -> io::Result<()> {
    // The same folder: a rename is atomic only within one file system.
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if !folder.is_dir() {
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            format!("there is no folder `{}`", folder.display()),
        ));
    }
    let temporary = new_file_builder().tempfile_in(folder).map_err(unnamed)?;
    let mut writer = BufWriter::new(temporary.as_file());
    write(&mut writer)?;
    writer.flush()?;
    drop(writer);
    // The contents must reach the disk before the name does, or a crash leaves an empty file under it.
    temporary.as_file().sync_all()?;
    temporary.persist(path).map_err(|error| error.error)?;
    sync_folder(folder)
}

/// The error without the name of the temporary file, which means nothing to a user.
fn unnamed(error: io::Error) -> io::Error {
    let system =
        error.get_ref().and_then(|inner| inner.source()?.downcast_ref::<io::Error>()?.raw_os_error());
    system.map_or_else(|| error.kind().into(), io::Error::from_raw_os_error)
}

#[cfg(unix)]
fn new_file_builder() -> Builder<'static, 'static> {
    use std::os::unix::fs::PermissionsExt;
    let mut builder = Builder::new();
    // What any new file gets (the umask applies); temporary files are private by default.
    builder.permissions(std::fs::Permissions::from_mode(0o666));
    builder
}

#[cfg(not(unix))]
fn new_file_builder() -> Builder<'static, 'static> {
    Builder::new()
}

#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error as _;

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.bin");
        write_atomically(&path, |w| w.write_all(b"old")).unwrap();
        let error = write_atomically(&path, |w| {
            w.write_all(b"new, in part")?;
            Err(io::Error::other("the source ended"))
        })
        .unwrap_err();
        assert_eq!(error.to_string(), format!("cannot write `{}`", path.display()));
        assert_eq!(cause(&error), "the source ended");
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_missing_folder_is_named() {
        let error = write_atomically(Path::new("no/such/folder/a.bin"), |_| Ok(())).unwrap_err();
        assert_eq!(error.to_string(), "cannot write `no/such/folder/a.bin`");
        assert_eq!(cause(&error), "there is no folder `no/such/folder`");
    }

    #[test]
    fn a_folder_cannot_be_replaced_by_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("taken");
        fs::create_dir(&path).unwrap();
        assert_eq!(cause(&write_atomically(&path, |_| Ok(())).unwrap_err()), "it is a folder");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_file_stays() {
        use std::os::unix::fs::FileTypeExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let _socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert_eq!(cause(&write_atomically(&path, |_| Ok(())).unwrap_err()), "it is not a regular file");
        assert!(fs::metadata(&path).unwrap().file_type().is_socket());
    }

    #[cfg(unix)]
    #[test]
    fn links_stay_and_what_they_lead_to_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        fs::create_dir(&inner).unwrap();
        let (link, file) = (folder.path().join("link"), inner.join("a.bin"));
        std::os::unix::fs::symlink("inner/a.bin", &link).unwrap();
        for contents in [b"one", b"two"] {
            write_atomically(&link, |w| w.write_all(contents)).unwrap();
            assert_eq!(fs::read(&file).unwrap(), contents);
            assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        }
        let cycle = folder.path().join("cycle");
        std::os::unix::fs::symlink("cycle", &cycle).unwrap();
        assert_eq!(cause(&write_atomically(&cycle, |_| Ok(())).unwrap_err()), "too many symbolic links");
    }

    #[test]
    fn errors_do_not_name_the_temporary_file() {
        let inner = io::Error::from_raw_os_error(13);
        let wrapped = io::Error::new(inner.kind(), Named(inner));
        assert!(wrapped.to_string().contains(".tmp"));
        assert_eq!(unnamed(wrapped).raw_os_error(), Some(13));
        assert_eq!(unnamed(io::Error::other("x")).kind(), io::ErrorKind::Other);
    }

    /// As the error that a temporary file is made with.
    #[derive(Debug, thiserror::Error)]
    #[error("{0} at path .tmpabc")]
    struct Named(#[source] io::Error);

    fn cause(error: &Error) -> String {
        error.source().unwrap().to_string()
    }

    #[cfg(unix)]
    #[test]
    fn others_may_read_what_the_umask_lets_them() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (ours, plain) = (folder.path().join("ours"), folder.path().join("plain"));
        write_atomically(&ours, |_| Ok(())).unwrap();
        fs::write(&plain, b"").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&ours), mode(&plain));
    }
}
