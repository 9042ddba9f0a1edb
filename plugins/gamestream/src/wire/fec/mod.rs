//! Reed-Solomon over GF(2⁸) as Moonlight computes it.
//!
//! The video code is a systematic Cauchy code over the field of 0x11D: with m parity shards, parity row j holds
//! `1 / ((m + i) ^ j)` for data shard i. The matrix depends on m alone, k only says how many of its columns are used.
//! The audio code has four data and two parity shards and a matrix of its own.
//!
//! Shards lie in one slice at equal distance ([`Shape`]), so a frame is encoded where it will be sent from.

mod dyadic;
pub mod kernels;
mod matrix;

use dyadic::Dyadic;
use reed_solomon_erasure::galois_8 as gf;
use std::collections::HashMap;

/// Most shards of one block, data and parity together: their numbers are one byte.
pub const MAX_SHARDS: usize = 255;

/// Data and parity shards of an audio block.
pub const AUDIO_SHARDS: (usize, usize) = (4, 2);

/// Codes that [`Codes`] keeps before it starts again; one percentage needs one code per k, and a code is at most 20 kB.
const KEPT_CODES: usize = 512;

/// Where the shards of a block lie: shard i is the bytes `i * stride + skip .. i * stride + skip + len`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Bytes from one shard to the next.
    pub stride: usize,
    /// Bytes before a shard that are not coded.
    pub skip: usize,
    /// Bytes of a shard.
    pub len: usize,
}

impl Shape {
    /// Shards without anything between them.
    pub fn packed(len: usize) -> Self {
        Self { stride: len, skip: 0, len }
    }
}

/// A block lacks more shards than its parity can replace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyLost;

/// The code of `data` + `parity` shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Code {
    data: usize,
    parity: usize,
    /// Parity rows one after another, each with a coefficient per data shard.
    rows: Vec<u8>,
    /// A shorter way to the same parity.
    dyadic: Option<Dyadic>,
}

impl Code {
    /// The code of the video plane.
    ///
    /// # Panics
    /// When there is no data shard or more than [`MAX_SHARDS`] shards altogether.
    pub fn cauchy(data: usize, parity: usize) -> Self {
        assert!(data > 0 && data + parity <= MAX_SHARDS, "no code of {data} + {parity} shards");
        let row = |j| (0..data).map(move |i| gf::div(1, ((parity + i) ^ j) as u8));
        Self { data, parity, rows: (0..parity).flat_map(row).collect(), dyadic: Dyadic::new(data, parity) }
    }

    /// The code of the audio plane, four data and two parity shards.
    pub fn audio() -> Self {
        let rows = vec![0x77, 0x40, 0x38, 0x0e, 0xc7, 0xa7, 0x0d, 0x6c];
        Self { data: AUDIO_SHARDS.0, parity: AUDIO_SHARDS.1, rows, dyadic: None }
    }

    pub fn data(&self) -> usize {
        self.data
    }

    pub fn parity(&self) -> usize {
        self.parity
    }

    /// A row per parity shard, each with a coefficient per data shard.
    pub fn rows(&self) -> &[u8] {
        &self.rows
    }

    /// Overwrites the parity shards of `block` with the parity of its data shards.
    ///
    /// # Panics
    /// When `block` is not exactly the shards of this code.
    pub fn encode(&self, block: &mut [u8], shape: Shape) {
        assert_eq!(block.len(), (self.data + self.parity) * shape.stride, "a block of this code");
        if self.dyadic.as_ref().is_some_and(|dyadic| dyadic.encode(block, shape)) {
            return;
        }
        let shard = shape.skip..shape.skip + shape.len;
        let (data, parity) = block.split_at_mut(self.data * shape.stride);
        let mut inputs: [&[u8]; MAX_SHARDS] = [&[]; MAX_SHARDS];
        for (input, chunk) in inputs.iter_mut().zip(data.chunks_exact(shape.stride)) {
            *input = &chunk[shard.clone()];
        }
        let mut outputs: [&mut [u8]; MAX_SHARDS] = std::array::from_fn(|_| Default::default());
        for (output, chunk) in outputs.iter_mut().zip(parity.chunks_exact_mut(shape.stride)) {
            *output = &mut chunk[shard.clone()];
        }
        kernels::combine(&self.rows, &inputs[..self.data], &mut outputs[..self.parity]);
    }

