//! Memory that little input takes: what a request announces costs nothing before it comes.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use common::{Options, RawClient, Server, TestResult, Value};

/// Memory of the server that is no file and no pool, bytes.
fn anonymous_bytes(pid: u32) -> TestResult<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"))
        .ok_or("RssAnon")?;
    let number = line.split_whitespace().next().ok_or("a number")?;
    Ok(number.parse::<u64>()? << 10)
}

/// The most memory that the server takes while `run` runs, beyond what it took before.
fn growth(pid: u32, run: impl FnOnce() -> TestResult) -> TestResult<u64> {
    let before = anonymous_bytes(pid)?;
    let over = Arc::new(AtomicBool::new(false));
    let watch = {
        let over = Arc::clone(&over);
        thread::spawn(move || {
            let mut most = 0;
            while !over.load(Ordering::Relaxed) {
                most = anonymous_bytes(pid).unwrap_or(0).max(most);
                thread::sleep(Duration::from_millis(1));
            }
            most
        })
    };
    let ran = run();
    over.store(true, Ordering::Relaxed);
    let most = watch.join().map_err(|_| "the watch panicked")?;
    ran?;
    Ok(most.max(anonymous_bytes(pid)?).saturating_sub(before))
}

#[test]
fn what_a_thousand_clients_announce_takes_little() -> TestResult {
    const CLIENTS: usize = 1_000;
    const GROWTH_BYTES_MAX: u64 = 10 << 20;
    let server = Server::start_with(Options::new("cmap").pool_size("64mb"))?;
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let mut client = server.raw()?;
        client.line("PING")?;
        clients.push(client);
    }
    let requests: [&[u8]; 4] = [
        b"*2\r\n$3\r\nGET\r\n$536870912\r\n",
        b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\nx",
        b"*2147483647\r\n",
        b"*2147483647\r\n$4\r\nMGET\r\n$536870912\r\n",
    ];
    for request in requests {
        let grown = growth(server.pid(), || {
            for client in &mut clients {
                client.send_bytes(request)?;
            }
            // One that is served after the others.
            server.raw()?.line("PING")?;
            thread::sleep(Duration::from_millis(200));
            Ok(())
        })?;
        eprintln!("{grown:>10} {}", request.escape_ascii());
        assert!(
            grown < GROWTH_BYTES_MAX,
            "{}: {grown} bytes",
            request.escape_ascii()
        );
        clients = (0..CLIENTS)
            .map(|_| server.raw())
            .collect::<TestResult<_>>()?;
        for client in &mut clients {
            client.line("PING")?;
        }
    }
    Ok(())
}

/// Calls of some bytes that name great numbers. `@` stands for each of them in turn.
const CALLS: &[&str] = &[
    "SETRANGE new @ x",
    "SETBIT new @ 1",
    "BITFIELD new SET u8 @ 1",
    "BITFIELD new SET u8 #@ 1",
    "GETRANGE s 0 @",
    "GETRANGE s -@ @",
    "BITCOUNT s 0 @",
    "BITPOS s 1 0 @",
    "LPOS l a RANK @",
    "LPOS l a COUNT @ MAXLEN @",
    "LRANGE l -@ @",
    "LTRIM l2 -@ @",
    "LPOP l2 @",
    "LREM l2 @ a",
    "LINDEX l @",
    "LMPOP @ l LEFT",
    "LMPOP 1 l2 LEFT COUNT @",
    "BLMPOP 0.001 @ l LEFT",
    "SPOP none @",
    "SRANDMEMBER s1 @",
    "SRANDMEMBER s1 -@",
    "HRANDFIELD h @",
    "HRANDFIELD h -@",
    "HRANDFIELD h -@ WITHVALUES",
    "ZRANDMEMBER z @",
    "ZRANDMEMBER z -@",
    "ZRANDMEMBER z -@ WITHSCORES",
    "ZRANGE z 0 @",
    "ZRANGE z -inf +inf BYSCORE LIMIT 0 @",
    "ZRANGE z -inf +inf BYSCORE LIMIT @ @",
    "ZRANGEBYLEX z - + LIMIT @ @",
    "ZUNION @ z",
    "ZUNIONSTORE d @ z",
    "ZINTERCARD 1 z LIMIT @",
    "SINTERCARD @ s1",
    "ZMPOP @ z MIN",
    "ZPOPMIN none @",
    "SCAN 0 COUNT @",
    "SCAN @ COUNT @",
    "HSCAN h 0 COUNT @",
    "SSCAN s1 0 COUNT @",
    "ZSCAN z 0 COUNT @",
    "SORT l ALPHA LIMIT 0 @",
    "SORT l ALPHA LIMIT @ @",
    "GEOSEARCH g FROMLONLAT 1 1 BYRADIUS @ km COUNT @",
    "OBJECT HELP",
    "PMEMKV.GETALL LIMIT @",
    "SLOWLOG GET @",
    "ACL LOG @",
    "ACL GENPASS @",
    "MEMORY USAGE l SAMPLES @",
    "LOLWUT VERSION 5 @ @ @",
    "CLIENT PAUSE 0",
    "CLIENT TRACKING ON BCAST PREFIX @",
    "EXPIRE s @",
    "COMMAND GETKEYS ZUNION @ a b",
    "DEBUG SLEEP 0",
];

