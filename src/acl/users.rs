//! All users, and the log of what was denied.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};

use super::DEFAULT_USER;
use super::log::{Context, Event, Log, Reason};
use super::rules::{Rules, RulesError};
use super::user::User;

/// Users by name, in byte order.
pub(super) type ByName = BTreeMap<Box<[u8]>, Arc<User>>;

/// All users.
#[derive(Debug)]
pub struct Acl {
    users: RwLock<ByName>,
    /// Always there, and always the same one.
    default_user: Arc<User>,
    /// Whether clients need not authenticate: the default user is on and takes any password.
    open: AtomicBool,
    /// The file that holds the users, if the configuration names one.
    file: Option<PathBuf>,
    /// What was denied lately.
    log: Mutex<Log>,
    /// How often what was denied.
    denied: Denied,
}

/// Counters for INFO.
#[derive(Debug, Default)]
#[allow(missing_docs)] // Each counts the denials of that reason.
pub struct Denied {
    pub auth: AtomicU64,
    pub command: AtomicU64,
    pub key: AtomicU64,
    pub channel: AtomicU64,
}

/// A name and a password that let nobody in: no such user, it is off, or another password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuthError;

impl Acl {
    /// The default user alone, who may do everything; its password is `requirepass`, if there is one.
    pub fn new(
        requirepass: Option<&[u8]>,
        channels_by_default: bool,
        file: Option<PathBuf>,
    ) -> Self {
        let mut rules = Rules::everything(channels_by_default);
        rules.set_only_password(requirepass);
        let default_user = Arc::new(User::new(DEFAULT_USER, rules));
        let acl = Self {
            users: RwLock::new(BTreeMap::from([(
                DEFAULT_USER.into(),
                Arc::clone(&default_user),
            )])),
            default_user,
            open: AtomicBool::new(false),
            file,
            log: Mutex::default(),
            denied: Denied::default(),
        };
        acl.note_default_user();
        acl
    }

    /// To be called with the lock of `users`, after the default user's rules have changed.
    fn note_default_user(&self) {
        let rules = self.default_user.rules();
        let open = rules.is_enabled() && rules.takes_any_password();
        self.open.store(open, Ordering::Release);
    }

    /// Whether clients need not authenticate.
    #[inline]
    pub fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// The user that connections begin as.
    pub fn default_user(&self) -> &Arc<User> {
        &self.default_user
    }

    /// The file that holds the users, if the configuration names one.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// What was denied how often.
    pub fn denied(&self) -> &Denied {
        &self.denied
    }

    /// What was denied lately.
    pub fn log(&self) -> &Mutex<Log> {
        &self.log
    }

    /// The user of that name.
    pub fn get(&self, name: &[u8]) -> Option<Arc<User>> {
        self.users.read().get(name).cloned()
    }

    /// All users, in byte order of their names.
    pub fn all(&self) -> Vec<Arc<User>> {
        self.users.read().values().cloned().collect()
    }

    /// Changes a user, or makes a new one: all rules are applied, or none.
    pub fn set_user<W: AsRef<[u8]>>(
        &self,
        name: &[u8],
        words: &[W],
        channels_by_default: bool,
    ) -> Result<(), RulesError> {
        let mut users = self.users.write();
        let user = users.get(name);
        let mut rules = match user {
            Some(user) => (*user.rules()).clone(),
            None => Rules::new(channels_by_default),
        };
        rules.set_channels_by_default(channels_by_default);
        rules.apply_all(words)?;
        match user {
            Some(user) => user.set(rules),
            None => {
                users.insert(name.into(), Arc::new(User::new(name, rules)));
            }
        }
        self.note_default_user();
        Ok(())
    }

    /// Removes a user and returns it; who still acts as it may do nothing more.
    ///
    /// The default user can't be removed: callers check for it.
    pub fn delete(&self, name: &[u8]) -> Option<Arc<User>> {
        let mut users = self.users.write();
        if name == DEFAULT_USER {
            return None;
        }
        let user = users.remove(name)?;
        user.set(Rules::new(false));
        Some(user)
    }

    /// The directive `requirepass`: the default user's only password, or with `None` any.
    pub fn set_default_password(&self, password: Option<&[u8]>) {
        // The lock keeps others from changing the same rules meanwhile.
        let users = self.users.write();
        let mut rules = (*self.default_user.rules()).clone();
        rules.set_only_password(password);
        self.default_user.set(rules);
        self.note_default_user();
        drop(users);
    }

    /// Checks a name and a password, and has `enter` note the user before anybody can remove it.
    pub fn authenticate(
        &self,
        name: &[u8],
        password: &[u8],
        enter: impl FnOnce(&Arc<User>),
    ) -> Result<(), AuthError> {
        // An unknown name takes as long as a known one.
        let user = self.get(name);
        let rules = user
            .as_ref()
            .map_or_else(|| Arc::new(Rules::new(false)), |user| user.rules());
        let accepts = rules.accepts(password);
        let Some(user) = user.filter(|_| accepts) else {
            return Err(AuthError);
        };
        let users = self.users.read();
        if !users.get(name).is_some_and(|now| Arc::ptr_eq(now, &user)) {
            return Err(AuthError);
        }
        enter(&user);
        Ok(())
    }

    /// Puts other users in the place of all; returns those that are gone. A user that stays is the same one, with the
    /// new rules.
    pub(super) fn replace(&self, new: BTreeMap<Box<[u8]>, Rules>) -> Vec<Arc<User>> {
        let mut users = self.users.write();
        let mut old = std::mem::take(&mut *users);
        for (name, rules) in new {
            let user = match old.remove(&name) {
                Some(user) => {
                    user.set(rules);
                    user
                }
                None => Arc::new(User::new(&name, rules)),
            };
            users.insert(name, user);
        }
        if let Some(default) = old.remove(DEFAULT_USER) {
            let channels_by_default = default.rules().channels_by_default();
            default.set(Rules::everything(channels_by_default));
            users.insert(DEFAULT_USER.into(), default);
        }
        for user in old.values() {
            user.set(Rules::new(false));
        }
        self.note_default_user();
        old.into_values().collect()
    }

    /// Counts what was denied and notes it in the log.
    pub fn deny(
        &self,
        event: Event,
        now_ms: i64,
        log_len_max: usize,
        client: impl FnOnce() -> String,
    ) {
        let counter = match event.reason {
            Reason::Auth => &self.denied.auth,
            Reason::Command => &self.denied.command,
            Reason::Key => &self.denied.key,
            Reason::Channel => &self.denied.channel,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        self.log.lock().add(event, now_ms, log_len_max, client);
    }
}

impl Event {
    /// A failed attempt to authenticate with a command's first word `object`.
    pub fn auth(context: Context, object: &[u8], username: &[u8]) -> Self {
        Self {
            reason: Reason::Auth,
            context,
            object: object.to_vec(),
            username: username.to_vec(),
        }
    }
}