    /// Rebuilds the data shards of `block` that are not `present`, and says how many those were. Missing parity shards
    /// stay as they are.
    ///
    /// # Panics
    /// When `block` or `present` is not exactly the shards of this code.
    pub fn recover(&self, block: &mut [u8], shape: Shape, present: &[bool]) -> Result<usize, TooManyLost> {
        assert_eq!(present.len(), self.data + self.parity, "an entry per shard");
        assert_eq!(block.len(), present.len() * shape.stride, "a block of this code");
        let missing: Vec<usize> = (0..self.data).filter(|&i| !present[i]).collect();
        if missing.is_empty() {
            return Ok(0);
        }
        let used: Vec<usize> =
            (0..self.parity).filter(|&j| present[self.data + j]).take(missing.len()).collect();
        if used.len() < missing.len() {
            return Err(TooManyLost);
        }
        let rows = self.recovery_rows(&missing, &used);
        let mut inputs = Vec::with_capacity(self.data);
        let mut outputs = Vec::with_capacity(missing.len());
        for (n, chunk) in block.chunks_exact_mut(shape.stride).enumerate() {
            let shard = &mut chunk[shape.skip..shape.skip + shape.len];
            match n.checked_sub(self.data) {
                None if !present[n] => outputs.push(shard),
                None => inputs.push(&*shard),
                Some(j) if used.contains(&j) => inputs.push(&*shard),
                Some(_) => {}
            }
        }
        kernels::combine(&rows, &inputs, &mut outputs);
        Ok(missing.len())
    }

    /// A row per missing data shard, with a coefficient for each present data shard and then for each used parity shard.
    ///
    /// Each used parity shard is a sum over all data shards; moving the present ones to the other side leaves a square
    /// system in the missing ones.
    fn recovery_rows(&self, missing: &[usize], used: &[usize]) -> Vec<u8> {
        let coefficient = |j: usize, i: usize| self.rows[j * self.data + i];
        let square = used.iter().flat_map(|&j| missing.iter().map(move |&i| coefficient(j, i))).collect();
        let inverse =
            matrix::invert(square, missing.len()).expect("every square part of the matrix has an inverse");
        let mut rows = Vec::with_capacity(missing.len() * self.data);
        for solution in inverse.chunks_exact(used.len()) {
            for i in (0..self.data).filter(|i| !missing.contains(i)) {
                let terms = solution.iter().zip(used).map(|(&s, &j)| gf::mul(s, coefficient(j, i)));
                rows.push(terms.fold(0, gf::add));
            }
            rows.extend_from_slice(solution);
        }
        rows
    }
}

/// The codes of the video plane, each computed once.
#[derive(Debug, Default)]
pub struct Codes(HashMap<(usize, usize), Code>);

impl Codes {
    /// Codes that are kept.
    #[expect(clippy::len_without_is_empty, reason = "nobody asks")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The code of `data` + `parity` shards; panics as [`Code::cauchy`] does.
    pub fn get(&mut self, data: usize, parity: usize) -> &Code {
        if self.0.len() >= KEPT_CODES && !self.0.contains_key(&(data, parity)) {
            self.0.clear();
        }
        self.0.entry((data, parity)).or_insert_with(|| Code::cauchy(data, parity))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn four_and_two_have_the_published_coefficients() {
        assert_eq!(Code::cauchy(4, 2).rows, [0x8e, 0xf4, 0x47, 0xa7, 0xf4, 0x8e, 0xa7, 0x47]);
    }

    #[test]
    fn a_code_is_computed_once_and_the_store_stays_small() {
        let mut codes = Codes::default();
        for data in 1..=200 {
            for parity in 1..=5 {
                assert_eq!(codes.get(data, parity), &Code::cauchy(data, parity));
            }
        }
        assert!(codes.0.len() <= KEPT_CODES);
    }

    /// A block with random data, the wanted shape and its parity.
    fn encoded(code: &Code, shape: Shape, seed: u8) -> Vec<u8> {
        let shards = code.data() + code.parity();
        let mut block: Vec<u8> =
            (0..shards * shape.stride).map(|n| (n as u8).wrapping_mul(31) ^ (n >> 8) as u8 ^ seed).collect();
        code.encode(&mut block, shape);
        block
    }

    proptest! {
        #[test]
        fn any_k_shards_give_the_data_back(
            (data, parity) in (1usize..80, 0usize..40),
            len in 1usize..150,
            skip in 0usize..40,
            seed: u8,
            lost in proptest::collection::vec(any::<prop::sample::Index>(), 0..40),
        ) {
            let code = Code::cauchy(data, parity);
            let shape = Shape { stride: skip + len, skip, len };
            let block = encoded(&code, shape, seed);
            let mut present = vec![true; data + parity];
            for index in lost.iter().take(parity) {
                present[index.index(data + parity)] = false;
            }
            let mut damaged = block.clone();
            for (n, chunk) in damaged.chunks_exact_mut(shape.stride).enumerate() {
                if !present[n] {
                    chunk[skip..].fill(0xee);
                }
            }
            let missing = present[..data].iter().filter(|p| !**p).count();
            prop_assert_eq!(code.recover(&mut damaged, shape, &present), Ok(missing));
            prop_assert_eq!(&damaged[..data * shape.stride], &block[..data * shape.stride]);
        }

        #[test]
        fn one_shard_too_few_is_said(data in 1usize..50, parity in 0usize..20) {
            let code = Code::cauchy(data, parity);
            let mut block = encoded(&code, Shape::packed(8), 3);
            let before = block.clone();
            let mut present = vec![false; data + parity];
            present[parity + 1..].fill(true);
            prop_assert_eq!(code.recover(&mut block, Shape::packed(8), &present), Err(TooManyLost));
            prop_assert_eq!(block, before);
        }
    }
}
