//! Any text runs as a script or is refused, within its limits, and the next script finds nothing changed.
#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use pmemkv_lua::{
    Args, Handle, Host, Interpreter, Interrupt, KILLED, Kind, Limits, LogLevel, Protocol,
    ReplyBuffer, Run,
};

/// A server that answers with what it is given, and loses patience.
struct Echo(usize);

impl Host for Echo {
    fn call(&mut self, args: Args<'_>, reply: &mut ReplyBuffer) {
        reply.array_header(args.len());
        for arg in args.from(0) {
            reply.bulk(arg);
        }
    }

    fn may_call(&mut self, args: Args<'_>) -> Option<bool> {
        Some(args.len() > 1)
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

fn run(interpreter: &mut Interpreter, function: Handle) -> ReplyBuffer {
    let mut out = ReplyBuffer::new(Protocol::Resp3);
    out.set_limit(1 << 20);
    let run = Run {
        function,
        name: b"name",
        keys: [&b"key"[..]].into_iter(),
        args: [&b"1"[..], b"two"].into_iter(),
    };
    interpreter.run(run, &mut Echo(50), &mut out);
    out
}

thread_local! {
    static INTERPRETER: RefCell<Interpreter> = RefCell::new(
        Interpreter::new(Kind::Eval, "7.2.4", Limits {
            memory_bytes: 8 << 20,
            interrupt_instructions: 1000,
            ..Limits::default()
        })
        .expect("an interpreter"),
    );
}

fuzz_target!(|script: &[u8]| {
    INTERPRETER.with_borrow_mut(|interpreter| {
        if let Ok(function) = interpreter.compile(script) {
            run(interpreter, function);
            interpreter.release(function);
        }
        let probe = interpreter
            .compile(b"return {#KEYS, #ARGV, tostring(rawget(_G, 'x')), ('a'):rep(2), redis.call('a')[1]}")
            .expect("the probe compiles");
        let out = run(interpreter, probe);
        interpreter.release(probe);
        let expected = b"*5\r\n:1\r\n:2\r\n$3\r\nnil\r\n$2\r\naa\r\n$1\r\na\r\n";
        assert_eq!(out.in_one(), Some(&expected[..]));
    });
});
