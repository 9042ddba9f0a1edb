//! Multiplication by every constant, in the forms that instructions take. All of a form lies in the first-level cache.

/// For each coefficient its products with 0..16, and then with 0, 16 .. 240: a product is the sum of two look-ups, one
/// per half of the byte.
pub static PRODUCTS: Aligned<[[u8; 32]; 256]> = Aligned(products());

/// For each coefficient the 8 × 8 bit matrix that multiplies by it, as `gf2p8affineqb` reads it: bit i of a result is
/// the parity of byte 7 − i of the matrix and the operand. That instruction knows no field, `gf2p8mulb` only AES's.
#[cfg(target_arch = "x86_64")]
pub static MATRICES: Aligned<[u64; 256]> = Aligned(matrices());

/// So that no entry lies in two cache lines.
#[repr(align(64))]
pub struct Aligned<T>(pub T);

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

#[cfg(target_arch = "x86_64")]
const fn matrices() -> [u64; 256] {
    let mut table = [0; 256];
    let mut coefficient = 0;
    while coefficient < 256 {
        let mut column = 0;
        while column < 8 {
            let image = multiply(coefficient as u8, 1 << column);
            let mut row = 0;
            while row < 8 {
                if image >> row & 1 == 1 {
                    table[coefficient] |= 1 << ((7 - row) * 8 + column);
                }
                row += 1;
            }
            column += 1;
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

#[cfg(test)]
mod tests {
    use super::*;
    use reed_solomon_erasure::galois_8 as gf;

    fn pairs() -> impl Iterator<Item = (u8, u8)> {
        (0..=255).flat_map(|a| (0..=255).map(move |b| (a, b)))
    }

    #[test]
    fn two_look_ups_make_a_product() {
        for (a, b) in pairs() {
            let products = &PRODUCTS.0[usize::from(a)];
            let sum = products[usize::from(b & 15)] ^ products[usize::from(16 + (b >> 4))];
            assert_eq!(sum, gf::mul(a, b), "{a} · {b}");
        }
    }

    /// The instruction as Intel's manual (volume 2, GF2P8AFFINEQB) puts it, for processors without it.
    #[cfg(target_arch = "x86_64")]
    #[test]
    fn a_matrix_makes_a_product() {
        let affine = |matrix: u64, operand: u8| {
            let bit = |i: usize| ((matrix.to_le_bytes()[7 - i] & operand).count_ones() & 1) << i;
            (0..8).map(bit).sum::<u32>() as u8
        };
        for (a, b) in pairs() {
            assert_eq!(affine(MATRICES.0[usize::from(a)], b), gf::mul(a, b), "{a} · {b}");
        }
    }
}
