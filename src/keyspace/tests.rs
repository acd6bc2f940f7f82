//! The keyspace over a store in memory.
