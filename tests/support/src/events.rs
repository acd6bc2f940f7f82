//! Events of the key space, as a subscriber sees them.

use crate::{Server, TestResult};

const EVENTS: &str = "__keyevent@0__:";

/// What stands for the end of a call's events.
const MARK: &str = "mark";

/// Runs each call and compares the events that it causes, in their order and divided by spaces, with the expected ones.
/// Events of all kinds are on meanwhile, those of misses excepted.
pub fn check_events(server: &Server, calls: &[(&str, &str)]) -> TestResult {
    let mut client = server.raw()?;
    client.line("CONFIG SET notify-keyspace-events AEn")?;
    let mut listener = server.raw()?;
    listener.line(&format!("PSUBSCRIBE {EVENTS}*"))?;
    for (line, expected) in calls {
        client.line(line)?;
        client.line(&format!("PUBLISH {EVENTS}{MARK} {MARK}"))?;
        let mut seen = Vec::new();
        loop {
            let message = listener.read()?;
            let items = message.items().ok_or("no message")?;
            let channel = items[2].text().ok_or("no channel")?;
            let event = channel.trim_start_matches(EVENTS).to_owned();
            if event == MARK {
                break;
            }
            seen.push(event);
        }
        assert_eq!(seen.join(" "), *expected, "{line}");
    }
    client.line("CONFIG SET notify-keyspace-events \"\"")?;
    Ok(())
}
