//! The order of all ranks.

/// What a thread may wait for, in the order in which it may: while it holds one it waits only for those below it in this
/// list. `docs/threads.md` explains each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// Room in the store, which other threads make.
    Room,
    /// The turn to make room.
    RoomTurn,
    /// The locks of the gate: that of slow commands, that of the background, those of the workers.
    Gate,
    /// The front log, kept by a transaction that is alone inside the gate.
    Hold,
    /// The turn to serve clients that wait in a command.
    Serving,
    /// What became of one client's wait.
    Blocked,
    /// The turn to build an ordered view.
    View,
    /// The turn to read the store at the start.
    Loading,
    /// The turn to gather the elements of collections after a start that has taken the index over.
    Gathering,
    /// The turn to compact.
    Compaction,
    /// The shards, by number.
    Shard,
    /// What commands keep for an image.
    Image,
    /// Where the record of libraries of functions lies.
    Libraries,
    /// Where the record of a replica's place lies.
    Place,
    /// The next generation of a database.
    Generations,
    /// The generations that a transaction has set.
    HeldGenerations,
    /// Lists of garbage, of keys that are ready to be served, of candidates for eviction: taken for a moment.
    Lists,
    /// The clients that cache.
    TrackingClients,
    /// The prefixes that clients follow.
    TrackingPrefixes,
    /// The tables of keys that caching clients remember.
    TrackingTable,
    /// Who listens to channels.
    Hub,
    /// Who watches all commands.
    Monitors,
    /// The list of clients.
    Clients,
    /// One client's messages.
    Mailbox,
    /// A slot of the journal of the layout `pairs`.
    JournalSlot,
    /// The commit lock of the front log.
    FrontCommit,
    /// The commit lock of the compaction's log.
    CompactionCommit,
    /// The turn to sync the pool to the disk.
    SyncTurn,
    /// A commit, or the moment of a sync between two commits.
    SyncStep,
    /// The generations that a commit sets.
    CommitGenerations,
    /// What a log has staged.
    Staging,
    /// What a log is committing.
    Committing,
    /// The list of free segments.
    FreeSegments,
    /// The turn to store marks of what has expired.
    ExpiredTurn,
    /// The marks of what has expired.
    Expired,
    /// The lists of segments by serial number and by how much of them is in use.
    SegmentLists,
}
