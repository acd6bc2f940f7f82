//! One test for each engine and layout.

/// `on_every_engine!(run)` makes a test of `run` on each engine and layout, which gets their name; with
/// `persistent: survives` that one runs too where pools outlive their server.
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
