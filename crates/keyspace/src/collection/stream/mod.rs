//! Streams: entries in the order of their ids, and groups of consumers that read them.
//!
//! The records ([`records`], [`node`]) hold everything; DRAM holds where they lie: for each closed node its range of
//! ids, for each open entry its id, and the groups with their consumers and pending entries.
//! [ADR 32](../../../../docs/adr/0032-streams.md) says why.

mod apply;
mod build;
mod close;
mod edit;
mod group_edit;
mod group_view;
mod groups;
mod id;
mod limits;
mod load;
mod node;
mod open_records;
mod plan;
mod radix;
mod records;
mod shape;
mod trim;
mod varint;
mod view;

pub use build::StreamBuilder;
pub use edit::StreamEdit;
pub use group_edit::{GroupState, PendingState};
pub use group_view::{ConsumerView, GroupView};
pub use id::StreamId;
pub use limits::NodeLimits;
pub(in crate::collection) use limits::{AROUND_BYTES, element_bytes};
pub use node::Pair;
pub use trim::{References, Trim, TrimTo};
pub use view::Stream;

pub(in super::super) use edit::StreamEdits;
pub(super) use load::StreamParts;
pub(super) use node::{OPEN_FORM, is_open_node};
pub(super) use open_records::OpenRecords;
pub(super) use records::RecordName;
pub(in super::super) use shape::StreamShape;
pub(super) use shape::record_key;
