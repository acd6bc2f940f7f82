//! Messages that are no replies to a client's command: pub/sub, invalidations, MONITOR.
//!
//! Any thread may leave a message. The client's own connection takes the messages between two of its replies. Like
//! replies, it sends them only after everything that they may tell of is durable.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Instant;

use bytes::BytesMut;
use lock_order::{Mutex, Rank};

use super::bell::Bell;
use crate::config::OutputBufferLimit;
use crate::protocol::ReplyBuffer;

/// An empty buffer larger than this is freed.
const KEPT_BUFFER_BYTES: usize = 64 * 1024;

/// Encoded messages that wait for a client's connection.
#[derive(Debug)]
pub struct Mailbox {
    waiting: Mutex<Waiting>,
    /// How many bytes wait; readable without the lock.
    bytes: AtomicUsize,
    /// Whether the client was over its limit.
    overflown: AtomicBool,
    /// Rings when messages arrive, and when the client is killed.
    pub bell: Bell,
}

#[derive(Debug, Default)]
struct Waiting {
    bytes: BytesMut,
    over_soft_since: Option<Instant>,
}

impl Default for Mailbox {
    fn default() -> Self {
        Self {
            waiting: Mutex::new(Rank::Mailbox, Waiting::default()),
            bytes: AtomicUsize::new(0),
            overflown: AtomicBool::new(false),
            bell: Bell::default(),
        }
    }
}

impl Mailbox {
    /// Leaves an encoded message. Returns `false` if more waits than `limit` allows: then the message is dropped, and
    /// the caller must disconnect the client.
    pub fn put(&self, message: &[u8], limit: OutputBufferLimit) -> bool {
        self.put_behind(0, message, limit)
    }

    /// Like [`put`](Self::put), but counts `unsent` bytes that were taken out before as well.
    pub fn put_behind(&self, unsent: usize, message: &[u8], limit: OutputBufferLimit) -> bool {
        if self.overflown.load(Ordering::Relaxed) {
            return false;
        }
        let first;
        {
            let mut waiting = self.waiting.lock();
            let total = (unsent + waiting.bytes.len() + message.len()) as u64;
            if unsent == 0 && waiting.bytes.is_empty() {
                waiting.over_soft_since = None;
            }
            let is_over_soft = limit.soft_bytes > 0 && total > limit.soft_bytes;
            if is_over_soft {
                waiting.over_soft_since.get_or_insert_with(Instant::now);
            } else {
                waiting.over_soft_since = None;
            }
            let has_stayed_over = waiting
                .over_soft_since
                .is_some_and(|since| since.elapsed() > limit.soft_time);
            if has_stayed_over || (limit.hard_bytes > 0 && total > limit.hard_bytes) {
                self.overflown.store(true, Ordering::Relaxed);
                return false;
            }
            first = waiting.bytes.is_empty();
            waiting.bytes.extend_from_slice(message);
            self.bytes.store(waiting.bytes.len(), Ordering::Release);
        }
        if first {
            self.bell.ring();
        }
        true
    }

    /// Whether more waits than the soft limit allows, for longer than it allows. Until the client is gone nothing more is
    /// taken then.
    pub fn stays_over(&self, unsent: usize, limit: OutputBufferLimit) -> bool {
        if limit.soft_bytes == 0 || !self.has_mail() {
            return false;
        }
        let mut waiting = self.waiting.lock();
        if (unsent + waiting.bytes.len()) as u64 <= limit.soft_bytes {
            waiting.over_soft_since = None;
            return false;
        }
        let since = *waiting.over_soft_since.get_or_insert_with(Instant::now);
        let stays = since.elapsed() > limit.soft_time;
        if stays {
            self.overflown.store(true, Ordering::Relaxed);
        }
        stays
    }

    /// Whether messages wait.
    #[inline]
    pub fn has_mail(&self) -> bool {
        self.bytes.load(Ordering::Acquire) > 0
    }

    /// How many bytes of messages wait.
    pub fn waiting_bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Moves all waiting messages to the end of `out`.
    #[cold]
    pub fn take_into(&self, out: &mut ReplyBuffer) {
        let mut waiting = self.waiting.lock();
        out.put(&waiting.bytes);
        if waiting.bytes.capacity() > KEPT_BUFFER_BYTES {
            waiting.bytes = BytesMut::new();
        } else {
            waiting.bytes.clear();
        }
        self.bytes.store(0, Ordering::Release);
    }

