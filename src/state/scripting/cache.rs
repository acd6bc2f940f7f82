//! The scripts that EVALSHA finds.
//!
//! SCRIPT LOAD's scripts stay. Of those that only EVAL brought, the one that was not used for the longest time leaves when
//! there are too many.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use lua::{Handle, Interpreter, Kind, Limits, ScriptFlags, script_header, sha1_hex};

use crate::error::CommandError;
use crate::state::redis_version;

/// How many scripts that only EVAL brought are kept. Redis 7.4's number.
const EVALUATED_MAX: usize = 500;

/// What the texts of all scripts may take, bytes.
const TEXT_BYTES_MAX: usize = 256 << 20;

/// The hexadecimal SHA-1 of a script's text, in lower case.
pub type ScriptName = [u8; 40];

/// A script as it is cached.
#[derive(Debug)]
struct Script {
    text: Arc<[u8]>,
    handle: Handle,
    flags: Option<ScriptFlags>,
    /// SCRIPT LOAD brought it.
    stays: bool,
    /// The number of its last use.
    used: u64,
    /// How long its last runs took.
    pace: Pace,
}

/// A script to run.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    /// Its name.
    pub name: ScriptName,
    /// What to run.
    pub runnable: Runnable,
}

/// A script or a function to run.
#[derive(Clone, Copy, Debug)]
pub struct Runnable {
    /// The function of the interpreter.
    pub handle: Handle,
    /// The flags of a function, or what a script's first line says; `None` if it has no such line.
    pub flags: Option<ScriptFlags>,
    /// How long its last runs took.
    pub pace: Pace,
}

/// How long the last runs of a script took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// They are so short that a thread with other clients may run it.
    pub is_quick: bool,
    /// The last one was not as short.
    was_slow: bool,
}

impl Pace {
    /// Notes whether the last run was short; returns whether that changes anything. Two long ones in a row tell that the
    /// script is not quick, one may only have waited for a processor; `at_once`: one tells it.
    pub fn note(&mut self, was_short: bool, at_once: bool) -> bool {
        let before = *self;
        self.is_quick = was_short || (self.is_quick && !self.was_slow && !at_once);
        self.was_slow = !was_short;
        *self != before
    }
}

/// The interpreter of scripts and the scripts that it holds.
#[derive(Default)]
pub struct Scripts {
    interpreter: Option<Interpreter>,
    by_name: HashMap<ScriptName, Script, RandomState>,
    by_text: HashMap<Arc<[u8]>, ScriptName, RandomState>,
    text_bytes: usize,
    /// How many of the scripts only EVAL brought.
    evaluated: usize,
    uses: u64,
    evicted: u64,
}

impl std::fmt::Debug for Scripts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scripts")
            .field("by_name", &self.by_name)
            .finish_non_exhaustive()
    }
}

impl Scripts {
    /// The interpreter; it is made at its first use.
    pub fn interpreter(&mut self) -> Result<&mut Interpreter, CommandError> {
        let interpreter = match self.interpreter.take() {
            Some(interpreter) => interpreter,
            None => Interpreter::new(Kind::Eval, redis_version(), Limits::default())
                .map_err(|error| CommandError::Text(error.to_string().into()))?,
        };
        Ok(self.interpreter.insert(interpreter))
    }

    /// How many scripts there are.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether there is no script.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// What their texts take, bytes.
    pub fn text_bytes(&self) -> usize {
        self.text_bytes
    }

    /// What the interpreter takes, bytes.
    pub fn vm_bytes(&self) -> usize {
        self.interpreter
            .as_ref()
            .map_or(0, Interpreter::used_memory)
    }

    /// How many scripts were evicted since the last call.
    pub(super) fn take_evicted(&mut self) -> u64 {
        std::mem::take(&mut self.evicted)
    }

    /// Whether there is a script of this name, in any case of its letters.
    pub fn has(&self, name: &[u8]) -> bool {
        parse_name(name).is_some_and(|name| self.by_name.contains_key(&name))
    }

