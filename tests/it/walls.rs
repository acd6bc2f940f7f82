//! The walls of ARCHITECTURE.md: which crate and which module of the server may name which other one. A test that
//! fails here names the line that crosses a wall.

use std::fs;
use std::path::{Path, PathBuf};

use common::TestResult;

/// The modules of `src/`, from the bottom up. A module names only those below it and itself.
const MODULES: &[&str] = &[
    "error", "catalog", "logging", "system", "task", "tls", "launch", "acl", "state", "commands",
    "import", "net",
];

/// The crates, and the crates of this project that each may name.
const CRATES: &[(&str, &[&str])] = &[
    ("crates/arena", &[]),
    ("crates/lock-order", &[]),
    ("crates/pmemkv", &["pmemkv-sys"]),
    ("crates/redis-core", &[]),
    ("crates/config", &["redis-core"]),
    ("crates/lua", &["redis-core"]),
    ("crates/rdb", &["redis-core"]),
    ("crates/store", &["lock-order", "pmemkv"]),
    (
        "crates/keyspace",
        &["arena", "config", "lock-order", "redis-core", "store"],
    ),
    ("python", &["pmemkv"]),
    (
        ".",
        &[
            "config",
            "keyspace",
            "lock-order",
            "lua",
            "pmemkv",
            "rdb",
            "redis-core",
            "store",
        ],
    ),
];

/// The only crates that may have unsafe code.
const UNSAFE: &[&str] = &["crates/arena", "crates/pmemkv", "pmemkv-sys"];

/// The only C sources. The header names what the bindings are made from. The shim and the clock are libraries that tests preload
/// into a server, where they replace libpmem's calls, and those that tell the time: in Rust they would be unsafe code from the
/// first line to the last, outside of the crates that may have such code. No program that is delivered contains them. The limit of the Python package's
/// benchmark is C because it shows what the library itself costs.
const C_SOURCES: &[&str] = &[
    "crates/lua/native/redis_call.c",
    "crates/lua/native/redis_lua.c",
    "crates/lua/native/redis_lua.h",
    "tests/power-loss/shim.c",
    "tests/support/clock.c",
    "pmemkv-sys/src/wrapper.h",
    "python/bench/limit.c",
];

/// A longer file is more than a reader holds in mind.
const LINES_MAX: usize = 600;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All Rust files below a folder, with their texts.
fn sources(folder: &Path, found: &mut Vec<(PathBuf, String)>) -> TestResult {
    sources_of(folder, &["rs"], found)
}

/// All files below a folder whose names end so, with their texts.
fn sources_of(
    folder: &Path,
    extensions: &[&str],
    found: &mut Vec<(PathBuf, String)>,
) -> TestResult {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            sources_of(&path, extensions, found)?;
        } else if path
            .extension()
            .is_some_and(|extension| extensions.iter().any(|wanted| extension == *wanted))
        {
            let text = fs::read_to_string(&path)?;
            found.push((path, text));
        }
    }
    Ok(())
}

/// The lines of a file that are not its unit tests, with their numbers.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut lines = (1..).zip(text.lines()).peekable();
    std::iter::from_fn(move || {
        loop {
            let (number, line) = lines.next()?;
            if line.trim_start().starts_with("#[cfg(test)]") {
                let (_, next) = lines.peek()?;
                // The rest is the module of the tests, up to the end of the file, or one line.
                if next.trim_start().starts_with("mod tests {") {
                    return None;
                }
                lines.next();
                continue;
            }
            return Some((number, line));
        }
    })
}

/// The names that follow `crate::` in a line.
fn named(line: &str) -> impl Iterator<Item = &str> {
    let code = line.split("//").next().unwrap_or_default();
    code.match_indices("crate::").map(|(at, prefix)| {
        let rest = &code[at + prefix.len()..];
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
        &rest[..end.unwrap_or(rest.len())]
    })
}

#[test]
fn no_module_names_one_above_it() -> TestResult {
    let mut crossings = Vec::new();
    let rank = |module: &str| MODULES.iter().position(|&other| other == module);
    let mut files = Vec::new();
    sources(&root().join("src"), &mut files)?;
    let mut seen = 0;
    for (path, text) in &files {
        let relative = path.strip_prefix(root().join("src"))?;
        let first = relative.iter().next().unwrap_or_default().to_string_lossy();
        let module = first.trim_end_matches(".rs");
        let is_test = relative.ends_with("tests.rs");
        let Some(own) = rank(module).filter(|_| !is_test) else {
            continue;
        };
        seen += 1;
        for (number, line) in code(text) {
            for name in named(line) {
                let place = relative.display();
                if rank(name).is_some_and(|other| other > own) {
                    crossings.push(format!(
                        "src/{place}:{number}: the module `{module}` lies below `{name}` and must not name it"
                    ));
                }
            }
        }
    }
    assert!(seen > 50, "only {seen} files of rooms were found");
    assert!(crossings.is_empty(), "{}", crossings.join("\n"));
    Ok(())
}

