//! All users, and the log of denials.

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
    /// The default user. It always exists, and is always the same object.
    default_user: Arc<User>,
    /// Whether clients need not authenticate: the default user is on and takes any password.
    open: AtomicBool,
    /// The file that holds the users, if the configuration names one.
    file: Option<PathBuf>,
    /// The latest denials.
    log: Mutex<Log>,
    /// How many denials there were, by reason.
    denied: Denied,
}

/// Counts of denials, for INFO.
#[derive(Debug, Default)]
#[allow(missing_docs)] // Each counts the denials with that reason.
pub struct Denied {
    pub auth: AtomicU64,
    pub command: AtomicU64,
    pub key: AtomicU64,
    pub channel: AtomicU64,
}

/// Authentication failed: there is no such user, it is off, or it has another password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuthError;

impl Acl {
    /// The default user alone. It may do everything, and its password is `requirepass`, if there is one.
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

    /// Updates `open` after a change of the default user's rules. The caller holds the lock of `users`.
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

    /// How many denials there were, by reason.
    pub fn denied(&self) -> &Denied {
        &self.denied
    }

    /// The latest denials.
    pub fn log(&self) -> &Mutex<Log> {
        &self.log
    }

    /// The user with this name.
    pub fn get(&self, name: &[u8]) -> Option<Arc<User>> {
        self.users.read().get(name).cloned()
    }

    /// All users, in byte order of their names.
    pub fn all(&self) -> Vec<Arc<User>> {
        self.users.read().values().cloned().collect()
    }

    /// Changes a user, or makes a new one. Applies all rules, or on an error none.
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

    /// Removes a user and returns it. Connections that still act as the user may do nothing from now on.
    ///
    /// Returns `None` for the default user, which can't be removed; callers check for it.
    pub fn delete(&self, name: &[u8]) -> Option<Arc<User>> {
        let mut users = self.users.write();
        if name == DEFAULT_USER {
            return None;
        }
        let user = users.remove(name)?;
        user.set(Rules::new(false));
        Some(user)
    }

    /// Sets the default user's only password; `None` accepts any. For the directive `requirepass`.
    pub fn set_default_password(&self, password: Option<&[u8]>) {
        // The lock keeps other threads from changing the same rules meanwhile.
        let users = self.users.write();
        let mut rules = (*self.default_user.rules()).clone();
        rules.set_only_password(password);
        self.default_user.set(rules);
        self.note_default_user();
        drop(users);
    }

    /// Checks a name and a password. Calls `enter` with the user under the lock of `users`, so that no other thread can
    /// remove the user before the session has it.
    pub fn authenticate(
        &self,
        name: &[u8],
        password: &[u8],
        enter: impl FnOnce(&Arc<User>),
    ) -> Result<(), AuthError> {
        // Check a password even for an unknown name, so that the reply takes as long as for a known one.
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

    /// Replaces all users and returns those that are gone. A user that stays remains the same object, with the new
    /// rules.
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

    /// Counts a denial and adds it to the log.
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
    /// A failed authentication by the command `object`.
    pub fn auth(context: Context, object: &[u8], username: &[u8]) -> Self {
        Self {
            reason: Reason::Auth,
            context,
            object: object.to_vec(),
            username: username.to_vec(),
        }
    }
}
