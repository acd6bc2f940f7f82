//! Pub/sub: which client subscribes to what, and how a message reaches the subscribers.
//!
//! One lock protects all subscriptions. A publisher holds it while it delivers a message, so that all clients see
//! messages in the same order. Delivery only copies into a mailbox, so no client can make a publisher wait.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use foldhash::quality::RandomState;
use lock_order::{Mutex, Rank};

use super::{ClientHandle, Server};
use crate::acl::User;
use crate::glob;
use crate::protocol::Push;

/// The kind of name that a subscription has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// A channel.
    Channel,
    /// A pattern of channel names.
    Pattern,
    /// A shard channel. Shard channels are separate from the others.
    Shard,
}

impl Topic {
    /// All kinds.
    pub const ALL: [Topic; 3] = [Topic::Channel, Topic::Pattern, Topic::Shard];
}

/// About what a name takes besides its bytes, here and in the list of listeners.
const NAME_BYTES: usize = 64;

/// A client's subscriptions, by [`Topic`]. They belong to the client's session.
#[derive(Debug, Default)]
pub struct Subscriptions {
    names: [BTreeSet<Bytes>; 3],
    bytes: usize,
}

impl Subscriptions {
    /// The subscribed names of this kind.
    pub fn of(&self, topic: Topic) -> &BTreeSet<Bytes> {
        &self.names[topic as usize]
    }

    /// About how much memory they take, bytes. All clients share a name; each counts for it.
    pub fn memory_bytes(&self) -> usize {
        let names: usize = self.names.iter().map(BTreeSet::len).sum();
        self.bytes + names * NAME_BYTES
    }

    /// The count in the reply to (un)subscribing: channels and patterns count together.
    pub fn count(&self, topic: Topic) -> usize {
        match topic {
            Topic::Shard => self.of(topic).len(),
            _ => self.of(Topic::Channel).len() + self.of(Topic::Pattern).len(),
        }
    }
}

type Listeners = HashMap<Bytes, Vec<Arc<ClientHandle>>, RandomState>;

/// All subscriptions.
#[derive(Debug)]
pub struct PubSub {
    hub: Mutex<Hub>,
    /// How many names of each kind have subscribers. Readable without the lock, so that a message without subscribers
    /// costs almost nothing.
    names: [AtomicUsize; 3],
    clients: AtomicUsize,
}

#[derive(Debug, Default)]
struct Hub {
    listeners: [Listeners; 3],
    message: Push,
}

impl Default for PubSub {
    fn default() -> Self {
        Self {
            hub: Mutex::new(Rank::Hub, Hub::default()),
            names: Default::default(),
            clients: AtomicUsize::new(0),
        }
    }
}

impl PubSub {
    /// Subscribes a client; returns `false` if it was subscribed already.
    pub fn subscribe(
        &self,
        topic: Topic,
        name: &[u8],
        own: &mut Subscriptions,
        client: &Arc<ClientHandle>,
    ) -> bool {
        if own.of(topic).contains(name) {
            return false;
        }
        let name = Bytes::copy_from_slice(name);
        if !client.is_subscriber() {
            self.clients.fetch_add(1, Ordering::Relaxed);
        }
        client.subscriptions[topic as usize].fetch_add(1, Ordering::Relaxed);
        own.bytes += name.len();
        own.names[topic as usize].insert(name.clone());
        let mut hub = self.hub.lock();
        let listeners = &mut hub.listeners[topic as usize];
        listeners.entry(name).or_default().push(Arc::clone(client));
        self.names[topic as usize].store(listeners.len(), Ordering::Release);
        true
    }

    /// Unsubscribes a client; returns `false` if it was not subscribed. After it returns, no more messages arrive.
    pub fn unsubscribe(
        &self,
        topic: Topic,
        name: &[u8],
        own: &mut Subscriptions,
        client: &ClientHandle,
    ) -> bool {
        if !own.names[topic as usize].remove(name) {
            return false;
        }
        own.bytes -= name.len();
        {
            let mut hub = self.hub.lock();
            let listeners = &mut hub.listeners[topic as usize];
            if let Some(clients) = listeners.get_mut(name) {
                if let Some(place) = clients.iter().position(|other| other.id == client.id) {
                    clients.swap_remove(place);
                }
                if clients.is_empty() {
                    listeners.remove(name);
                }
            }
            self.names[topic as usize].store(listeners.len(), Ordering::Release);
        }
        client.subscriptions[topic as usize].fetch_sub(1, Ordering::Relaxed);
        if !client.is_subscriber() {
            self.clients.fetch_sub(1, Ordering::Relaxed);
        }
        true
    }

