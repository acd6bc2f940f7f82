# Shared by the scripts; to be sourced, not run.
# shellcheck shell=bash

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() {
    say "$*"
    exit 1
}

# rustup edits the login shell's PATH, which a script that was started another way does not see.
if ! command -v cargo >/dev/null && [ -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo" ]; then
    PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
    export PATH
fi

# The folder that cargo builds into; a relative one is relative to the repository, where cargo is called.
target_dir() {
    case "${CARGO_TARGET_DIR:-}" in
    "") printf '%s\n' "$ROOT/target" ;;
    /*) printf '%s\n' "$CARGO_TARGET_DIR" ;;
    *) printf '%s\n' "$ROOT/$CARGO_TARGET_DIR" ;;
    esac
}
