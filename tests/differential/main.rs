//! Compares our server with a real redis-server: both get seeded random calls, and every reply must be equal.
//!
//! `PMEMKV_SUBJECT=redis-server` (or another program) replaces our server, to check the calls themselves.
//! `PMEMKV_SEED` (a number, or `random`), `PMEMKV_STEPS` (calls of each test) and `PMEMKV_ENGINE` change what runs; a
//! failure prints the first two and the calls that led to it.

mod families;
mod replication;

use common::TestResult;
use families::{
    acl, bitmaps, changes, collections, connection, events, figures, functions, geo, groups,
    hashes, hyperloglog, integers, keys, lists, long, metadata, newer, order, run, scripting,
    scripts, sets, sortedsets, sorting, stream_waits, streams, strings, sweep, transactions,
};

#[test]
fn differential_keys() -> TestResult {
    run::compare("keys", &[keys::call])
}

#[test]
fn differential_strings() -> TestResult {
    run::compare("strings", &[strings::call])
}

#[test]
fn differential_strings_since_8_4() -> TestResult {
    newer::strings()
}

#[test]
fn differential_fields_since_7_4() -> TestResult {
    newer::fields()
}

#[test]
fn differential_bits_since_8_2() -> TestResult {
    newer::bits()
}

#[test]
fn differential_clients_since_8_1() -> TestResult {
    newer::clients()
}

#[test]
fn differential_connection() -> TestResult {
    run::compare("connection", &[connection::call])
}

#[test]
fn differential_acl() -> TestResult {
    run::compare("acl", &[acl::call])
}

#[test]
fn differential_transactions() -> TestResult {
    run::compare("transactions", &[transactions::call])
}

#[test]
fn differential_scripting() -> TestResult {
    run::compare("scripting", &[scripting::call])
}

#[test]
fn differential_functions() -> TestResult {
    run::compare("functions", &[functions::call])
}

#[test]
fn differential_exchange_of_functions() -> TestResult {
    functions::exchange()
}

#[test]
fn differential_scripting_of_collections() -> TestResult {
    run::compare_replies("scripting-of-collections", &[scripting::of_collections])
}

#[test]
fn differential_all() -> TestResult {
    run::compare("all", &[keys::call, strings::call, connection::call])
}

#[test]
fn differential_bitmaps() -> TestResult {
    run::compare("bitmaps", &[bitmaps::call])
}

#[test]
fn differential_long() -> TestResult {
    run::compare("long", &[long::call])
}

#[test]
fn differential_events_of_bitmaps() -> TestResult {
    events::compare(&[bitmaps::call])
}

#[test]
fn differential_hyperloglog() -> TestResult {
    run::compare("hyperloglog", &[hyperloglog::call])
}

#[test]
fn differential_events_of_hyperloglog() -> TestResult {
    events::compare(&[hyperloglog::call])
}

#[test]
fn differential_hashes() -> TestResult {
    run::compare_replies("hashes", &[hashes::call])
}

#[test]
fn differential_lists() -> TestResult {
    run::compare_replies("lists", &[lists::call])
}

#[test]
fn differential_sets() -> TestResult {
    run::compare_replies("sets", &[sets::call])
}

#[test]
fn differential_sets_of_integers() -> TestResult {
    run::compare_replies("sets-of-integers", &[integers::call])
}

#[test]
fn differential_sortedsets() -> TestResult {
    run::compare_replies("sortedsets", &[sortedsets::call])
}

#[test]
fn differential_geo() -> TestResult {
    run::compare_replies("geo", &[geo::call])
}

#[test]
fn differential_order() -> TestResult {
    run::compare_replies("order", &[order::call])
}

#[test]
fn differential_sorting() -> TestResult {
    run::compare_replies("sorting", &[sorting::call])
}

#[test]
fn differential_collections() -> TestResult {
    run::compare_replies("collections", &[collections::call])
}

#[test]
fn differential_streams() -> TestResult {
    run::compare_replies("streams", &[streams::call])
}

#[test]
fn differential_groups_of_streams() -> TestResult {
    run::compare_replies("groups of streams", &[groups::call])
}

#[test]
fn differential_events_of_streams() -> TestResult {
    events::compare(&[streams::call, groups::call])
}

#[test]
fn differential_waiting_for_streams() -> TestResult {
    stream_waits::compare(stream_waits::WAITING)
}

#[test]
fn waiting_for_streams_since_7_2() -> TestResult {
    stream_waits::compare_newer()
}

#[test]
fn streams_since_8_2() -> TestResult {
    stream_waits::compare_newest()
}

#[test]
fn differential_events_of_collections() -> TestResult {
    events::compare(&[hashes::call, lists::call, sets::call, sortedsets::call])
}

#[test]
fn differential_events() -> TestResult {
    events::compare(&[keys::call, strings::call])
}

#[test]
fn differential_subscribing() -> TestResult {
    scripts::compare(scripts::SUBSCRIBING)
}

#[test]
fn differential_pushing() -> TestResult {
    scripts::compare(scripts::PUSHING)
}

#[test]
fn differential_queued_subscriptions() -> TestResult {
    scripts::compare(scripts::QUEUEING)
}

#[test]
fn differential_tracking() -> TestResult {
    scripts::compare(scripts::TRACKING)
}

#[test]
fn differential_broadcasting() -> TestResult {
    scripts::compare(scripts::BROADCASTING)
}

#[test]
fn differential_redirecting() -> TestResult {
    scripts::compare(scripts::REDIRECTING)
}

#[test]
fn differential_serving() -> TestResult {
    scripts::compare(scripts::SERVING)
}

#[test]
fn differential_command_info() -> TestResult {
    metadata::compare_info()
}

#[test]
fn differential_counts_of_changes() -> TestResult {
    changes::compare()
}

#[test]
fn differential_counts_around_changes() -> TestResult {
    changes::compare_around()
}

#[test]
fn differential_info_fields() -> TestResult {
    figures::compare_info_fields()
}

#[test]
fn differential_memory_stats() -> TestResult {
    figures::compare_memory_stats()
}

#[test]
fn differential_command_keys() -> TestResult {
    metadata::compare_keys()
}

#[test]
fn differential_command_docs() -> TestResult {
    metadata::compare_docs()
}

#[test]
fn differential_sweep() -> TestResult {
    sweep::compare()
}

#[test]
fn differential_encodings() -> TestResult {
    sweep::compare_encodings("cmap")
}

#[test]
fn differential_encodings_of_pairs() -> TestResult {
    sweep::compare_encodings("cmap/pairs")
}
