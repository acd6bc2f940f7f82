//! The values of the directives in the form that the server reads: parsed, with types and units.

use std::ops::Deref;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;

use super::Values;
use super::checked::Checked;
use super::directives::{DIRECTIVES, Effect};
use super::feed::FeedSettings;
use super::replication::ReplicationSettings;
use super::tls::TlsSettings;

/// Bytes that debug output does not show.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Bytes);

impl Secret {
    pub(super) fn new(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

impl Deref for Secret {
    type Target = Bytes;

    fn deref(&self) -> &Bytes {
        &self.0
    }
}

impl AsRef<[u8]> for Secret {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("(secret)")
    }
}

/// One address of `bind`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindAddress {
    /// A host name or IP address; `*` is every IPv4 address, `::*` every IPv6 address.
    pub address: String,
    /// The address has a leading `-`: the server starts even if it cannot listen there.
    pub optional: bool,
}

/// The limits on output that waits for one client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputBufferLimit {
    /// The server closes the connection when this many bytes wait; 0 is no limit.
    pub hard_bytes: u64,
    /// The server closes the connection when more than this many bytes wait for `soft_time`; 0 is no limit.
    pub soft_bytes: u64,
    /// How long a client may exceed the soft limit.
    pub soft_time: Duration,
}

/// The output limits of each client class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputBufferLimits {
    /// Ordinary clients.
    pub normal: OutputBufferLimit,
    /// Replicas.
    pub replica: OutputBufferLimit,
    /// Clients that subscribe.
    pub pubsub: OutputBufferLimit,
}

/// An enum whose values a directive names by words.
pub(super) trait Choice: Sized {
    /// The words, in the order in which Redis's error text lists them.
    const WORDS: &'static [&'static str];

    /// The value that a checked word names.
    fn from_word(word: &str) -> Self;
}

macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$variant_meta])* $variant,)*
        }

        impl Choice for $name {
            const WORDS: &'static [&'static str] = &[$($word),*];

            fn from_word(word: &str) -> Self {
                match word {
                    $($word => Self::$variant,)*
                    other => unreachable!("{other} passed the check of {}", stringify!($name)),
                }
            }
        }

        /// The first word: a blank for [`Settings::default`].
        impl Default for $name {
            fn default() -> Self {
                Self::from_word(Self::WORDS[0])
            }
        }

        impl $name {
            /// The word in a configuration file.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }
        }
    };
}

words! {
    /// How much the server logs.
    LogLevel {
        /// Everything.
        Debug = "debug",
        /// A lot, but not every command.
        Verbose = "verbose",
        /// What an operator needs to know.
        Notice = "notice",
        /// Only what needs attention.
        Warning = "warning",
        /// Nothing at all.
        Nothing = "nothing",
    }
}

words! {
    /// The form of log lines.
    LogFormat {
        /// For people.
        Text = "text",
        /// One JSON object a line.
        Json = "json",
    }
}

words! {
    /// The supervisor that started the process; the server tells it how the start fares.
    Supervised {
        /// upstart.
        Upstart = "upstart",
        /// systemd.
        Systemd = "systemd",
        /// The one that the environment names.
        Auto = "auto",
        /// Nothing.
        No = "no",
    }
}

words! {
    /// The clients that may use a risky command.
    Access {
        /// Nobody.
        No = "no",
        /// Everybody.
        Yes = "yes",
        /// Clients on this machine.
        Local = "local",
    }
}

words! {
    /// Whether clients that speak TLS need a certificate.
    AuthClients {
        /// They need none, and the server does not ask for one.
        No = "no",
        /// They need one.
        Yes = "yes",
        /// They need none, but if they show one, it must be valid.
        Optional = "optional",
    }
}

