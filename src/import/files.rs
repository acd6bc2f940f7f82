//! Which files an import reads, and in which order.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::BytesMut;

use super::ImportError;
use crate::quoting::split_args;

/// How many bytes of a file are read at a time.
const READ_BYTES: usize = 256 * 1024;

/// A manifest with more bytes is none.
const MANIFEST_BYTES_MAX: u64 = 1 << 20;

/// One of the files.
#[derive(Debug)]
pub(super) struct Part {
    pub path: PathBuf,
    pub bytes: u64,
}

impl Part {
    fn of(path: PathBuf) -> Result<Self, ImportError> {
        let looked = fs::metadata(&path).and_then(|metadata| {
            if metadata.is_file() {
                Ok(metadata.len())
            } else {
                Err(io::Error::other("it is no file"))
            }
        });
        match looked {
            Ok(bytes) => Ok(Self { path, bytes }),
            Err(source) => Err(ImportError::File { path, source }),
        }
    }
}

/// The files that `path` names: itself, or those of the manifest that it is or that it holds.
pub(super) fn parts(path: &Path) -> Result<Vec<Part>, ImportError> {
    let is_manifest = |path: &Path| path.as_os_str().as_bytes().ends_with(b".manifest");
    if path.is_dir() {
        let entries = fs::read_dir(path).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let entries = entries.map_err(|source| ImportError::File {
            path: path.to_owned(),
            source,
        })?;
        let paths = entries.into_iter().map(|entry| entry.path());
        let manifests: Vec<PathBuf> = paths.filter(|path| is_manifest(path)).collect();
        return match manifests.as_slice() {
            [manifest] => of_manifest(manifest),
            [] => Err(wrong(
                path,
                "the folder holds no manifest of an append-only file",
            )),
            _ => Err(wrong(
                path,
                "the folder holds several manifests: name one of them",
            )),
        };
    }
    if is_manifest(path) {
        return of_manifest(path);
    }
    Ok(vec![Part::of(path.to_owned())?])
}

fn wrong(path: &Path, what: &str) -> ImportError {
    ImportError::Folder {
        path: path.to_owned(),
        what: what.to_owned(),
    }
}

/// The files of a manifest: the base first, then what was appended to it, in order. Each line has names and values in turn:
/// `file` NAME `seq` NUMBER `type` LETTER.
fn of_manifest(manifest: &Path) -> Result<Vec<Part>, ImportError> {
    let read = File::open(manifest).and_then(|file| {
        let mut text = Vec::new();
        file.take(MANIFEST_BYTES_MAX).read_to_end(&mut text)?;
        Ok(text)
    });
    let text = read.map_err(|source| ImportError::File {
        path: manifest.to_owned(),
        source,
    })?;
    let folder = manifest.parent().unwrap_or(Path::new("."));
    let mut base = None;
    let mut appended: Vec<(u64, PathBuf)> = Vec::new();
    for line in text.split(|&byte| byte == b'\n') {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        let entry = split_args(line).as_deref().and_then(entry);
        let Some((name, sequence, sort)) = entry else {
            let what = format!("a line does not read: {}", line.escape_ascii());
            return Err(wrong(manifest, &what));
        };
        let path = folder.join(name);
        match sort {
            b'b' if base.is_none() => base = Some(path),
            b'b' => return Err(wrong(manifest, "it names two base files")),
            b'i' => {
                if appended.last().is_some_and(|(last, _)| *last >= sequence) {
                    return Err(wrong(manifest, "the numbers of its files do not rise"));
                }
                appended.push((sequence, path));
            }
            // What came before the base.
            _ => {}
        }
    }
    let appended = appended.into_iter().map(|(_, path)| path);
    let parts: Vec<Part> = base
        .into_iter()
        .chain(appended)
        .map(Part::of)
        .collect::<Result<_, _>>()?;
    if parts.is_empty() {
        return Err(wrong(manifest, "it names no files"));
    }
    Ok(parts)
}

