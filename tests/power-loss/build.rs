//! Compiles the library that is preloaded into a server (shim.c says why it is C). Whatever links Rust programs has a C
//! compiler.

use std::env;
use std::path::PathBuf;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=shim.c");
    println!("cargo:rerun-if-env-changed=CC");
    let folder = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let shim = folder.join("libpower_loss_shim.so");
    let compiler = env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let status = Command::new(&compiler)
        .args(["-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror"])
        .arg("-o")
        .arg(&shim)
        .args(["shim.c", "-lpthread"])
        .status();
    match status {
        Ok(status) if status.success() => {}
        Ok(status) => panic!("{compiler} shim.c: {status}"),
        Err(error) => panic!("{compiler}: {error}"),
    }
    println!("cargo:rustc-env=POWER_LOSS_SHIM={}", shim.display());
}
