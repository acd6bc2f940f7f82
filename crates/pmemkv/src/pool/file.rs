//! Checks the pool's file before libpmemobj maps it, because libpmemobj crashes on a file that is empty, cut off or
//! foreign.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::Path;

use super::error::PoolError;
use super::root::{FORMAT_WITH_EXTENTS, HEADER_BYTES, HeaderFault, PoolHeader, RawHeader};
use super::{LAYOUT, POOL_BYTES_MIN, lanes};

// The offsets of libpmemobj's fields that this file reads: format 6 of its pools, unchanged since version 1.5.
const SIGNATURE: &[u8; 8] = b"PMEMOBJ\0";
const MAJOR_AT: u64 = 8;
const MAJOR: u32 = 6;
const LAYOUT_AT: u64 = 4096;
const LAYOUT_BYTES: usize = 1024;
pub(super) const HEAP_OFFSET_AT: u64 = 5136;
pub(super) const ROOT_OFFSET_AT: u64 = 6144;
pub(super) const HEAP_SIZE_AT: u64 = 6176;

/// Whether the path is a device DAX node, which has no file length and cannot be read.
pub fn is_device(path: &Path) -> bool {
    let Ok(metadata) = fs::metadata(path) else {
        return false;
    };
    let device = metadata.rdev();
    let (major, minor) = (nix::sys::stat::major(device), nix::sys::stat::minor(device));
    let subsystem = format!("/sys/dev/char/{major}:{minor}/subsystem");
    metadata.file_type().is_char_device()
        && fs::read_link(subsystem).is_ok_and(|subsystem| subsystem.ends_with("dax"))
}

/// Reads the header of the pool at `path` without libpmemobj, and refuses files that libpmemobj would crash on.
pub(super) fn inspect(path: &Path) -> Result<PoolHeader, PoolError> {
    let metadata = fs::metadata(path).map_err(|error| missing(path, &error))?;
    if !metadata.is_file() {
        return Err(not_a_pool(path, "it is neither a file nor a DAX device"));
    }
    let file = File::open(path).map_err(|error| PoolError::from_io(path, &error))?;
    let length = metadata.len();
    if length == 0 {
        return Err(not_a_pool(path, "it is empty"));
    }
    let mut signature = [0; 8];
    let signed = file.read_exact_at(&mut signature, 0).is_ok() && signature == *SIGNATURE;
    if length < POOL_BYTES_MIN {
        if signed {
            return Err(truncated(path, length, POOL_BYTES_MIN));
        }
        return Err(not_a_pool(path, "it is too short"));
    }
    let damaged = |why: &str| PoolError::Damaged {
        path: path.to_owned(),
        why: why.to_owned(),
    };
    let read = |at| read_u64(&file, at).map_err(|error| PoolError::from_io(path, &error));

    let layout = layout(&file).map_err(|error| PoolError::from_io(path, &error))?;
    let ours = layout == LAYOUT.to_bytes();
    if !signed {
        // If only the first bytes are damaged, the layout's name is still there.
        return Err(if ours {
            damaged("its signature is gone")
        } else {
            not_a_pool(path, "it has no pool's signature")
        });
    }
    if !ours {
        let layout = String::from_utf8_lossy(&layout).into_owned();
        return Err(not_a_pool(
            path,
            &format!("it is a pool of layout \"{layout}\""),
        ));
    }
    let major = major(&file).map_err(|error| PoolError::from_io(path, &error))?;
    if major != MAJOR {
        // In another format the fields below would mean something else.
        return Err(damaged(&format!(
            "libpmemobj's format number is {major}, not {MAJOR}"
        )));
    }
    let heap_offset = read(HEAP_OFFSET_AT)?;
    let heap_size = read(HEAP_SIZE_AT)?;
    let expected = heap_offset.saturating_add(heap_size);
    if heap_offset >= length || heap_offset < LAYOUT_AT {
        return Err(damaged("the heap's place is wrong"));
    }
    let root = read(ROOT_OFFSET_AT)?;
    if root < heap_offset || root > expected.saturating_sub(HEADER_BYTES as u64) {
        return Err(damaged("the root object's place is wrong"));
    }
    let mut bytes = [0; HEADER_BYTES];
    if file.read_exact_at(&mut bytes, root).is_err() {
        return Err(truncated(path, length, expected));
    }
    let (header, pool_bytes) =
        RawHeader::decode_bytes(&bytes).map_err(|fault| refused(path, &fault))?;
    if pool_bytes != expected {
        return Err(damaged("the heap's size is not the pool's"));
    }
    if length < pool_bytes {
        return Err(truncated(path, length, pool_bytes));
    }
    Ok(header)
}

