//! What a running script's Rust functions work with. The interpreter sets it for the time of a run.

use std::cell::Cell;
use std::ffi::c_void;

use mlua::{LightUserData, Lua, MultiValue, Value};
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
    /// Where the C side leaves the arguments of `redis.call`, if they are short, and finds the reply.
    exchange: Exchange,
    /// The reply of `redis.call`.
    reply: ReplyBuffer,
    /// The reply in one piece, if it lies in several buffers.
    joined: Vec<u8>,
}

/// Memory that the C side reads and writes. It keeps the addresses, so neither part ever moves.
pub(crate) struct Exchange {
    /// How many bytes of arguments there are; the address of the reply; its length; how the run ended.
    words: Box<[Cell<u64>; 4]>,
    /// The arguments.
    bytes: Box<[Cell<u8>]>,
}

impl Exchange {
    pub fn new() -> Self {
        Self {
            words: Box::new([const { Cell::new(0) }; 4]),
            bytes: vec![Cell::new(0); EXCHANGE_BYTES].into_boxed_slice(),
        }
    }

    /// The addresses of the words and of the bytes, and how many bytes there are, as the C side takes them.
    pub fn addresses(&self) -> (Value, Value, usize) {
        let address = |at: *mut c_void| Value::LightUserData(LightUserData(at));
        (
            address(self.words.as_ptr().cast_mut().cast()),
            address(self.bytes.as_ptr().cast_mut().cast()),
            self.bytes.len(),
        )
    }

    /// The address of the word that says how a run ended.
    #[inline]
    fn ending_address(&self) -> u64 {
        self.words[3].as_ptr().expose_provenance() as u64
    }

    /// The arguments that the C side has left.
    #[inline]
    fn packed(&self) -> &[Cell<u8>] {
        let bytes = usize::try_from(self.words[0].get()).unwrap_or(0);
        self.bytes.get(..bytes).unwrap_or_default()
    }

    /// Leaves the place of a reply.
    #[inline]
    fn leave(&self, reply: &[u8]) {
        self.words[1].set(reply.as_ptr().expose_provenance() as u64);
        self.words[2].set(reply.len() as u64);
    }
}

/// Arguments of `redis.call` that take more bytes, with their lengths, come as Lua's values.
const EXCHANGE_BYTES: usize = 4096;

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
    pub fn new(
        array_keys: mlua::Function,
        cjson: cjson::Settings,
        exchange: Exchange,
        buffer_bytes: usize,
    ) -> Self {
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
            exchange,
            reply: ReplyBuffer::new(Protocol::Resp2),
            joined: Vec::new(),
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
        self.joined = Vec::new();
    }

    /// Takes a command's arguments that the C side has left: each one's length and its bytes.
    pub fn take_packed(&mut self) {
        /// The length of a number. Its double follows.
        const NUMBER: u64 = u64::MAX;

        self.arguments.clear();
        self.ranges.clear();
        self.arguments
            .extend(self.exchange.packed().iter().map(Cell::get));
        let end = self.arguments.len();
        let mut at = 0;
        while let Some(length) = self
            .arguments
            .get(at..end)
            .and_then(<[u8]>::first_chunk::<8>)
        {
            let length = u64::from_ne_bytes(*length);
            at += 8;
            if length == NUMBER {
                let Some(number) = self
                    .arguments
                    .get(at..end)
                    .and_then(<[u8]>::first_chunk::<8>)
                else {
                    break;
                };
                let number = f64::from_ne_bytes(*number);
                at += 8;
                // Behind all that was packed, so that the places of the others stay right.
                let start = self.arguments.len();
                put_number(number, &mut self.arguments);
                self.ranges.push((start, self.arguments.len()));
            } else {
                let start = at;
                at = at.saturating_add(usize::try_from(length).unwrap_or(usize::MAX));
                self.ranges.push((start, at));
            }
        }
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
                #[allow(clippy::cast_precision_loss)]
                // It was a double before mlua made it an integer.
                Value::Integer(number) => put_number(*number as f64, &mut self.arguments),
                Value::Number(number) => put_number(*number, &mut self.arguments),
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

    /// Leaves the place of the reply for the C side. It holds until the next call.
    #[inline]
    pub fn leave_reply(&mut self) {
        match self.reply.in_one() {
            Some(reply) => self.exchange.leave(reply),
            None => self.leave_joined(),
        }
    }

    #[cold]
    fn leave_joined(&mut self) {
        let mut buffers = self.reply.take_full();
        buffers.push(std::mem::take(self.reply.tail_mut()));
        self.joined = buffers.concat();
        self.exchange.leave(&self.joined);
    }

    /// Where the C side says how a run ended.
    #[inline]
    pub fn ending_address(&self) -> u64 {
        self.exchange.ending_address()
    }

    /// How the run ended.
    #[inline]
    pub fn ending(&self) -> u64 {
        self.exchange.words[3].get()
    }

    /// The arguments that were taken.
    pub fn args(&self) -> Args<'_> {
        Args::new(&self.arguments, &self.ranges)
    }
}

/// Appends a number as an argument of a command: whole numbers as integers, the others by the fewest digits.
fn put_number(number: f64, to: &mut Vec<u8>) {
    /// Whole numbers below are exact.
    const EXACT: f64 = 9_007_199_254_740_992.0;

    if number.fract() == 0.0 && number.abs() < EXACT {
        // Redis casts to an integer first, which has no negative zero.
        #[allow(clippy::cast_possible_truncation)] // Whole, and well within the range.
        let number = number as i64;
        to.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    } else {
        to.extend_from_slice(redis_core::numbers::format_double(number).as_bytes());
    }
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
