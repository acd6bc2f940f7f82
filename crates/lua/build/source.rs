//! Finds the folder of Lua's source.

use std::env;
use std::error::Error;
use std::panic;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

const OVERRIDE: &str = "PMEMKV_LUA_SOURCE";

/// The folder of Lua 5.1.5 within the crate `lua-src`, or the one that the environment variable `PMEMKV_LUA_SOURCE` names.
///
/// Cargo tells a build script no path of its dependencies, and `lua-src` tells none either. But where that crate panics, the
/// panic's location is a path inside it. So this asks the crate to build for a target that does not exist.
pub fn folder(out: &Path) -> Result<PathBuf, Box<dyn Error>> {
    println!("cargo:rerun-if-env-changed={OVERRIDE}");
    let folder = match env::var_os(OVERRIDE) {
        Some(folder) => PathBuf::from(folder),
        None => resolve(&location(out).ok_or("the crate lua-src did not tell its place")?)
            .join("lua-5.1.5"),
    };
    if folder.join("lua.h").is_file() {
        return Ok(folder);
    }
    Err(format!(
        "no Lua 5.1.5 in {}: set {OVERRIDE} to the folder lua-5.1.5 of the crate lua-src (where the compiler is told to \
         remap paths, the build cannot find it by itself)",
        folder.display()
    )
    .into())
}

/// The path of `lua-src`'s `src/lib.rs` as the compiler saw it.
fn location(out: &Path) -> Option<PathBuf> {
    static SEEN: Mutex<Option<PathBuf>> = Mutex::new(None);
    panic::set_hook(Box::new(|info| {
        if let (Some(location), Ok(mut seen)) = (info.location(), SEEN.lock()) {
            *seen = Some(PathBuf::from(location.file()));
        }
    }));
    let _ = panic::catch_unwind(|| {
        lua_src::Build::new()
            .out_dir(out)
            .target("none")
            .build(lua_src::Lua51)
    });
    drop(panic::take_hook());
    SEEN.lock().ok()?.take()
}

/// The crate's folder. A vendored source inside the workspace has a path relative to the workspace's folder, which is this
/// package's folder or one above it.
fn resolve(file: &Path) -> PathBuf {
    let crate_folder = file.parent().and_then(Path::parent).unwrap_or(file);
    let package = env::var_os("CARGO_MANIFEST_DIR")
        .map(PathBuf::from)
        .unwrap_or_default();
    package
        .ancestors()
        .map(|above| above.join(crate_folder))
        .find(|folder| folder.is_dir())
        .unwrap_or_else(|| crate_folder.to_path_buf())
}
