//! What a running script's Rust functions work with. The interpreter sets it for the time of a run.

use mlua::{Lua, MultiValue, Value};
use redis_core::protocol::{Args, Protocol, ReplyBuffer};

use crate::failure::Failure;
use crate::flags::ScriptFlags;
use crate::host::Host;
use crate::libs::cjson;
use crate::random::Random;

scoped_tls_hkt::scoped_thread_local!(
    // Set while a script runs on this thread.
    pub(crate) static mut CURRENT: for<'a> Current<'a>
);

/// The run that the thread is in.
pub(crate) struct Current<'a> {
    pub host: &'a mut (dyn Host + 'a),
    pub state: &'a mut State,
}

impl<'a, 'b: 'a> scoped_tls_hkt::ReborrowMut<'a> for Current<'b> {
    type Result = Current<'a>;

    fn reborrow_mut(&'a mut self) -> Current<'a> {
        Current {
            host: self.host,
            state: self.state,
        }
    }
}

/// The state of an interpreter that its functions change.
pub(crate) struct State {
    /// The protocol of the replies that the script gets: `redis.setresp`.
    pub protocol: Protocol,
    /// The numbers of `math.random`.
    pub random: Random,
    /// What `random` was before the script called `math.randomseed`.
    pub random_before: Option<Random>,
    /// The settings of `cjson`.
    pub cjson: cjson::Settings,
    /// The C side's `array_keys`.
    pub array_keys: mlua::Function,
    /// How much a library may collect outside of Lua's memory.
    pub buffer_bytes: usize,
    /// The functions that the library registered so far; `None` outside of FUNCTION LOAD.
    pub registered: Option<Vec<Registered>>,
    /// The bytes of the arguments of `redis.call`, and where each one lies.
    arguments: Vec<u8>,
    ranges: Vec<(usize, usize)>,
    /// The reply of `redis.call`.
    pub reply: ReplyBuffer,
}

/// A function that a library registers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// The name that FCALL gives.
    pub name: Vec<u8>,
    /// The description, if the library gave one.
    pub description: Option<Vec<u8>>,
    /// What the function may do.
    pub flags: ScriptFlags,
    /// The function.
    pub function: crate::Handle,
}

/// A buffer that grew beyond this is not kept for the next call.
const KEPT_BYTES: usize = 64 * 1024;

impl State {
    pub fn new(array_keys: mlua::Function, cjson: cjson::Settings, buffer_bytes: usize) -> Self {
        Self {
            protocol: Protocol::Resp2,
            random: Random::new(),
            random_before: None,
            cjson,
            array_keys,
            buffer_bytes,
            registered: None,
            arguments: Vec::new(),
            ranges: Vec::new(),
            reply: ReplyBuffer::new(Protocol::Resp2),
        }
    }

    /// Undoes what a script changed.
    pub fn end_run(&mut self) {
        self.protocol = Protocol::Resp2;
        if let Some(random) = self.random_before.take() {
            self.random = random;
        }
        self.cjson.reset();
        if self.arguments.capacity() > KEPT_BYTES {
            self.arguments = Vec::new();
        }
        self.reply.clear(KEPT_BYTES);
    }

    /// Copies a command's arguments out of Lua.
    pub fn take_arguments(&mut self, values: &MultiValue) -> Result<(), Failure> {
        self.arguments.clear();
        self.ranges.clear();
        if values.is_empty() {
            return Err(Failure::reply(
                "Please specify at least one argument for this redis lib call",
            ));
        }
        for value in values {
            let start = self.arguments.len();
            if start > self.buffer_bytes {
                return Err(Failure::Memory);
            }
            match value {
                Value::String(text) => self.arguments.extend_from_slice(&text.as_bytes()),
                Value::Integer(number) => {
                    self.arguments
                        .extend_from_slice(itoa::Buffer::new().format(*number).as_bytes());
                }
                Value::Number(number) => self
                    .arguments
                    .extend_from_slice(argument_text(*number).as_bytes()),
                _ => {
                    return Err(Failure::reply(
                        "Lua redis lib command arguments must be strings or integers",
                    ));
                }
            }
            self.ranges.push((start, self.arguments.len()));
        }
        Ok(())
    }

    /// Runs a command with the arguments that were taken.
    #[inline]
    pub fn call(&mut self, host: &mut dyn Host) {
        self.reply.clear(KEPT_BYTES);
        self.reply.protocol = self.protocol;
        host.call(Args::new(&self.arguments, &self.ranges), &mut self.reply);
    }

    /// The reply in one piece, where it lies in several buffers.
    pub fn reply_bytes(&mut self) -> Vec<u8> {
        let mut buffers = self.reply.take_full();
        buffers.push(std::mem::take(self.reply.tail_mut()));
        buffers.concat()
    }

    /// The arguments that were taken.
    pub fn args(&self) -> Args<'_> {
        Args::new(&self.arguments, &self.ranges)
    }
}

/// A number as an argument of a command: whole numbers as integers, the others by the fewest digits.
fn argument_text(number: f64) -> String {
    // Redis casts to an integer first, which has no negative zero.
    redis_core::numbers::format_double(if number == 0.0 { 0.0 } else { number })
}

/// Makes a function for scripts.
pub(crate) fn function(
    lua: &Lua,
    raising: &mlua::Function,
    body: impl Fn(&Lua, &mut dyn Host, &mut State, &MultiValue) -> Result<MultiValue, Failure>
    + Send
    + 'static,
) -> mlua::Result<mlua::Function> {
    let raw = lua.create_function(move |lua, args: MultiValue| {
        let result = CURRENT.with(|current| body(lua, current.host, current.state, &args));
        match result {
            Ok(mut values) => {
                values.push_front(Value::Nil);
                Ok(values)
            }
            Err(failure) => failure.into_results(lua),
        }
    })?;
    raising.call(raw)
}
