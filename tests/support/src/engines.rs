//! Makes one test for each engine and layout.

/// `on_every_engine!(run)` makes a test for each engine and layout, which calls `run` with their name. With
/// `persistent: survives` it makes tests of `survives` too, for the engines whose pools outlive the server.
#[macro_export]
macro_rules! on_every_engine {
    ($run:path $(, persistent: $survives:path)?) => {
        $crate::on_every_engine!(@test cmap, "cmap", $run $(, $survives)?);
        $crate::on_every_engine!(@test cmap_in_pairs, "cmap/pairs", $run $(, $survives)?);
        $crate::on_every_engine!(@test stree, "stree", $run $(, $survives)?);
        $crate::on_every_engine!(@test vcmap, "vcmap", $run);
        $crate::on_every_engine!(@test vcmap_in_pairs, "vcmap/pairs", $run);
        $crate::on_every_engine!(@test vsmap, "vsmap", $run);
    };
    (@test $name:ident, $store:literal, $($run:path),+) => {
        #[test]
        fn $name() -> $crate::TestResult {
            $($run($store)?;)+
            Ok(())
        }
    };
}