    /// Returns when messages wait.
    pub async fn arrived(&self) {
        poll_fn(|context| {
            self.bell.listen(context);
            if self.has_mail() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::protocol::Protocol;

    fn output() -> ReplyBuffer {
        ReplyBuffer::new(Protocol::Resp2)
    }

    const UNLIMITED: OutputBufferLimit = OutputBufferLimit {
        hard_bytes: 0,
        soft_bytes: 0,
        soft_time: Duration::ZERO,
    };

    #[test]
    fn keeps_the_order() {
        let mailbox = Mailbox::default();
        assert!(!mailbox.has_mail());
        assert!(mailbox.put(b"one", UNLIMITED));
        assert!(mailbox.put(b"two", UNLIMITED));
        assert_eq!(mailbox.waiting_bytes(), 6);
        let mut out = output();
        out.put(b"zero");
        mailbox.take_into(&mut out);
        assert_eq!(out.in_one(), Some(&b"zeroonetwo"[..]));
        assert!(!mailbox.has_mail());
    }

    #[test]
    fn refuses_what_is_too_much_and_all_that_follows() {
        let limit = OutputBufferLimit {
            hard_bytes: 5,
            ..UNLIMITED
        };
        let mailbox = Mailbox::default();
        assert!(mailbox.put(b"12345", limit));
        assert!(!mailbox.put(b"6", limit));
        let mut out = output();
        mailbox.take_into(&mut out);
        assert_eq!(out.in_one(), Some(&b"12345"[..]));
        assert!(!mailbox.put(b"7", limit));
    }

    #[test]
    fn what_was_taken_and_not_sent_counts_too() {
        let limit = OutputBufferLimit {
            hard_bytes: 5,
            ..UNLIMITED
        };
        let mailbox = Mailbox::default();
        assert!(mailbox.put_behind(4, b"1", limit));
        mailbox.take_into(&mut output());
        assert!(mailbox.put_behind(0, b"12345", limit));
        mailbox.take_into(&mut output());
        assert!(!mailbox.put_behind(5, b"1", limit));
    }

    #[test]
    fn the_time_of_the_soft_limit_ends_with_the_wait() {
        let limit = OutputBufferLimit {
            soft_bytes: 2,
            soft_time: Duration::from_millis(5),
            ..UNLIMITED
        };
        let mailbox = Mailbox::default();
        assert!(mailbox.put(b"123", limit));
        mailbox.take_into(&mut output());
        std::thread::sleep(Duration::from_millis(10));
        assert!(mailbox.put(b"456", limit), "all was sent meanwhile");
        mailbox.take_into(&mut output());
        std::thread::sleep(Duration::from_millis(10));
        assert!(!mailbox.put_behind(3, b"7", limit), "nothing was");
    }

    #[test]
    fn a_soft_limit_has_a_time() {
        let limit = OutputBufferLimit {
            soft_bytes: 2,
            soft_time: Duration::from_millis(5),
            ..UNLIMITED
        };
        let mailbox = Mailbox::default();
        assert!(mailbox.put(b"123", limit));
        assert!(mailbox.put(b"4", limit));
        std::thread::sleep(Duration::from_millis(10));
        assert!(!mailbox.put(b"5", limit));
    }
    #[test]
    fn messages_that_stay_are_seen_although_no_more_come() {
        let limit = OutputBufferLimit {
            soft_bytes: 2,
            soft_time: Duration::from_millis(5),
            ..UNLIMITED
        };
        let mailbox = Mailbox::default();
        assert!(mailbox.put(b"12", limit));
        std::thread::sleep(Duration::from_millis(10));
        assert!(!mailbox.stays_over(0, limit), "they are not over it");
        assert!(!mailbox.stays_over(1, limit), "only now they are");
        std::thread::sleep(Duration::from_millis(10));
        assert!(!mailbox.stays_over(1, UNLIMITED));
        assert!(mailbox.stays_over(1, limit));
        assert!(
            !mailbox.put(b"3", UNLIMITED),
            "the client is on its way out"
        );
        let taken = Mailbox::default();
        assert!(taken.put(b"123", limit));
        taken.take_into(&mut output());
        std::thread::sleep(Duration::from_millis(10));
        assert!(!taken.stays_over(3, limit), "its connection keeps the time");
    }
}