words! {
    /// The keys that the server evicts when memory is full.
    EvictionPolicy {
        /// The key with a deadline that was not used for the longest time.
        VolatileLru = "volatile-lru",
        /// The key with a deadline that is used least.
        VolatileLfu = "volatile-lfu",
        /// A random key with a deadline.
        VolatileRandom = "volatile-random",
        /// The key whose deadline comes first.
        VolatileTtl = "volatile-ttl",
        /// The key that was not used for the longest time.
        AllkeysLru = "allkeys-lru",
        /// The key that is used least.
        AllkeysLfu = "allkeys-lfu",
        /// A random key.
        AllkeysRandom = "allkeys-random",
        /// None: the server refuses writes.
        Noeviction = "noeviction",
    }
}

words! {
    /// How records lie in the engine.
    Layout {
        /// The layout of the pool. A new pool is packed if the engine supports that.
        Auto = "auto",
        /// One pair of the engine for each key.
        Pairs = "pairs",
        /// A log of segments, each one pair of the engine.
        Packed = "packed",
    }
}

words! {
    /// What an acknowledged write has to survive.
    Durability {
        /// What the place of the pool gives without msync.
        Auto = "auto",
        /// A loss of power, but for about the last second, on an ordinary file system.
        Everysec = "everysec",
        /// A loss of power. If the memory is not persistent, this costs an msync for each commit.
        Power = "power",
        /// The death of the process.
        Process = "process",
    }
}

words! {
    /// How a replica takes its master's data set, if it cannot go on from its place. The first three differ in how Redis
    /// spares memory and disk; here they mean one thing.
    FullSync {
        /// Beside its own, which serves until the other one is whole.
        Disabled = "disabled",
        /// The same.
        OnEmptyDb = "on-empty-db",
        /// The same.
        SwapDb = "swapdb",
        /// After it has dropped its own, so that the pool need not hold both.
        FlushFirst = "flush-before-load",
    }
}

impl Access {
    /// Whether a client has access; `local` says whether it is on this machine.
    pub fn allows(self, local: bool) -> bool {
        self == Access::Yes || (self == Access::Local && local)
    }
}

/// An amount of memory, or a share of `maxmemory`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryShare {
    /// Bytes; 0 for no limit.
    Bytes(u64),
    /// Per cent of `maxmemory`.
    Percent(u64),
}

impl Default for MemoryShare {
    fn default() -> Self {
        MemoryShare::Bytes(0)
    }
}

impl MemoryShare {
    /// The limit in bytes; `None` for none.
    pub fn bytes(self, maxmemory: u64) -> Option<u64> {
        let bytes = match self {
            MemoryShare::Bytes(bytes) => bytes,
            MemoryShare::Percent(percent) => maxmemory / 100 * percent,
        };
        (bytes > 0).then_some(bytes)
    }
}