    /// The script of this name, in any case of its letters.
    pub fn find(&mut self, name: &[u8]) -> Option<Found> {
        let name = parse_name(name)?;
        self.by_name.get_mut(&name).map(|script| {
            self.uses += 1;
            script.found(name, self.uses)
        })
    }

    /// The script with this text, if it is cached.
    pub fn find_text(&mut self, text: &[u8]) -> Option<Found> {
        let name = *self.by_text.get(text)?;
        self.by_name.get_mut(&name).map(|script| {
            self.uses += 1;
            script.found(name, self.uses)
        })
    }

    /// The script with this text, which is compiled if it is new. `stays`: it is never evicted.
    pub fn load(&mut self, text: &[u8], stays: bool) -> Result<Found, CommandError> {
        self.load_within(text, stays, TEXT_BYTES_MAX)
    }

    /// As [`load`](Self::load), with all texts in `text_bytes_max`.
    fn load_within(
        &mut self,
        text: &[u8],
        stays: bool,
        text_bytes_max: usize,
    ) -> Result<Found, CommandError> {
        if let Some(found) = self.find_text(text) {
            if stays
                && let Some(script) = self.by_name.get_mut(&found.name)
                && !std::mem::replace(&mut script.stays, true)
            {
                self.evaluated -= 1;
            }
            return Ok(found);
        }
        let refused = |error: lua::LoadError| CommandError::Text(error.to_string().into());
        let flags = script_header(text)
            .map_err(|error| refused(error.into()))?
            .flags;
        let handle = self.interpreter()?.compile(text).map_err(refused)?;
        while self.text_bytes + text.len() > text_bytes_max {
            if !self.evict() {
                self.interpreter()?.release(handle);
                return Err(CommandError::text(
                    "ERR the cached scripts take too much memory: SCRIPT FLUSH removes them",
                ));
            }
        }
        let mut name = [0; 40];
        name.copy_from_slice(sha1_hex(text).as_bytes());
        let text = Arc::<[u8]>::from(text);
        self.uses += 1;
        self.text_bytes += text.len();
        self.by_text.insert(Arc::clone(&text), name);
        let mut script = Script {
            text,
            handle,
            flags,
            stays,
            used: self.uses,
            pace: Pace::default(),
        };
        let found = script.found(name, self.uses);
        self.by_name.insert(name, script);
        if !stays {
            self.evaluated += 1;
            if self.evaluated > EVALUATED_MAX {
                self.evict();
            }
        }
        Ok(found)
    }

    /// What the first line of the script of a call says: of the text for EVAL, of the name for EVALSHA.
    pub fn flags(&self, script: &[u8], is_text: bool) -> Option<ScriptFlags> {
        if is_text {
            return script_header(script).ok()?.flags;
        }
        self.by_name.get(&parse_name(script)?)?.flags
    }

    /// Whether a thread with other clients may run the script of a call.
    pub fn is_quick(&self, script: &[u8], is_text: bool) -> bool {
        let name = if is_text {
            self.by_text.get(script).copied()
        } else {
            parse_name(script)
        };
        name.and_then(|name| self.by_name.get(&name))
            .is_some_and(|script| script.pace.is_quick)
    }

    /// Sets how long the script's last runs took.
    pub fn set_pace(&mut self, name: &ScriptName, pace: Pace) {
        if let Some(script) = self.by_name.get_mut(name) {
            script.pace = pace;
        }
    }

    /// Forgets all scripts, and the interpreter with them.
    pub fn flush(&mut self) {
        let uses = self.uses;
        *self = Self {
            uses,
            ..Self::default()
        };
    }

    /// Removes the script of EVAL that was not used for the longest time; `false` if there is none.
    fn evict(&mut self) -> bool {
        let evaluated = self.by_name.iter().filter(|(_, script)| !script.stays);
        let Some((&name, _)) = evaluated.min_by_key(|(_, script)| script.used) else {
            return false;
        };
        if let Some(script) = self.by_name.remove(&name) {
            self.by_text.remove(&script.text);
            self.text_bytes -= script.text.len();
            self.evaluated -= 1;
            self.evicted += 1;
            if let Some(interpreter) = &mut self.interpreter {
                interpreter.release(script.handle);
            }
        }
        true
    }
}

