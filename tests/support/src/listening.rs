//! Which process listens on a port.

use std::fs;
use std::path::Path;

/// The state of a listening socket in the kernel's tables.
const LISTENING: &str = "0A";

/// Whether a process listens on a TCP port of this machine. Two tests may choose the same free port, and then a server that
/// is about to find its port taken must not be judged by the answers of the other one.
pub fn listens(pid: u32, port: u16) -> bool {
    let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    let own: Vec<String> = files
        .filter_map(|file| fs::read_link(file.ok()?.path()).ok())
        .filter_map(|target| inode(&target))
        .collect();
    ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .any(|table| {
            let mut sockets = table.lines().filter_map(|line| listening(line, port));
            sockets.any(|socket| own.iter().any(|one| one == socket))
        })
}

/// The number of the socket that a descriptor's link names.
fn inode(target: &Path) -> Option<String> {
    let number = target
        .to_str()?
        .strip_prefix("socket:[")?
        .strip_suffix(']')?;
    Some(number.to_owned())
}

/// The number of the socket in a line of the kernel's table, if it listens on this port.
fn listening(line: &str, port: u16) -> Option<&str> {
    let mut words = line.split_whitespace();
    let local = words.nth(1)?;
    let state = words.nth(1)?;
    let socket = words.nth(5)?;
    let is_it = local.ends_with(&format!(":{port:04X}")) && state == LISTENING;
    is_it.then_some(socket)
}
