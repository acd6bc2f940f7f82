//! What scripts can and cannot do.

use crate::host::Subject;

#[test]
fn a_script_runs() {
    assert_eq!(Subject::new().eval("return 1"), ":1\r\n");
}
