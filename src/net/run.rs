//! The server's life: open the store, listen, serve, stop in order.

use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior, timeout};

use super::histories;
use super::listener::{Reception, accept};
use super::metrics::Metrics;
use super::replication::ReplicaThread;
use super::workers::Workers;
use crate::acl::{self, Acl};
use crate::catalog::table;
use crate::commands::copy_value;
use crate::config::{Config, Settings};
use crate::import::{Import, ImportError};
use crate::keyspace::{Housekeeping, Keyspace, KeyspaceError, remove_unfinished_backups};
use crate::launch::Launcher;
use crate::logging;
use crate::pmemkv::{Engine, void_on_crash};
use crate::state::feed::{self, FeedThread};
use crate::state::{
    BackupThread, Backups, Clients, Failover, Feed, Monitors, Notifications, Notifier, Pause,
    PubSub, Rates, Replication, SaveThread, Saves, Scripting, Server, Slowlog, Stats, Tracking,
    announce_version,
};
use crate::store::{self, OpenError, Options};
use crate::system::files::{self, TooMany};
use crate::system::pidfile::Pidfile;
use crate::system::{Changes, ListenError, Passed, Ports, Survival, UnixSocket, index_file};
use crate::tls::{Tls, TlsError};

/// How long a stopping server waits for clients to take their last replies.
const DRAIN_TIME: Duration = Duration::from_secs(10);

/// How long new clients wait while the server loads the pool. After that they are accepted and get LOADING errors.
const LOADING_PATIENCE: Duration = Duration::from_secs(1);

/// How often a terminal or a supervisor hears how much of the pool is read.
const REPORT_TIME: Duration = Duration::from_millis(250);

/// How often the server samples its traffic.
const SAMPLE_TIME: Duration = Duration::from_millis(100);

/// How often the server looks for clients that leave too many messages waiting, as Redis looks at each client.
const SLOW_CLIENTS_TIME: Duration = Duration::from_secs(1);