#[test]
fn every_module_is_known() -> TestResult {
    for entry in fs::read_dir(root().join("src"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let module = name.trim_end_matches(".rs");
        assert!(
            MODULES.contains(&module) || ["lib", "main"].contains(&module),
            "src/{name} is a module without a position in the order of modules"
        );
    }
    Ok(())
}

#[test]
fn crates_depend_downward_only() -> TestResult {
    let ours: Vec<&str> = CRATES
        .iter()
        .map(|(path, _)| path.rsplit('/').next().unwrap_or(path))
        .chain(["pmemkv-sys"])
        .collect();
    for (path, allowed) in CRATES {
        let manifest = fs::read_to_string(root().join(path).join("Cargo.toml"))?;
        let section = manifest
            .split("\n[dependencies]\n")
            .nth(1)
            .and_then(|rest| rest.split("\n[").next())
            .ok_or_else(|| format!("{path} has no dependencies"))?;
        for line in section.lines() {
            let name = line
                .split(['.', ' ', '='])
                .next()
                .unwrap_or_default()
                .trim();
            assert!(
                !ours.contains(&name) || allowed.contains(&name),
                "{path}/Cargo.toml: a dependency on `{name}`, which lies above or beside it"
            );
        }
    }
    Ok(())
}

#[test]
fn unsafe_code_is_forbidden_outside_the_binding() -> TestResult {
    for (path, _) in CRATES.iter().filter(|(path, _)| !UNSAFE.contains(path)) {
        let lib = fs::read_to_string(root().join(path).join("src/lib.rs"))?;
        assert!(
            lib.contains("#![forbid(unsafe_code)]"),
            "{path}/src/lib.rs does not forbid unsafe code"
        );
    }
    for path in [
        "src/main.rs",
        "tests/power-loss/src/lib.rs",
        "tests/power-loss/src/main.rs",
    ] {
        let main = fs::read_to_string(root().join(path))?;
        assert!(
            main.contains("#![forbid(unsafe_code)]"),
            "{path} does not forbid unsafe code"
        );
    }
    Ok(())
}

#[test]
fn c_sources_are_known() -> TestResult {
    let mut files = Vec::new();
    // Clients' libraries that the tests install bring sources of their own.
    for folder in [
        "src",
        "crates",
        "pmemkv-sys",
        "tests/power-loss",
        "tests/support",
        "python/bench",
        "python/src",
    ] {
        sources_of(
            &root().join(folder),
            &["c", "cc", "cpp", "h", "s", "S"],
            &mut files,
        )?;
    }
    for (path, text) in &files {
        let place = path.strip_prefix(root())?.to_string_lossy();
        assert!(
            C_SOURCES.contains(&&*place),
            "{place}: a C source that the walls do not know"
        );
        let lines = text.lines().count();
        assert!(lines <= LINES_MAX, "{place} has {lines} lines");
    }
    assert_eq!(files.len(), C_SOURCES.len());
    Ok(())
}

/// Libraries that only one module may use, so that the rest does not depend on their types.
#[test]
fn libraries_stay_where_they_belong() -> TestResult {
    let mut files = Vec::new();
    for folder in ["src", "crates", "python/src"] {
        sources(&root().join(folder), &mut files)?;
    }
    for (library, place) in [
        ("redis_protocol::", "crates/redis-core/src/protocol/"),
        ("pmemkv_sys", "crates/pmemkv/src/"),
        ("rustls::", "src/tls/"),
        ("pyo3", "python/src/"),
    ] {
        for (path, text) in &files {
            let relative = path.strip_prefix(root())?.to_string_lossy();
            let is_allowed = relative.starts_with(place)
                // A TLS stream is a socket, and CONFIG SET prepares certificates before it uses them.
                || (library == "rustls::"
                    && (relative.starts_with("src/net/") || relative == "src/state/reconfigure.rs"));
            if is_allowed {
                continue;
            }
            for (number, line) in code(text) {
                assert!(
                    !line.contains(library),
                    "{relative}:{number}: {library} belongs into {place}"
                );
            }
        }
    }
    Ok(())
}

#[test]
fn no_file_is_longer_than_a_reader_holds_in_mind() -> TestResult {
    let mut files = Vec::new();
    for folder in ["src", "crates", "tests", "pmemkv-sys", "python/src"] {
        sources(&root().join(folder), &mut files)?;
    }
    for folder in ["bench", "examples", "lib", "tests"] {
        sources_of(
            &root().join("python").join(folder),
            &["py", "pyi"],
            &mut files,
        )?;
    }
    for (path, text) in files {
        let lines = text.lines().count();
        let place = path.strip_prefix(root())?.display();
        assert!(
            lines <= LINES_MAX,
            "{place} has {lines} lines: split it by idea"
        );
    }
    Ok(())
}
