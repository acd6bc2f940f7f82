//! `PMEMKV.BACKUP`: a copy of the pool as it is at one moment, while clients go on.
//!
//! It answers at once and works in the background, as BGSAVE does: a backup takes as long as its file system, and a
//! connection that waits for so long runs into timeouts that say nothing about the copy.

use std::path::PathBuf;

use super::{CommandError, CommandResult, Context};
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Categories, Flags, Group};
use crate::commands::row::Row;
use crate::protocol::{Args, Reply};

/// A file name may have 255 bytes; the temporary one is longer than the backup's.
const NAME_BYTES_MAX: usize = 200;

pub(super) static COMMANDS: &[Row] = &[Row::new("pmemkv.backup", Arity::Exactly(2), backup)
    // The file system may let it wait: that must not keep a worker's other clients.
    .flags(Flags::ADMIN.union(Flags::NOSCRIPT).union(Flags::SLOW))
    .categories(Categories::ADMIN.union(Categories::DANGEROUS))
    .group(Group::Pmemkv, "0.1.0")
    .summary("Copies the pool in the background to a new file of the folder 'backup-dir'.")
    .complexity("O(1); the copy is O(N) with N bytes of records, in the background")
    .arguments(&[Argument::new("name", ArgumentKind::String)])];

fn backup(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let Some(folder) = ctx.server.config.settings().backup_dir.clone() else {
        return Err(CommandError::text(
            "ERR there is no folder for backups. Name one by the directive 'backup-dir' at the start of the server",
        ));
    };
    let path = folder.join(file_name(&args[1])?);
    let backups = &ctx.server.backups;
    if backups.is_running() {
        return Err(in_progress());
    }
    let checked = ctx.keyspace.check_backup(&path);
    checked.map_err(|error| CommandError::Text(format!("ERR {error}").into()))?;
    // Another client may have begun one meanwhile.
    backups.begin(path).map_err(|_| in_progress())?;
    Ok(Reply::Simple("Background backup started").into())
}

fn in_progress() -> CommandError {
    CommandError::text("ERR Background backup already in progress")
}

/// A name inside the folder: nothing that leads out of it, or hides there.
fn file_name(word: &[u8]) -> Result<PathBuf, CommandError> {
    let name = std::str::from_utf8(word).ok().filter(|name| {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        !name.starts_with(['.', '-'])
            && (1..=NAME_BYTES_MAX).contains(&name.len())
            && name.chars().all(plain)
    });
    name.map(PathBuf::from).ok_or_else(|| {
        CommandError::text(
            "ERR a backup's name is that of a file in 'backup-dir': 1 to 200 letters, digits, '.', '_' and '-', not \
             beginning with '.' or '-'",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names() {
        for name in ["a", "2026-11-29.pool", "a..b", "A_b-c.1"] {
            assert!(file_name(name.as_bytes()).is_ok_and(|path| path.as_os_str() == name));
        }
        let long = "x".repeat(201);
        for name in [
            "", ".", "..", "../a", "/etc/x", "a/b", ".a", "-a", "a b", "a\0", "\u{e9}", &long,
        ] {
            assert!(file_name(name.as_bytes()).is_err(), "{name}");
        }
        assert!(file_name(b"\xff").is_err());
    }
}
