//! SSSE3: `pshufb` looks up 16 half bytes at once.
//!
//! As with AVX2, 15 of the 16 registers hold sums of four outputs, halves of input, tables and the mask.

use super::tables::PRODUCTS;
use super::{Kernel, by_columns, rows_of};
use std::arch::x86_64::*;

pub const KERNEL: Kernel = Kernel {
    name: "SSSE3",
    is_available: || std::is_x86_feature_detected!("ssse3"),
    shortest: WIDTH,
    products_per_group_sum: 14,
    combine,
};

/// Bytes of a shard that one step handles.
const WIDTH: usize = 32;

/// # Safety
/// As [`super::Combine`] asks.
unsafe fn combine(rows: &[u8], inputs: &[&[u8]], outputs: &mut [&mut [u8]]) {
    // SAFETY: the caller's promise, and step n is for n + 1 outputs.
    unsafe { by_columns(&[step::<1>, step::<2>, step::<3>, step::<4>], WIDTH, rows, inputs, outputs) }
}

/// # Safety
/// The processor has SSSE3, and otherwise as [`super::Step`] asks.
#[target_feature(enable = "ssse3")]
unsafe fn step<const R: usize>(rows: &[u8], inputs: &[&[u8]], outputs: &mut [&mut [u8]], at: usize) {
    let mask = _mm_set1_epi8(0x0f);
    let halves = |bytes| [_mm_and_si128(bytes, mask), _mm_and_si128(_mm_srli_epi64(bytes, 4), mask)];
    let rows = rows_of::<R>(rows, inputs.len());
    let mut sums = [[_mm_setzero_si128(); 2]; R];
    for (i, input) in inputs.iter().enumerate() {
        // SAFETY: inputs reach to `at + WIDTH`.
        let bytes = unsafe {
            let input = input.as_ptr().add(at);
            [_mm_loadu_si128(input.cast()), _mm_loadu_si128(input.add(16).cast())]
        };
        let halves = bytes.map(halves);
        for (sum, row) in sums.iter_mut().zip(rows) {
            // SAFETY: a row has a coefficient per input, and a table is two times 16 bytes.
            let [low, high] = unsafe {
                let table = PRODUCTS.0[usize::from(*row.get_unchecked(i))].as_ptr();
                [_mm_loadu_si128(table.cast()), _mm_loadu_si128(table.add(16).cast())]
            };
            for (sum, [lower, upper]) in sum.iter_mut().zip(halves) {
                let product = _mm_xor_si128(_mm_shuffle_epi8(low, lower), _mm_shuffle_epi8(high, upper));
                *sum = _mm_xor_si128(*sum, product);
            }
        }
    }
    for (output, [first, second]) in outputs.iter_mut().zip(sums) {
        // SAFETY: outputs reach to `at + WIDTH`.
        unsafe {
            let output = output.as_mut_ptr().add(at);
            _mm_storeu_si128(output.cast(), first);
            _mm_storeu_si128(output.add(16).cast(), second);
        }
    }
}