/// All values that have an effect in this server. The rows of the directives fill the fields.
///
/// `Settings::default()` is the blank that they fill, not the defaults of the server: those are
/// `Config::default().settings()`.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(clippy::struct_excessive_bools)] // They mirror the yes/no directives.
pub struct Settings {
    /// The addresses to listen on.
    pub bind: Vec<BindAddress>,
    /// The TCP port; 0 is none.
    pub port: u16,
    /// TLS.
    pub tls: TlsSettings,
    /// Replication.
    pub replication: ReplicationSettings,
    /// The TCP port of the metrics; 0 is none.
    pub metrics_port: u16,
    /// The addresses that serve the metrics.
    pub metrics_bind: Vec<BindAddress>,
    /// The path of the Unix socket.
    pub unixsocket: Option<PathBuf>,
    /// The mode of the Unix socket; `None` leaves it as the system makes it.
    pub unixsocketperm: Option<u32>,
    /// How many connections may wait to be accepted.
    pub tcp_backlog: u32,
    /// How long a client may be idle; `None` is forever.
    pub timeout: Option<Duration>,
    /// After how long TCP asks a silent client whether it is alive; `None` is never.
    pub tcp_keepalive: Option<Duration>,
    /// How many clients may be connected.
    pub maxclients: usize,
    /// How many databases there are, 1 to 16.
    pub databases: usize,
    /// The password of the default user.
    pub requirepass: Option<Secret>,
    /// Refuse clients from other machines while there is no password.
    pub protected_mode: bool,
    /// How much the server logs.
    pub loglevel: LogLevel,
    /// The log file; standard output if there is none.
    pub logfile: Option<PathBuf>,
    /// The form of log lines.
    pub log_format: LogFormat,
    /// The file that the server writes its process id to.
    pub pidfile: Option<PathBuf>,
    /// Run in the background.
    pub daemonize: bool,
    /// The supervisor that started the process; the server tells it how the start fares.
    pub supervised: Supervised,
    /// The configuration promises that each write survives a loss of power, as `appendonly yes` with `appendfsync always`
    /// does in Redis.
    pub promises_power: bool,
    /// How many times a second the background work runs.
    pub hz: u32,
    /// The effort of active expiry, 1 to 10.
    pub active_expire_effort: u32,
    /// The most bytes of unread input of a client.
    pub client_query_buffer_limit: usize,
    /// The most bytes of one argument.
    pub proto_max_bulk_len: usize,
    /// The limits on unsent output.
    pub client_output_buffer_limits: OutputBufferLimits,
    /// The most bytes of data; with 0 only the pool's size is the limit.
    pub maxmemory: u64,
    /// What all clients together may take.
    pub maxmemory_clients: MemoryShare,
    /// The keys to evict at that limit.
    pub maxmemory_policy: EvictionPolicy,
    /// From how many keys the server chooses the one to evict.
    pub maxmemory_samples: usize,
    /// How long one command may evict, from 0 to 100; 100 is without limit.
    pub maxmemory_eviction_tenacity: u32,
    /// The clients that may use DEBUG.
    pub enable_debug_command: Access,
    /// The clients that may use MODULE LOAD, LOADEX and UNLOAD.
    pub enable_module_command: Access,
    /// The clients that may change protected directives.
    pub enable_protected_configs: Access,
    /// How fast LFU counters grow.
    pub lfu_log_factor: u32,
    /// In how many minutes LFU counters shrink by one.
    pub lfu_decay_time_minutes: u32,
    /// Commands that take at least this many microseconds enter the slow log; -1 is none.
    pub slowlog_log_slower_than_micros: i64,
    /// How many entries the slow log keeps.
    pub slowlog_max_len: usize,
    /// Requests of so many bytes or more are logged; negative for none.
    pub commandlog_request_larger_than_bytes: i64,
    /// How many of them are kept.
    pub commandlog_large_request_max_len: usize,
    /// Replies of so many bytes or more are logged; negative for none.
    pub commandlog_reply_larger_than_bytes: i64,
    /// How many of them are kept.
    pub commandlog_large_reply_max_len: usize,
    /// How long a script may run before other clients get BUSY, ms; 0 for ever.
    pub busy_reply_threshold_ms: u64,
    /// LATENCY records events that take at least this many milliseconds; 0 records none.
    pub latency_monitor_threshold_ms: u64,
    /// Keep latency figures for each command.
    pub latency_tracking: bool,
    /// The percentiles of these figures that INFO shows.
    pub latency_tracking_info_percentiles: Vec<f64>,
    /// The letters of the keyspace events that the server publishes.
    pub notify_keyspace_events: String,
    /// How many keys the server remembers for clients that cache; 0 is no limit.
    pub tracking_table_max_keys: usize,
    /// Commands that the start renames: the name and the new name. An empty new name removes the command.
    pub rename_commands: Vec<(String, String)>,
    /// The arguments of the `user` lines: a name and its rules, which may hold passwords.
    pub users: Vec<Vec<Secret>>,
    /// The file that holds the users.
    pub aclfile: Option<PathBuf>,
    /// How many entries ACL LOG keeps.
    pub acllog_max_len: usize,
    /// The most bytes of a sparse `HyperLogLog`, header included; a longer one becomes dense.
    pub hll_sparse_max_bytes: usize,
    /// The bytes of a stream's node; 0 is no limit.
    pub stream_node_max_bytes: u64,
    /// The entries of a stream's node; 0 is no limit.
    pub stream_node_max_entries: u64,
    /// When collections change their form.
    pub forms: FormSettings,
    /// Whether new users may use all channels.
    pub acl_pubsub_default_all: bool,
    /// The storage engine.
    pub engine: String,
    /// The engine's own configuration as a JSON object, if there is one.
    pub engine_config: Option<String>,
    /// How records lie in the engine.
    pub layout: Layout,
    /// Open a damaged pool with what is readable of it, instead of refusing it.
    pub repair: bool,
    /// The pool's file.
    pub pool_path: PathBuf,
    /// The size of a new pool.
    pub pool_size_bytes: u64,
    /// The folder that backups go to; without it there are none.
    pub backup_dir: Option<PathBuf>,
    /// Where the index is kept for the next start: `no`, `auto`, or a file.
    pub index_file: String,
    /// The file or folder of a Redis or Valkey server that the start reads into the empty pool.
    pub import: Option<PathBuf>,
    /// The folder of the RDB file; without it the process's own.
    pub dir: PathBuf,
    /// The name of the RDB file.
    pub dbfilename: PathBuf,
    /// After how many seconds, and how many changes in that time, the server writes an RDB file.
    pub save_points: Vec<(u64, u64)>,
    /// What SIGINT makes the end do, in Redis's words. Only `save` and `nosave` differ here.
    pub shutdown_on_sigint: String,
    /// What SIGTERM makes the end do.
    pub shutdown_on_sigterm: String,
    /// Compress long strings in RDB files.
    pub rdb_compression: bool,
    /// Write a checksum at the end of RDB files, and check it in those that are read.
    pub rdb_checksum: bool,
    /// The version of RDB files that the server writes.
    pub rdb_version: u32,
    /// What commands may keep in memory for an RDB file that is being written, bytes.
    pub rdb_buffer_limit: usize,
    /// What a master keeps for its replicas, and asks of them.
    pub feed: FeedSettings,
    /// What an acknowledged write has to survive.
    pub durability: Durability,
    /// How many threads serve clients; 0 is one for each core but one.
    pub worker_threads: usize,
    /// The version of Redis that the server names to its clients.
    pub redis_version: String,
}

