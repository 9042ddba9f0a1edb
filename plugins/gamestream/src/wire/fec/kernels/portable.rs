//! The kernel that every processor has.

use super::Kernel;
use reed_solomon_erasure::galois_8::{mul_slice, mul_slice_xor};

pub const KERNEL: Kernel =
    Kernel { name: "portable", is_available: || true, shortest: 0, products_per_group_sum: 1, combine };

/// One pair of shards after another.
fn combine(rows: &[u8], inputs: &[&[u8]], outputs: &mut [&mut [u8]]) {
    for (row, output) in rows.chunks_exact(inputs.len()).zip(outputs) {
        mul_slice(row[0], inputs[0], output);
        for (&coefficient, input) in row.iter().zip(inputs).skip(1) {
            mul_slice_xor(coefficient, input, output);
        }
    }
}
