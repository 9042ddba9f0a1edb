//! AVX2: `pshufb` looks up 32 half bytes at once.
//!
//! Up to four outputs are summed per pass over the inputs, 64 bytes at a time, so that all sums stay in registers:
//! 8 sums, 4 halves of input, 2 tables and the mask make 15 of the 16.

use super::tables::PRODUCTS;
use super::{Kernel, by_columns, rows_of};
use std::arch::x86_64::*;

pub const KERNEL: Kernel = Kernel {
    name: "AVX2",
    is_available: || std::is_x86_feature_detected!("avx2"),
    shortest: WIDTH,
    products_per_group_sum: 14,
    combine,
};

/// Bytes of a shard that one step handles.
const WIDTH: usize = 64;

/// # Safety
/// As [`super::Combine`] asks.
unsafe fn combine(rows: &[u8], inputs: &[&[u8]], outputs: &mut [&mut [u8]]) {
    // SAFETY: the caller's promise, and step n is for n + 1 outputs.
    unsafe { by_columns(&[step::<1>, step::<2>, step::<3>, step::<4>], WIDTH, rows, inputs, outputs) }
}

/// # Safety
/// The processor has AVX2, and otherwise as [`super::Step`] asks.
#[target_feature(enable = "avx2")]
unsafe fn step<const R: usize>(rows: &[u8], inputs: &[&[u8]], outputs: &mut [&mut [u8]], at: usize) {
    let mask = _mm256_set1_epi8(0x0f);
    let halves = |bytes| [_mm256_and_si256(bytes, mask), _mm256_and_si256(_mm256_srli_epi64(bytes, 4), mask)];
    let rows = rows_of::<R>(rows, inputs.len());
    let mut sums = [[_mm256_setzero_si256(); 2]; R];
    for (i, input) in inputs.iter().enumerate() {
        // SAFETY: inputs reach to `at + WIDTH`.
        let bytes = unsafe {
            let input = input.as_ptr().add(at);
            [_mm256_loadu_si256(input.cast()), _mm256_loadu_si256(input.add(32).cast())]
        };
        let halves = bytes.map(halves);
        for (sum, row) in sums.iter_mut().zip(rows) {
            // SAFETY: a row has a coefficient per input, and a table is two times 16 bytes.
            let [low, high] = unsafe {
                let table = PRODUCTS.0[usize::from(*row.get_unchecked(i))].as_ptr();
                [_mm_loadu_si128(table.cast()), _mm_loadu_si128(table.add(16).cast())]
            }
            .map(|half| _mm256_broadcastsi128_si256(half));
            for (sum, [lower, upper]) in sum.iter_mut().zip(halves) {
                let product =
                    _mm256_xor_si256(_mm256_shuffle_epi8(low, lower), _mm256_shuffle_epi8(high, upper));
                *sum = _mm256_xor_si256(*sum, product);
            }
        }
    }
    for (output, [first, second]) in outputs.iter_mut().zip(sums) {
        // SAFETY: outputs reach to `at + WIDTH`.
        unsafe {
            let output = output.as_mut_ptr().add(at);
            _mm256_storeu_si256(output.cast(), first);
            _mm256_storeu_si256(output.add(32).cast(), second);
        }
    }
}
