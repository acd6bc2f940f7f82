//! Commands that wait for EXEC.

use crate::catalog::Command;
use crate::protocol::{Args, OwnedArgs};

/// A queued command.
#[derive(Debug)]
pub struct Queued {
    /// Which.
    pub command: &'static Command,
    /// Its words.
    pub args: OwnedArgs,
}

/// A client's transaction, from MULTI on.
#[derive(Debug, Default)]
pub struct Transaction {
    /// The commands, in the order in which they came.
    pub queue: Vec<Queued>,
    /// A command was refused: EXEC will be too.
    pub is_spoilt: bool,
    bytes: usize,
}

impl Transaction {
    /// Adds a command.
    pub fn push(&mut self, command: &'static Command, args: Args<'_>) {
        let args = OwnedArgs::new(args.from(0));
        self.bytes += args.bytes() + size_of::<Queued>();
        self.queue.push(Queued { command, args });
    }

    /// How much memory the queue takes, bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}
