//! Damaged files give an error or the right data.

use super::*;

/// A small generator of numbers, the same in every run.
fn random(state: &mut u64) -> u64 {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

#[test]
fn a_cut_file_is_refused_at_every_place() {
    let (file, items) = whole(Options {
        compresses: true,
        ..PLAIN
    });
    let mut state = 7;
    let cuts =
        (0..file.len().min(500)).chain((0..500).map(|_| random(&mut state) as usize % file.len()));
    for cut in cuts.chain(file.len() - 300..file.len()) {
        let mut reader = match Reader::new(&file[..cut], Limits::default()) {
            Ok(reader) => reader,
            Err(error) => {
                assert!(
                    matches!(error, RdbError::Truncated { .. }),
                    "{cut}: {error}"
                );
                continue;
            }
        };
        let mut read = Vec::new();
        let error = loop {
            match reader.next() {
                Ok(Item::End) => panic!("cut after {cut} bytes, and nobody noticed"),
                Ok(item) => read.push(item),
                Err(error) => break error,
            }
        };
        assert!(
            matches!(error, RdbError::Truncated { .. }),
            "{cut}: {error}"
        );
        assert_eq!(read, items[..read.len()], "{cut}");
    }
}

#[test]
fn a_changed_bit_is_an_error() {
    let (file, _) = whole(Options {
        compresses: true,
        ..PLAIN
    });
    let mut state = 3;
    let end = file.len() - 8;
    for round in 0..1500 {
        // The long string takes most of the file: half of the changes go to what lies before it and behind it.
        let at = match round % 4 {
            0 => random(&mut state) as usize % file.len(),
            1 => random(&mut state) as usize % 600,
            _ => end - random(&mut state) as usize % 600,
        };
        let mut damaged = file.clone();
        damaged[at] ^= 1 << (random(&mut state) % 8);
        assert!(read_all(&damaged).is_err(), "byte {at}");
    }
}

/// Without the checksum nobody notices every change, but nothing is read that is not a file.
#[test]
fn changed_bits_without_a_checksum_do_no_harm() {
    let (file, items) = whole(Options {
        sums: false,
        ..PLAIN
    });
    let mut state = 5;
    let mut read_whole = 0;
    for _ in 0..1000 {
        let mut damaged = file.clone();
        for _ in 0..=random(&mut state) % 3 {
            let at = 9 + random(&mut state) as usize % (damaged.len() - 9);
            damaged[at] = random(&mut state) as u8;
        }
        if let Ok(read) = read_all(&damaged) {
            read_whole += 1;
            assert!(read.len() <= items.len() + 2);
        }
    }
    assert!(read_whole > 0);
}

#[test]
fn claimed_lengths_take_no_memory() {
    // Each claims far more than it has. Were memory taken for it, the test would end here.
    for body in [
        &b"\x00\x01k\x80\x3f\xff\xff\xff."[..],
        b"\x00\x81\xff\xff\xff\xff\xff\xff\xff\xff.",
        b"\x01\x01k\x81\x00\xff\xff\xff\xff\xff\xff\xff\x01a",
        b"\x0e\x01k\x81\x00\xff\xff\xff\xff\xff\xff\xff\x01a",
        b"\x0b\x01k\x08\x02\0\0\0\xff\xff\xff\xff",
        b"\x00\x01k\xc3\x05\x80\xff\xff\xff\xff\x01ab\xe0\x00\x01",
        b"\x15\x01k\x80\xff\xff\xff\xff\x10................\x01a",
        b"\xfa\x80\x3f\xff\xff\xff.",
        b"\xf5\x80\x3f\xff\xff\xff.",
    ] {
        let text = refusal(&file(b"REDIS0011", body));
        assert!(!text.starts_with("no error"), "{text}");
    }
}

#[test]
fn limits_hold() {
    let limits = Limits {
        item_bytes_max: 100,
        elements_max: 5,
    };
    let of = |body: &[u8]| {
        let file = file(b"REDIS0011", body);
        let mut reader = Reader::new(&file[..], limits).expect("it has a head");
        loop {
            match reader.next() {
                Ok(Item::End) => return "read".to_owned(),
                Ok(_) => {}
                Err(error) => return error.to_string(),
            }
        }
    };
    let long = |length: u8| [b"\x00\x01k\x40", &[length][..], &vec![b'x'; length.into()]].concat();
    assert_eq!(of(&long(95)), "read");
    assert_eq!(
        of(&long(96)),
        "the item at byte 9 takes more than 100 bytes"
    );
    // The limit is for each item.
    assert_eq!(of(&[long(95), long(95)].concat()), "read");
    assert_eq!(of(b"\x01\x01k\x05\x01a\x01a\x01a\x01a\x01a"), "read");
    let six = "the item at byte 9 takes more than 5 elements";
    assert_eq!(of(b"\x01\x01k\x06\x01a\x01a\x01a\x01a\x01a\x01a"), six);
    assert_eq!(of(b"\x04\x01k\x03\x01a\x01a\x01b\x01b\x01c\x01c"), six);
    let integers = b"\x02\0\0\0\x06\0\0\0\x01\0\x02\0\x03\0\x04\0\x05\0\x06\0";
    assert_eq!(of(&[b"\x0b\x01k\x14", &integers[..]].concat()), six);
}
