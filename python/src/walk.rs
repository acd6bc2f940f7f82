//! Walks that call Python for each pair.

use std::ops::ControlFlow;

use pmemkv::{Database, Error, Range};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyList, PyType};

use crate::errors::raise;
use crate::guard::Slot;
use crate::text::Decoding;

/// So many pairs are handed over at once. Then other threads get their turn, and signals are looked at: a function that is
/// no Python code gives neither a chance.
const BATCH_PAIRS: usize = 128;

/// A batch ends early when its keys and values are so long: more would not stay in the processor's nearest cache.
const BATCH_BYTES: usize = 16 << 10;

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
/// The thread waits for the database without the interpreter's lock, and keeps both during the walk, except between two
/// batches.
pub(crate) fn walk(
    py: Python<'_>,
    slot: &Slot,
    range: Range<'_>,
    delivery: &Delivery,
) -> PyResult<()> {
    slot.check_walk(py)?;
    slot.detached(py, |database| {
        database.freeze(|| Python::attach(|py| walk_held(py, database, range, delivery)))
    })?
}

fn walk_held(
    py: Python<'_>,
    database: &Database,
    range: Range<'_>,
    delivery: &Delivery,
) -> PyResult<()> {
    let mut batch = Batch::new(py, delivery)?;
    let mut raised = Ok(());
    let mut go_on = |result: PyResult<()>| match result {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => {
            raised = Err(error);
            ControlFlow::Break(())
        }
    };
    // A closure for each kind, because a branch and a result for each pair would cost as much as the engine's own step.
    let flow = match (&delivery.decoding, delivery.values) {
        (None, true) => database.get_range(range, |key, value| {
            batch.keys.push(PyBytes::new(py, key).into_any());
            batch.values.push(PyBytes::new(py, value).into_any());
            if batch.is_full(key.len() + value.len()) {
                return go_on(batch.deliver());
            }
            ControlFlow::Continue(())
        }),
        (None, false) => database.get_range(range, |key, _| {
            batch.keys.push(PyBytes::new(py, key).into_any());
            if batch.is_full(key.len()) {
                return go_on(batch.deliver());
            }
            ControlFlow::Continue(())
        }),
        (Some(decoding), values) => database.get_range(range, |key, value| {
            let value = values.then_some(value);
            go_on(batch.decode(decoding, key, value))
        }),
    };
    raised?;
    let _ = flow.map_err(|error: Error| raise(py, &error))?;
    batch.deliver()
}

/// Items that the function has not got yet.
struct Batch<'a, 'py> {
    py: Python<'py>,
    func: &'a Bound<'py, PyAny>,
    /// The types `map` and `deque`: one calls the function with each item, the other drops what it returns. They do it
    /// faster than native code can call a function through the stable interface of Python 3.9.
    map: &'a Bound<'py, PyType>,
    deque: &'a Bound<'py, PyType>,
    keys: Vec<Bound<'py, PyAny>>,
    /// As many as keys, or none.
    values: Vec<Bound<'py, PyAny>>,
    bytes: usize,
}

impl<'a, 'py> Batch<'a, 'py> {
    fn new(py: Python<'py>, delivery: &'a Delivery) -> PyResult<Self> {
        static MAP: PyOnceLock<Py<PyType>> = PyOnceLock::new();
        static DEQUE: PyOnceLock<Py<PyType>> = PyOnceLock::new();
        Ok(Self {
            py,
            func: delivery.func.bind(py),
            map: MAP.import(py, "builtins", "map")?,
            deque: DEQUE.import(py, "collections", "deque")?,
            keys: Vec::with_capacity(BATCH_PAIRS),
            values: Vec::with_capacity(BATCH_PAIRS),
            bytes: 0,
        })
    }

    /// Counts an item that has been added. Whether the batch is to be delivered.
    #[inline]
    fn is_full(&mut self, bytes: usize) -> bool {
        self.bytes += bytes;
        self.keys.len() == BATCH_PAIRS || self.bytes >= BATCH_BYTES
    }

    /// Adds an item as `str`, and delivers the batch if it is full.
    fn decode(&mut self, decoding: &Decoding, key: &[u8], value: Option<&[u8]>) -> PyResult<()> {
        let decode = |bytes| decoding.decode(self.py, bytes).map(Bound::into_any);
        let decoded = value
            .map(decode)
            .transpose()
            .and_then(|v| Ok((decode(key)?, v)));
        match decoded {
            Ok((key, value)) => {
                self.keys.push(key);
                self.values.extend(value);
            }
            Err(error) => {
                // The items before this one come first.
                self.deliver()?;
                return Err(error);
            }
        }
        if self.is_full(key.len() + value.map_or(0, <[u8]>::len)) {
            return self.deliver();
        }
        Ok(())
    }

    /// Calls the function with what has been added.
    fn deliver(&mut self) -> PyResult<()> {
        if self.keys.is_empty() {
            return Ok(());
        }
        self.bytes = 0;
        let keys = PyList::new(self.py, self.keys.drain(..))?;
        let calls = if self.values.is_empty() {
            self.map.call1((self.func, keys))?
        } else {
            let values = PyList::new(self.py, self.values.drain(..))?;
            self.map.call1((self.func, keys, values))?
        };
        self.deque.call1((calls, 0))?;
        self.py.detach(|| ());
        self.py.check_signals()
    }
}
