//! Files with secrets: whether everybody on this machine can read them.

use super::report::Report;
use crate::config::Config;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Where Docker and Podman mount the secrets of a container, readable for all its users.
const CONTAINER_SECRETS: &str = "/run/secrets";

/// Checks each. There may be good reasons, so none is a failure.
pub(super) fn examine(report: &mut Report, config: &Config) {
    let open: Vec<_> = config.secret_files.iter().filter(|file| is_open(file)).collect();
    for file in &open {
        let file = file.display().to_string();
        let remedy = format!("Allow only its users to read it: `chmod o-rwx {file}`.");
        report.warning(
            "secret",
            Some(&file),
            "it contains secrets, and everybody on this machine can read it",
            remedy,
        );
    }
    if open.is_empty() {
        let files: Vec<String> = config.secret_files.iter().map(|file| file.display().to_string()).collect();
        report.ok(
            "secret",
            None,
            format!("files with secrets are not readable for everybody: {}", files.join(", ")),
        );
    }
}

/// Whether everybody can read the file: it and all folders above it allow that.
fn is_open(file: &Path) -> bool {
    let Ok(file) = file.canonicalize() else { return false };
    let allows =
        |path: &Path, mode: u32| path.metadata().is_ok_and(|found| found.permissions().mode() & mode == mode);
    !is_mounted_for_container(&file)
        && allows(&file, 0o004)
        && file.ancestors().skip(1).all(|folder| allows(folder, 0o001))
}

/// Whether the file was mounted for one container. Kubernetes mounts files in a folder named `..` and a time, readable
/// for everybody by default.
fn is_mounted_for_container(file: &Path) -> bool {
    let by_kubernetes = |part: &std::ffi::OsStr| part.as_encoded_bytes().starts_with(b"..");
    file.starts_with(CONTAINER_SECRETS) || file.iter().any(by_kubernetes)
}

#[cfg(test)]
mod tests {
    use super::{is_mounted_for_container, is_open};
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::path::Path;

    #[test]
    fn a_file_is_open_if_it_and_its_folders_allow_everybody() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("registration.yaml");
        std::fs::write(&file, "").unwrap();
        for (of_folder, of_file, expected) in
            [(0o755, 0o644, true), (0o755, 0o640, false), (0o700, 0o644, false), (0o711, 0o604, true)]
        {
            set_permissions(folder.path(), Permissions::from_mode(of_folder)).unwrap();
            set_permissions(&file, Permissions::from_mode(of_file)).unwrap();
            assert_eq!(is_open(&file), expected, "{of_folder:o} {of_file:o}");
        }
        assert!(!is_open(&folder.path().join("absent")));
    }

    #[test]
    fn a_file_mounted_for_one_container_is_not_open() {
        let folder = tempfile::tempdir().unwrap();
        set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let mounted = folder.path().join("..2026_11_24_12_00_00.123");
        std::fs::create_dir(&mounted).unwrap();
        std::fs::write(mounted.join("registration.yaml"), "").unwrap();
        symlink(&mounted, folder.path().join("..data")).unwrap();
        let file = folder.path().join("registration.yaml");
        symlink("..data/registration.yaml", &file).unwrap();
        assert!(!is_open(&file));
        assert!(is_mounted_for_container(Path::new("/run/secrets/registration")));
        assert!(!is_mounted_for_container(Path::new("/etc/matrixbot/registration.yaml")));
    }
}
