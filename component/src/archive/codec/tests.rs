//! What is compressed comes back, also through other readers, and depends on nothing but the input.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod property;

use std::io::Read;

use super::*;

fn noise(n: usize) -> Vec<u8> {
    let mut x = 0x9e37_79b9_7f4a_7c15_u64;
    (0..n)
        .map(|_| {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            x.to_le_bytes()[3]
        })
        .collect()
}

fn text(n: usize) -> Vec<u8> {
    (0..n)
        .flat_map(|i| format!("line {i} of {}\n", i * 7).into_bytes())
        .take(n)
        .collect()
}

fn unpack(method: Method, packed: &[u8], plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    match method {
        Method::Store => out.extend_from_slice(plain),
        Method::Deflate => {
            flate2::read::DeflateDecoder::new(packed)
                .read_to_end(&mut out)
                .unwrap();
        }
        Method::Zstd => {
            let mut rest = packed;
            while !rest.is_empty() {
                structured_zstd::decoding::StreamingDecoder::new(&mut rest)
                    .read_to_end(&mut out)
                    .unwrap();
            }
        }
    }
    out
}

fn codecs() -> Vec<Codec> {
    [
        (Compression::Deflate, 1),
        (Compression::Deflate, 6),
        (Compression::Deflate, 9),
        (Compression::Zstd, 1),
        (Compression::Zstd, 3),
        (Compression::Zstd, 9),
        (Compression::Store, 0),
    ]
    .into_iter()
    .map(|(c, l)| Codec::new(c, l).unwrap())
    .collect()
}

#[test]
fn whole_contents_come_back_and_what_grows_is_stored() {
    for mut codec in codecs() {
        let mut out = Vec::new();
        for plain in [
            vec![],
            vec![7],
            text(100),
            noise(5000),
            text(300_000),
            vec![0; 1 << 20],
        ] {
            let method = codec.whole(&plain, &mut out).unwrap();
            assert!(method == Method::Store || out.len() < plain.len());
            assert_eq!(unpack(method, &out, &plain), plain);
        }
        assert_eq!(codec.whole(&noise(4096), &mut out).unwrap(), Method::Store);
        if codec.method() != Method::Store {
            assert_ne!(codec.whole(&text(4096), &mut out).unwrap(), Method::Store);
        }
    }
}

#[test]
fn blocks_come_back_in_any_cut() {
    let plain = [text(200_000), noise(70_000), vec![0; 300_000]].concat();
    for mut codec in codecs() {
        for cut in [1000, 65_536, plain.len()] {
            let mut out = Vec::new();
            for piece in plain.chunks(cut) {
                codec.block(piece, &mut out).unwrap();
            }
            let method = codec.method();
            out.extend_from_slice(method.tail());
            let back = match method {
                Method::Store => out.clone(),
                Method::Deflate => unpack(method, &out, &[]),
                // By the reference library: one frame after another is one content.
                Method::Zstd => zstd::decode_all(out.as_slice()).unwrap(),
            };
            assert!(back == plain, "{codec:?} cut {cut}");
        }
    }
}

#[test]
fn samples_tell_what_is_worth_compressing() {
    for mut codec in codecs() {
        let (text, noise) = (text(16_384), noise(16_384));
        let mut scratch = Vec::new();
        let mut worth = |samples: &[&[u8]]| codec.is_worth(samples.iter().copied(), &mut scratch).unwrap();
        let text_is_worth = worth(&[&text, &noise]);
        assert!(!worth(&[&noise, &noise]) && !worth(&[]));
        assert_eq!(text_is_worth, codec.method() != Method::Store);
    }
}

#[test]
fn a_thousand_contents_that_grow_wear_no_state_out() {
    for level in [1, 6, 9] {
        let mut codec = Codec::new(Compression::Deflate, level).unwrap();
        let mut out = Vec::new();
        for _ in 0..1000 {
            assert_eq!(codec.whole(&noise(3000), &mut out).unwrap(), Method::Store);
            codec.block(&noise(3000), &mut out).unwrap();
        }
        let plain = text(50_000);
        let method = codec.whole(&plain, &mut out).unwrap();
        assert_eq!(unpack(method, &out, &plain), plain);
    }
}

#[test]
fn what_came_before_does_not_show_in_the_bytes() {
    for (compression, level) in [
        (Compression::Deflate, 6),
        (Compression::Zstd, 3),
        (Compression::Zstd, 9),
    ] {
        let mut used = Codec::new(compression, level).unwrap();
        let (mut a, mut b) = (Vec::with_capacity(1 << 20), Vec::new());
        used.whole(&text(90_000), &mut a).unwrap();
        used.block(&noise(200_000), &mut a).unwrap();
        let plain = [noise(60_000), text(90_000)].concat();
        let mut fresh = Codec::new(compression, level).unwrap();
        assert_eq!(
            used.whole(&plain, &mut a).unwrap(),
            fresh.whole(&plain, &mut b).unwrap()
        );
        assert!(a == b, "{compression:?} {level}");
    }
}

#[test]
fn the_room_in_the_output_does_not_show_in_the_bytes() {
    let six_bits: Vec<u8> = noise(16_400).iter().map(|b| b & 0x3f).collect();
    let synced = |length: usize, capacity: usize| {
        let mut codec = Codec::new(Compression::Deflate, 6).unwrap();
        let mut out = Vec::with_capacity(capacity);
        codec.block(&six_bits[..length], &mut out).unwrap();
        out
    };
    for length in (16_100..16_400).step_by(3) {
        assert!(synced(length, 0) == synced(length, 1 << 20), "{length}");
    }
}

#[test]
fn a_level_out_of_range_is_refused() {
    for (compression, level) in [
        (Compression::Deflate, 0),
        (Compression::Deflate, 10),
        (Compression::Zstd, 23),
    ] {
        let e = Codec::new(compression, level).unwrap_err();
        assert_eq!(e.kind, ErrorKind::InvalidInput);
    }
    assert!(Codec::new(Compression::Store, 99).is_ok());
    assert!(Codec::new(Compression::Zstd, 22).is_ok());
}

/// What the encoder of structured-zstd 0.2.6 writes for this at level 18, the C library calls corrupt.
#[test]
fn a_content_that_the_encoder_spoils_comes_back() {
    let mut x = 0_u64;
    let mut few = |values: u64, length: usize, seed: u64| {
        x = seed | 1;
        std::iter::repeat_with(|| {
            x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            ((x >> 33) % values).to_le_bytes()[0]
        })
        .take(length)
        .collect::<Vec<_>>()
    };
    let plain = [
        vec![0; 72],
        few(99, 53_352, 0),
        few(6, 325_358, 6_268_951_782_433_649_224),
    ]
    .concat();
    let mut codec = Codec::new(Compression::Zstd, 18).unwrap();
    let mut out = Vec::new();
    codec.block(&plain, &mut out).unwrap();
    assert!(zstd::decode_all(out.as_slice()).unwrap() == plain);
    for piece in plain.chunks(1000) {
        out.clear();
        codec.block(piece, &mut out).unwrap();
        assert!(zstd::decode_all(out.as_slice()).unwrap() == piece);
    }
}

#[test]
fn a_frame_of_raw_blocks_is_read_by_all() {
    for length in [0, 1, 300, 131_071, 131_072, 131_073, 300_000] {
        let plain = noise(length);
        let mut out = Vec::new();
        raw_frame(&plain, &mut out).unwrap();
        assert!(zstd::decode_all(out.as_slice()).unwrap() == plain, "{length}");
        assert!(unpack(Method::Zstd, &out, &plain) == plain, "{length}");
    }
}
