//! Scripts and functions: EVAL, FCALL and their like, SCRIPT, FUNCTION. Dispatch runs them; see [`dispatch`](super::dispatch).

pub(super) mod call;
pub(super) mod evaluate;
pub(super) mod function;
pub(super) mod script;
