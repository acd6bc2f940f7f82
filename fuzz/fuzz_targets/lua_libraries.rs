//! What `cjson`, `cmsgpack`, `struct` and patterns read ends with values or an error; and what was read is the same when it is
//! written and read again.
#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use pmemkv_lua::{
    Args, Handle, Host, Interpreter, Interrupt, KILLED, Kind, Limits, LogLevel, Outcome, Protocol,
    ReplyBuffer, Run,
};

struct Nothing(usize);

impl Host for Nothing {
    fn call(&mut self, _: Args<'_>, reply: &mut ReplyBuffer) {
        reply.null();
    }

    fn may_call(&mut self, _: Args<'_>) -> Option<bool> {
        None
    }

    fn log(&mut self, _: LogLevel, _: &[u8]) {}

    fn interrupt(&mut self) -> Interrupt {
        match self.0.checked_sub(1) {
            None => Interrupt::Kill(KILLED),
            Some(left) => {
                self.0 = left;
                Interrupt::Continue
            }
        }
    }
}

/// Returns 1 if something is wrong.
const SCRIPT: &[u8] = b"
    local a, b = ARGV[1], ARGV[2]
    local ok, value = pcall(cjson.decode, a)
    if ok then
        local ok, text = pcall(cjson.encode, value)
        if ok and #cjson.encode(cjson.decode(text)) ~= #text then return 1 end
    end
    local values = {pcall(cmsgpack.unpack, a)}
    if values[1] and #values == 2 then
        local text = cmsgpack.pack(values[2])
        if #cmsgpack.pack(cmsgpack.unpack(text)) ~= #text then return 1 end
    end
    pcall(cmsgpack.unpack_one, a, #b)
    pcall(cmsgpack.unpack_limit, a, #b, 1)
    pcall(struct.unpack, b, a)
    pcall(struct.unpack, b, a, 2)
    pcall(struct.size, b)
    pcall(struct.pack, b, 1, 2, 3, a, a)
    pcall(bit.tohex, a, b)
    pcall(string.find, a, b)
    pcall(string.gsub, a, b, '%0')
    pcall(string.format, b, 1, 2, a)
    return 0";

thread_local! {
    static INTERPRETER: RefCell<(Interpreter, Handle)> = RefCell::new({
        let limits = Limits {
            memory_bytes: 16 << 20,
            interrupt_instructions: 1000,
            ..Limits::default()
        };
        let mut interpreter = Interpreter::new(Kind::Eval, "7.2.4", limits).expect("an interpreter");
        let script = interpreter.compile(SCRIPT).expect("a script");
        (interpreter, script)
    });
}

fuzz_target!(|input: (&[u8], &[u8])| {
    INTERPRETER.with_borrow_mut(|(interpreter, function)| {
        let mut out = ReplyBuffer::new(Protocol::Resp2);
        let none: [&[u8]; 0] = [];
        let run = Run {
            function: *function,
            name: b"name",
            keys: none.into_iter(),
            args: [input.0, input.1].into_iter(),
        };
        match interpreter.run(run, &mut Nothing(50), &mut out) {
            Outcome::Written => assert_eq!(out.in_one(), Some(&b":0\r\n"[..])),
            Outcome::Failed(error) => {
                let text = String::from_utf8_lossy(&error.text).into_owned();
                assert!(text.contains("killed") || text.contains("not enough memory"), "{text}");
            }
        }
    });
});
