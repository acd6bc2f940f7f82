//! A connection whose client waits in a command.

use std::io;
use std::sync::Arc;

use super::output::until;
use super::unsent::Progress;
use super::{Connection, End, READ_BYTES, Stream, mail_may_go};
use crate::keyspace::Presence;
use crate::state::{Answer, CommandStats, ReplyMode};

impl Connection {
    /// Waits for the answer of the blocked command and appends it to the replies. Input that arrives meanwhile stays in
    /// the buffer. Returns `Some` if the connection ends instead, and the wait with it.
    pub(super) async fn wait<S>(&mut self, stream: &mut S) -> io::Result<Option<End>>
    where
        S: Stream,
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
            // Before the mailbox, so that a message which came after the answer follows it.
            if let Some(answer) = blocked.take_answer() {
                self.answer(&answer);
                return Ok(None);
            }
            if handle.is_killed() {
                return Ok(Some(End::Killed));
            }
            // As in `take_mail`.
            if handle.mailbox.has_mail()
                && Presence::of_worker(self.keyspace.gate(), self.worker).is_inside()
            {
                self.refresh_settings();
                self.limit_output(0);
                let out = &mut self.out;
                blocked.if_waits(|| handle.mailbox.take_into(out));
                if let Some(end) = self.send(stream).await {
                    return Ok(Some(end));
                }
                continue;
            }
            if self.input.len() > self.settings.client_query_buffer_limit {
                return Ok(Some(End::QueryLimit));
            }
            if self.unsent.is_lost() {
                return Ok(Some(End::Left));
            }
            self.input.reserve(READ_BYTES);
            let output_limit = self.deadline(None).map(|(at, _)| at);
            let unsent_bytes = self.unsent.bytes();
            tokio::select! {
                biased;
                () = blocked.answered() => {}
                () = handle.killed() => {}
                // Reads on, to notice a client that goes away: it must not take an element.
                progress = self.unsent.progress(stream, Some(&mut self.input)) => match progress? {
                    Progress::Read(0) => return Ok(Some(End::Left)),
                    Progress::Read(_) => {
                        self.stripe().add_read();
                        self.note_state();
                    }
                    Progress::Wrote => {}
                },
                () = until(deadline) => {
                    blocked.set_free(false);
                }
                () = until(output_limit) => return Ok(Some(End::OutputLimit)),
                () = mail_may_go(&handle, &self.keyspace) => {}
            }
            if self.unsent.bytes() != unsent_bytes {
                self.has_written();
            }
        }
    }

    /// Ends the wait with an answer.
    fn answer(&mut self, answer: &Answer) {
        self.limit_output(0);
        let before = self.out.len();
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
            self.out.discard(before);
        }
        let written = self.out.len().saturating_sub(before);
        self.dispatcher.end(&self.server, 0, written);
        if self.session.handle.mailbox.has_mail() {
            self.take_mail();
        }
        self.note_state();
    }
}
