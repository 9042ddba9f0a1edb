//! Files that a crash never leaves half written.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// Names of files that are not whole yet begin with it.
const NEW: &str = ".moonpipe-new-";

/// Replaces `path` with `content`, readable by its owner alone. A kill at any moment leaves the old file or the new one.
pub fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    create_private_folder(folder)?;
    // Created with mode 0600.
    let mut file = tempfile::Builder::new().prefix(NEW).tempfile_in(folder)?;
    // Says that its writer lives, see `sweep`.
    file.as_file().lock()?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|e| e.error)?;
    // The rename itself is durable once the folder is.
    File::open(folder)?.sync_all()
}

/// Removes what writers of [`write_private`] that were killed left half written in `folder`, and returns how many files
/// that were. Writers that live go on undisturbed.
pub fn sweep(folder: &Path) -> io::Result<usize> {
    let mut swept = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(NEW.as_bytes()) && is_abandoned(&entry.path()) {
            match fs::remove_file(entry.path()) {
                Ok(()) => swept += 1,
                // Finished since.
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(e),
            }
        }
    }
    Ok(swept)
}

/// Nobody holds its lock. A file that is gone by now was finished.
fn is_abandoned(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| file.try_lock().is_ok())
}

/// Makes `folder` and what is missing above it, readable by its owner alone.
pub fn create_private_folder(folder: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Opens a file that exists to be locked; made with mode 0600 if it is missing.
pub fn open_lock(path: &Path) -> io::Result<std::fs::File> {
    let mut options = std::fs::File::options();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_and_keeps_others_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/down/key");
        write_private(&path, b"old").unwrap();
        write_private(&path, b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |p: &Path| std::fs::metadata(p).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode(&path), 0o600);
            assert_eq!(mode(path.parent().unwrap()), 0o700);
        }
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no temporary file stays");
    }

    #[test]
    fn what_killed_writers_left_is_swept() {
        let folder = tempfile::tempdir().unwrap();
        write_private(&folder.path().join("key"), b"whole").unwrap();
        fs::write(folder.path().join(".other"), b"not ours").unwrap();
        fs::write(folder.path().join(format!("{NEW}killed")), b"half").unwrap();
        let living = File::create(folder.path().join(format!("{NEW}living"))).unwrap();
        living.lock().unwrap();
        assert_eq!(sweep(folder.path()).unwrap(), 1);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
        drop(living);
        assert_eq!(sweep(folder.path()).unwrap(), 1);
        assert_eq!(fs::read(folder.path().join("key")).unwrap(), b"whole");
    }
}