/// Why the server ended with an error.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The store can't be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The users can't be read.
    #[error(transparent)]
    Users(#[from] acl::StartError),
    /// The limit of open files leaves no file for clients.
    #[error(
        "Your current 'ulimit -n' of {files} is not enough for the server to start. Please increase your open file limit \
         to at least {least}."
    )]
    Files {
        /// The limit.
        files: u64,
        /// The lowest limit that the server can work with.
        least: u64,
    },
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
    /// Nothing was imported.
    #[error("import: {0}")]
    Import(#[from] ImportError),
    /// The store can't be closed in order.
    #[error("closing the store: {0}")]
    Close(#[from] KeyspaceError),
    /// The operating system refused a thread, a signal or a file.
    #[error("{0}")]
    System(#[from] std::io::Error),
}

/// Serves until a signal or SHUTDOWN ends the server. Tells `launcher` of every step.
pub fn run(
    config: Config,
    engine: Engine,
    options: &Options,
    launcher: Launcher,
) -> Result<(), RunError> {
    launcher.loading();
    announce_version(&config.settings().redis_version);
    let worker_count = Workers::count(config.settings().worker_threads);
    let reserved_files = files::reserved(worker_count);
    fit_maxclients(&config, reserved_files)?;
    let settings = config.settings();
    let acl = Acl::start(&settings)?;
    // Before the pool is opened, so that a wrong certificate stops the start first.
    let tls = Tls::new(&settings.tls)?;
    // This thread accepts clients, hears signals and samples rates; the workers serve.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    // Opening the store can take a while. Installed before it, these handlers let a signal end the server in order.
    let signals = {
        let _inside = runtime.enter();
        Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            _file_size: signal(SignalKind::from_raw(nix::libc::SIGXFSZ))?,
        }
    };
    let opened = Instant::now();
    let store = store::open(engine, options)?;
    tracing::info!(ms = opened.elapsed().as_millis(), "the store is open");
    let mut keyspace = Keyspace::new(store).for_workers(worker_count);
    keep_index(&mut keyspace, &settings, options);
    let keyspace = Arc::new(keyspace);
    keyspace
        .latency()
        .set_threshold(settings.latency_monitor_threshold_ms);
    keyspace.eviction().configure(&settings);
    keyspace.limit_forms(&settings);
    let (ports, changes) = Ports::new();
    let server = Arc::new(Server {
        durability: Survival::of(engine, options, &settings),
        ports,
        reserved_files,
        supervised: launcher.supervised(),
        acl,
        tls,
        clients: Clients::default(),
        pubsub: PubSub::default(),
        tracking: Tracking::default(),
        notifications: Notifications::default(),
        stats: Stats::new(table().all().len(), worker_count),
        rates: Rates::default(),
        slowlog: Slowlog::default(),
        large_requests: Slowlog::default(),
        large_replies: Slowlog::default(),
        monitors: Monitors::default(),
        pause: Pause::default(),
        failover: Failover::default(),
        feed: Arc::new(Feed::new(copy_value)),
        replication: Replication::new(&settings.replication),
        scripting: Scripting::default(),
        backups: Backups::default(),
        saves: Saves::default(),
        started: Instant::now(),
        started_at: SystemTime::now(),
        run_id: run_id(),
        shutdown: watch::Sender::new(false),
        config,
    });
    Notifier::appoint(&server, &keyspace);
    // Before the housekeeping starts, which would remove expired keys.
    server.leave_to_master(&keyspace, &settings);
    prepare_start(&server, &keyspace, engine, options)?;
    let mut life = Life {
        signals,
        changes,
        launcher,
        pidfile: None,
    };
    if let Some(path) = &settings.import {
        let imported = Import::start(path, &server, &keyspace)?;
        if let Err(error) = runtime.block_on(life.import(imported)) {
            keyspace.close()?;
            return Err(error.into());
        }
        server.feed.forget_left(&keyspace)?;
    }
    let workers = Arc::new(Workers::start(worker_count)?);
    let reception = Reception::new(Arc::clone(&keyspace), server, Arc::clone(&workers));
    let result = runtime.block_on(life.serve(&settings, engine, options, reception));
    // Removed after the pool is closed, for scripts that wait for the file to go.
    let pidfile = life.pidfile.take();
    drop(life);
    // Ends the remaining tasks before the pool closes.
    drop(runtime);
    drop(workers);
    keyspace.close()?;
    drop(pidfile);
    tracing::info!("the store is closed, bye");
    // A command that still runs keeps the keyspace; then the end of the process is all.
    if let Some(keyspace) = Arc::into_inner(keyspace) {
        keyspace.abandon();
    }
    result
}

/// Keeps the index in memory that outlives the process, where the directive `index-file` says so. A server without such
/// memory works as well, but for its next start.
fn keep_index(keyspace: &mut Keyspace, settings: &Settings, options: &Options) {
    let Some(path) = index_file(&settings.index_file, &options.pool_path) else {
        return;
    };
    let has_history = feed::leaves_history(&options.pool_path);
    match keyspace.keep_index(&path, &options.pool_path, has_history) {
        Ok(state) => {
            if !void_on_crash(state) {
                tracing::warn!("a crash of this process would not be noticed by the next start");
            }
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |info| {
                // What has gone wrong may have changed the index.
                state.store(0, Ordering::SeqCst);
                before(info);
            }));
        }
        // Nobody has asked for it there.
        Err(error)
            if settings.index_file == "auto" && error.kind() == std::io::ErrorKind::Unsupported => {
        }
        Err(error) => tracing::warn!(
            path = %path.display(),
            %error,
            "the index is not kept for the next start, which will read the whole pool"
        ),
    }
}

/// The signals that end the server.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// Not heard: a file that grows past its limit (`ulimit -f`) is an error of that file, and no end of the server.
    _file_size: Signal,
}

/// What the main task alone uses.
struct Life {
    signals: Signals,
    changes: Changes,
    launcher: Launcher,
    pidfile: Option<Pidfile>,
}

impl Life {
    /// Waits for the end of an import, which a signal interrupts.
    async fn import(&mut self, import: Import) -> Result<(), ImportError> {
        let mut reports = tokio::time::interval(SAMPLE_TIME);
        while !import.is_over() {
            tokio::select! {
                _ = reports.tick() => self.launcher.importing(import.percent()),
                _ = self.signals.terminate.recv() => import.cancel(),
                _ = self.signals.interrupt.recv() => import.cancel(),
            }
        }
        logging::end_progress();
        import.join().map(drop)
    }

