//! Keys and values between Python and the engine.

use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::{PyByteArray, PyBytes, PyMemoryView, PyString};

/// A key or a value as the caller gave it: `str` is UTF-8.
pub(crate) enum Text<'py> {
    /// Bytes that nobody can change.
    Bytes(Bound<'py, PyBytes>),
    /// A copy of what somebody could change during the call.
    Copy(Vec<u8>),
}

impl<'py> Text<'py> {
    /// The bytes of an argument: `str`, `bytes` or anything that has the buffer protocol.
    #[inline]
    pub(crate) fn of(argument: &Bound<'py, PyAny>) -> PyResult<Self> {
        if let Ok(text) = argument.cast::<PyString>() {
            text.encode_utf8().map(Self::Bytes)
        } else if let Ok(bytes) = argument.cast::<PyBytes>() {
            Ok(Self::Bytes(bytes.clone()))
        } else {
            Self::of_buffer(argument)
        }
    }

    #[cold]
    fn of_buffer(argument: &Bound<'py, PyAny>) -> PyResult<Self> {
        if let Ok(array) = argument.cast::<PyByteArray>() {
            return Ok(Self::Copy(array.to_vec()));
        }
        // The stable interface of Python 3.9 has no buffers, but a memoryview can be asked for its bytes.
        let bytes = PyMemoryView::from(argument)?.call_method0("tobytes")?;
        Ok(Self::Bytes(bytes.cast_into()?))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes.as_bytes(),
            Self::Copy(bytes) => bytes,
        }
    }
}

/// How stored bytes become a `str`.
pub(crate) enum Decoding {
    Utf8,
    Other(PyBackedStr),
}

impl Decoding {
    pub(crate) fn of(encoding: Option<PyBackedStr>) -> Self {
        match encoding {
            None => Self::Utf8,
            Some(name) if name.eq_ignore_ascii_case("utf-8") => Self::Utf8,
            Some(name) => Self::Other(name),
        }
    }

    pub(crate) fn decode<'py>(
        &self,
        py: Python<'py>,
        bytes: &[u8],
    ) -> PyResult<Bound<'py, PyString>> {
        match self {
            Self::Utf8 => PyString::from_bytes(py, bytes),
            Self::Other(name) => PyBytes::new(py, bytes)
                .call_method1("decode", (&**name,))?
                .cast_into()
                .map_err(PyErr::from),
        }
    }
}
