//! The move of docs/replication.md: each of its commands runs here.

use common::{Options, Server, TestResult, Value, assert_replicated};

use crate::pair::{info, master, wait_for_sync};

/// The commands of the page's section on the move, for `redis-cli`: the port's name and the words.
fn commands() -> Vec<(String, Vec<String>)> {
    let page = include_str!("../../docs/replication.md");
    let section = page.split("\n## Move in").nth(1).unwrap_or_default();
    let section = section.split("\n## ").next().unwrap_or_default();
    let lines = section
        .lines()
        .filter_map(|line| line.strip_prefix("    $ redis-cli -p "));
    lines
        .map(|line| {
            let line = line.split(" #").next().unwrap_or_default();
            let mut words = line
                .split_whitespace()
                .map(|word| word.trim_matches('"').to_owned());
            (words.next().unwrap_or_default(), words.collect())
        })
        .collect()
}

#[test]
fn the_commands_of_the_page_move_the_data() -> TestResult {
    let master = master()?;
    let mut old = master.raw()?;
    old.call(&["MSET", "a", "1", "b", "2"])?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("server.conf");
    std::fs::write(&file, "")?;
    let replica = Server::start_with(Options::new("cmap").file(&file))?;
    let mut new = replica.raw()?;
    let commands = commands();
    assert!(commands.len() >= 5, "{commands:?}");
    for (port, words) in commands {
        let words: Vec<String> = words
            .into_iter()
            .map(|word| {
                if word == "6379" {
                    master.port().to_string()
                } else {
                    word
                }
            })
            .collect();
        let client = match port.as_str() {
            "6379" => &mut old,
            "7000" => &mut new,
            other => return Err(format!("whose port is {other}?").into()),
        };
        let reply = client.call(&words)?;
        assert!(!reply.is_error(), "{words:?}: {reply:?}");
        if words[0] == "replicaof" && words[1] != "no" {
            wait_for_sync(&mut master.raw()?, &replica)?;
        }
        if words[0] == "wait" {
            assert_eq!(reply, Value::Integer(1));
        }
    }
    assert_eq!(info(&mut new, "replication", "role")?, "master");
    assert_eq!(new.call(&["SET", "c", "3"])?, Value::Simple(b"OK".to_vec()));
    new.call(&["DEL", "c"])?;
    assert_replicated(&mut master.raw()?, &mut replica.raw()?)?;
    Ok(())
}
