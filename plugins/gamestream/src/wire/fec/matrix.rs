//! Small square matrices over GF(2⁸), row by row in one vector.

use reed_solomon_erasure::galois_8 as gf;

/// The inverse of the `n` × `n` matrix, by Gauss-Jordan elimination; `None` when it is singular.
pub fn invert(mut matrix: Vec<u8>, n: usize) -> Option<Vec<u8>> {
    assert_eq!(matrix.len(), n * n);
    let mut inverse = vec![0; n * n];
    for i in 0..n {
        inverse[i * n + i] = 1;
    }
    for column in 0..n {
        let pivot = (column..n).find(|row| matrix[row * n + column] != 0)?;
        swap_rows(&mut matrix, n, pivot, column);
        swap_rows(&mut inverse, n, pivot, column);
        let scale = gf::div(1, matrix[column * n + column]);
        for x in matrix[column * n..][..n].iter_mut().chain(&mut inverse[column * n..][..n]) {
            *x = gf::mul(*x, scale);
        }
        for row in (0..n).filter(|&row| row != column) {
            let factor = matrix[row * n + column];
            add_row(&mut matrix, n, row, column, factor);
            add_row(&mut inverse, n, row, column, factor);
        }
    }
    Some(inverse)
}

fn swap_rows(matrix: &mut [u8], n: usize, a: usize, b: usize) {
    for column in 0..n {
        matrix.swap(a * n + column, b * n + column);
    }
}

/// Adds `factor` times row `from` to row `to`.
fn add_row(matrix: &mut [u8], n: usize, to: usize, from: usize, factor: u8) {
    for column in 0..n {
        let term = gf::mul(factor, matrix[from * n + column]);
        matrix[to * n + column] ^= term;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_times_its_inverse_is_one() {
        let matrix = vec![0, 3, 7, 9, 0, 1, 4, 200, 5];
        let inverse = invert(matrix.clone(), 3).unwrap();
        for row in 0..3 {
            for column in 0..3 {
                let cell =
                    (0..3).fold(0, |sum, i| sum ^ gf::mul(matrix[row * 3 + i], inverse[i * 3 + column]));
                assert_eq!(cell, u8::from(row == column));
            }
        }
    }

    #[test]
    fn a_singular_matrix_has_none() {
        assert_eq!(invert(vec![1, 2, 1, 2], 2), None);
        assert_eq!(invert(vec![0], 1), None);
    }
}
