//! RESP2, RESP3 and inline commands: bytes in, [`Args`]; [`Reply`] in, bytes.

mod ahead;
mod args;
mod push;
mod reply;
mod reply_buffer;
mod request;

pub use ahead::{Lookahead, REQUESTS_AHEAD};
pub use args::{Args, Arguments, OwnedArgs};
pub use push::Push;
pub use reply::{Protocol, Reply};
pub use reply_buffer::ReplyBuffer;
pub use request::{Parsed, ProtocolError, RequestLimits, RequestParser};
