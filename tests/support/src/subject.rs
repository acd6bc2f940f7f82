//! What a test examines: our server, or another program of the protocol, to see whether the test itself is right.

use super::{RawClient, RedisServer, Server, TestResult};

/// Names the program to examine in our server's place: `redis-server`, or a path.
const VARIABLE: &str = "PMEMKV_SUBJECT";

/// A server under test. Dropping it kills the process.
pub enum Subject {
    /// Ours, with a pool.
    Ours(Server),
    /// The one that the environment names, without persistence.
    Other(RedisServer),
}

impl Subject {
    /// Starts ours on an engine, named as for [`super::Options::new`], or what `PMEMKV_SUBJECT` names.
    pub fn start(store: &str) -> TestResult<Self> {
        Ok(match std::env::var(VARIABLE) {
            Ok(program) => Self::Other(RedisServer::start_program(&program, &[])?),
            Err(_) => Self::Ours(Server::start(store)?),
        })
    }

    /// Whether it is ours.
    pub fn is_ours(&self) -> bool {
        matches!(self, Self::Ours(_))
    }

    /// Whether it reads what the redis-server of the search path dumps, and the other way round.
    pub fn exchanges_dumps(&self) -> bool {
        self.is_ours() || std::env::var(VARIABLE).is_ok_and(|name| name == "redis-server")
    }

    /// The TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        match self {
            Self::Ours(server) => server.port(),
            Self::Other(server) => server.port(),
        }
    }

    /// A connection that shows replies as they are.
    pub fn raw(&self) -> TestResult<RawClient> {
        Ok(RawClient::connect(self.port())?)
    }
}
