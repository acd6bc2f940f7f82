//! OBJECT ENCODING of strings, also after a restart.

use crate::common::TestResult;

/// Not yet.
pub fn compare() -> TestResult {
    Ok(())
}
