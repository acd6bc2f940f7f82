//! One commit for all of a worker's connections that have writes, where a commit waits for a disk.
//!
//! To run after the others' requests is not enough there: while a commit is under way, requests come, and then some connections
//! have just run theirs and others have just been served. Each would commit what it finds, for two requests at a time.

use std::cell::RefCell;
use std::sync::Arc;

use tokio::sync::watch;

use crate::keyspace::Keyspace;

thread_local! {
    /// Tells whether the worker's next commit has succeeded, once it is over. There is none after it has begun.
    static NEXT: RefCell<Option<watch::Receiver<bool>>> = const { RefCell::new(None) };
}

/// Waits for a commit of what the caller has staged. Returns whether it succeeded; whoever hears that it did not learns why from
/// a commit of its own. The caller runs in a worker's event loop.
pub(super) async fn commit_together(keyspace: &Arc<Keyspace>) -> bool {
    let mut told = NEXT.with_borrow_mut(|next| {
        let begin = || {
            let (tell, told) = watch::channel(false);
            tokio::spawn(commit(tell, Arc::clone(keyspace)));
            told
        };
        next.get_or_insert_with(begin).clone()
    });
    told.changed().await.is_ok() && *told.borrow()
}

async fn commit(tell: watch::Sender<bool>, keyspace: Arc<Keyspace>) {
    // The connections that are ready run first, and those of which the kernel has something by then.
    tokio::task::yield_now().await;
    NEXT.take();
    tell.send_replace(keyspace.commit().is_ok());
}
