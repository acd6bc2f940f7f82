//! Errors of the binding as the package's exceptions.

use pmemkv::Error;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

const MODULE: &str = "pmemkv._errors";

/// The name of the exception that an error becomes.
fn class(error: &Error) -> &'static str {
    match error {
        Error::NotFound(_) => "NotFound",
        Error::NotSupported(_) => "NotSupported",
        Error::InvalidArgument(_)
        | Error::Nul(_)
        | Error::NotAPool { .. }
        | Error::NoSuchPartition { .. }
        | Error::PartitionInUse(_)
        | Error::PartitionEngine { .. } => "InvalidArgument",
        // pmemkv 1.0 calls a type that its JSON does not take a parsing error too.
        Error::ConfigParsing(_)
        | Error::Json(_)
        | Error::JsonNotObject
        | Error::JsonUnsupported { .. } => "ConfigParsingError",
        Error::ConfigType(_) => "ConfigTypeError",
        Error::StoppedByCallback(_) => "StoppedByCallback",
        Error::OutOfMemory(_) => "OutOfMemory",
        Error::WrongEngineName(_) => "WrongEngineName",
        Error::TransactionScope(_) => "TransactionScopeError",
        Error::Defrag(_) => "DefragError",
        Error::ComparatorMismatch(_) => "ComparatorMismatch",
        Error::Reentrant => "Reentrant",
        Error::Closed => "Stopped",
        _ => "UnknownError",
    }
}

/// The exception for an error.
#[cold]
pub(crate) fn raise(py: Python<'_>, error: &Error) -> PyErr {
    named(py, class(error), error.to_string())
}

/// The exception of this name with a message.
#[cold]
pub(crate) fn named(py: Python<'_>, class: &str, message: String) -> PyErr {
    py.import(MODULE)
        .and_then(|module| Ok(module.getattr(class)?.cast_into::<PyType>()?))
        .map_or_else(|error| error, |class| PyErr::from_type(class, (message,)))
}

/// The exception for a missing key.
#[cold]
pub(crate) fn not_found(py: Python<'_>) -> PyErr {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    match CLASS.import(py, MODULE, "NotFound") {
        Ok(class) => PyErr::from_type(class.clone(), ("pmemkv: not found: no such key",)),
        Err(error) => error,
    }
}
