//! The notifier: passes the keyspace's events on to subscribers, and its changes to clients that cache keys.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::Server;
use super::feed::Subject;
use crate::keyspace::{EventClass, Followed, Keyspace, Millis, Observer};

/// The present value of `notify-keyspace-events`.
#[derive(Debug, Default)]
pub struct Notifications {
    classes: AtomicU32,
}

impl Notifications {
    /// Sets the classes by their letters.
    pub fn set(&self, letters: &str, keyspace: &Keyspace) {
        let classes = EventClass::from_letters(letters);
        self.classes.store(classes.bits(), Ordering::Release);
        // Without K and E no subscriber would get the events.
        let published = EventClass::KEYSPACE.union(EventClass::KEYEVENT);
        keyspace.events().observe(if classes.intersects(published) {
            classes.without(published)
        } else {
            EventClass::NONE
        });
    }

    fn classes(&self) -> EventClass {
        EventClass::from_bits(self.classes.load(Ordering::Acquire))
    }
}

/// The keyspace's observer.
pub struct Notifier(Arc<Server>);

impl Notifier {
    /// Makes a notifier the keyspace's observer, with the event classes of the configuration.
    pub fn appoint(server: &Arc<Server>, keyspace: &Keyspace) {
        keyspace
            .events()
            .set_observer(Arc::new(Self(Arc::clone(server))));
        let settings = server.config.settings();
        let letters = &settings.notify_keyspace_events;
        server.notifications.set(letters, keyspace);
    }
}

impl Observer for Notifier {
    fn modified(&self, _: usize, key: &[u8], client: u64) {
        self.0.tracking.changed(&self.0, key, client);
    }

    fn flushed(&self, _: Option<usize>) {
        self.0.tracking.flushed(&self.0);
    }

    fn followed(&self, change: Followed<'_>) {
        self.0.feed.told(change);
    }

    fn intended(&self, subject: Option<(usize, &[u8])>) {
        let subject = subject.map_or(Subject::All, |(db, key)| Subject::Key(db, key));
        self.0.feed.intend(subject);
    }

    fn expired(&self, time: Millis) {
        self.0.feed.has_expired(time);
    }

    fn event(&self, _: EventClass, name: &'static str, db: usize, key: &[u8]) {
        let server = &*self.0;
        if !server.pubsub.is_heard() {
            return;
        }
        let classes = server.notifications.classes();
        let publish = |kind: &str, of: &[u8], message: &[u8]| {
            let mut channel = format!("__{kind}@{db}__:").into_bytes();
            channel.extend_from_slice(of);
            server.pubsub.publish(server, &channel, message);
        };
        if classes.intersects(EventClass::KEYSPACE) {
            publish("keyspace", key, name.as_bytes());
        }
        if classes.intersects(EventClass::KEYEVENT) {
            publish("keyevent", name.as_bytes(), key);
        }
    }
}
