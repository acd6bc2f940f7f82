//! Commands queued for EXEC.

use crate::catalog::Command;
use crate::protocol::{Args, OwnedArgs};

/// A queued command.
#[derive(Debug)]
pub struct Queued {
    /// The command.
    pub command: &'static Command,
    /// The arguments.
    pub args: OwnedArgs,
}

/// A client's transaction, from MULTI on.
#[derive(Debug, Default)]
pub struct Transaction {
    /// The commands, in the order in which the client sent them.
    pub queue: Vec<Queued>,
    /// A command was refused, so EXEC will be refused too.
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

    /// Memory of the queue, bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}
