//! A transaction's changes are one step.

use std::sync::atomic::Ordering;

use super::Packed;

impl Packed {
    /// Runs a transaction's changes, of which a commit takes all or none.
    pub(super) fn run_step(&self, change: &mut dyn FnMut()) {
        // A commit takes whatever is staged. No commit may run before the change has staged everything.
        let held = self.front.hold(&self.space);
        change();
        if !self.has_held_generations.load(Ordering::Relaxed) {
            return;
        }
        self.has_held_generations.store(false, Ordering::Relaxed);
        if let Some(generations) = self.held_generations.lock().take() {
            let done = held.commit_with(&self.metadata, &generations);
            if let Err(error) = done {
                tracing::error!(%error, "a transaction with a flush was not committed as one step");
            }
        }
    }
}
