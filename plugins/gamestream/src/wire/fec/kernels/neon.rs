//! NEON: `tbl` looks up 16 half bytes at once.
//!
//! **Never compiled here for a processor that has it.** It has only been interpreted, by Miri.
//!
//! Eight outputs are summed per pass over the inputs, 32 bytes at a time: 16 sums, 4 halves of input, 2 tables and the
//! products, of 32 registers.

use super::tables::PRODUCTS;
use super::{Kernel, by_columns, rows_of};
use std::arch::aarch64::*;

pub const KERNEL: Kernel = Kernel {
    name: "NEON",
    is_available: || std::arch::is_aarch64_feature_detected!("neon"),
    shortest: WIDTH,
    products_per_group_sum: 14,
    combine,
};

/// Bytes of a shard that one step handles.
const WIDTH: usize = 32;

/// # Safety
/// As [`super::Combine`] asks.
unsafe fn combine(rows: &[u8], inputs: &[&[u8]], outputs: &mut [&mut [u8]]) {
    let steps = [step::<1>, step::<2>, step::<3>, step::<4>, step::<5>, step::<6>, step::<7>, step::<8>];
    // SAFETY: the caller's promise, and step n is for n + 1 outputs.
    unsafe { by_columns(&steps, WIDTH, rows, inputs, outputs) }
}

/// # Safety
/// The processor has NEON, and otherwise as [`super::Step`] asks.
#[target_feature(enable = "neon")]
unsafe fn step<const R: usize>(rows: &[u8], inputs: &[&[u8]], outputs: &mut [&mut [u8]], at: usize) {
    let mask = vdupq_n_u8(0x0f);
    let halves = |bytes| [vandq_u8(bytes, mask), vshrq_n_u8::<4>(bytes)];
    let rows = rows_of::<R>(rows, inputs.len());
    let mut sums = [[vdupq_n_u8(0); 2]; R];
    for (i, input) in inputs.iter().enumerate() {
        // SAFETY: inputs reach to `at + WIDTH`.
        let bytes = unsafe {
            let input = input.as_ptr().add(at);
            [vld1q_u8(input), vld1q_u8(input.add(16))]
        };
        let halves = bytes.map(halves);
        for (sum, row) in sums.iter_mut().zip(rows) {
            // SAFETY: a row has a coefficient per input, and a table is two times 16 bytes.
            let [low, high] = unsafe {
                let table = PRODUCTS.0[usize::from(*row.get_unchecked(i))].as_ptr();
                [vld1q_u8(table), vld1q_u8(table.add(16))]
            };
            for (sum, [lower, upper]) in sum.iter_mut().zip(halves) {
                *sum = veorq_u8(*sum, veorq_u8(vqtbl1q_u8(low, lower), vqtbl1q_u8(high, upper)));
            }
        }
    }
    for (output, [first, second]) in outputs.iter_mut().zip(sums) {
        // SAFETY: outputs reach to `at + WIDTH`.
        unsafe {
            let output = output.as_mut_ptr().add(at);
            vst1q_u8(output, first);
            vst1q_u8(output.add(16), second);
        }
    }
}
