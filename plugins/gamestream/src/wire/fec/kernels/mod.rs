//! The inner loop of the code: sums of shards, each times a coefficient.
//!
//! A kernel computes `output[j] = Σ rows[j * k + i] · input[i]` over GF(2⁸). [`portable`] defines the result; the
//! others are held equal to it by tests, and the fastest one that the processor has is taken at run time.

#[cfg(target_arch = "x86_64")]
mod avx2;
pub mod portable;

/// Overwrites each output with the sum of all inputs times its row of coefficients.
///
/// # Panics
/// When the inputs and outputs differ in length or `rows` is not a coefficient for each pair of them.
pub fn combine(rows: &[u8], inputs: &[&[u8]], outputs: &mut [&mut [u8]]) {
    let Some(len) = outputs.first().map(|output| output.len()) else { return };
    assert!(!inputs.is_empty() && rows.len() == inputs.len() * outputs.len(), "a coefficient per pair");
    assert!(inputs.iter().all(|input| input.len() == len), "inputs of one length");
    assert!(outputs.iter().all(|output| output.len() == len), "outputs of one length");
    #[cfg(target_arch = "x86_64")]
    if len >= avx2::STEP && std::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2, and the lengths have just been checked.
        unsafe { avx2::combine(rows, inputs, outputs, len) };
        return;
    }
    portable::combine(rows, inputs, outputs);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        /// Whatever kernel this processor gets, lengths and numbers of rows around its steps included.
        #[test]
        fn every_kernel_agrees_with_the_portable_one(
            inputs in 1usize..30,
            outputs in 1usize..14,
            len in 1usize..300,
            shift in 0usize..32,
            seed: u64,
        ) {
            let mut state = seed | 1;
            let mut byte = || {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                (state >> 56) as u8
            };
            let rows: Vec<u8> = (0..inputs * outputs).map(|_| byte()).collect();
            let data: Vec<u8> = (0..inputs * len + shift).map(|_| byte()).collect();
            let inputs: Vec<&[u8]> = data[shift..].chunks_exact(len).collect();
            let mut fast = vec![0x55; outputs * len];
            let mut portable = vec![0xaa; outputs * len];
            super::combine(&rows, &inputs, &mut fast.chunks_exact_mut(len).collect::<Vec<_>>());
            super::portable::combine(&rows, &inputs, &mut portable.chunks_exact_mut(len).collect::<Vec<_>>());
            prop_assert_eq!(fast, portable);
        }
    }
}
