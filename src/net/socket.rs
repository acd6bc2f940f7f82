//! Reading and writing with limits of time.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};

use crate::config::OutputBufferLimit;

/// Reads what there is; `None` where nothing came within the limit.
pub(super) async fn read_some<S: AsyncRead + Unpin>(
    stream: &mut S,
    input: &mut BytesMut,
    limit: Option<Duration>,
) -> io::Result<Option<usize>> {
    match limit {
        None => stream.read_buf(input).await.map(Some),
        Some(limit) => match timeout(limit, stream.read_buf(input)).await {
            Ok(read) => read.map(Some),
            Err(_) => Ok(None),
        },
    }
}

/// Writes everything and empties `bytes`; `false` where more than the soft limit stayed unsent for its time. `unsent` says
/// how much is left meanwhile.
pub(super) async fn write_within<S: AsyncWrite + Unpin>(
    stream: &mut S,
    bytes: &mut BytesMut,
    limit: OutputBufferLimit,
    unsent: &AtomicUsize,
) -> io::Result<bool> {
    let mut over_since = None;
    let mut sent = 0;
    while sent < bytes.len() {
        let left = &bytes[sent..];
        let over = limit.soft_bytes > 0 && left.len() as u64 > limit.soft_bytes;
        let written = if over && !limit.soft_time.is_zero() {
            let since = *over_since.get_or_insert_with(Instant::now);
            let Ok(written) = timeout_at(since + limit.soft_time, stream.write(left)).await else {
                return Ok(false);
            };
            written?
        } else {
            over_since = None;
            stream.write(left).await?
        };
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        sent += written;
        unsent.store(bytes.len() - sent, Ordering::Relaxed);
    }
    // A stream that encrypts may hold records back until it is flushed.
    match over_since {
        Some(since) => {
            let Ok(flushed) = timeout_at(since + limit.soft_time, stream.flush()).await else {
                return Ok(false);
            };
            flushed?;
        }
        None => stream.flush().await?,
    }
    bytes.clear();
    Ok(true)
}
