//! Parity held against another implementation.

use gstgamestream::wire::fec::{Code, Shape};

/// Any bytes that differ between shards.
fn data(k: usize, len: usize) -> Vec<Vec<u8>> {
    let byte = |i: usize, n: usize| ((i * 131 + n * 7 + (n >> 3) * 29 + i * n) >> 1) as u8;
    (0..k).map(|i| (0..len).map(|n| byte(i, n)).collect()).collect()
}

/// Our block of `data`, parity included.
fn encode(code: &Code, data: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let len = data[0].len();
    let mut block = data.concat();
    block.resize((code.data() + code.parity()) * len, 0);
    code.encode(&mut block, Shape::packed(len));
    block.chunks_exact(len).map(<[u8]>::to_vec).collect()
}

/// The block as the crate `fec-rs` makes it, which agrees bit for bit with Moonlight's own code.
fn reference(data: &[Vec<u8>], parity: usize, matrix: Option<&[u8]>) -> Vec<Vec<u8>> {
    let mut code = fec_rs::ReedSolomon::new(data.len(), parity).unwrap();
    if let Some(matrix) = matrix {
        code.set_parity_matrix(matrix).unwrap();
    }
    let mut shards = data.to_vec();
    shards.resize(data.len() + parity, vec![0; data[0].len()]);
    code.encode(&mut shards).unwrap();
    shards
}

/// Twenty per cent rounded up, and at least `min`.
fn parity_at_20_percent(k: usize, min: usize) -> usize {
    (k * 20).div_ceil(100).max(min)
}

#[test]
fn parity_at_20_percent_equals_the_published_one() {
    for k in 1..=212 {
        for min in [0, 2] {
            let m = parity_at_20_percent(k, min);
            let data = data(k, 96);
            assert_eq!(encode(&Code::cauchy(k, m), &data), reference(&data, m, None), "({k}, {m})");
        }
    }
}

#[test]
fn parity_of_small_and_extreme_blocks_equals_the_published_one() {
    let small = (1..=24).flat_map(|k| (1..=24).map(move |m| (k, m)));
    let extreme = [(254, 1), (1, 254), (200, 55), (128, 127), (71, 182), (50, 10), (100, 100)];
    for (k, m) in small.chain(extreme) {
        let data = data(k, 70);
        assert_eq!(encode(&Code::cauchy(k, m), &data), reference(&data, m, None), "({k}, {m})");
    }
}

#[test]
fn parity_of_audio_equals_the_published_one() {
    let matrix = [0x77, 0x40, 0x38, 0x0e, 0xc7, 0xa7, 0x0d, 0x6c];
    for len in [1, 16, 63, 64, 65, 160, 1388] {
        let data = data(4, len);
        assert_eq!(encode(&Code::audio(), &data), reference(&data, 2, Some(&matrix)), "{len} bytes");
    }
}

#[test]
fn audio_recovers_every_loss_of_two() {
    let code = Code::audio();
    let data = data(4, 80);
    let block = encode(&code, &data).concat();
    for first in 0..6 {
        for second in 0..6 {
            let mut damaged = block.clone();
            let mut present = [true; 6];
            for lost in [first, second] {
                present[lost] = false;
                damaged[lost * 80..][..80].fill(0);
            }
            code.recover(&mut damaged, Shape::packed(80), &present).unwrap();
            assert_eq!(damaged[..320], block[..320], "without {first} and {second}");
        }
    }
}
