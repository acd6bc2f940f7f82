//! One commit for all of a worker's connections that have writes, where a commit waits for a disk.
//!
//! To run after the others' requests is not enough there: while a commit is under way, requests come, and then some connections
//! have just run theirs and others have just been served. Each would commit what it finds, for two requests at a time.

use std::cell::RefCell;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};

use parking_lot::Mutex;

use crate::keyspace::Keyspace;

/// A commit that connections of one worker wait for.
#[derive(Debug, Default)]
struct Shared(Mutex<Waits>);

#[derive(Debug, Default)]
struct Waits {
    /// Whether it succeeded, once it is over.
    outcome: Option<bool>,
    wakers: Vec<Waker>,
}

thread_local! {
    /// The worker's next commit, until it begins.
    static NEXT: RefCell<Option<Arc<Shared>>> = const { RefCell::new(None) };
}

/// Waits for a commit of what the caller has staged. Returns whether it succeeded. The caller runs in a worker's event loop.
pub(super) async fn commit_together(keyspace: &Arc<Keyspace>) -> bool {
    let shared = NEXT.with_borrow_mut(|next| {
        let begin = || {
            let shared = Arc::default();
            tokio::spawn(commit(Arc::clone(&shared), Arc::clone(keyspace)));
            shared
        };
        Arc::clone(next.get_or_insert_with(begin))
    });
    poll_fn(|cx| {
        let mut waits = shared.0.lock();
        if let Some(outcome) = waits.outcome {
            return Poll::Ready(outcome);
        }
        waits.wakers.push(cx.waker().clone());
        Poll::Pending
    })
    .await
}

async fn commit(shared: Arc<Shared>, keyspace: Arc<Keyspace>) {
    // The connections that are ready run first, and those of which the kernel has something by then.
    tokio::task::yield_now().await;
    NEXT.take();
    let outcome = keyspace.commit();
    let wakers = {
        let mut waits = shared.0.lock();
        // Whoever waits learns the error from a commit of its own.
        waits.outcome = Some(outcome.is_ok());
        std::mem::take(&mut waits.wakers)
    };
    wakers.into_iter().for_each(Waker::wake);
}
