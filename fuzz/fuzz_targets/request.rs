//! Any stream of bytes reads the same in one piece and in many, takes no memory ahead of its arrival, and what is
//! well-formed reads as another decoder reads it. The first byte of the input chooses the pieces and the limits.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pmemkv_server::protocol::{Lookahead, Parsed, ProtocolError, RequestLimits, RequestParser};
use redis_protocol::resp2::{decode::decode, types::OwnedFrame};

/// Beyond this, where a line is cut decides whether it is found too long.
const STREAM_BYTES_MAX: usize = 64 * 1024;

/// The shortest word: `$0\r\n\r\n`.
const WORD_BYTES_MIN: usize = 6;

type Words = Vec<Vec<u8>>;

/// All requests of a stream, and how it ends: `None` where more could follow.
type Requests = (Vec<Words>, Option<ProtocolError>);

fn read(stream: &[u8], limits: RequestLimits, mut piece: impl FnMut() -> usize) -> Requests {
    let mut parser = RequestParser::default();
    let mut requests = Vec::new();
    let (mut start, mut end) = (0, 0);
    // How much must have arrived before the request that is being read can be whole.
    let mut needed = 0;
    while end < stream.len() {
        end = stream.len().min(end + piece().max(1));
        loop {
            let input = &stream[start..end];
            let (consumed, words) = match parser.parse(input, limits) {
                Err(error) => return (requests, Some(error)),
                Ok(Parsed::Incomplete { missing }) => {
                    assert!(missing > 0);
                    needed = end + missing;
                    break;
                }
                Ok(Parsed::Nothing { consumed }) => (consumed, None),
                Ok(Parsed::Inline { consumed }) => (consumed, Some(parser.inline().to_vec())),
                Ok(Parsed::Request { consumed }) => {
                    assert!(parser.arguments().len() * WORD_BYTES_MIN < consumed);
                    let words = parser.arguments().iter();
                    let words = words.map(|&(from, to)| input[from..to].to_vec()).collect();
                    (consumed, Some(words))
                }
            };
            assert!((1..=input.len()).contains(&consumed));
            assert!(end >= needed, "whole before what was missing came");
            start += consumed;
            needed = 0;
            requests.extend(words);
        }
    }
    (requests, None)
}

fn encode(words: &[Vec<u8>]) -> Vec<u8> {
    let mut encoded = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        encoded.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        encoded.extend_from_slice(word);
        encoded.extend_from_slice(b"\r\n");
    }
    encoded
}

/// The words as `redis-protocol` reads them.
fn theirs(encoded: &[u8]) -> Words {
    let Ok(Some((OwnedFrame::Array(frames), consumed))) = decode(encoded) else {
        panic!("redis-protocol refuses {encoded:?}");
    };
    assert_eq!(consumed, encoded.len());
    let word = |frame| match frame {
        OwnedFrame::BulkString(word) => word,
        other => panic!("{other:?}"),
    };
    frames.into_iter().map(word).collect()
}

fuzz_target!(|input: &[u8]| {
    let Some((&choice, stream)) = input.split_first() else {
        return;
    };
    if stream.len() > STREAM_BYTES_MAX {
        return;
    }
    let limits = RequestLimits {
        bulk_bytes_max: if choice & 1 == 0 { 64 } else { 1 << 29 },
        authenticated: choice & 2 == 0,
    };
    let whole = read(stream, limits, || stream.len());
    let mut state = u32::from(choice);
    let pieces = read(stream, limits, || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        1 + (state >> 28) as usize
    });
    assert_eq!(pieces, whole);
    let mut ahead = Lookahead::default();
    ahead.read(stream, 0, limits.bulk_bytes_max);
    if limits.authenticated {
        let mut parsed = RequestParser::default();
        let mut start = 0;
        while let Some((arguments, end)) = ahead.take() {
            let consumed = end - start;
            assert_eq!(parsed.parse(&stream[start..], limits), Ok(Parsed::Request { consumed }));
            let same = |(ahead, parsed): (&(usize, usize), &(usize, usize))| {
                *ahead == (start + parsed.0, start + parsed.1)
            };
            assert_eq!(arguments.len(), parsed.arguments().len());
            assert!(arguments.iter().zip(parsed.arguments()).all(same));
            start = end;
        }
    }

    let open = RequestLimits {
        bulk_bytes_max: 1 << 29,
        authenticated: true,
    };
    let split = stream.split(|&byte| byte == b' ').map(<[u8]>::to_vec);
    let split: Words = split.collect();
    for words in whole.0.iter().chain([&split]) {
        let encoded = encode(words);
        assert_eq!(&theirs(&encoded), words);
        let ours = read(&encoded, open, || encoded.len());
        assert_eq!(ours, (vec![words.clone()], None));
    }
});
