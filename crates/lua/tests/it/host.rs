//! A host with a few commands, as redis-server has them, and what the tests run scripts by.

use std::collections::BTreeMap;

use pmemkv_lua::{
    Args, Host, Interpreter, Interrupt, KILLED, Kind, Limits, LogLevel, Outcome, Protocol,
    ReplyBuffer, Run, sha1_hex,
};

/// A tiny server.
#[derive(Default)]
pub struct Memory {
    strings: BTreeMap<Vec<u8>, Vec<u8>>,
    /// What scripts logged.
    pub logged: Vec<(LogLevel, Vec<u8>)>,
    /// How often a script may be interrupted before it is killed.
    pub patience: Option<usize>,
}

impl Host for Memory {
    fn call(&mut self, args: Args<'_>, reply: &mut ReplyBuffer) {
        let name = args[0].to_ascii_lowercase();
        let arity: std::ops::RangeInclusive<usize> = match name.as_slice() {
            b"ping" => 1..=2,
            b"echo" | b"get" | b"incr" | b"raw" => 2..=2,
            b"set" => 3..=3,
            b"del" | b"mget" | b"config" => 2..=usize::MAX,
            _ => return reply.error("ERR Unknown Redis command called from script"),
        };
        if !arity.contains(&args.len()) {
            return reply.error("ERR Wrong number of args calling Redis command from script");
        }
        match name.as_slice() {
            b"ping" if args.len() == 1 => reply.simple("PONG"),
            b"ping" | b"echo" => reply.bulk(&args[1]),
            // A reply as the test has encoded it.
            b"raw" => reply.put(&args[1]),
            b"get" => match self.strings.get(&args[1]) {
                Some(value) => reply.bulk(value),
                None => reply.null(),
            },
            b"mget" => {
                reply.array_header(args.len() - 1);
                for key in args.from(1) {
                    match self.strings.get(key) {
                        Some(value) => reply.bulk(value),
                        None => reply.null(),
                    }
                }
            }
            b"incr" => {
                let value = self
                    .strings
                    .entry(args[1].to_vec())
                    .or_insert_with(|| b"0".to_vec());
                let number = std::str::from_utf8(value)
                    .ok()
                    .and_then(|text| text.parse::<i64>().ok());
                match number {
                    Some(number) => {
                        *value = (number + 1).to_string().into_bytes();
                        reply.integer(number + 1);
                    }
                    None => reply.error("ERR value is not an integer or out of range"),
                }
            }
            b"set" => {
                self.strings.insert(args[1].to_vec(), args[2].to_vec());
                reply.ok();
            }
            b"del" => {
                let removed = args
                    .from(1)
                    .filter(|key| self.strings.remove(*key).is_some())
                    .count();
                reply.integer(i64::try_from(removed).unwrap_or(i64::MAX));
            }
            _ => reply.error("ERR This Redis command is not allowed from script"),
        }
    }

    fn may_call(&mut self, args: Args<'_>) -> Option<bool> {
        matches!(&args[0], b"get" | b"set").then_some(true)
    }

    fn log(&mut self, level: LogLevel, message: &[u8]) {
        self.logged.push((level, message.to_vec()));
    }

    fn interrupt(&mut self) -> Interrupt {
        match &mut self.patience {
            Some(0) => Interrupt::Kill(KILLED),
            Some(left) => {
                *left -= 1;
                Interrupt::Continue
            }
            None => Interrupt::Continue,
        }
    }
}

/// An interpreter with its host.
pub struct Subject {
    pub interpreter: Interpreter,
    pub host: Memory,
}

impl Subject {
    pub fn new() -> Self {
        Self::with(Limits::default())
    }

    pub fn with(limits: Limits) -> Self {
        Self {
            interpreter: Interpreter::new(Kind::Eval, "7.2.4", limits).expect("an interpreter"),
            host: Memory::default(),
        }
    }

    /// EVAL, as the reply's bytes.
    pub fn eval_with(
        &mut self,
        protocol: Protocol,
        text: &[u8],
        keys: &[&[u8]],
        args: &[&[u8]],
    ) -> Vec<u8> {
        let mut out = ReplyBuffer::new(protocol);
        let handle = match self.interpreter.compile(text) {
            Ok(handle) => handle,
            Err(error) => {
                out.error(&error.to_string());
                return out.in_one().expect("a short reply").to_vec();
            }
        };
        let name = sha1_hex(text);
        let run = Run {
            function: handle,
            name: name.as_bytes(),
            keys: keys.iter().copied(),
            args: args.iter().copied(),
        };
        let outcome = self.interpreter.run(run, &mut self.host, &mut out);
        self.interpreter.release(handle);
        if let Outcome::Failed(error) = outcome {
            out.put(b"-");
            out.put(&error.text);
            out.put(b"\r\n");
        }
        let mut buffers = out.take_full();
        buffers.push(out.tail_mut().clone());
        buffers.concat()
    }

    /// EVAL without keys in RESP2, as text.
    pub fn eval(&mut self, text: &str) -> String {
        let reply = self.eval_with(Protocol::Resp2, text.as_bytes(), &[], &[]);
        String::from_utf8_lossy(&reply).into_owned()
    }
}
