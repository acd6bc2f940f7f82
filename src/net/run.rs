//! The server's life: open the store, listen, serve, stop in order.

use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::listener::Reception;
use super::metrics::Metrics;
use super::workers::Workers;
use super::{ListenError, Listeners};
use crate::acl::{self, Acl};
use crate::catalog::table;
use crate::config::{Config, Settings};
use crate::keyspace::{Housekeeping, Keyspace, KeyspaceError};
use crate::pmemkv::{self, Backing, Engine};
use crate::state::{
    Clients, Herald, Monitors, Notifications, Pause, PubSub, Rates, Server, Slowlog, Stats,
    Tracking,
};
use crate::store::{self, OpenError, Options};
use crate::tls::{Tls, TlsError};

/// File descriptors that are not clients' (pool, log, sockets, ...). Redis's number.
const RESERVED_FILES: u64 = 32;

/// How long clients get to take their last replies when the server stops.
const DRAIN_TIME: Duration = Duration::from_secs(10);

/// How long clients wait for the store to be read before they are told so.
const LOADING_PATIENCE: Duration = Duration::from_secs(1);

/// How often traffic rates are sampled.
const SAMPLE_TIME: Duration = Duration::from_millis(100);

/// Why the server ended other than in order.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The store can't be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The users can't be read.
    #[error(transparent)]
    Users(#[from] acl::StartError),
    /// A socket can't be opened.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// TLS can't be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The store can't be read.
    #[error("pool {}: {source}", path.display())]
    Load {
        /// Where it is.
        path: PathBuf,
        /// Why.
        source: KeyspaceError,
    },
    /// The store can't be closed in order.
    #[error("closing the store: {0}")]
    Close(#[from] KeyspaceError),
    /// The operating system refused a thread, a signal or a file.
    #[error("{0}")]
    System(#[from] std::io::Error),
}

/// Serves until a signal or SHUTDOWN ends it.
pub fn run(config: Config, engine: Engine, options: &Options) -> Result<(), RunError> {
    let settings = config.settings();
    let acl = Acl::start(&settings)?;
    // A wrong certificate is told before the pool is touched.
    let tls = Tls::new(&settings.tls)?;
    // This thread accepts clients, hears signals and samples rates; the workers serve.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    // Before the store is opened, which can take a while: a signal that comes meanwhile ends the server in order too.
    let signals = {
        let _inside = runtime.enter();
        Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        }
    };
    let opened = Instant::now();
    let store = store::open(engine, options)?;
    tracing::info!(ms = opened.elapsed().as_millis(), "store open");
    let worker_count = Workers::count(settings.worker_threads);
    let keyspace = Arc::new(Keyspace::new(store).for_workers(worker_count));
    keyspace
        .latency()
        .set_threshold(settings.latency_monitor_threshold_ms);
    keyspace.configure(&settings);
    let durability = survives(engine, options, &settings);
    let server = Arc::new(new_server(config, acl, tls, &settings, durability));
    Herald::appoint(&server, &keyspace);
    let workers = Arc::new(Workers::start(worker_count)?);
    let reception = Reception::new(Arc::clone(&keyspace), server, Arc::clone(&workers));
    let result = runtime.block_on(serve(&settings, engine, options, reception, signals));
    // Whatever task is left over is ended before the pool is closed under it.
    drop(runtime);
    drop(workers);
    keyspace.close()?;
    if let Some(path) = &settings.pidfile {
        // A file that somebody else removed meanwhile is no failure.
        let _ = std::fs::remove_file(path);
    }
    tracing::info!("the store is closed, bye");
    result
}

/// The signals that end the server.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

fn new_server(
    config: Config,
    acl: Acl,
    tls: Tls,
    settings: &Settings,
    durability: &'static str,
) -> Server {
    Server {
        acl,
        tls,
        clients: Clients::default(),
        pubsub: PubSub::default(),
        tracking: Tracking::default(),
        notifications: Notifications::default(),
        stats: Stats::new(table().all().len(), Workers::count(settings.worker_threads)),
        rates: Rates::default(),
        slowlog: Slowlog::default(),
        monitors: Monitors::default(),
        pause: Pause::default(),
        started: Instant::now(),
        started_at: SystemTime::now(),
        run_id: run_id(),
        durability,
        maxclients_possible: raise_file_limit(settings.maxclients),
        shutdown: watch::Sender::new(false),
        config,
    }
}

async fn serve(
    settings: &Settings,
    engine: Engine,
    options: &Options,
    reception: Reception,
    mut signals: Signals,
) -> Result<(), RunError> {
    let server = &Arc::clone(&reception.server);
    let keyspace = &Arc::clone(&reception.keyspace);
    let listeners = Listeners::open(settings)?;
    let metrics = Metrics::open(settings)?;
    if let Some(path) = &settings.pidfile {
        std::fs::write(path, format!("{}\n", std::process::id()))?;
    }
    announce(&listeners, server, engine, options, keyspace)?;
    let (failed, mut load_failed) = tokio::sync::mpsc::channel(1);
    let housekeeping = Housekeeping::start(keyspace, move |error| {
        // Nobody waits any more where the server is ending already.
        let _ = failed.blocking_send(error);
    })?;
    let metrics = tokio::spawn(metrics.serve(Arc::clone(server), Arc::clone(keyspace)));
    let sampler = tokio::spawn(sample_rates(Arc::clone(server)));
    let accepting = tokio::spawn(async move {
        // Who comes meanwhile waits in the queue: for a short time that is better than an error.
        let until = Instant::now() + LOADING_PATIENCE;
        while !reception.keyspace.is_loaded() && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        listeners.accept(reception).await;
    });
    let mut stopping = server.shutdown.subscribe();
    let mut failure = None;
    tokio::select! {
        Some(error) = load_failed.recv() => failure = Some(error),
        _ = signals.terminate.recv() => tracing::info!("SIGTERM: stopping"),
        _ = signals.interrupt.recv() => tracing::info!("SIGINT: stopping"),
        _ = stopping.wait_for(|&stop| stop) => tracing::info!("SHUTDOWN: stopping"),
    }
    server.shutdown.send_replace(true);
    // First no new clients, then those there are: each gets an answer to what it has sent.
    let _ = accepting.await;
    drain(server).await;
    sampler.abort();
    metrics.abort();
    drop(housekeeping);
    failure.map_or(Ok(()), |source| {
        Err(RunError::Load {
            path: options.pool_path.clone(),
            source,
        })
    })
}

async fn drain(server: &Server) {
    let deadline = Instant::now() + DRAIN_TIME;
    while !server.clients.is_empty() && Instant::now() < deadline {
        for client in server.clients.all() {
            client.finish();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let left = server.clients.len();
    if left > 0 {
        tracing::warn!(left, "clients that did not take their replies were cut off");
    }
}

async fn sample_rates(server: Arc<Server>) {
    let mut ticks = tokio::time::interval(SAMPLE_TIME);
    loop {
        ticks.tick().await;
        server.rates.sample(&server.stats);
    }
}

/// The first log lines: where the server is, what it keeps data in, and what that survives.
fn announce(
    listeners: &Listeners,
    server: &Server,
    engine: Engine,
    options: &Options,
    keyspace: &Keyspace,
) -> Result<(), KeyspaceError> {
    let stats = keyspace.stats()?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        address = listeners.addresses().join(" "),
        pid = std::process::id(),
        "pmemkv-server is ready"
    );
    let experimental = if engine.experimental {
        " (experimental)"
    } else {
        ""
    };
    tracing::info!(
        engine = format!("{}{experimental}", engine.name),
        layout = stats.layout,
        pool = %options.pool_path.display(),
        size_bytes = stats.pool_bytes,
        allocated_bytes = stats.allocated_bytes,
        partitions = stats.partitions,
        "store"
    );
    tracing::info!("durability: writes survive {}", server.durability);
    Ok(())
}

/// What acknowledged writes survive, in words; also shown in INFO.
pub fn survives(engine: Engine, options: &Options, settings: &Settings) -> &'static str {
    use crate::config::Durability;
    if !engine.persistent {
        return "nothing: the engine keeps data in this process's memory";
    }
    match (pmemkv::backing(&options.pool_path), settings.durability) {
        (Backing::Dax, Durability::Auto | Durability::Power) => {
            "power loss, kernel crash and process death (CPU flushes to persistent memory)"
        }
        (Backing::Dax, Durability::Process)
        | (Backing::Ordinary, Durability::Auto | Durability::Process) => {
            "process death and a clean reboot; NOT power loss (no msync: set 'durability power' for that)"
        }
        (Backing::Ordinary, Durability::Power) => {
            "power loss, kernel crash and process death (msync at each commit)"
        }
        (Backing::Tmpfs | Backing::Hugetlbfs, _) => {
            "process death and upgrades; NOT a reboot (the pool is in memory of this boot)"
        }
    }
}

/// Makes room for `maxclients` clients among the process's file descriptors; returns how many there is room for.
fn raise_file_limit(maxclients: usize) -> usize {
    let wanted = maxclients as u64 + RESERVED_FILES;
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return maxclients;
    };
    if soft >= wanted {
        // CONFIG SET maxclients may go up to what there is.
        return usize::try_from(soft - RESERVED_FILES).unwrap_or(usize::MAX);
    }
    let soft = wanted.min(hard).max(soft);
    if let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, soft, hard) {
        tracing::warn!(%error, "the limit of open files could not be raised");
    }
    let (soft, _) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((soft, hard));
    let possible = soft.saturating_sub(RESERVED_FILES).max(1);
    if possible < maxclients as u64 {
        tracing::warn!(
            maxclients,
            possible,
            "the limit of open files (ulimit -n) allows fewer clients than maxclients"
        );
    }
    usize::try_from(possible).unwrap_or(usize::MAX)
}

/// 40 hexadecimal digits that no other start has.
fn run_id() -> String {
    let random = RandomState::new();
    let part = |n: u32| random.hash_one((n, SystemTime::now()));
    format!("{:016x}{:016x}{:08x}", part(0), part(1), part(2) >> 32)
}
