use super::*;
use proptest::prelude::*;

/// Those that this processor runs, or the test fails: a kernel whose instructions are there is never left out.
fn available() -> Vec<&'static Kernel> {
    KERNELS.iter().filter(|kernel| kernel.is_available()).collect()
}

/// What the processor has, asked without the chooser, and what must then be tested.
#[cfg(target_arch = "x86_64")]
fn expected() -> Vec<&'static str> {
    use std::is_x86_feature_detected as has;
    let (gfni, avx2) = (has!("gfni"), has!("avx2"));
    let kernels = [
        (gfni && has!("avx512f"), "GFNI+AVX-512"),
        (gfni && avx2, "GFNI+AVX2"),
        (avx2, "AVX2"),
        (has!("ssse3"), "SSSE3"),
        (true, "portable"),
    ];
    kernels.into_iter().filter(|(has, _)| *has).map(|(_, name)| name).collect()
}

#[cfg(target_arch = "aarch64")]
fn expected() -> Vec<&'static str> {
    vec!["NEON", "portable"]
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn expected() -> Vec<&'static str> {
    vec!["portable"]
}

#[test]
fn every_kernel_of_this_processor_is_tested() {
    let names: Vec<&str> = available().iter().map(|kernel| kernel.name).collect();
    assert_eq!(names, expected());
    let absent = KERNELS.iter().filter(|kernel| !kernel.is_available());
    let absent: Vec<&str> = absent.map(|kernel| kernel.name).collect();
    println!("tested: {names:?}; not on this processor and not tested: {absent:?}");
}

/// Random bytes.
fn bytes(seed: u64) -> impl FnMut() -> u8 {
    let mut state = seed | 1;
    move || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 56) as u8
    }
}

/// Sums by one kernel, each output `shift` bytes into memory of its own, and that nothing around it was touched.
fn sums(kernel: &Kernel, rows: &[u8], inputs: &[&[u8]], shift: usize) -> Vec<Vec<u8>> {
    const EDGE: u8 = 0x55;
    let len = inputs[0].len();
    let mut memory = vec![vec![EDGE; shift + len + 64]; rows.len() / inputs.len()];
    let mut outputs: Vec<&mut [u8]> = memory.iter_mut().map(|memory| &mut memory[shift..][..len]).collect();
    kernel.combine(rows, inputs, &mut outputs);
    let untouched = |bytes: &[u8]| bytes.iter().all(|&byte| byte == EDGE);
    for memory in &memory {
        assert!(untouched(&memory[..shift]) && untouched(&memory[shift + len..]), "{}", kernel.name);
    }
    memory.into_iter().map(|memory| memory[shift..][..len].to_vec()).collect()
}

/// Holds all kernels equal over `outputs` sums of `inputs` shards of `len` bytes that lie `shift` bytes off.
fn compare(inputs: usize, outputs: usize, len: usize, shift: usize, seed: u64) {
    let mut byte = bytes(seed);
    let rows: Vec<u8> = (0..inputs * outputs).map(|_| byte()).collect();
    let data: Vec<u8> = (0..inputs * len + shift).map(|_| byte()).collect();
    let inputs: Vec<&[u8]> = data[shift..].chunks_exact(len).collect();
    let portable = sums(KERNELS.last().expect("the portable one"), &rows, &inputs, shift);
    for kernel in available() {
        let same = sums(kernel, &rows, &inputs, shift) == portable;
        assert!(same, "{}: {} + {outputs} shards of {len} bytes, {shift} off", kernel.name, inputs.len());
    }
}

/// Every number of outputs up to two full passes and every length around the steps.
#[test]
fn passes_and_tails_of_all_lengths_agree() {
    for outputs in 1..=17 {
        compare(5, outputs, 200, 1, outputs as u64);
    }
    for len in 1..=400 {
        compare(3, 2, len, len % 7, len as u64);
    }
}

proptest! {
    #[test]
    fn every_kernel_agrees_with_the_portable_one(
        inputs in 1usize..60,
        outputs in 1usize..30,
        len in 1usize..600,
        shift in 0usize..64,
        seed: u64,
    ) {
        compare(inputs, outputs, len, shift, seed);
    }
}

#[test]
fn blocks_as_streams_have_them_agree() {
    for (data, parity) in [(200, 40), (212, 43), (71, 182), (1, 254), (254, 1)] {
        compare(data, parity, 1408, 32, 9);
    }
}
