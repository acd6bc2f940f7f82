//! Why a store refuses a call.

/// Why a store refused. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No room in the pool.
    #[error("no room in the pool")]
    OutOfMemory,
    /// The key or value is larger than the engine takes.
    #[error("key or value larger than the engine takes")]
    TooLarge,
    /// The engine cannot do this.
    #[error("the engine does not support this")]
    NotSupported,
    /// A stored record does not read as one.
    #[error("damaged record: {0}")]
    Damaged(String),
    /// The engine failed in a way that this layout knows; its message.
    #[error("{0}")]
    Engine(String),
    /// pmemkv failed.
    #[error("{0}")]
    Pmemkv(#[source] pmemkv::Error),
    /// libpmemobj failed.
    #[error("{0}")]
    Pool(#[source] Box<pmemkv::PoolError>),
}

impl From<pmemkv::Error> for StoreError {
    fn from(error: pmemkv::Error) -> Self {
        use pmemkv::Error;
        match error {
            Error::OutOfMemory(_) => StoreError::OutOfMemory,
            Error::NotSupported(_) => StoreError::NotSupported,
            other => StoreError::Pmemkv(other),
        }
    }
}
