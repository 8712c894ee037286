//! A small seeded generator: a failing run can be repeated by the seed that it printed.

/// SplitMix64.
pub(crate) struct Rng(u64);

impl Rng {
    /// The seed of the environment's `COFRE_TEST_SEED`, or one from the clock; printed either way.
    pub(crate) fn new(test: &str) -> Self {
        let seed = match std::env::var("COFRE_TEST_SEED") {
            Ok(text) => text.parse().expect("COFRE_TEST_SEED is a number"),
            Err(_) => std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .expect("a clock after 1970")
                .subsec_nanos()
                .into(),
        };
        eprintln!("{test}: COFRE_TEST_SEED={seed}");
        Self(seed)
    }

    /// A fixed sequence, where the content matters and not the choice.
    pub(crate) fn fixed(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    /// Bytes that don't compress.
    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            bytes.extend_from_slice(&self.next().to_le_bytes());
        }
        bytes.truncate(length);
        bytes
    }
}