/// Refuses a pool that libpmemobj would open and break with its first write.
pub(super) fn check_lanes(path: &Path) -> Result<(), PoolError> {
    let io = |error: io::Error| PoolError::from_io(path, &error);
    let file = File::open(path).map_err(io)?;
    let start = read_u64(&file, HEAP_OFFSET_AT).map_err(io)?;
    let bytes = read_u64(&file, HEAP_SIZE_AT).map_err(io)?;
    lanes::check(&file, &(start..start.saturating_add(bytes)))
        .map_err(io)?
        .map_err(|why| PoolError::Damaged {
            path: path.to_owned(),
            why,
        })
}

/// The pool error for a header that is refused.
pub(super) fn refused(path: &Path, fault: &HeaderFault) -> PoolError {
    let path = path.to_owned();
    match fault {
        HeaderFault::Foreign => PoolError::Damaged {
            path,
            why: "its header is gone".to_owned(),
        },
        HeaderFault::Newer(found) => PoolError::NewerFormat {
            path,
            found: *found,
            known: FORMAT_WITH_EXTENTS,
        },
        HeaderFault::Damaged(why) => PoolError::Damaged {
            path,
            why: (*why).to_owned(),
        },
    }
}

/// Tells a missing pool from a missing directory.
fn missing(path: &Path, error: &io::Error) -> PoolError {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => directory_of(path)
            .err()
            .unwrap_or_else(|| PoolError::NoSuchPool(path.to_owned())),
        _ => PoolError::from_io(path, error),
    }
}

/// The directory that holds, or will hold, the pool; it must exist.
pub(super) fn directory_of(path: &Path) -> Result<&Path, PoolError> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    match fs::metadata(directory) {
        Ok(metadata) if metadata.is_dir() => Ok(directory),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Err(PoolError::NoPermission(directory.to_owned()))
        }
        _ => Err(PoolError::NoSuchDirectory(directory.to_owned())),
    }
}

fn not_a_pool(path: &Path, why: &str) -> PoolError {
    PoolError::NotAPool {
        path: path.to_owned(),
        why: why.to_owned(),
    }
}

fn truncated(path: &Path, bytes: u64, bytes_expected: u64) -> PoolError {
    PoolError::Truncated {
        path: path.to_owned(),
        bytes,
        bytes_expected,
    }
}

pub(super) fn read_u64(file: &File, at: u64) -> io::Result<u64> {
    let mut bytes = [0; 8];
    file.read_exact_at(&mut bytes, at)?;
    Ok(u64::from_le_bytes(bytes))
}

fn major(file: &File) -> io::Result<u32> {
    Ok((read_u64(file, MAJOR_AT)? & 0xffff_ffff) as u32)
}

/// Whether the fields of libpmemobj lie where this program reads them.
pub(super) fn is_known_format(file: &File) -> io::Result<bool> {
    Ok(major(file)? == MAJOR && layout(file)? == LAYOUT.to_bytes())
}

fn layout(file: &File) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; LAYOUT_BYTES];
    file.read_exact_at(&mut bytes, LAYOUT_AT)?;
    let end = bytes
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(LAYOUT_BYTES);
    bytes.truncate(end);
    Ok(bytes)
}

/// The size of the new pool in file or device `path`, as libpmemobj has rounded it.
pub(super) fn size_bytes(path: &Path) -> io::Result<u64> {
    if is_device(path) {
        return device_bytes(path);
    }
    let file = File::open(path)?;
    Ok(read_u64(&file, HEAP_OFFSET_AT)?.saturating_add(read_u64(&file, HEAP_SIZE_AT)?))
}

/// The size of a device DAX node, which only sysfs tells.
fn device_bytes(path: &Path) -> io::Result<u64> {
    let device = fs::metadata(path)?.rdev();
    let (major, minor) = (nix::sys::stat::major(device), nix::sys::stat::minor(device));
    let text = fs::read_to_string(format!("/sys/dev/char/{major}:{minor}/size"))?;
    text.trim()
        .parse()
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}
