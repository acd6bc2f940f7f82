//! Any payload of FUNCTION RESTORE reads or is refused, what was read is the same after FUNCTION DUMP, and each text is a
//! library or an error.
#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use pmemkv_lua::{
    Args, Host, Interpreter, Interrupt, Kind, LOAD_TIMEOUT, Limits, LogLevel, ReplyBuffer,
};
use pmemkv_server::serialised::{LibrariesError, decode_libraries, encode_libraries, fuzzing};

struct Nothing;

impl Host for Nothing {
    fn call(&mut self, _: Args<'_>, reply: &mut ReplyBuffer) {
        reply.null();
    }

    fn may_call(&mut self, _: Args<'_>) -> Option<bool> {
        None
    }

    fn log(&mut self, _: LogLevel, _: &[u8]) {}

    fn interrupt(&mut self) -> Interrupt {
        Interrupt::Kill(LOAD_TIMEOUT)
    }
}

const INFLATED_BYTES_MAX: usize = 1 << 20;

thread_local! {
    static INTERPRETER: RefCell<Interpreter> = RefCell::new({
        let limits = Limits {
            memory_bytes: 16 << 20,
            interrupt_instructions: 1000,
            ..Limits::default()
        };
        Interpreter::new(Kind::Functions, "7.2.4", limits).expect("an interpreter")
    });
}

fn read(payload: &[u8]) -> Result<Vec<Vec<u8>>, LibrariesError> {
    decode_libraries(payload, INFLATED_BYTES_MAX)?
        .map(|text| text.map(|text| text.into_owned()))
        .collect()
}

fuzz_target!(|bytes: &[u8]| {
    // A right checksum is not found by chance.
    let texts = match read(bytes).or_else(|_| read(&fuzzing::closed(bytes))) {
        Ok(texts) => texts,
        Err(error) => return assert_ne!(error, LibrariesError::Envelope),
    };
    let plain: usize = texts.iter().map(Vec::len).sum();
    // An integer of four bytes is a text of eleven.
    assert!(plain <= INFLATED_BYTES_MAX + 2 * bytes.len());
    assert_eq!(
        read(&encode_libraries(texts.iter().map(Vec::as_slice))),
        Ok(texts.clone())
    );
    INTERPRETER.with_borrow_mut(|interpreter| {
        for text in &texts {
            if let Ok(library) = interpreter.load_library(text, &mut Nothing) {
                assert!(!library.name.is_empty() && !library.functions.is_empty());
                for function in library.functions {
                    interpreter.release(function.function);
                }
            }
        }
    });
});
