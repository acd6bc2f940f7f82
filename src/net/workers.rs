//! The threads that serve clients. Each has an event loop of its own, and a client stays with its thread, so that no
//! thread wakes another one for a request.

use std::io;
use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;

/// How long a stopping worker waits for a slow command that still runs.
const STOP_TIME: Duration = Duration::from_secs(1);

/// The stack of a thread that runs commands. A script's nested calls take up to two mebibytes of it.
pub(super) const STACK_BYTES: usize = 4 << 20;

/// All threads that serve clients. Dropping it stops them and disconnects the clients that are left.
#[derive(Debug)]
pub struct Workers {
    workers: Vec<Worker>,
}

#[derive(Debug)]
struct Worker {
    runtime: Handle,
    clients: Arc<AtomicUsize>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// A client's place with one worker. Dropping it frees the place.
#[derive(Debug)]
pub struct Place {
    /// The worker's number, from 0.
    pub worker: usize,
    /// The worker's event loop.
    pub runtime: Handle,
    clients: Arc<AtomicUsize>,
}

impl Workers {
    /// How many workers to start if `worker-threads` is `configured`. 0 means one for each core but one: the last core
    /// serves the kernel's network and the background. (Measured on two cores with the load generator on the same
    /// cores: two workers make GET 40 % faster at pipeline 64, 3 % slower at pipeline 1, and its p99 there two thirds
    /// worse.)
    pub fn count(configured: usize) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, NonZero::get);
        if configured == 0 {
            (cores() - 1).max(1)
        } else {
            configured
        }
    }

    /// Starts `count` threads.
    pub fn start(count: usize) -> io::Result<Self> {
        let mut all = Self {
            workers: Vec::with_capacity(count),
        };
        for _ in 0..count {
            let runtime = Builder::new_current_thread()
                .thread_name("slow-command")
                .thread_stack_size(STACK_BYTES)
                .enable_all()
                .build()?;
            let handle = runtime.handle().clone();
            let (stop, stopped) = oneshot::channel();
            let thread = std::thread::Builder::new()
                .name("worker".into())
                .stack_size(STACK_BYTES)
                .spawn(move || work(runtime, stopped))?;
            all.workers.push(Worker {
                runtime: handle,
                clients: Arc::default(),
                stop: Some(stop),
                thread: Some(thread),
            });
        }
        Ok(all)
    }

    /// Waits until every worker's event loop has had a turn. A worker that hangs lets it wait for ever.
    pub async fn turn(&self) {
        let turns: Vec<_> = self
            .workers
            .iter()
            .map(|worker| worker.runtime.spawn(async {}))
            .collect();
        for turn in turns {
            // An error means that the worker ends, and the server with it.
            let _ = turn.await;
        }
    }

    /// Takes a place with the worker that has the fewest clients.
    pub fn place(&self) -> Option<Place> {
        let fewest = |worker: &(usize, &Worker)| worker.1.clients.load(Ordering::Relaxed);
        let (number, worker) = self.workers.iter().enumerate().min_by_key(fewest)?;
        worker.clients.fetch_add(1, Ordering::Relaxed);
        Some(Place {
            worker: number,
            runtime: worker.runtime.clone(),
            clients: Arc::clone(&worker.clients),
        })
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        for worker in &mut self.workers {
            // Dropping the sender tells the worker to stop.
            worker.stop.take();
        }
        for worker in &mut self.workers {
            if let Some(thread) = worker.thread.take()
                && thread.join().is_err()
            {
                tracing::error!("a worker thread had panicked");
            }
        }
    }
}

impl Place {
    /// Whether the worker has other clients too.
    pub fn is_shared(&self) -> bool {
        self.clients.load(Ordering::Relaxed) > 1
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.clients.fetch_sub(1, Ordering::Relaxed);
    }
}

#[allow(clippy::needless_pass_by_value)] // The runtime ends here.
fn work(runtime: Runtime, stopped: oneshot::Receiver<()>) {
    let _ = runtime.block_on(stopped);
    runtime.shutdown_timeout(STOP_TIME);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_go_where_the_fewest_are() -> io::Result<()> {
        let workers = Workers::start(3)?;
        let mut places: Vec<Place> = (0..6).filter_map(|_| workers.place()).collect();
        let numbers: Vec<usize> = places.iter().map(|place| place.worker).collect();
        assert_eq!(numbers, [0, 1, 2, 0, 1, 2]);
        places.retain(|place| place.worker != 1);
        assert_eq!(workers.place().map(|place| place.worker), Some(1));
        Ok(())
    }

    #[test]
    fn a_client_runs_on_its_worker() -> io::Result<()> {
        let workers = Workers::start(2)?;
        let threads: Vec<_> = (0..4)
            .filter_map(|_| workers.place())
            .map(|place| {
                let (tell, told) = std::sync::mpsc::channel();
                place.runtime.spawn(async move {
                    let _ = tell.send(std::thread::current().id());
                });
                (place, told)
            })
            .collect();
        let mut ids = Vec::new();
        for (place, told) in &threads {
            ids.push((place.worker, told.recv().map_err(io::Error::other)?));
        }
        assert_eq!(ids[0], ids[2]);
        assert_eq!(ids[1], ids[3]);
        assert_ne!(ids[0].1, ids[1].1);
        Ok(())
    }
}
