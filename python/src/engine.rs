//! The class `Engine`: one open database and its calls.

use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::{PyBytes, PyDict, PyString, PyTuple};

use crate::errors::not_found;
use crate::guard::{Cost, LARGE_BYTES, Slot};
use crate::range::Bounds;
use crate::text::{Decoding, Text};
use crate::walk::{Delivery, walk};

/// The message of a missing key's exception.
const MISSING: &str = "pmemkv: not found: no such key";

/// An engine in this process. `pmemkv.Database` adds the ranges and the constructor.
#[pyclass(subclass, frozen, mapping, module = "pmemkv._native")]
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
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self { slot: Slot::new() }
    }

    /// Opens the engine of this name with a config in JSON.
    fn _start(&self, py: Python<'_>, engine: PyBackedStr, config: PyBackedStr) -> PyResult<()> {
        self.slot.start(py, &engine, &config)
    }

    /// Stops the engine: waits for the calls of other threads, and closes it. A second stop does nothing.
    fn stop(&self, py: Python<'_>) -> PyResult<()> {
        self.slot.stop(py)
    }

    /// Whether the engine is stopped.
    #[getter]
    fn stopped(&self) -> bool {
        self.slot.is_stopped()
    }

    /// Stores a pair; an existing key gets the new value.
    ///
    /// Key and value are `str`, stored as UTF-8, or bytes-like. On an engine with a pool the pair outlives the process
    /// when this returns.
    fn put(
        &self,
        py: Python<'_>,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let (key, value) = (Text::of(key)?, Text::of(value)?);
        let (key, value) = (key.bytes(), value.bytes());
        let cost = cost(key.len() + value.len());
        self.slot.put(py, cost, key, value)
    }

    /// Returns the value as `bytes`, or calls `func` with it and returns None.
    ///
    /// Raises NotFound, a KeyError, if there is no such key. The value is a copy: `func` may keep it, and may call the
    /// database.
    #[pyo3(signature = (key, func=None))]
    fn get<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        func: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let key = Text::of(key)?;
        let value = self
            .read(py, key.bytes())?
            .ok_or_else(|| not_found(py, MISSING))?;
        match func {
            None => Ok(Some(value)),
            Some(func) => func.call1((value,)).map(|_| None),
        }
    }

    /// Returns the value as a `str`.
    ///
    /// Raises NotFound, a KeyError, if there is no such key, and UnicodeDecodeError if the value is not in this encoding.
    #[pyo3(signature = (key, encoding=None), text_signature = "($self, key, encoding='utf-8')")]
    fn get_string<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        encoding: Option<PyBackedStr>,
    ) -> PyResult<Bound<'py, PyString>> {
        let key = Text::of(key)?;
        self.read_string(py, key.bytes(), &Decoding::of(encoding))?
            .ok_or_else(|| not_found(py, MISSING))
    }

    /// Whether there is such a key.
    fn exists(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        let key = Text::of(key)?;
        let key = key.bytes();
        self.slot
            .call(py, cost(key.len()), |database| database.exists(key))
    }

    /// Removes a pair. Returns whether there was one; blackhole always says so.
    fn remove(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        let key = Text::of(key)?;
        let key = key.bytes();
        self.slot
            .call(py, cost(key.len()), |database| database.remove(key))
    }

    /// How many pairs there are.
    fn count_all(&self, py: Python<'_>) -> PyResult<usize> {
        self.slot.call(py, Cost::Short, pmemkv::Database::count_all)
    }

    /// Defragments a part of the pool, in percent of it, where the engine can.
    #[pyo3(signature = (start_percent=0.0, amount_percent=100.0))]
    fn defrag(&self, py: Python<'_>, start_percent: f64, amount_percent: f64) -> PyResult<()> {
        self.slot.detached(py, |database| {
            database.defrag(start_percent, amount_percent)
        })
    }

    /// How many keys a range has.
    #[pyo3(signature = (shape, *keys))]
    fn _count(&self, py: Python<'_>, shape: u8, keys: Vec<Bound<'_, PyAny>>) -> PyResult<usize> {
        let bounds = Bounds::new(shape, &keys)?;
        let range = bounds.range();
        self.slot
            .detached(py, |database| database.count_range(range))
    }

    /// Calls `func` with each pair of a range, or with each key, as `bytes` or in this encoding.
    #[pyo3(signature = (shape, keys, func, values, encoding=None))]
    fn _walk(
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
        self.count_all(py)
    }

    fn __contains__(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        self.exists(py, key)
    }

    fn __getitem__<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyString>> {
        let text = Text::of(key)?;
        self.read_string(py, text.bytes(), &Decoding::Utf8)?
            .ok_or_else(|| not_found(py, key))
    }

    fn __setitem__(
        &self,
        py: Python<'_>,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        self.put(py, key, value)
    }

    fn __delitem__(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> PyResult<()> {
        if self.remove(py, key)? {
            Ok(())
        } else {
            Err(not_found(py, key))
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

    /// A copy of the value as a `str`.
    fn read_string<'py>(
        &self,
        py: Python<'py>,
        key: &[u8],
        decoding: &Decoding,
    ) -> PyResult<Option<Bound<'py, PyString>>> {
        // UTF-8 needs no interpreter, a codec does: it may be Python code, which must not run inside the database.
        if matches!(decoding, Decoding::Utf8)
            && let Some(database) = self.slot.attached(py, cost(key.len()))?
        {
            return database
                .get_with(key, |value| decoding.decode(py, value))
                .map_err(|error| crate::errors::raise(py, &error))?
                .transpose();
        }
        self.slot
            .detached(py, |database| database.get(key))?
            .map(|value| decoding.decode(py, &value))
            .transpose()
    }
}
