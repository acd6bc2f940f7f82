//! The configurations of docs/scaling.md for more than one machine, with servers that die.

use std::thread;
use std::time::Duration;

use common::{Nutcracker, Options, RawClient, Sentinel, Server, TestResult, Value};

use crate::pair::{info, options, wait_until};

/// The block of the page that begins with these words.
fn block(start: &str) -> TestResult<String> {
    let page = include_str!("../../docs/scaling.md");
    let mut blocks = page.split("```").skip(1).step_by(2);
    let block = blocks.find_map(|block| {
        let (_, text) = block.split_once('\n')?;
        text.starts_with(start).then_some(text)
    });
    Ok(block
        .ok_or_else(|| format!("no block begins with {start}"))?
        .to_owned())
}

#[test]
fn sentinels_of_the_page_replace_a_master() -> TestResult {
    let mut master = Server::start("cmap")?;
    let replica = Server::start_with(options("cmap", master.port()))?;
    let text = block("sentinel monitor")?;
    assert!(text.contains(" 10.0.0.1 6379 "));
    let address = format!(" 127.0.0.1 {} ", master.port());
    let text = text.replace(" 10.0.0.1 6379 ", &address);
    let sentinels = (0..3).map(|_| Sentinel::start("redis-server", &text));
    let sentinels = sentinels.collect::<TestResult<Vec<_>>>()?;
    let knows = |field: &str| -> TestResult<String> {
        let reply = sentinels[0]
            .raw()?
            .call(&["SENTINEL", "MASTER", "mymaster"])?;
        let words = reply.items().unwrap_or_default();
        let mut pairs = words.chunks(2);
        let pair = pairs.find(|pair| pair[0].text().as_deref() == Some(field));
        Ok(pair.and_then(|pair| pair[1].text()).unwrap_or_default())
    };
    wait_until("the Sentinels know everybody", || {
        Ok(knows("num-slaves")? == "1" && knows("num-other-sentinels")? == "2")
    })?;
    let mut client = master.raw()?;
    client.line("SET a 1")?;
    assert_eq!(client.line("WAIT 1 5000")?, Value::Integer(1));
    master.kill_9()?;
    wait_until("the replica is the master", || {
        Ok(
            info(&mut replica.raw()?, "replication", "role")? == "master"
                && knows("port")? == replica.port().to_string(),
        )
    })?;
    let mut client = replica.raw()?;
    assert_eq!(client.line("GET a")?, Value::Bulk(b"1".to_vec()));
    assert_eq!(client.line("SET a 2")?, Value::Simple(b"OK".to_vec()));
    Ok(())
}

/// Reads all keys; returns how many have their values.
fn readable(client: &mut RawClient) -> TestResult<usize> {
    let mut found = 0;
    for n in 0..200 {
        let reply = client.call(&["GET", &format!("key:{n}")])?;
        found += usize::from(reply == Value::Bulk(n.to_string().into_bytes()));
    }
    Ok(found)
}

#[test]
fn a_proxy_spreads_keys_over_servers() -> TestResult {
    let mut one = Server::start_with(Options::new("cmap").pool_size("64mb"))?;
    let two = Server::start_with(Options::new("cmap").pool_size("64mb"))?;
    let text = block("pmemkv:")?
        .replace("127.0.0.1:22121", "LISTEN")
        .replace("10.0.0.1:6379", &format!("127.0.0.1:{}", one.port()))
        .replace("10.0.0.2:6379", &format!("127.0.0.1:{}", two.port()));
    let Some(proxy) = Nutcracker::start(&text)? else {
        eprintln!("skipped: there is no nutcracker on this machine");
        return Ok(());
    };
    let mut client = proxy.raw()?;
    for n in 0..200 {
        let reply = client.call(&["SET", &format!("key:{n}"), &n.to_string()])?;
        assert_eq!(reply, Value::Simple(b"OK".to_vec()));
    }
    let both = [one.raw()?.line("DBSIZE")?, two.raw()?.line("DBSIZE")?];
    let both = both.map(|size| size.integer().unwrap_or_default());
    assert_eq!(both[0] + both[1], 200);
    assert!(both.iter().all(|&size| size > 40), "{both:?}");
    let several = client.call(&["MGET", "key:1", "key:2", "key:3", "key:4"])?;
    assert_eq!(several.items().map(<[Value]>::len), Some(4));
    assert!(
        !several
            .items()
            .unwrap_or_default()
            .iter()
            .any(Value::is_null)
    );
    let port = one.port();
    one.kill_9()?;
    let mut client = proxy.raw()?;
    assert_eq!(readable(&mut client)?, usize::try_from(both[1])?);
    one.resume_on(port)?;
    wait_until("the proxy has found it again", || {
        thread::sleep(Duration::from_millis(100));
        Ok(readable(&mut proxy.raw()?)? == 200)
    })
}
