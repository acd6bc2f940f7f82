//! Scripts: EVAL and its like, SCRIPT. Dispatch runs them; see [`dispatch`](super::dispatch).

pub(super) mod call;
pub(super) mod evaluate;
pub(super) mod script;
