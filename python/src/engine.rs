//! The class `Engine`: one open database and its calls.

use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::{PyBytes, PyString};

use crate::errors::not_found;
use crate::guard::{Cost, LARGE_BYTES, Slot};
use crate::range::Bounds;
use crate::text::{Decoding, Text};
use crate::walk::{Delivery, walk};

/// An engine in this process, for `pmemkv.Database`.
#[pyclass(frozen, mapping, module = "pmemkv._native")]
pub(crate) struct Engine {
    slot: Slot,
}

/// What a call costs that copies so many bytes.
fn cost(bytes: usize) -> Cost {
    if bytes < LARGE_BYTES {
        Cost::Short
    } else {
        Cost::Long
    }
}

#[pymethods]
impl Engine {
    /// Opens the engine of this name with a config in JSON.
    #[new]
    fn new(py: Python<'_>, engine: PyBackedStr, config: PyBackedStr) -> PyResult<Self> {
        let slot = Slot::open(py, &engine, &config)?;
        Ok(Self { slot })
    }

    /// Waits for the calls of other threads, and closes the engine.
    fn stop(&self, py: Python<'_>) -> PyResult<()> {
        self.slot.stop(py)
    }

    /// Whether the engine is stopped.
    #[getter]
    fn stopped(&self) -> bool {
        self.slot.is_stopped()
    }

    /// The value as UTF-8.
    fn get_string<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyString>> {
        let key = Text::of(key)?;
        let key = key.bytes();
        if let Some(database) = self.slot.attached(py, cost(key.len()))? {
            return database
                .get_with(key, |value| PyString::from_bytes(py, value))
                .map_err(|error| crate::errors::raise(py, &error))?
                .ok_or_else(|| not_found(py))?;
        }
        let value = self.slot.detached(py, |database| database.get(key))?;
        PyString::from_bytes(py, &value.ok_or_else(|| not_found(py))?)
    }

    /// Defragments a part of the pool, in percent of it.
    fn defrag(&self, py: Python<'_>, start_percent: f64, amount_percent: f64) -> PyResult<()> {
        self.slot.detached(py, |database| {
            database.defrag(start_percent, amount_percent)
        })
    }

    /// How many keys a range has.
    fn count(&self, py: Python<'_>, shape: u8, keys: Vec<Bound<'_, PyAny>>) -> PyResult<usize> {
        let bounds = Bounds::new(shape, &keys)?;
        let range = bounds.range();
        self.slot
            .detached(py, |database| database.count_range(range))
    }

    /// Calls `func` with each pair of a range, or with each key, as `bytes` or in this encoding.
    fn walk(
        &self,
        py: Python<'_>,
        shape: u8,
        keys: Vec<Bound<'_, PyAny>>,
        func: Py<PyAny>,
        values: bool,
        encoding: Option<PyBackedStr>,
    ) -> PyResult<()> {
        let bounds = Bounds::new(shape, &keys)?;
        let delivery = Delivery {
            func,
            values,
            decoding: encoding.map(|encoding| Decoding::of(Some(encoding))),
        };
        walk(py, &self.slot, bounds.range(), &delivery)
    }

    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        self.slot.call(py, Cost::Short, pmemkv::Database::count_all)
    }

    fn __contains__(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        let key = Text::of(key)?;
        let key = key.bytes();
        self.slot
            .call(py, cost(key.len()), |database| database.exists(key))
    }

    fn __getitem__<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let key = Text::of(key)?;
        self.read(py, key.bytes())?.ok_or_else(|| not_found(py))
    }

    fn __setitem__(
        &self,
        py: Python<'_>,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let (key, value) = (Text::of(key)?, Text::of(value)?);
        let (key, value) = (key.bytes(), value.bytes());
        self.slot.put(py, cost(key.len() + value.len()), key, value)
    }

    fn __delitem__(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> PyResult<()> {
        let key = Text::of(key)?;
        let key = key.bytes();
        let is_removed = self
            .slot
            .call(py, cost(key.len()), |database| database.remove(key))?;
        if is_removed {
            Ok(())
        } else {
            Err(not_found(py))
        }
    }
}

impl Engine {
    /// A copy of the value as `bytes`.
    fn read<'py>(&self, py: Python<'py>, key: &[u8]) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let copy = |value: &[u8]| {
            if value.len() < LARGE_BYTES {
                return Ok(PyBytes::new(py, value));
            }
            let _away = self.slot.away();
            PyBytes::new_with(py, value.len(), |bytes| {
                py.detach(|| bytes.copy_from_slice(value));
                Ok(())
            })
        };
        match self.slot.attached(py, cost(key.len()))? {
            Some(database) => database
                .get_with(key, copy)
                .map_err(|error| crate::errors::raise(py, &error))?
                .transpose(),
            None => Ok(self
                .slot
                .detached(py, |database| database.get(key))?
                .map(|value| PyBytes::new(py, &value))),
        }
    }
}
