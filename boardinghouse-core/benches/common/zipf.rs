//! Tenants as they are asked for: few of them often.

/// A tenant drawn so that the n-th is drawn half as often as the first where n is 2, a third where 3, …
pub(crate) struct Zipf(Vec<f64>);

impl Zipf {
    pub(crate) fn new(count: usize) -> Self {
        let mut sum = 0.0;
        let sums = (1..=count).map(|rank| {
            sum += 1.0 / rank as f64;
            sum
        });
        Self(sums.collect())
    }

    /// The draw of a turn, the same in every run.
    pub(crate) fn draw(&self, turn: usize) -> usize {
        // splitmix64 (Steele, Lea and Flood, 2014).
        let mut bits = (turn as u64)
            .wrapping_add(1)
            .wrapping_mul(0x9E37_79B9_7F4A_7C15);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^= bits >> 31;
        let point = bits as f64 / u64::MAX as f64 * self.0[self.0.len() - 1];
        self.0
            .partition_point(|sum| *sum < point)
            .min(self.0.len() - 1)
    }
}
