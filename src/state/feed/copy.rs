//! The copy of the data that a replica gets first: an RDB file of one moment, made while commands run.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rdb::Version;
use tokio::sync::{mpsc, oneshot};

use super::super::saves::RdbFile;
use super::{Marker, Replica};
use crate::config::Settings;
use crate::keyspace::{Image, ImageError, Keyspace, KeyspaceError};
use crate::state::Server;

/// How long the maker waits for a script that runs for long, or for another image.
const PATIENCE: Duration = Duration::from_millis(20);

/// Pieces of a copy that is sent from a file have so many bytes.
const PIECE_BYTES: usize = 64 * 1024;

/// What the replica's connection sends.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// The copy has so many bytes.
    Length(u64),
    /// The next ones.
    Bytes(Vec<u8>),
}

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The image.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The file in between.
    #[error(transparent)]
    File(#[from] io::Error),
    /// The pool.
    #[error(transparent)]
    Pool(#[from] KeyspaceError),
    /// This server follows a master, and is at no place of its history, or at another one by now.
    #[error("this server goes on with another history of its master")]
    Elsewhere,
    /// The replica is gone.
    #[error("the replica is gone")]
    Gone,
}

/// Where the copy goes.
struct Output(mpsc::Sender<Piece>);

impl Output {
    fn send(&self, piece: Piece) -> io::Result<()> {
        let sent = self.0.blocking_send(piece);
        sent.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.send(Piece::Bytes(bytes.to_vec()))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Makes a copy for a replica and gives it to `pieces`, which hold little at a time. `moment` hears the place of the copy in
/// the stream. The thread may wait.
pub fn make(
    server: &Server,
    keyspace: &Keyspace,
    replica: &Arc<Replica>,
    moment: oneshot::Sender<(String, u64)>,
    pieces: mpsc::Sender<Piece>,
) -> Result<(), CopyError> {
    let mut moment = Some(moment);
    let settings = server.config.settings();
    let mut file = if server.replication.is_replica() {
        None
    } else {
        server.feed.prepare_file(&settings)
    };
    let images = keyspace.images();
    images.prepare().map_err(ImageError::from)?;
    let mut output = Output(pieces);
    let (image, place) = loop {
        if output.0.is_closed() || *server.shutdown.borrow() {
            return Err(CopyError::Gone);
        }
        // A script that runs for long keeps everybody out.
        if let Ok(alone) = keyspace.gate().enter_alone(true) {
            match images.begin(server.feed.copy, settings.rdb_buffer_limit) {
                // Another copy or a file is being made.
                Err(ImageError::Busy) => {}
                Err(error) => return Err(error.into()),
                Ok(image) if server.replication.is_replica() => {
                    break (
                        image,
                        Some(server.stored_place(keyspace)?.ok_or(CopyError::Elsewhere)?),
                    );
                }
                Ok(image) => {
                    if let Some(file) = file.take() {
                        server.feed.keep_in(keyspace, file, &settings);
                    }
                    keyspace.events().follow(true);
                    server.feed.mark(Marker {
                        replica: Arc::clone(replica),
                        reply: Some(moment.take().ok_or(CopyError::Gone)?),
                    });
                    break (image, None);
                }
            }
            drop(alone);
        }
        std::thread::sleep(PATIENCE);
    };
    if let (Some(place), Some(moment)) = (place, moment) {
        // No replica has what a crash could take back here.
        keyspace.commit()?;
        if !server.feed.follows_from(replica, place) {
            return Err(CopyError::Elsewhere);
        }
        // The replica may be gone.
        let _ = moment.send((place.id.as_str().to_owned(), place.offset));
    }
    let db = place.map(|place| place.db);
    server.feed.figures.full.fetch_add(1, Ordering::Relaxed);
    if replica.announced.reads_to_mark {
        write(image, replica, &settings, db, output)?;
        return Ok(());
    }
    // The length comes first, and nobody knows it before the end.
    let file = temporary(&settings, replica)?;
    let mut file = write(image, replica, &settings, db, file)?;
    output.send(Piece::Length(file.seek(SeekFrom::End(0))?))?;
    file.seek(SeekFrom::Start(0))?;
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let read = file.read(&mut piece)?;
        if read == 0 {
            return Ok(());
        }
        output.write_all(&piece[..read])?;
    }
}

/// A file without a name.
fn temporary(settings: &Settings, replica: &Replica) -> io::Result<File> {
    let (pid, client) = (std::process::id(), replica.handle.id);
    let path = settings.dir.join(format!("temp-sync-{pid}-{client}.rdb"));
    let mut options = OpenOptions::new();
    let file = options
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}

fn write<W: Write>(
    mut image: Image<'_>,
    replica: &Replica,
    settings: &Settings,
    db: Option<usize>,
    output: W,
) -> Result<W, CopyError> {
    let announced = &replica.announced;
    let version = if announced.reads_newer {
        Version::Redis72
    } else {
        Version::Redis70
    };
    let options = (version, !announced.without_functions);
    let mut file = RdbFile::begin(output, &image, settings, options)?;
    if let Some(db) = db {
        // What the master's stream has selected there, which this server passes on as it is.
        file.aux("repl-stream-db", &db.to_string())?;
    }
    let mut keys = Vec::new();
    let mut goes_on = !announced.without_keys;
    while goes_on {
        goes_on = image.next(&mut keys)?;
        for key in keys.drain(..) {
            file.key(&key, &image)?;
        }
    }
    // Commands need not keep anything for it any more.
    drop(image);
    Ok(file.finish()?)
}
