//! What replicas get: copies, the stream of effects, and what the server makes of what they tell. A socket of the test plays
//! the replica. Real ones are in tests/differential/replication.rs.

mod effects;
mod links;
mod replica;
mod waitaof;
