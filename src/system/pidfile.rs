//! The file with the process's number.

use std::path::{Path, PathBuf};

/// The path for a process in the background if no directive names one. Redis uses `/var/run/redis.pid`.
pub const DEFAULT_PATH: &str = "/var/run/pmemkv-server.pid";

/// The file that this process has written. Dropping it removes the file, unless another process has overwritten it.
#[derive(Debug)]
pub struct Pidfile {
    path: PathBuf,
}

impl Pidfile {
    /// Writes the file. As in Redis a failure is only a warning, because the server works without the file.
    pub fn write(path: &Path) -> Option<Self> {
        match std::fs::write(path, format!("{}\n", std::process::id())) {
            Ok(()) => Some(Self {
                path: path.to_owned(),
            }),
            Err(error) => {
                tracing::warn!("Failed to write PID file {}: {error}", path.display());
                None
            }
        }
    }
}

impl Drop for Pidfile {
    fn drop(&mut self) {
        let ours = std::process::id().to_string();
        if std::fs::read_to_string(&self.path).is_ok_and(|text| text.trim_ascii() == ours) {
            // If this fails, the file names a process that is gone, which does no harm.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_file_is_removed() -> std::io::Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("pid");
        let pidfile = Pidfile::write(&path);
        let text = std::fs::read_to_string(&path)?;
        assert_eq!(text, format!("{}\n", std::process::id()));
        drop(pidfile);
        assert!(!path.exists());

        let pidfile = Pidfile::write(&path);
        std::fs::write(&path, "1\n")?;
        drop(pidfile);
        assert_eq!(std::fs::read_to_string(&path)?, "1\n");
        assert!(Pidfile::write(&dir.path().join("none/pid")).is_none());
        Ok(())
    }
}
