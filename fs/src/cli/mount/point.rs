use std::io;
use std::path::{Path, PathBuf};

use super::MountFailure;

/// The path of a mount point as the mount table has it. Looks no further than the folder above where the
/// mount itself is dead.
pub(crate) fn mount_point(path: &Path) -> Result<PathBuf, MountFailure> {
    let path = std::path::absolute(path).map_err(MountFailure::file("find", path))?;
    match path.canonicalize() {
        Ok(real) => Ok(real),
        Err(error) if is_not_connected(&error) => match (path.parent(), path.file_name()) {
            (Some(folder), Some(name)) => {
                Ok(folder.canonicalize().map_err(MountFailure::file("find", folder))?.join(name))
            }
            _ => Ok(path),
        },
        Err(error) => Err(MountFailure::file("find", path)(error)),
    }
}

/// Whether what is mounted there has lost its process.
pub(crate) fn is_dead(path: &Path) -> bool {
    std::fs::metadata(path).is_err_and(|error| is_not_connected(&error))
}

fn is_not_connected(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ENOTCONN)
}

#[cfg(test)]
mod tests {
    use super::{is_dead, mount_point};
    use std::path::Path;

    #[test]
    fn a_mount_point_is_named_as_the_kernel_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().canonicalize().unwrap().join("real");
        std::fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink(&real, folder.path().join("link")).unwrap();
        assert_eq!(mount_point(&folder.path().join("link/../link/.")).unwrap(), real);
        assert!(!is_dead(&real));
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let failure = mount_point(Path::new("/no/such/folder")).unwrap_err();
        assert!(failure.to_string().contains("/no/such/folder"), "{failure}");
    }
}
