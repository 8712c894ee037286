//! Whatever a codec is fed, in whatever order, comes back: Zstandard through the C library and through cofre's own
//! reader, since its encoder is young; deflate through its own.
//!
//! Many more cases, until one fails: `PROPTEST_CASES=200000 cargo test --release -p cofre-component property`.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// A stretch of content, described so that a failing one shrinks.
#[derive(Debug, Clone)]
enum Piece {
    /// Bytes that look random, of so many different values.
    Noise { seed: u64, values: u16, length: usize },
    /// One byte over and over.
    Same { byte: u8, length: usize },
    /// What stood `back` bytes before, which is what the encoder looks for.
    Again { back: usize, length: usize },
}

fn pieces() -> impl Strategy<Value = Vec<Piece>> {
    // Around the limits of the format: literals, sequences, blocks of 128 KiB, windows.
    let length = || prop_oneof![4 => 0..64_usize, 4 => 64..5_000_usize, 2 => 5_000..140_000_usize, 1 => 140_000..400_000_usize];
    let piece = prop_oneof![
        3 => (any::<u64>(), 1..=256_u16, length()).prop_map(|(seed, values, length)| Piece::Noise { seed, values, length }),
        1 => (any::<u8>(), length()).prop_map(|(byte, length)| Piece::Same { byte, length }),
        4 => (1..700_000_usize, length()).prop_map(|(back, length)| Piece::Again { back, length }),
    ];
    vec(piece, 0..12)
}

fn content(pieces: &[Piece]) -> Vec<u8> {
    let mut out = Vec::new();
    for piece in pieces {
        match *piece {
            Piece::Noise { seed, values, length } => {
                let mut x = seed | 1;
                out.extend((0..length).map(|_| {
                    x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    ((x >> 33) % u64::from(values)).to_le_bytes()[0]
                }));
            }
            Piece::Same { byte, length } => out.resize(out.len() + length, byte),
            Piece::Again { back, length } => {
                let back = back.min(out.len());
                for _ in 0..if back == 0 { 0 } else { length } {
                    out.push(out[out.len() - back]);
                }
            }
        }
    }
    out
}

fn check(
    compression: Compression,
    level: u8,
    contents: &[Vec<Piece>],
    block: usize,
) -> std::result::Result<(), TestCaseError> {
    let mut codec = Codec::new(compression, level).unwrap();
    let mut out = Vec::new();
    for plain in contents.iter().map(|pieces| content(pieces)) {
        let method = codec.whole(&plain, &mut out).unwrap();
        prop_assert!(came_back(method, &out, &plain), "whole");
        if plain.is_empty() {
            continue;
        }
        out.clear();
        for piece in plain.chunks(block) {
            codec.block(piece, &mut out).unwrap();
        }
        out.extend_from_slice(codec.method().tail());
        prop_assert!(came_back(codec.method(), &out, &plain), "blocks of {block}");
    }
    Ok(())
}

/// Whether `packed` is `plain` for each reader of the method.
fn came_back(method: Method, packed: &[u8], plain: &[u8]) -> bool {
    match method {
        Method::Store => true,
        Method::Deflate => unpack(method, packed, plain) == plain,
        Method::Zstd => zstd::decode_all(packed).unwrap() == plain && unpack(method, packed, plain) == plain,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn property_zstd(level in prop_oneof![6 => 1..=4_u8, 2 => 5..=12_u8, 1 => 13..=22_u8],
                     contents in vec(pieces(), 1..3), block in 1_000..600_000_usize) {
        check(Compression::Zstd, level, &contents, block)?;
    }

    #[test]
    fn property_deflate(level in 1..=9_u8, contents in vec(pieces(), 1..3), block in 1_000..600_000_usize) {
        check(Compression::Deflate, level, &contents, block)?;
    }
}
