//! Room in small pools: what a transaction takes, what is made before anybody is refused.

mod making;
mod versions;
