//! The server under test: ours, or another program of the protocol, to check the test itself.

use super::redis_server::REAL_VARIABLE;
use super::{Options, RawClient, RedisServer, Server, TestResult};

/// The environment variable with the program to test instead of our server: `redis-server`, or a path.
const VARIABLE: &str = "PMEMKV_SUBJECT";

/// A server under test. Dropping it kills the process.
pub enum Subject {
    /// Our server, with a pool.
    Ours(Server),
    /// The server that the environment names, without persistence.
    Other(RedisServer),
}

impl Subject {
    /// Starts the server that `PMEMKV_SUBJECT` names, or ours on `store`, which [`super::Options::new`] explains.
    pub fn start(store: &str) -> TestResult<Self> {
        Self::start_with(store, &[])
    }

    /// The same with directives for the command line: `--name`, `value`, ...
    pub fn start_with(store: &str, directives: &[&str]) -> TestResult<Self> {
        Ok(if let Ok(program) = std::env::var(VARIABLE) {
            Self::Other(RedisServer::start_program(&program, directives)?)
        } else {
            let mut options = Options::new(store);
            options
                .directives
                .extend(directives.iter().map(|&word| word.to_owned()));
            Self::Ours(Server::start_with(options)?)
        })
    }

    /// Whether it is our server.
    pub fn is_ours(&self) -> bool {
        matches!(self, Self::Ours(_))
    }

    /// Whether this server and the one to compare with can restore each other's dumps. Those of later versions than Redis
    /// 7.2 cannot be restored here.
    pub fn exchanges_dumps(&self) -> bool {
        if std::env::var(REAL_VARIABLE).is_ok() {
            return false;
        }
        self.is_ours() || std::env::var(VARIABLE).is_ok_and(|name| name == "redis-server")
    }

    /// The TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        match self {
            Self::Ours(server) => server.port(),
            Self::Other(server) => server.port(),
        }
    }

    /// A connection that shows replies unchanged.
    pub fn raw(&self) -> TestResult<RawClient> {
        Ok(RawClient::connect(self.port())?)
    }
}
