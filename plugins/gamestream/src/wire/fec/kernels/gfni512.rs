//! GFNI and AVX-512: `vgf2p8affineqb` multiplies 64 bytes at once.
//!
//! Eight outputs are summed per pass over the inputs, 128 bytes at a time: 16 sums, 2 vectors of input, a matrix and
//! the products, of 32 registers. More outputs would not help: by then the multiplier never waits.

use super::tables::MATRICES;
use super::{Kernel, by_columns, rows_of};
use std::arch::x86_64::*;

pub const KERNEL: Kernel = Kernel {
    name: "GFNI+AVX-512",
    is_available: || std::is_x86_feature_detected!("gfni") && std::is_x86_feature_detected!("avx512f"),
    shortest: WIDTH,
    products_per_group_sum: 40,
    combine,
};

/// Bytes of a shard that one step handles.
const WIDTH: usize = 128;

/// # Safety
/// As [`super::Combine`] asks.
unsafe fn combine(rows: &[u8], inputs: &[&[u8]], outputs: &mut [&mut [u8]]) {
    let steps = [step::<1>, step::<2>, step::<3>, step::<4>, step::<5>, step::<6>, step::<7>, step::<8>];
    // SAFETY: the caller's promise, and step n is for n + 1 outputs.
    unsafe { by_columns(&steps, WIDTH, rows, inputs, outputs) }
}

/// # Safety
/// The processor has GFNI and AVX-512 F, and otherwise as [`super::Step`] asks.
#[target_feature(enable = "gfni,avx512f")]
unsafe fn step<const R: usize>(rows: &[u8], inputs: &[&[u8]], outputs: &mut [&mut [u8]], at: usize) {
    let rows = rows_of::<R>(rows, inputs.len());
    let mut sums = [[_mm512_setzero_si512(); 2]; R];
    for (i, input) in inputs.iter().enumerate() {
        // SAFETY: inputs reach to `at + WIDTH`.
        let bytes = unsafe {
            let input = input.as_ptr().add(at);
            [_mm512_loadu_si512(input.cast()), _mm512_loadu_si512(input.add(64).cast())]
        };
        for (sum, row) in sums.iter_mut().zip(rows) {
            // SAFETY: a row has a coefficient per input.
            let coefficient = unsafe { *row.get_unchecked(i) };
            let matrix = _mm512_set1_epi64(MATRICES.0[usize::from(coefficient)] as i64);
            for (sum, bytes) in sum.iter_mut().zip(bytes) {
                *sum = _mm512_xor_si512(*sum, _mm512_gf2p8affine_epi64_epi8::<0>(bytes, matrix));
            }
        }
    }
    for (output, [first, second]) in outputs.iter_mut().zip(sums) {
        // SAFETY: outputs reach to `at + WIDTH`.
        unsafe {
            let output = output.as_mut_ptr().add(at);
            _mm512_storeu_si512(output.cast(), first);
            _mm512_storeu_si512(output.add(64).cast(), second);
        }
    }
}
