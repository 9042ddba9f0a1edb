//! The inner loop of the code: sums of shards, each times a coefficient.
//!
//! A kernel computes `output[j] = Σ rows[j * k + i] · input[i]` over GF(2⁸). The portable one defines the result; the
//! others are held equal to it by tests, and the fastest one that the processor has is taken at run time.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod gfni256;
#[cfg(target_arch = "x86_64")]
mod gfni512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
#[cfg(target_arch = "x86_64")]
mod ssse3;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod tables;

/// All kernels of this architecture, the fastest first.
pub const KERNELS: &[Kernel] = &[
    #[cfg(target_arch = "x86_64")]
    gfni512::KERNEL,
    #[cfg(target_arch = "x86_64")]
    gfni256::KERNEL,
    #[cfg(target_arch = "x86_64")]
    avx2::KERNEL,
    #[cfg(target_arch = "x86_64")]
    ssse3::KERNEL,
    #[cfg(target_arch = "aarch64")]
    neon::KERNEL,
    portable::KERNEL,
];

/// One way to compute the sums.
#[derive(Clone, Copy, Debug)]
pub struct Kernel {
    /// The instructions that it is made of.
    pub name: &'static str,
    is_available: fn() -> bool,
    /// Bytes of the shortest shards that it takes.
    shortest: usize,
    /// Products that take as long as the additions by which [`super::dyadic`] saves some, for one group of shards:
    /// measured with AVX2, and taken from the rates of the instructions for the others.
    pub(super) products_per_group_sum: usize,
    combine: Combine,
}

/// Computes the sums.
///
/// # Safety
/// The processor has the kernel's instructions; all inputs and outputs are of one length and not shorter than the kernel
/// takes; there is an input, an output, and a coefficient for each pair of them.
type Combine = unsafe fn(rows: &[u8], inputs: &[&[u8]], outputs: &mut [&mut [u8]]);

impl Kernel {
    /// Whether this processor can run it.
    pub fn is_available(&self) -> bool {
        (self.is_available)()
    }

    fn takes(&self, len: usize) -> bool {
        self.shortest <= len && self.is_available()
    }

    /// Overwrites each output with the sum of all inputs times its row of coefficients. Leaves that to the fastest kernel
    /// that can, where this one is not for this processor or for shards as short as these.
    ///
    /// # Panics
    /// When the inputs and outputs differ in length or `rows` is not a coefficient for each pair of them.
    pub fn combine(&self, rows: &[u8], inputs: &[&[u8]], outputs: &mut [&mut [u8]]) {
        let Some(len) = outputs.first().map(|output| output.len()) else { return };
        assert!(!inputs.is_empty() && rows.len() == inputs.len() * outputs.len(), "a coefficient per pair");
        assert!(inputs.iter().all(|input| input.len() == len), "inputs of one length");
        assert!(outputs.iter().all(|output| output.len() == len), "outputs of one length");
        let kernel = if self.takes(len) { self } else { fastest(len) };
        // SAFETY: the processor has it, the shards are long enough, and the lengths have just been checked.
        unsafe { (kernel.combine)(rows, inputs, outputs) }
    }
}

/// The fastest kernel of this processor for shards of `len` bytes.
pub fn fastest(len: usize) -> &'static Kernel {
    KERNELS.iter().find(|kernel| kernel.takes(len)).expect("the portable kernel takes all")
}

/// [`Kernel::combine`] with the fastest kernel.
pub fn combine(rows: &[u8], inputs: &[&[u8]], outputs: &mut [&mut [u8]]) {
    fastest(outputs.first().map_or(0, |output| output.len())).combine(rows, inputs, outputs);
}

/// Overwrites a fixed number of bytes from `at` on in as many outputs as the step is for.
///
/// # Safety
/// The processor has the step's instructions, all inputs and outputs reach as far as the step writes, and `rows` holds
/// a coefficient for each pair of them.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
type Step = unsafe fn(rows: &[u8], inputs: &[&[u8]], outputs: &mut [&mut [u8]], at: usize);

/// Goes along the shards in steps of `width` bytes. All outputs are summed there while that part of the inputs lies in
/// the first-level cache.
///
/// # Safety
/// As [`Combine`] asks with `width` for the shortest length; `steps[n]` writes `width` bytes of n + 1 outputs.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
unsafe fn by_columns(steps: &[Step], width: usize, rows: &[u8], inputs: &[&[u8]], outputs: &mut [&mut [u8]]) {
    let len = inputs[0].len();
    // As many at a time as a step takes, but not many and then few.
    let together = outputs.len().div_ceil(outputs.len().div_ceil(steps.len()));
    let mut done = 0;
    while done < len {
        // The last step may overlap the one before: an output depends on inputs alone.
        let at = done.min(len - width);
        let groups = rows.chunks(together * inputs.len()).zip(outputs.chunks_mut(together));
        for (rows, outputs) in groups {
            // SAFETY: the caller's promise, and `at + width <= len`.
            unsafe { steps[outputs.len() - 1](rows, inputs, outputs, at) };
        }
        done = at + width;
    }
}

/// The first `R` rows of `len` coefficients each.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[inline(always)]
fn rows_of<const R: usize>(mut coefficients: &[u8], len: usize) -> [&[u8]; R] {
    // No `from_fn`: it stays a call, which a step on few inputs feels.
    let mut rows: [&[u8]; R] = [&[]; R];
    for row in &mut rows {
        (*row, coefficients) = coefficients.split_at(len);
    }
    rows
}

#[cfg(test)]
mod tests;
