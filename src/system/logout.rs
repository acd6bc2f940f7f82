//! A pool that systemd deletes: at the end of a user's last session, logind removes what the user has in `/dev/shm`.

use std::fs;
use std::path::{Path, PathBuf};

use nix::unistd::{Uid, User};

/// Where logind removes files of users who have left.
const SHARED_MEMORY: &str = "/dev/shm";
/// logind leaves alone what belongs to root and to users up to this number, which are the system's.
const LAST_SYSTEM_USER: u32 = 999;
/// It is there where systemd is the first process.
const SYSTEMD_RUNS: &str = "run/systemd/system";
/// Has a file for each user whose services go on after the last session. Such a user never leaves.
const LINGERING: &str = "var/lib/systemd/linger";
/// logind's configuration and the folders of its drop-ins, the weaker first.
const CONFIGURATION: [&str; 4] = [
    "usr/lib/systemd/logind.conf.d",
    "etc/systemd/logind.conf",
    "run/systemd/logind.conf.d",
    "etc/systemd/logind.conf.d",
];

/// What to log if the end of a session will delete the pool.
pub fn warning(pool: &Path) -> Option<String> {
    let user = Uid::effective();
    let name = User::from_uid(user).ok().flatten()?.name;
    warning_for(pool, user.as_raw(), &name, Path::new("/"))
}

/// The same for a user of the system whose files lie below `root`.
fn warning_for(pool: &Path, user: u32, name: &str, root: &Path) -> Option<String> {
    let is_removed = pool.starts_with(SHARED_MEMORY)
        && user > LAST_SYSTEM_USER
        && root.join(SYSTEMD_RUNS).is_dir()
        && !root.join(LINGERING).join(name).exists()
        && removes_ipc(root);
    is_removed.then(|| {
        format!(
            "systemd deletes the pool {} when the last session of the user {name} ends: run the server as a system user, or set \
             RemoveIPC=no in /etc/systemd/logind.conf, or call 'loginctl enable-linger {name}'",
            pool.display()
        )
    })
}

/// Whether logind's configuration has `RemoveIPC` on, as it is by default.
fn removes_ipc(root: &Path) -> bool {
    CONFIGURATION
        .iter()
        .flat_map(|place| files_at(&root.join(place)))
        .filter_map(|file| fs::read_to_string(file).ok())
        .flat_map(|text| text.lines().filter_map(remove_ipc_line).collect::<Vec<_>>())
        .next_back()
        .unwrap_or(true)
}

/// The file itself, or the drop-ins of a folder in the order of their names.
fn files_at(place: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(place) else {
        return vec![place.to_owned()];
    };
    let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|end| end == "conf"));
    files.sort();
    files
}

fn remove_ipc_line(line: &str) -> Option<bool> {
    let (name, value) = line.split_once('=')?;
    if name.trim() != "RemoveIPC" {
        return None;
    }
    let value = value.trim().to_ascii_lowercase();
    Some(!matches!(
        value.as_str(),
        "no" | "n" | "false" | "f" | "off" | "0"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const POOL: &str = "/dev/shm/a.pool";

    fn system() -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a folder");
        for folder in [SYSTEMD_RUNS, LINGERING, CONFIGURATION[3]] {
            fs::create_dir_all(root.path().join(folder)).expect("a folder");
        }
        root
    }

    fn warns(root: &tempfile::TempDir, pool: &str, user: u32) -> bool {
        warning_for(Path::new(pool), user, "ann", root.path()).is_some()
    }

    #[test]
    fn pools_of_persons_in_shared_memory_are_deleted() {
        let root = system();
        assert!(warns(&root, POOL, 1000));
        assert!(!warns(&root, POOL, 0), "root's files stay");
        assert!(!warns(&root, POOL, 999), "a system user's files stay");
        assert!(!warns(&root, "/mnt/pmem/a.pool", 1000));
        assert!(
            !warns(&tempfile::tempdir().expect("a folder"), POOL, 1000),
            "no systemd"
        );
    }

    #[test]
    fn who_lingers_never_leaves() {
        let root = system();
        fs::write(root.path().join(LINGERING).join("ann"), "").expect("a file");
        assert!(!warns(&root, POOL, 1000));
    }

    #[test]
    fn the_strongest_file_of_logind_decides() {
        let root = system();
        let main = root.path().join(CONFIGURATION[1]);
        fs::write(&main, "[Login]\n#RemoveIPC=yes\nRemoveIPC = no\n").expect("a file");
        assert!(!warns(&root, POOL, 1000));
        let drop_ins = root.path().join(CONFIGURATION[3]);
        fs::write(drop_ins.join("10.conf"), "[Login]\nRemoveIPC=yes\n").expect("a file");
        fs::write(drop_ins.join("20.txt"), "[Login]\nRemoveIPC=no\n").expect("a file");
        assert!(warns(&root, POOL, 1000));
    }
}
