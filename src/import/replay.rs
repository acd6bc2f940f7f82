//! Commands of append-only files.

use std::sync::Arc;

use bytes::{Buf, BytesMut};

use super::files::Input;
use super::{COMMIT_BYTES, Refusal, Work};
use crate::acl::User;
use crate::commands::{Dispatcher, Next, Surroundings};
use crate::keyspace::now_ms;
use crate::protocol::{Args, Parsed, Protocol, ReplyBuffer, RequestLimits, RequestParser};
use crate::state::{ClientHandle, Endpoint, Server, Session};

/// How many bytes of the file are read at a time.
const READ_BYTES: usize = 256 * 1024;

/// A client of the server's own, which may do everything and has no connection.
pub(super) struct Replay {
    dispatcher: Dispatcher,
    session: Session,
    handle: Arc<ClientHandle>,
    out: ReplyBuffer,
}

impl Replay {
    pub fn new(server: &Server) -> Self {
        let user = User::internal(b"import");
        let endpoint = Endpoint {
            addr: "import".to_owned(),
            laddr: String::new(),
            fd: -1,
            unix: false,
        };
        let handle = server.clients.register(endpoint, &user, now_ms());
        let session = Session::internal(user, Arc::clone(&handle));
        Self {
            dispatcher: Dispatcher::new(0),
            session,
            handle,
            out: ReplyBuffer::new(Protocol::Resp2),
        }
    }

    /// Runs one command. An error reply is a refusal: what a server has written into its file has succeeded there.
    fn run(&mut self, around: &mut Surroundings<'_>, args: Args<'_>) -> Result<(), Refusal> {
        let next = self
            .dispatcher
            .execute(around, &mut self.session, args, &mut self.out);
        let reply = self.out.in_one().unwrap_or_default();
        let error = reply.strip_prefix(b"-").map(|error| {
            let text = error.trim_ascii_end().escape_ascii();
            let name = args.get(0).unwrap_or_default().escape_ascii();
            format!("the command '{name}' failed: {text}")
        });
        self.out.clear(READ_BYTES);
        match (error, next) {
            (Some(error), _) => Err(Refusal::Text(error)),
            (None, Next::Continue) => Ok(()),
            (None, _) => {
                let name = args.get(0).unwrap_or_default().escape_ascii();
                Err(Refusal::Text(format!(
                    "the command '{name}' cannot run here"
                )))
            }
        }
    }
}

impl Work<'_> {
    /// Runs the commands of an append-only file.
    pub(super) fn commands(&mut self, mut input: Input<'_>) -> Result<(), Refusal> {
        let mut buffer = BytesMut::new();
        let mut parser = RequestParser::default();
        // Each file begins with SELECT, or means database 0.
        self.replay.session.select(0);
        loop {
            let read = input.read_into(&mut buffer, READ_BYTES)?;
            let mut consumed = 0;
            loop {
                let batch = self.run_batch(&buffer[consumed..], &mut parser)?;
                consumed += batch.consumed;
                self.commit()?;
                if batch.is_over {
                    break;
                }
            }
            buffer.advance(consumed);
            if read == 0 {
                break;
            }
        }
        if !buffer.is_empty() {
            let what = "it ends within a command. redis-check-aof --fix cuts such a rest off";
            return Err(Refusal::Text(what.to_owned()));
        }
        if self.replay.session.transaction.is_some() {
            let what = "it ends within a transaction. redis-check-aof --fix cuts such a rest off";
            return Err(Refusal::Text(what.to_owned()));
        }
        Ok(())
    }

    /// Runs whole commands of `input`, up to a commit's worth.
    fn run_batch(&mut self, input: &[u8], parser: &mut RequestParser) -> Result<Batch, Refusal> {
        let limits = RequestLimits {
            bulk_bytes_max: self.server.config.settings().proto_max_bulk_len,
            authenticated: true,
        };
        let Replay {
            dispatcher,
            session,
            ..
        } = &mut self.replay;
        let mut around = dispatcher.begin_slow(self.keyspace, self.server, session);
        let mut consumed_all = 0;
        let mut is_over = false;
        let result = loop {
            if consumed_all as u64 >= COMMIT_BYTES {
                break Ok(());
            }
            let rest = &input[consumed_all..];
            let parsed = match parser.parse(rest, limits) {
                Ok(parsed) => parsed,
                Err(error) => break Err(Refusal::Text(format!("damaged: {error}"))),
            };
            match parsed {
                Parsed::Request { consumed } => {
                    let args = Args::new(rest, parser.arguments());
                    if let Err(refusal) = self.replay.run(&mut around, args) {
                        break Err(refusal);
                    }
                    self.summary.commands += 1;
                    consumed_all += consumed;
                }
                // A note, for instance of the time.
                Parsed::Inline { consumed } if rest.starts_with(b"#") => consumed_all += consumed,
                Parsed::Inline { .. } => {
                    let what = "damaged: a command does not begin with *";
                    break Err(Refusal::Text(what.to_owned()));
                }
                Parsed::Nothing { consumed } => consumed_all += consumed,
                Parsed::Incomplete { .. } => {
                    is_over = true;
                    break Ok(());
                }
            }
        };
        drop(around);
        self.replay.dispatcher.end(self.server, consumed_all, 0);
        result.map(|()| Batch {
            consumed: consumed_all,
            is_over,
        })
    }

    /// Removes the client from the list.
    fn leave(&mut self) {
        self.replay.session.withdraw(self.server, self.keyspace);
        self.server.clients.remove(self.replay.handle.id);
    }
}

impl Drop for Work<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}

/// What a batch has read of its input.
struct Batch {
    consumed: usize,
    /// Whether what is left is no whole command.
    is_over: bool,
}
