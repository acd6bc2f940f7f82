//! Finds the headers of libpmemkv and libpmemobj with pkg-config, and generates their raw bindings with bindgen. The program is
//! linked with neither library: it loads them.

use std::env;
use std::panic;
use std::path::{Path, PathBuf};
use std::process;

const PACKAGES: &str = "\
    Debian, Ubuntu: apt-get install pkg-config libclang-dev libpmemkv-dev libpmemobj-dev
    Fedora:         dnf install pkgconf clang-devel libpmemkv-devel libpmemobj-devel
    SUSE:           zypper install pkg-config clang-devel libpmemkv-devel libpmemobj-devel
Debian 12 has no libpmemkv-dev: scripts/setup fetches it from Debian 11.";

/// The calls that the safe binding makes, and nothing else of the two headers.
const FUNCTIONS: [&str; 2] = [
    "pmemkv_.*",
    "pmemobj_(open|create|close|root|root_size|errormsg|direct|persist|flush|drain|memcpy|ctl_get|ctl_set|check|pool_by_ptr|first|next|alloc_usable_size)",
];

fn main() {
    println!("cargo:rerun-if-changed=src/wrapper.h");
    println!("cargo:rerun-if-changed=build.rs");

    let mut include_paths = Vec::new();
    for library in ["libpmemkv", "libpmemobj"] {
        match find(library) {
            Ok(paths) => include_paths.extend(paths),
            Err(error) => fail(&format!("{library} was not found.\n{error}")),
        }
    }
    let bindings = generate(&include_paths);
    let target =
        PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("bindings.rs");
    if let Err(error) = bindings.write_to_file(&target) {
        fail(&format!("cannot write {}: {error}", target.display()));
    }
}

/// Where the library's headers are.
fn find(library: &str) -> Result<Vec<PathBuf>, pkg_config::Error> {
    let error = match pkg_config::Config::new()
        .cargo_metadata(false)
        .probe(library)
    {
        Ok(found) => return Ok(found.include_paths),
        Err(error) => error,
    };
    // pkg-config gives no flags where packages that only static linking needs (memkind, tbb) are not installed; the
    // library's own directory of headers it knows all the same.
    let Ok(headers) = pkg_config::get_variable(library, "includedir") else {
        return Err(error);
    };
    let headers = PathBuf::from(headers);
    if !headers.join(format!("{library}.h")).exists() {
        return Err(error);
    }
    Ok(vec![headers])
}

fn generate(include_paths: &[PathBuf]) -> bindgen::Bindings {
    let mut builder = bindgen::Builder::default()
        .header(Path::new("src").join("wrapper.h").display().to_string())
        .allowlist_var("PMEMKV_STATUS_.*|PMEMOBJ_F_MEM_NODRAIN")
        .layout_tests(false)
        .generate_comments(false)
        .dynamic_library_name("Library")
        .dynamic_link_require_all(true)
        .parse_callbacks(Box::new(bindgen::CargoCallbacks::new()));
    for function in FUNCTIONS {
        builder = builder.allowlist_function(function);
    }
    for path in include_paths {
        builder = builder.clang_arg(format!("-I{}", path.display()));
    }
    // bindgen panics where libclang is missing, and its text names no package.
    match panic::catch_unwind(panic::AssertUnwindSafe(|| builder.generate())) {
        Ok(Ok(bindings)) => bindings,
        Ok(Err(error)) => fail(&format!("bindgen could not read the headers: {error}")),
        Err(_) => fail("bindgen could not load libclang."),
    }
}

fn fail(what: &str) -> ! {
    eprintln!("pmemkv-sys: {what}\nInstall what is missing:\n{PACKAGES}");
    process::exit(1);
}
