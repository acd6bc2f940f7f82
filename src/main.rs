//! The `pmemkv-server` program.

#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use pmemkv_server::config::{Config, ConfigError, Layout, Task};
use pmemkv_server::launch::{self, Background, Launcher, Supervisor};
use pmemkv_server::store::{LayoutChoice, Options};
use pmemkv_server::{commands, logging, net, pmemkv, system, task};

/// Many small allocations come and go: keys, buffers.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Where it is set, the variables of libpmem stay as they are. Tests have a pool in memory treated as one on a disk by it.
const ENVIRONMENT_IS_SET: &str = "PMEMKV_SERVER_ENVIRONMENT_IS_SET";

fn main() -> ExitCode {
    match start() {
        Ok(code) => code,
        Err(error) => {
            tracing::error!("{error}");
            // The log may go to a file, or nowhere yet.
            let _ = writeln!(std::io::stderr(), "pmemkv-server: {error}");
            ExitCode::FAILURE
        }
    }
}

fn start() -> Result<ExitCode, Box<dyn std::error::Error>> {
    // After a start by /proc/self/exe, as that of `daemonize`, the kernel calls the process `exe`: pgrep and top would not find it.
    nix::sys::prctl::set_name(c"pmemkv-server")?;
    let arguments: Vec<OsString> = std::env::args_os().collect();
    match Task::parse(&arguments) {
        Err(error) => error.exit(),
        Ok(Some(task)) => return Ok(task::run(task)?),
        Ok(None) => {}
    }
    let loaded = match Config::parse(&arguments) {
        Err(ConfigError::CommandLine(error)) => error.exit(),
        loaded => loaded?,
    };
    let settings = loaded.config.settings();
    let options = Options {
        engine: settings.engine.clone(),
        engine_config: settings.engine_config.clone(),
        pool_path: settings.pool_path.clone(),
        pool_size_bytes: settings.pool_size_bytes,
        layout: match settings.layout {
            Layout::Auto => LayoutChoice::Auto,
            Layout::Pairs => LayoutChoice::Pairs,
            Layout::Packed => LayoutChoice::Packed,
        },
        repair: settings.repair,
        every_second: false,
    };
    let (engine, mut options) = options.resolve()?;
    let survival = system::Survival::of(engine, &options, &settings);
    if !survival.power
        && let Some(refusal) = loaded.power_refusal()
    {
        return Err(refusal.into());
    }
    if let Some(refusal) = survival.refusal(engine, &options, &settings) {
        return Err(refusal.into());
    }
    options.every_second = survival.every_second;
    let environment = if engine.persistent && std::env::var_os(ENVIRONMENT_IS_SET).is_none() {
        pmemkv::durability_environment(pmemkv::backing(&options.pool_path), survival.durability())
    } else {
        Vec::new()
    };
    let mut launcher = Launcher {
        background: Background::enter()?,
        supervisor: Supervisor::find(settings.supervised),
        ..Launcher::default()
    };
    // As in Redis: what is supervised stays where its supervisor put it.
    let daemonize = settings.daemonize && launcher.supervisor.is_none();
    if daemonize && launcher.background.is_none() {
        return Ok(launch::start(&arguments, &loaded.stdin)?);
    }
    // No thread runs yet, so the process can set its environment.
    pmemkv::load(&environment)?;
    launcher.sockets = system::Passed::from_environment()?;
    if daemonize && settings.pidfile.is_none() {
        loaded
            .config
            .found("pidfile", system::pidfile::DEFAULT_PATH);
    }
    commands::install_renamed(&settings.rename_commands)?;
    logging::init(&settings)?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    if launcher.supervisor.is_none()
        && let Some(absence) = Supervisor::absence(settings.supervised)
    {
        tracing::warn!("{absence}");
    }
    if engine.experimental {
        tracing::warn!(
            engine = engine.name,
            "this engine is experimental: keep nothing in it that you cannot lose"
        );
    }
    if engine.persistent
        && let Some(warning) = system::logout::warning(&options.pool_path)
    {
        tracing::warn!("{warning}");
    }
    if engine.persistent && options.pool_path.exists() {
        // A damaged pool can crash libpmemobj: better a child than this process. No thread runs yet.
        store::rehearse(engine, &options)?;
    }
    // The clock that times commands is calibrated on its first use, for some 8 ms. No client should wait for that, and the
    // pool is opened meanwhile.
    std::thread::spawn(quanta::Clock::new);
    net::run(loaded.config, engine, &options, launcher)?;
    Ok(ExitCode::SUCCESS)
}