    async fn serve(
        &mut self,
        settings: &Settings,
        engine: Engine,
        options: &Options,
        reception: Reception,
    ) -> Result<(), RunError> {
        let server = &Arc::clone(&reception.server);
        let keyspace = &Arc::clone(&reception.keyspace);
        let passed = &self.launcher.sockets;
        let unix = listen(settings, server, passed)?;
        let metrics = Metrics::open(settings, passed)?;
        passed.check_all_taken()?;
        // Only after the sockets are open: if another server has the port, the file may be that server's.
        self.pidfile = settings.pidfile.as_deref().and_then(Pidfile::write);
        announce(unix.as_ref(), server, engine, options, keyspace)?;
        let (failed, mut load_failed) = tokio::sync::mpsc::channel(1);
        let (loaded, mut is_loaded) = watch::channel(keyspace.loading().is_done());
        let housekeeping = Housekeeping::start(keyspace, move |result| match result {
            Ok(()) => {
                loaded.send_replace(true);
            }
            // The send fails if the server is stopping already.
            Err(error) => {
                let _ = failed.blocking_send(error);
            }
        })?;
        if let Some(folder) = &settings.backup_dir {
            remove_unfinished_backups(folder);
        }
        let backup = BackupThread::start(server, keyspace)?;
        let feed = FeedThread::start(server, keyspace)?;
        let save = SaveThread::start(server, keyspace, copy_value)?;
        let replica = ReplicaThread::start(server, keyspace)?;
        let metrics = tokio::spawn(metrics.serve(Arc::clone(server), Arc::clone(keyspace)));
        let sampler = tokio::spawn(sample_rates(Arc::clone(server)));
        let workers = Arc::clone(&reception.workers);
        let changes = std::mem::replace(&mut self.changes, Ports::new().1);
        let mut may_accept = is_loaded.clone();
        let accepting = tokio::spawn(async move {
            // New clients wait in the kernel's queue meanwhile: for a short time that is better than an error.
            let _ = timeout(LOADING_PATIENCE, may_accept.wait_for(|&loaded| loaded)).await;
            accept(reception, unix, changes).await;
        });
        let mut stopping = server.shutdown.subscribe();
        let mut failure = None;
        // Whether a signal that ends the server has a file written.
        let mut signal_saves = false;
        let mut is_ready = false;
        let first = tokio::time::Instant::now() + REPORT_TIME;
        let mut reports = tokio::time::interval_at(first, REPORT_TIME);
        // systemd counts from READY=1 on.
        let mut signs = Signs::new(self.launcher.watchdog_time(), workers);
        loop {
            tokio::select! {
                Some(error) = load_failed.recv() => failure = Some(error),
                _ = reports.tick(), if !is_ready => {
                    if let Some(progress) = keyspace.loading().progress() {
                        self.launcher.progress(progress.percent());
                    }
                    continue;
                }
                () = signs.next() => {
                    self.launcher.alive();
                    continue;
                }
                Ok(_) = is_loaded.wait_for(|&loaded| loaded), if !is_ready => {
                    is_ready = true;
                    self.launcher.ready(settings.logfile.as_deref());
                    continue;
                }
                _ = self.signals.terminate.recv() => {
                    tracing::info!("SIGTERM: stopping");
                    let settings = server.config.settings();
                    signal_saves = saves_at_end(&settings.shutdown_on_sigterm, &settings);
                }
                _ = self.signals.interrupt.recv() => {
                    tracing::info!("SIGINT: stopping");
                    let settings = server.config.settings();
                    signal_saves = saves_at_end(&settings.shutdown_on_sigint, &settings);
                }
                _ = stopping.wait_for(|&stop| stop) => tracing::info!("SHUTDOWN: stopping"),
            }
            break;
        }
        server.shutdown.send_replace(true);
        // A command that waits for space would keep its client.
        keyspace.end_waits();
        server.backups.end();
        server.saves.end();
        self.launcher.stopping();
        // First stop accepting, then end the clients: each gets replies to everything that it has sent.
        let _ = accepting.await;
        drain(server).await;
        drop(save);
        if failure.is_none() && server.saves.at_end().unwrap_or(signal_saves) {
            save_last(server, keyspace);
        }
        sampler.abort();
        metrics.abort();
        drop(replica);
        drop(housekeeping);
        drop(backup);
        drop(feed);
        histories::leave(server, keyspace);
        failure.map_or(Ok(()), |source| {
            Err(RunError::Load {
                path: options.pool_path.clone(),
                source,
            })
        })
    }
}

/// The signs of life for a watchdog.
struct Signs {
    /// None if no watchdog wants them.
    ticks: Option<Interval>,
    workers: Arc<Workers>,
}

impl Signs {
    /// Twice as often as a watchdog wants them.
    fn new(time: Option<Duration>, workers: Arc<Workers>) -> Self {
        let ticks = time.map(|time| {
            // `interval` panics at a period of 0.
            let mut ticks = tokio::time::interval((time / 2).max(Duration::from_millis(1)));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        });
        Self { ticks, workers }
    }

    /// Waits until it is time for a sign of life and every worker has shown one; for ever if no watchdog wants any.
    async fn next(&mut self) {
        match &mut self.ticks {
            Some(ticks) => ticks.tick().await,
            None => std::future::pending().await,
        };
        self.workers.turn().await;
    }
}

/// Opens every socket that the settings name and systemd has not passed.
fn listen(
    settings: &Settings,
    server: &Server,
    passed: &Passed,
) -> Result<Option<UnixSocket>, RunError> {
    let plan = server.ports.prepare_with(settings, passed);
    let plan = plan.map_err(|(error, _)| error)?;
    let unix = UnixSocket::open(settings, passed)?;
    if plan.is_empty() && unix.is_none() {
        return Err(ListenError::Nowhere.into());
    }
    // It closes no old sockets, so there is nothing to wait for.
    drop(server.ports.apply(plan));
    Ok(unix)
}

