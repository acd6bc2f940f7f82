//! Sessions that clients may resume, for a limited time.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustls::server::StoresServerSessions;

/// The limit if the directive sets none.
const SESSIONS_MAX: usize = 1 << 20;

/// Sessions by id. The oldest one makes room for a new one.
pub(super) struct Sessions {
    size: usize,
    lifetime: Duration,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    by_id: HashMap<Vec<u8>, Session>,
    /// Ids, oldest first. Some of these sessions may be gone already.
    order: VecDeque<Vec<u8>>,
}

struct Session {
    since: Instant,
    state: Vec<u8>,
}

impl Sessions {
    /// Keeps up to `size` sessions (0: as many as possible), each for `lifetime`.
    pub(super) fn new(size: usize, lifetime: Duration) -> Self {
        Self {
            size: if size == 0 {
                SESSIONS_MAX
            } else {
                size.min(SESSIONS_MAX)
            },
            lifetime,
            kept: Mutex::default(),
        }
    }

    fn is_valid(&self, session: &Session) -> bool {
        session.since.elapsed() < self.lifetime
    }
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Sessions are secret, so show none.
        formatter.debug_struct("Sessions").finish_non_exhaustive()
    }
}

impl StoresServerSessions for Sessions {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        let mut kept = self.kept.lock();
        while kept.order.len() >= self.size {
            if let Some(oldest) = kept.order.pop_front() {
                kept.by_id.remove(&oldest);
            }
        }
        let session = Session {
            since: Instant::now(),
            state: value,
        };
        kept.order.push_back(key.clone());
        kept.by_id.insert(key, session);
        true
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        let kept = self.kept.lock();
        let session = kept.by_id.get(key)?;
        self.is_valid(session).then(|| session.state.clone())
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        let session = self.kept.lock().by_id.remove(key)?;
        self.is_valid(&session).then_some(session.state)
    }

    fn can_cache(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_few_and_end() {
        let id = |number: u8| vec![number];
        let sessions = Sessions::new(2, Duration::from_secs(60));
        for number in 0..3 {
            assert!(sessions.put(id(number), id(number)));
        }
        assert_eq!(sessions.get(&id(0)), None);
        assert_eq!(sessions.get(&id(1)), Some(id(1)));
        assert_eq!(sessions.take(&id(2)), Some(id(2)));
        assert_eq!(sessions.take(&id(2)), None);
        sessions.put(id(4), id(4));
        assert_eq!(sessions.get(&id(1)), None);
        assert_eq!(sessions.get(&id(4)), Some(id(4)));
        assert!(sessions.kept.lock().order.len() <= 2);

        let ended = Sessions::new(0, Duration::ZERO);
        ended.put(id(1), id(1));
        assert_eq!(ended.get(&id(1)), None);
        assert_eq!(ended.take(&id(1)), None);
    }
}
