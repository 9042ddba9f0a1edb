//! Parity held against another implementation, and the speed of ours.

use gstgamestream::wire::fec::{Code, Shape, kernels};

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

/// Best of a few rounds, which other work on the machine hardly touches.
fn fastest(mut work: impl FnMut()) -> std::time::Duration {
    let round = |_| {
        let start = std::time::Instant::now();
        work();
        start.elapsed()
    };
    (0..20).map(round).min().expect("twenty rounds")
}

type Combine = fn(&[u8], &[&[u8]], &mut [&mut [u8]]);

#[test]
fn the_kernel_of_this_processor_gives_what_the_portable_one_does() {
    let rows: Vec<u8> = (0..40 * 200).map(|n| (n * 7 + 3) as u8).collect();
    let input: Vec<u8> = (0..200 * 1408).map(|n| (n * 13 + n / 1408) as u8).collect();
    let inputs: Vec<&[u8]> = input.chunks_exact(1408).collect();
    let mut outputs = [vec![0; 40 * 1408], vec![0; 40 * 1408]];
    let mut measure = |output: usize, combine: Combine| {
        let mut outputs: Vec<&mut [u8]> = outputs[output].chunks_exact_mut(1408).collect();
        fastest(|| combine(&rows, &inputs, &mut outputs))
    };
    let portable = measure(0, kernels::portable::combine);
    let chosen = measure(1, kernels::combine);
    println!("(200, 40) of 1408 bytes: {} µs portable, {} µs here", portable.as_micros(), chosen.as_micros());
    assert!(outputs[0] == outputs[1]);
}