/// A manifest's entry: name, number, sort. The name has no folder, so that a manifest leads nowhere else.
fn entry(words: &[Vec<u8>]) -> Option<(PathBuf, u64, u8)> {
    let (pairs, rest) = words.as_chunks::<2>();
    let value = |name: &str| {
        let mut pairs = pairs.iter();
        let found = pairs.find(|[key, _]| key.eq_ignore_ascii_case(name.as_bytes()))?;
        Some(found[1].as_slice())
    };
    let name = value("file")?;
    let sequence = std::str::from_utf8(value("seq")?).ok()?.parse().ok()?;
    let sort = match value("type")? {
        [sort @ (b'b' | b'h' | b'i')] => *sort,
        _ => return None,
    };
    let is_plain = !name.is_empty() && !name.contains(&b'/') && name != b"..";
    let path = PathBuf::from(std::ffi::OsStr::from_bytes(name));
    (rest.is_empty() && is_plain).then_some((path, sequence, sort))
}

/// A file that is read, with a count of what was read.
#[derive(Debug)]
pub(super) struct Input<'c>(BufReader<Counted<'c>>);

#[derive(Debug)]
struct Counted<'c> {
    file: File,
    count: &'c AtomicU64,
}

impl Read for Counted<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(into)?;
        self.count.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

impl<'c> Input<'c> {
    pub fn open(part: &Part, count: &'c AtomicU64) -> io::Result<Self> {
        let file = File::open(&part.path)?;
        let counted = Counted { file, count };
        Ok(Self(BufReader::with_capacity(READ_BYTES, counted)))
    }

    /// Whether an RDB file begins here.
    pub fn begins_rdb(&mut self) -> io::Result<bool> {
        let begin = self.0.fill_buf()?;
        Ok(begin.starts_with(b"REDIS") || begin.starts_with(b"VALKEY"))
    }

    /// Whether nothing follows.
    pub fn is_over(&mut self) -> io::Result<bool> {
        Ok(self.0.fill_buf()?.is_empty())
    }

    /// Appends up to `bytes` to a buffer; returns how many, 0 at the end.
    pub fn read_into(&mut self, buffer: &mut BytesMut, bytes: usize) -> io::Result<usize> {
        let before = buffer.len();
        buffer.resize(before + bytes, 0);
        let read = self.read(&mut buffer[before..]);
        buffer.truncate(before + *read.as_ref().unwrap_or(&0));
        read
    }
}

impl Read for Input<'_> {
    #[inline]
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(into)
    }

    #[inline]
    fn read_exact(&mut self, into: &mut [u8]) -> io::Result<()> {
        self.0.read_exact(into)
    }
}

#[cfg(test)]
mod tests {
    use super::{entry, of_manifest};
    use crate::quoting::split_args;

    #[test]
    fn entries_of_manifests() {
        let read = |line: &str| split_args(line.as_bytes()).as_deref().and_then(entry);
        let of = |name: &str, sequence, sort| Some((name.into(), sequence, sort));
        assert_eq!(
            read("file a.1.base.rdb seq 1 type b"),
            of("a.1.base.rdb", 1, b'b')
        );
        assert_eq!(read("type i seq 12 file \"a b\""), of("a b", 12, b'i'));
        assert_eq!(read("file a seq 1 type h startoffset 5"), of("a", 1, b'h'));
        for wrong in [
            "file a seq 1",
            "file a seq x type b",
            "file a seq 1 type z",
            "file ../a seq 1 type b",
            "file .. seq 1 type b",
            "file \"\" seq 1 type b",
            "file a seq 1 type b more",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_manifest_names_its_files_in_order() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("a.manifest");
        for name in ["base", "one", "two"] {
            std::fs::write(folder.path().join(name), name)?;
        }
        let check = |text: &str| {
            std::fs::write(&path, text).expect("the folder is there");
            let names = of_manifest(&path).map(|parts| {
                let names = parts.iter().filter_map(|part| part.path.file_name());
                let names: Vec<_> = names.map(|name| name.to_string_lossy()).collect();
                names.join(" ")
            });
            names.unwrap_or_else(|error| error.to_string())
        };
        let base = "file base seq 1 type b\n";
        let whole = format!(
            "{base}file old seq 1 type h\nfile one seq 1 type i\n\nfile two seq 2 type i\n"
        );
        assert_eq!(check(&whole), "base one two");
        assert_eq!(check("file one seq 3 type i"), "one");
        for (text, part) in [
            (format!("{base}{base}"), "two base files"),
            (
                format!("{base}file one seq 2 type i\nfile two seq 2 type i"),
                "do not rise",
            ),
            (format!("{base}file three seq 2 type i"), "No such file"),
            (String::new(), "names no files"),
            (format!("{base}x"), "does not read: x"),
        ] {
            assert!(check(&text).contains(part), "{}", check(&text));
        }
        Ok(())
    }
}
