//! A connection whose client waits in a command.

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};

use super::{Connection, End, READ_BYTES, read_some};
use crate::keyspace::Presence;
use crate::state::Answer;
use crate::state::{CommandStats, ReplyMode};

impl Connection {
    /// Waits until the command that blocks has its answer, and puts that behind the replies. What arrives meanwhile
    /// stays in the input. `Some` where the connection ends instead: then nobody waits any more.
    pub(super) async fn wait<S>(&mut self, stream: &mut S) -> io::Result<Option<End>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let Some((blocked, deadline)) = self
            .session
            .wait
            .as_ref()
            .map(|wait| (Arc::clone(&wait.blocked), wait.deadline))
        else {
            return Ok(None);
        };
        let handle = Arc::clone(&self.session.handle);
        loop {
            // Before the mailbox: a message that came after the answer goes behind it.
            if let Some(answer) = blocked.take_answer() {
                self.answer(&answer);
                return Ok(None);
            }
            if handle.is_killed() {
                return Ok(Some(End::Killed));
            }
            if handle.mailbox.has_mail() {
                self.refresh_settings();
                // As in `take_mail`.
                drop(Presence::of_worker(self.keyspace.gate(), self.worker));
                let out = &mut self.out.bytes;
                blocked.if_waits(|| handle.mailbox.take_into(out));
                if let Some(end) = self.send(stream).await? {
                    return Ok(Some(end));
                }
                continue;
            }
            if self.input.len() > self.settings.client_query_buffer_limit {
                return Ok(Some(End::QueryLimit));
            }
            self.input.reserve(READ_BYTES);
            let time_is_over = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = blocked.answered() => {}
                () = handle.killed() => {}
                // Who goes away is to take nothing.
                read = read_some(stream, &mut self.input, None) => {
                    if read? == Some(0) {
                        return Ok(Some(End::Closed));
                    }
                    self.stripe().add_read();
                    self.note_state();
                }
                () = time_is_over => {
                    blocked.set_free(false);
                }
                () = handle.mailbox.arrived() => {}
            }
        }
    }

    /// Ends the wait with an answer.
    fn answer(&mut self, answer: &Answer) {
        let before = self.out.bytes.len();
        let wait = self.session.wait.take();
        match answer {
            Ok(reply) => self.out.reply(reply),
            Err(error) => {
                let text = error.to_string();
                self.out.error(&text);
                let stripe = self.server.stats.stripe(self.worker);
                stripe.add_error(&text);
                if let Some(wait) = &wait {
                    let failed = CommandStats {
                        failed: 1,
                        ..CommandStats::default()
                    };
                    stripe.add_command(wait.blocked.command().number, failed);
                }
            }
        }
        if let Some(wait) = wait {
            wait.end(&self.session.handle, &self.keyspace);
        }
        if self.session.reply_mode != ReplyMode::On {
            self.out.bytes.truncate(before);
        }
        let written = self.out.bytes.len() - before;
        self.dispatcher.end(&self.server, 0, written);
        if self.session.handle.mailbox.has_mail() {
            self.take_mail();
        }
        self.note_state();
    }
}
