//! AVX2: a product is the sum of two look-ups, one per half of the byte, and `pshufb` looks up 32 halves at once.
//!
//! Up to four outputs are summed per pass over the inputs, 64 bytes at a time, so that all sums stay in registers:
//! 8 sums, 4 halves of input, 2 tables and the mask make 15 of the 16.

use std::arch::x86_64::*;

/// Bytes of a shard that one step handles, and the shortest shard this kernel takes.
pub const STEP: usize = 64;

/// Outputs per pass.
const ROWS: usize = 4;

/// For each coefficient its products with 0..16, and then with 0, 16 .. 240.
static PRODUCTS: Products = Products(products());

/// Aligned, so that no table lies in two cache lines.
#[repr(align(64))]
struct Products([[u8; 32]; 256]);

const fn products() -> [[u8; 32]; 256] {
    let mut table = [[0; 32]; 256];
    let mut coefficient = 0;
    while coefficient < 256 {
        let mut half = 0;
        while half < 16 {
            table[coefficient][half] = multiply(coefficient as u8, half as u8);
            table[coefficient][16 + half] = multiply(coefficient as u8, (half << 4) as u8);
            half += 1;
        }
        coefficient += 1;
    }
    table
}

/// Multiplies in GF(2⁸)/0x11D, bit by bit.
const fn multiply(mut a: u8, mut b: u8) -> u8 {
    let mut product = 0;
    while b != 0 {
        if b & 1 != 0 {
            product ^= a;
        }
        a = (a << 1) ^ if a & 0x80 != 0 { 0x1d } else { 0 };
        b >>= 1;
    }
    product
}

/// As [`super::combine`].
///
/// # Safety
/// The processor has AVX2, every input and output is `len` bytes long, `len >= STEP`, and `rows` holds a coefficient
/// for each pair of them.
#[target_feature(enable = "avx2")]
pub unsafe fn combine(rows: &[u8], inputs: &[&[u8]], outputs: &mut [&mut [u8]], len: usize) {
    for (rows, outputs) in rows.chunks(ROWS * inputs.len()).zip(outputs.chunks_mut(ROWS)) {
        // SAFETY: the caller's promise, and as many outputs as the name says.
        unsafe {
            match outputs.len() {
                4 => pass::<4>(rows, inputs, outputs, len),
                3 => pass::<3>(rows, inputs, outputs, len),
                2 => pass::<2>(rows, inputs, outputs, len),
                _ => pass::<1>(rows, inputs, outputs, len),
            }
        }
    }
}

/// Sums `R` outputs.
///
/// # Safety
/// As for [`combine`], with `R` outputs.
#[target_feature(enable = "avx2")]
unsafe fn pass<const R: usize>(rows: &[u8], inputs: &[&[u8]], outputs: &mut [&mut [u8]], len: usize) {
    let rows: [&[u8]; R] = std::array::from_fn(|r| &rows[r * inputs.len()..][..inputs.len()]);
    let mut done = 0;
    while done < len {
        // The last step may overlap the one before: an output depends on inputs alone.
        let at = done.min(len - STEP);
        // SAFETY: `at + STEP <= len`, the length of every input and output.
        unsafe {
            let sums = step(&rows, inputs, at);
            for (output, [low, high]) in outputs.iter_mut().zip(sums) {
                let output = output.as_mut_ptr().add(at);
                _mm256_storeu_si256(output.cast(), low);
                _mm256_storeu_si256(output.add(32).cast(), high);
            }
        }
        done = at + STEP;
    }
}

/// The sums of `R` rows over the bytes `at .. at + STEP` of all inputs.
///
/// # Safety
/// The processor has AVX2, every row has a coefficient per input, and every input reaches to `at + STEP`.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn step<const R: usize>(rows: &[&[u8]; R], inputs: &[&[u8]], at: usize) -> [[__m256i; 2]; R] {
    let mask = _mm256_set1_epi8(0x0f);
    let halves = |bytes| [_mm256_and_si256(bytes, mask), _mm256_and_si256(_mm256_srli_epi64(bytes, 4), mask)];
    let mut sums = [[_mm256_setzero_si256(); 2]; R];
    for (i, input) in inputs.iter().enumerate() {
        // SAFETY: the caller's promise about `at`.
        let (first, second) = unsafe {
            let input = input.as_ptr().add(at);
            (_mm256_loadu_si256(input.cast()), _mm256_loadu_si256(input.add(32).cast()))
        };
        let halves = [halves(first), halves(second)];
        for (sum, row) in sums.iter_mut().zip(rows) {
            let products = &PRODUCTS.0[row[i] as usize];
            // SAFETY: the two halves of a table of 32 bytes.
            let [low, high] = unsafe {
                let table = products.as_ptr();
                [_mm_loadu_si128(table.cast()), _mm_loadu_si128(table.add(16).cast())]
            }
            .map(|half| _mm256_broadcastsi128_si256(half));
            for (sum, half) in sum.iter_mut().zip(halves) {
                let product =
                    _mm256_xor_si256(_mm256_shuffle_epi8(low, half[0]), _mm256_shuffle_epi8(high, half[1]));
                *sum = _mm256_xor_si256(*sum, product);
            }
        }
    }
    sums
}
