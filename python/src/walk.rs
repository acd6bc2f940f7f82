//! Walks that call Python for each pair.

use std::ops::ControlFlow;

use pmemkv::{Database, Error, Range};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::guard::Slot;
use crate::text::Decoding;

/// After so many pairs other threads get their turn, and signals are looked at. A callback that is no Python code gives
/// neither a chance.
const TURN_PAIRS: u32 = 256;

/// Who gets the pairs, and as what.
pub(crate) struct Delivery {
    pub(crate) func: Py<PyAny>,
    /// Keys and values, or keys alone.
    pub(crate) values: bool,
    /// As `str`; without it as `bytes`.
    pub(crate) decoding: Option<Decoding>,
}

/// Calls the delivery's function with each pair of the range. What the function raises ends the walk.
///
/// The thread waits for the database without the interpreter's lock, and keeps both during the walk. Its callbacks give
/// the interpreter's lock to others now and then, as all Python code does.
pub(crate) fn walk(
    py: Python<'_>,
    slot: &Slot,
    range: Range<'_>,
    delivery: &Delivery,
) -> PyResult<()> {
    slot.detached(py, |database| {
        database.freeze(|| Python::attach(|py| walk_held(py, database, range, delivery)))
    })?
    .map_err(|ended| match ended {
        Ended::Raised(error) => error,
        Ended::Failed(error) => crate::errors::raise(py, &error),
    })
}

/// Why a walk did not come to its end.
enum Ended {
    Raised(PyErr),
    Failed(Error),
}

fn walk_held(
    py: Python<'_>,
    database: &Database,
    range: Range<'_>,
    delivery: &Delivery,
) -> Result<(), Ended> {
    let mut raised = None;
    let mut met = 0_u32;
    let flow = database.get_range(range, |key, value| {
        met = met.wrapping_add(1);
        let turn = if met.is_multiple_of(TURN_PAIRS) {
            py.detach(|| ());
            py.check_signals()
        } else {
            Ok(())
        };
        match turn.and_then(|()| delivery.call(py, key, value)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                raised = Some(error);
                ControlFlow::Break(())
            }
        }
    });
    match (raised, flow) {
        (Some(error), _) => Err(Ended::Raised(error)),
        (None, Err(error)) => Err(Ended::Failed(error)),
        (None, Ok(_)) => Ok(()),
    }
}

impl Delivery {
    #[inline]
    fn call(&self, py: Python<'_>, key: &[u8], value: &[u8]) -> PyResult<()> {
        let func = self.func.bind(py);
        match (&self.decoding, self.values) {
            (None, true) => func.call1((PyBytes::new(py, key), PyBytes::new(py, value)))?,
            (None, false) => func.call1((PyBytes::new(py, key),))?,
            (Some(decoding), true) => {
                func.call1((decoding.decode(py, key)?, decoding.decode(py, value)?))?
            }
            (Some(decoding), false) => func.call1((decoding.decode(py, key)?,))?,
        };
        Ok(())
    }
}