    /// Ends all of a client's subscriptions.
    pub fn leave(&self, own: &mut Subscriptions, client: &ClientHandle) {
        for topic in Topic::ALL {
            let names: Vec<Bytes> = own.of(topic).iter().cloned().collect();
            for name in names {
                self.unsubscribe(topic, &name, own, client);
            }
        }
    }

    /// Delivers a message to all subscribers of the channel or of a matching pattern; returns how many.
    #[inline]
    pub fn publish(&self, server: &Server, channel: &[u8], message: &[u8]) -> usize {
        if !self.is_heard() {
            return 0;
        }
        self.hand_out(server, channel, message)
    }

    /// Whether there is any subscription except to shard channels.
    #[inline]
    pub fn is_heard(&self) -> bool {
        self.count(Topic::Channel) + self.count(Topic::Pattern) > 0
    }

    fn hand_out(&self, server: &Server, channel: &[u8], text: &[u8]) -> usize {
        let limits = server.config.settings().client_output_buffer_limits;
        let mut count = 0;
        let Hub { listeners, message } = &mut *self.hub.lock();
        let [channels, patterns, _] = listeners;
        if let Some(clients) = channels.get(channel) {
            message.set(&[b"message", channel, text]);
            count += clients.len();
            for client in clients {
                client.deliver(message, server, limits);
            }
        }
        for (pattern, clients) in patterns {
            if glob::matches(pattern, channel, false) {
                message.set(&[b"pmessage", pattern, channel, text]);
                count += clients.len();
                for client in clients {
                    client.deliver(message, server, limits);
                }
            }
        }
        count
    }

    /// Delivers a message to all subscribers of the shard channel; returns how many.
    pub fn publish_to_shard(&self, server: &Server, channel: &[u8], text: &[u8]) -> usize {
        if self.count(Topic::Shard) == 0 {
            return 0;
        }
        let limits = server.config.settings().client_output_buffer_limits;
        let Hub { listeners, message } = &mut *self.hub.lock();
        let [_, _, shards] = listeners;
        let Some(clients) = shards.get(channel) else {
            return 0;
        };
        message.set(&[b"smessage", channel, text]);
        for client in clients {
            client.deliver(message, server, limits);
        }
        clients.len()
    }

    /// The names that have subscribers and match the pattern.
    pub fn names(&self, topic: Topic, pattern: Option<&[u8]>) -> Vec<Bytes> {
        let hub = self.hub.lock();
        let names = hub.listeners[topic as usize].keys();
        names
            .filter(|name| pattern.is_none_or(|pattern| glob::matches(pattern, name, false)))
            .cloned()
            .collect()
    }

    /// How many clients subscribe to a name.
    pub fn listeners(&self, topic: Topic, name: &[u8]) -> usize {
        let hub = self.hub.lock();
        hub.listeners[topic as usize].get(name).map_or(0, Vec::len)
    }

    /// The clients, among those of users for which `is_meant` is true, with a subscription that their user may not
    /// have any more.
    pub fn denied(&self, is_meant: impl Fn(&Arc<User>) -> bool) -> Vec<Arc<ClientHandle>> {
        let mut denied = BTreeMap::new();
        let hub = self.hub.lock();
        for topic in Topic::ALL {
            for (name, clients) in &hub.listeners[topic as usize] {
                for client in clients {
                    let user = client.user.lock();
                    let allows = |user: &User| {
                        let rules = user.rules();
                        rules.allows_channel(name, topic == Topic::Pattern)
                    };
                    if is_meant(&user) && !allows(&user) {
                        denied.insert(client.id, Arc::clone(client));
                    }
                }
            }
        }
        denied.into_values().collect()
    }

    /// How many names have subscribers.
    #[inline]
    pub fn count(&self, topic: Topic) -> usize {
        self.names[topic as usize].load(Ordering::Acquire)
    }

    /// How many clients subscribe to anything.
    pub fn clients(&self) -> usize {
        self.clients.load(Ordering::Relaxed)
    }

    /// Waits until messages in delivery are in their mailboxes.
    pub fn settle(&self) {
        drop(self.hub.lock());
    }
}
