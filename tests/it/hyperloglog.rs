//! This server and a real redis-server count each other's `HyperLogLog`s alike.

use common::{RedisServer, Server, TestResult};

fn count(connection: &mut redis::Connection, key: &str) -> TestResult<u64> {
    Ok(redis::cmd("PFCOUNT").arg(key).query(connection)?)
}

fn add(connection: &mut redis::Connection, elements: std::ops::Range<u32>) -> TestResult {
    let mut call = redis::cmd("PFADD");
    call.arg("hll");
    for element in elements {
        call.arg(format!("element {element}"));
    }
    call.exec(connection)?;
    Ok(())
}

/// Copies the string unchanged.
fn copy(from: &mut redis::Connection, to: &mut redis::Connection) -> TestResult {
    let string: Vec<u8> = redis::cmd("GET").arg("hll").query(from)?;
    redis::cmd("SET").arg("copy").arg(string).exec(to)?;
    Ok(())
}

#[test]
fn each_counts_what_the_other_wrote() -> TestResult {
    let real = RedisServer::start()?;
    let server = Server::start("cmap")?;
    let (mut ours, mut theirs) = (server.connection()?, real.connection()?);
    let mut added = 0;
    // Sparse, sparse with many runs, dense.
    for until in [1, 10, 100, 500, 2_000, 20_000] {
        add(&mut ours, added..until)?;
        add(&mut theirs, added..until)?;
        added = until;
        let expected = count(&mut theirs, "hll")?;
        assert_eq!(count(&mut ours, "hll")?, expected);
        copy(&mut ours, &mut theirs)?;
        copy(&mut theirs, &mut ours)?;
        assert_eq!(count(&mut ours, "copy")?, expected);
        assert_eq!(count(&mut theirs, "copy")?, expected);
        let more = ["copy", "more", "and more"];
        for connection in [&mut ours, &mut theirs] {
            redis::cmd("PFADD").arg(&more).exec(connection)?;
        }
        assert_eq!(count(&mut ours, "copy")?, count(&mut theirs, "copy")?);
    }
    Ok(())
}