/// Has the libraries of functions loaded, and a replica's place found, before the first command.
fn prepare_start(
    server: &Arc<Server>,
    keyspace: &Keyspace,
    engine: Engine,
    options: &Options,
) -> Result<(), RunError> {
    let repair = options.repair;
    // Others may lose at a crash what replicas have.
    let keeps_all = engine.persistent && !engine.experimental;
    server
        .feed
        .keep_beside(keeps_all.then(|| options.pool_path.clone()));
    if let Some(time) = server.feed.expired_through() {
        keyspace.loading().collect_expired(time);
    }
    // Replicas must hear of each key that goes, and nobody tells them before their history is found.
    keyspace.expiry().hold(i64::MAX);
    let loading = Arc::clone(server);
    keyspace
        .loading()
        .at_end(move |keyspace| {
            histories::find(&loading, keyspace)?;
            keyspace.expiry().hold(0);
            let mut held = loading.scripting.take();
            held.get().functions.start(keyspace, repair)
        })
        .map_err(|source| RunError::Load {
            path: options.pool_path.clone(),
            source,
        })
}

/// Whether a signal has a file written before the end: where its directive says so, or says nothing and there are save
/// points, as in Redis.
fn saves_at_end(words: &str, settings: &Settings) -> bool {
    let says = |word| words.split(' ').any(|one| one == word);
    says("save") || (!says("nosave") && !settings.save_points.is_empty())
}

/// Writes the last file, when no client is left.
fn save_last(server: &Server, keyspace: &Keyspace) {
    tracing::info!("Saving the final RDB snapshot before exiting.");
    let Ok(_alone) = keyspace.gate().enter_alone(true) else {
        tracing::warn!("a script still runs, so no RDB file is written");
        return;
    };
    let saved = server.saves.save(server, keyspace, copy_value);
    if let Err(error) = saved {
        tracing::error!(%error, "the final RDB file could not be written");
    }
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
        tracing::warn!(
            left,
            "the server disconnected clients that did not read their replies"
        );
    }
}

async fn sample_rates(server: Arc<Server>) {
    let mut ticks = tokio::time::interval(SAMPLE_TIME);
    let mut slow_looked_for = Instant::now();
    loop {
        ticks.tick().await;
        server.rates.sample(&server.stats);
        keep_clients_small(&server);
        if slow_looked_for.elapsed() >= SLOW_CLIENTS_TIME {
            slow_looked_for = Instant::now();
            let limits = server.config.settings().client_output_buffer_limits;
            let counter = &server.stats.output_limit_disconnections;
            counter.fetch_add(server.clients.end_slow(&limits), Ordering::Relaxed);
        }
    }
}

/// Disconnects clients where all together take more than `maxmemory-clients`.
fn keep_clients_small(server: &Server) {
    let settings = server.config.settings();
    if let Some(limit_bytes) = settings.maxmemory_clients.bytes(settings.maxmemory) {
        let evicted = server.clients.evict(limit_bytes) as u64;
        let count = &server.stats.evicted_clients;
        count.fetch_add(evicted, Ordering::Relaxed);
    }
}

/// Writes the first log lines: the server's addresses, its pool, and what writes survive.
fn announce(
    unix: Option<&UnixSocket>,
    server: &Server,
    engine: Engine,
    options: &Options,
    keyspace: &Keyspace,
) -> Result<(), KeyspaceError> {
    let stats = keyspace.pool_stats()?;
    let mut addresses = server.ports.addresses();
    addresses.extend(unix.map(|unix| unix.path.display().to_string()));
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        address = addresses.join(" "),
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
    tracing::info!("durability: writes survive {}", server.durability.words);
    Ok(())
}

/// Raises the limit of open files for `maxclients` clients. If the system allows less, lowers `maxclients`.
fn fit_maxclients(config: &Config, reserved: u64) -> Result<(), RunError> {
    let Err(TooMany { possible, files }) =
        files::raise_limit(config.settings().maxclients, reserved)
    else {
        return Ok(());
    };
    if possible == 0 {
        return Err(RunError::Files {
            files,
            least: reserved + 1,
        });
    }
    tracing::warn!(
        "Current maximum open files is {files}. maxclients has been reduced to {possible} to compensate for low ulimit. \
         If you need higher maxclients increase 'ulimit -n'."
    );
    config.found("maxclients", &possible.to_string());
    Ok(())
}

/// 40 random hexadecimal digits, new at each start.
fn run_id() -> String {
    let random = RandomState::new();
    let part = |n: u32| random.hash_one((n, SystemTime::now()));
    format!("{:016x}{:016x}{:08x}", part(0), part(1), part(2) >> 32)
}
