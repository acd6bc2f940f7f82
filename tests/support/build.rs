//! Compiles the library that moves a server's clock (clock.c says why it is C). Whatever links Rust programs has a C
//! compiler.

use std::env;
use std::path::PathBuf;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=clock.c");
    println!("cargo:rerun-if-env-changed=CC");
    let folder = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let library = folder.join("libtest_clock.so");
    let compiler = env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let status = Command::new(&compiler)
        .args(["-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror"])
        .arg("-o")
        .arg(&library)
        .arg("clock.c")
        .status();
    match status {
        Ok(status) if status.success() => {}
        Ok(status) => panic!("{compiler} clock.c: {status}"),
        Err(error) => panic!("{compiler}: {error}"),
    }
    println!("cargo:rustc-env=TEST_CLOCK={}", library.display());
}