const NUMBERS: &[&str] = &[
    "536870911",
    "134217728",
    "4294967295",
    "9223372036854775807",
];

/// Serialised values that announce more than they hold: a list, a set, a hash and a sorted set of 2^30 elements, an
/// intset, a listpack and a compressed string of that length.
fn lying_dumps() -> Vec<Vec<u8>> {
    let long = [0x80, 0x40, 0, 0, 0];
    let mut dumps: Vec<Vec<u8>> = Vec::new();
    for kind in [0u8, 1, 2, 3, 4, 5, 9, 10, 11, 12, 13, 14, 16, 17, 18, 20] {
        dumps.push([&[kind][..], &long, b"abc"].concat());
        dumps.push([&[kind, 1, 2][..], &long, b"abc"].concat());
    }
    dumps.push([&[0, 0xc3, 1][..], &long, b"a"].concat());
    for dump in &mut dumps {
        dump.extend([10, 0]);
        dump.extend(crc64(dump).to_le_bytes());
    }
    dumps
}

/// The checksum at the end of a dump (Jones's polynomial, reflected).
fn crc64(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |mut sum, &byte| {
        sum ^= u64::from(byte);
        for _ in 0..8 {
            sum = sum >> 1 ^ (0x95ac_9329_ac4b_c9b5 & 0u64.wrapping_sub(sum & 1));
        }
        sum
    })
}

#[test]
fn great_numbers_in_small_requests_take_little() -> TestResult {
    // A value may take twice what the pool holds before the pool refuses it, and a reply as much as its limit.
    const GROWTH_BYTES_MAX: u64 = 160 << 20;
    for store in ["cmap", "cmap/pairs"] {
        // Replies that grow without an end are ended by their limit.
        let options = Options::new(store)
            .pool_size("64mb")
            .directive("client-output-buffer-limit", "normal 32mb 0 0")
            .directive("enable-debug-command", "yes");
        let server = Server::start_with(options)?;
        let mut admin = server.raw()?;
        for line in [
            "SET s value",
            "RPUSH l a b a",
            "RPUSH l2 a b a",
            "SADD s1 a b c",
            "HSET h a 1 b 2",
            "ZADD z 1 a 2 b",
            "GEOADD g 1 1 a",
        ] {
            assert!(!admin.line(line)?.is_error());
        }
        let mut run = |call: &[Vec<u8>]| -> TestResult {
            let mut client = server.raw()?;
            let grown = growth(server.pid(), || {
                // A client over its limit is closed.
                let _: Option<Value> = client.call(call).ok();
                Ok(())
            })?;
            let shown = call.join(&b' ').escape_ascii().to_string();
            if grown > 8 << 20 {
                eprintln!("{store}: {grown:>10} {shown}");
            }
            assert!(grown < GROWTH_BYTES_MAX, "{store}: {shown}: {grown} bytes");
            assert_eq!(
                admin.line("PING")?,
                Value::Simple(b"PONG".to_vec()),
                "{shown}"
            );
            admin.line("DEL new d")?;
            Ok(())
        };
        // What a reply takes does not depend on the layout, and what a value takes shows with one number.
        let numbers = if store == "cmap" {
            NUMBERS
        } else {
            &NUMBERS[..1]
        };
        for call in CALLS {
            for number in numbers {
                let line = call.replace('@', number);
                let words = line.split(' ').map(|word| word.as_bytes().to_vec());
                run(&words.collect::<Vec<_>>())?;
                if !call.contains('@') {
                    break;
                }
            }
        }
        for dump in lying_dumps() {
            run(&[b"RESTORE".to_vec(), b"d".to_vec(), b"0".to_vec(), dump])?;
        }
    }
    Ok(())
}

#[test]
fn a_client_gives_back_the_memory_of_a_long_request() -> TestResult {
    const ARGUMENTS: usize = 300_000;
    let server = Server::start_with(Options::new("cmap").pool_size("64mb"))?;
    let mut clients: Vec<RawClient> = Vec::new();
    let mut request = format!("*{}\r\n$3\r\nDEL\r\n", ARGUMENTS + 1).into_bytes();
    request.extend(b"$1\r\nx\r\n".repeat(ARGUMENTS));
    let grown = growth(server.pid(), || {
        for _ in 0..20 {
            let mut client = server.raw()?;
            client.send_bytes(&request)?;
            client.read()?;
            client.line("PING")?;
            clients.push(client);
        }
        Ok(())
    })?;
    // A single request takes 12 MB, and all of them would take 240. On a busy machine some are given back late.
    assert!(grown < 128 << 20, "{grown} bytes");
    Ok(())
}
