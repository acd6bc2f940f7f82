//! What a call of EVAL and its like says: the script, its keys and its arguments.

use lua::ScriptFlags;

use crate::error::CommandError;
use crate::numbers::parse_i64;
use crate::protocol::Args;
use crate::state::Scripting;
use crate::state::scripting::RunKind;

/// How a call names its script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::commands) enum Named {
    /// By its text.
    Text,
    /// By its SHA-1.
    Sha,
    /// A function, by its name.
    Function,
}

/// How a command runs scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::commands) struct Manner {
    pub named: Named,
    /// The script may not write.
    pub reads_only: bool,
}

impl Manner {
    /// The manner of a command that runs scripts, by its name.
    pub(in crate::commands) fn of(command: &str) -> Self {
        let (named, reads_only) = match command {
            "evalsha" => (Named::Sha, false),
            "evalsha_ro" => (Named::Sha, true),
            "eval_ro" => (Named::Text, true),
            "fcall" => (Named::Function, false),
            "fcall_ro" => (Named::Function, true),
            _ => (Named::Text, false),
        };
        Self { named, reads_only }
    }

    /// What it runs.
    pub(in crate::commands) fn kind(self) -> RunKind {
        match self.named {
            Named::Text | Named::Sha => RunKind::Eval,
            Named::Function => RunKind::Function,
        }
    }

    /// The flags of what a call runs, which `script` names; `None` if it has none or does not exist. The caller is inside
    /// the gate.
    pub(in crate::commands) fn flags(
        self,
        scripting: &Scripting,
        script: &[u8],
    ) -> Option<ScriptFlags> {
        match self.named {
            Named::Text => scripting.with(|scripts| scripts.flags(script, true)),
            Named::Sha => scripting.with(|scripts| scripts.flags(script, false)),
            Named::Function => scripting
                .with_functions(|functions| functions.find(script))
                .and_then(|(_, function)| function.flags),
        }
    }

    /// Whether a thread with other clients may run what a call runs. The caller is inside the gate.
    pub(in crate::commands) fn is_quick(self, scripting: &Scripting, script: &[u8]) -> bool {
        match self.named {
            Named::Text => scripting.with(|scripts| scripts.is_quick(script, true)),
            Named::Sha => scripting.with(|scripts| scripts.is_quick(script, false)),
            // One that does not exist is an error at once.
            Named::Function => scripting
                .with_functions(|functions| functions.find(script))
                .is_none_or(|(_, function)| function.pace.is_quick),
        }
    }
}

/// The place of a call's first argument that is no key. The keys begin at 3.
pub(in crate::commands) fn first_argument(
    args: Args<'_>,
    named: Named,
) -> Result<usize, CommandError> {
    let count = parse_i64(&args[2]).ok_or(match named {
        Named::Text | Named::Sha => CommandError::NotAnInteger,
        Named::Function => CommandError::text("ERR Bad number of keys provided"),
    })?;
    let given = args.len() - 3;
    if count > i64::try_from(given).unwrap_or(i64::MAX) {
        return Err(CommandError::text(
            "ERR Number of keys can't be greater than number of args",
        ));
    }
    let count = usize::try_from(count)
        .map_err(|_| CommandError::text("ERR Number of keys can't be negative"))?;
    Ok(3 + count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::OwnedArgs;

    #[test]
    fn counts_keys_as_redis_does() {
        let first = |line: &str| {
            let words = OwnedArgs::new(line.split(' '));
            first_argument(words.args(), Named::Text).map_err(|error| error.to_string())
        };
        assert_eq!(first("eval s 0"), Ok(3));
        assert_eq!(first("eval s 0 a b"), Ok(3));
        assert_eq!(first("eval s 2 a b"), Ok(5));
        let too_many = "ERR Number of keys can't be greater than number of args";
        assert_eq!(first("eval s 3 a b"), Err(too_many.into()));
        let negative = "ERR Number of keys can't be negative";
        assert_eq!(first("eval s -1 a b"), Err(negative.into()));
        let no_number = "ERR value is not an integer or out of range";
        assert_eq!(first("eval s x a b"), Err(no_number.into()));
    }
}