impl Script {
    fn found(&mut self, name: ScriptName, used: u64) -> Found {
        self.used = used;
        let runnable = Runnable {
            handle: self.handle,
            flags: self.flags,
            pace: self.pace,
        };
        Found { name, runnable }
    }
}

fn parse_name(name: &[u8]) -> Option<ScriptName> {
    let mut name = ScriptName::try_from(name).ok()?;
    name.make_ascii_lowercase();
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_of_eval_make_room_for_others() {
        const BYTES_MAX: usize = 100;
        let mut scripts = Scripts::default();
        let text = |n: usize| format!("return {n:034}");
        let mut load = |n: usize, stays| {
            let loaded = scripts.load_within(text(n).as_bytes(), stays, BYTES_MAX);
            let names: Vec<usize> = (0..9)
                .filter(|&n| scripts.has(sha1_hex(text(n).as_bytes()).as_bytes()))
                .collect();
            (loaded.is_ok(), names, scripts.text_bytes())
        };
        assert_eq!(load(1, false), (true, vec![1], 41));
        assert_eq!(load(2, false), (true, vec![1, 2], 82));
        assert_eq!(load(1, false), (true, vec![1, 2], 82));
        // The script that was used first leaves.
        assert_eq!(load(3, false), (true, vec![1, 3], 82));
        assert_eq!(load(4, true), (true, vec![3, 4], 82));
        assert_eq!(load(5, true), (true, vec![4, 5], 82));
        assert_eq!(load(6, false), (false, vec![4, 5], 82));
        assert_eq!(load(7, true), (false, vec![4, 5], 82));
        assert_eq!(scripts.take_evicted(), 3);
    }

    #[test]
    fn the_least_used_of_evaluated_scripts_leave() {
        let mut scripts = Scripts::default();
        let text = |n: usize| format!("return {n}");
        let stays = scripts.load(b"return 'stays'", true).expect("it is valid");
        let first = scripts
            .load(text(0).as_bytes(), false)
            .expect("it is valid");
        for n in 1..EVALUATED_MAX {
            scripts
                .load(text(n).as_bytes(), false)
                .expect("it is valid");
        }
        assert!(scripts.find(&first.name).is_some());
        scripts
            .load(text(EVALUATED_MAX).as_bytes(), false)
            .expect("it is valid");
        assert!(scripts.has(&first.name) && scripts.has(&stays.name));
        assert!(!scripts.has(sha1_hex(text(1).as_bytes()).as_bytes()));
        assert_eq!(
            (scripts.take_evicted(), scripts.len()),
            (1, EVALUATED_MAX + 1)
        );
        let first = scripts.load(text(0).as_bytes(), true).expect("it is valid");
        for n in 1000..1000 + EVALUATED_MAX {
            scripts
                .load(text(n).as_bytes(), false)
                .expect("it is valid");
        }
        assert!(scripts.has(first.name.to_ascii_uppercase().as_slice()));
        assert_eq!(scripts.len(), EVALUATED_MAX + 2);
        scripts.flush();
        assert_eq!(
            (scripts.len(), scripts.text_bytes(), scripts.vm_bytes()),
            (0, 0, 0)
        );
    }

    #[test]
    fn one_long_run_may_have_waited_for_a_processor() {
        let mut pace = Pace::default();
        let mut after = |was_short, at_once| {
            pace.note(was_short, at_once);
            pace.is_quick
        };
        assert!(!after(false, false));
        assert!(after(true, false));
        assert!(after(false, false));
        assert!(!after(false, false));
        assert!(after(true, false));
        assert!(!after(false, true));
        assert!(after(true, false) && after(false, false) && after(true, false));
        assert!(after(false, false));
    }
}
