use std::time::Duration;

use super::*;
use crate::acl::Acl;

fn register(clients: &Clients) -> Arc<ClientHandle> {
    let endpoint = Endpoint {
        addr: "127.0.0.1:5000".to_owned(),
        laddr: "127.0.0.1:6379".to_owned(),
        fd: 9,
        unix: false,
    };
    let acl = Acl::new(None, false, None);
    clients.register(endpoint, acl.default_user(), 0)
}

#[test]
fn clients_that_do_not_move_are_ended() {
    let limit = OutputBufferLimit {
        hard_bytes: 0,
        soft_bytes: 2,
        soft_time: Duration::from_millis(5),
    };
    let limits = OutputBufferLimits {
        pubsub: limit,
        ..OutputBufferLimits::default()
    };
    let clients = Clients::default();
    let (slow, other) = (register(&clients), register(&clients));
    slow.subscriptions[0].store(1, Ordering::Relaxed);
    for client in [&slow, &other] {
        assert!(client.mailbox.put(b"123", limit));
    }
    assert_eq!(clients.end_slow(&limits), 0);
    std::thread::sleep(Duration::from_millis(10));
    assert_eq!(clients.end_slow(&limits), 1);
    assert!(slow.is_killed() && !other.is_killed());
    assert_eq!(clients.end_slow(&limits), 0);
}

#[test]
fn replicas_are_not_evicted() {
    let clients = Clients::default();
    let (replica, normal) = (register(&clients), register(&clients));
    replica.is_replica.store(true, Ordering::Relaxed);
    assert_eq!(clients.evict(0), 1);
    assert!(normal.is_killed() && !replica.is_killed());
}