/// When collections change their form, as Redis does it, and when they stop being one record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FormSettings {
    /// The most fields of a hash in a listpack.
    pub hash_entries: u64,
    /// The longest field or value of a hash in a listpack.
    pub hash_value_bytes: u64,
    /// The most members of an intset.
    pub set_integers: u64,
    /// The most members of a set in a listpack.
    pub set_entries: u64,
    /// The longest member of a set in a listpack.
    pub set_value_bytes: u64,
    /// The most members of a sorted set in a listpack.
    pub zset_entries: u64,
    /// The longest member of a sorted set in a listpack.
    pub zset_value_bytes: u64,
    /// The most elements of a list in a listpack, or with a negative number, its size: -1 is 4 KiB, -5 is 64 KiB.
    pub list_size: i64,
    /// The most bytes of a collection that is one record.
    pub compact_bytes_max: u64,
}

impl Settings {
    /// Reads checked values: the row of each directive sets its field.
    pub(super) fn from_values(values: &Values) -> Self {
        let mut settings = Self {
            promises_power: values.promises_power(),
            rename_commands: values.rename_commands.clone(),
            users: values.users.iter().map(|user| secrets(user)).collect(),
            ..Self::default()
        };
        for (directive, value) in DIRECTIVES.iter().zip(&values.shown) {
            if let Effect::Sets(set) = directive.effect {
                set(&mut settings, Checked(value));
            }
        }
        if values.ignores_replicaof() {
            settings.replication.master = None;
        }
        settings
    }
}

fn secrets(args: &[Vec<u8>]) -> Vec<Secret> {
    args.iter()
        .map(|arg| Secret::new(arg.clone().into()))
        .collect()
}
