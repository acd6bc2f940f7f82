//! The shape of a range, as the package names it.

use pmemkv::Range;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::text::Text;

/// A range with its bounds.
pub(crate) struct Bounds<'py> {
    shape: u8,
    keys: Vec<Text<'py>>,
}

impl<'py> Bounds<'py> {
    /// A range by its number in `pmemkv._ranges` and its bounds.
    pub(crate) fn new(shape: u8, keys: &[Bound<'py, PyAny>]) -> PyResult<Self> {
        let wanted = match shape {
            0 => 0,
            1..=4 => 1,
            5 => 2,
            _ => return Err(PyValueError::new_err("no such shape of a range")),
        };
        if keys.len() != wanted {
            return Err(PyValueError::new_err(
                "a range with too few or too many bounds",
            ));
        }
        let keys = keys.iter().map(Text::of).collect::<PyResult<_>>()?;
        Ok(Self { shape, keys })
    }

    pub(crate) fn range(&self) -> Range<'_> {
        let key = |index: usize| self.keys.get(index).map_or(&[][..], Text::bytes);
        match self.shape {
            0 => Range::All,
            1 => Range::Above(key(0)),
            2 => Range::EqualAbove(key(0)),
            3 => Range::Below(key(0)),
            4 => Range::EqualBelow(key(0)),
            _ => Range::Between(key(0), key(1)),
        }
    }
}
