//! Builds Lua 5.1.5 as Redis has it: takes the source from the crate `lua-src`, applies the edits of `edits.rs`, and compiles
//! it together with the C files of `native/`.

#![allow(clippy::print_stdout)] // Cargo reads instructions from a build script's standard output.

mod edits;
mod source;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// Lua's files that are compiled. Left out: the libraries that reach the system (`liolib`, `loslib`, `loadlib`), `ldblib`,
/// which breaks the sandbox, and `linit`, which opens them all. `lundump` has the header that `ldump` writes; nothing calls its
/// reader.
const FILES: [&str; 26] = [
    "lapi.c",
    "lauxlib.c",
    "lbaselib.c",
    "lcode.c",
    "ldebug.c",
    "ldo.c",
    "ldump.c",
    "lfunc.c",
    "lgc.c",
    "llex.c",
    "lmathlib.c",
    "lmem.c",
    "lobject.c",
    "lopcodes.c",
    "lparser.c",
    "lstate.c",
    "lstring.c",
    "lstrlib.c",
    "ltable.c",
    "ltablib.c",
    "ltm.c",
    "lundump.c",
    "lvm.c",
    "lzio.c",
    "redis_lua.c",
    "redis_call.c",
];

/// Names a guard to leave out, such as `CVE-2025-49844`: `scripts/lua-guards` shows what happens without it.
const WITHOUT: &str = "PMEMKV_LUA_WITHOUT";

fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let native = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("native");
    println!("cargo:rerun-if-changed=build");
    println!("cargo:rerun-if-changed=native");

    let edited = out.join("lua");
    fs::create_dir_all(&edited)?;
    copy_all(&source::folder(&out)?, &edited)?;
    copy_all(&native, &edited)?;
    println!("cargo:rerun-if-env-changed={WITHOUT}");
    let without = env::var(WITHOUT).unwrap_or_default();
    for edit in edits::EDITS {
        if edit.is_guard(&without) {
            println!("cargo:warning=Lua is built without the guard against {without}");
        } else {
            edit.apply(&edited)?;
        }
    }

    cc::Build::new()
        .files(FILES.map(|name| edited.join(name)))
        .include(&edited)
        // As Redis builds it: plain C numbers, no readline, no dynamic loading.
        .define("LUA_ANSI", None)
        .warnings(false)
        .flag_if_supported("-fno-common")
        .cargo_metadata(false)
        .try_compile("redis_lua")?;
    println!("cargo:rustc-link-search=native={}", out.display());
    // Whole: mlua-sys, which needs the symbols, stands behind this crate on the linker's command line.
    println!("cargo:rustc-link-lib=static:+whole-archive=redis_lua");
    println!("cargo:rustc-link-lib=m");
    Ok(())
}

/// Copies every C file of one folder into another.
fn copy_all(from: &Path, to: &Path) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(from).map_err(|error| format!("{}: {error}", from.display()))? {
        let path = entry?.path();
        if let (Some(name), Some("c" | "h")) = (
            path.file_name(),
            path.extension().and_then(|extension| extension.to_str()),
        ) {
            // Not fs::copy, which would keep a vendored source's read-only mode.
            fs::write(to.join(name), fs::read(&path)?)?;
        }
    }
    Ok(())
}
