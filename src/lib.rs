//! x
pub mod config;
pub mod glob;
pub mod logging;
