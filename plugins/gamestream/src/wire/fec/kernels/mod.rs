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
    /// # Safety
    /// The processor has the instructions; all inputs and outputs are of one length and not shorter than `shortest`;
    /// there is an input, an output, and a coefficient for each pair of them.
    combine: unsafe fn(rows: &[u8], inputs: &[&[u8]], outputs: &mut [&mut [u8]]),
}

impl Kernel {
    /// Whether this processor can run it.
    pub fn is_available(&self) -> bool {
        (self.is_available)()
    }

    /// Overwrites each output with the sum of all inputs times its row of coefficients. Does so with the next kernel
    /// that can, if this one is not for this processor or for shards as short as these.
    ///
    /// # Panics
    /// When the inputs and outputs differ in length or `rows` is not a coefficient for each pair of them.
    pub fn combine(&self, rows: &[u8], inputs: &[&[u8]], outputs: &mut [&mut [u8]]) {
        let Some(len) = outputs.first().map(|output| output.len()) else { return };
        assert!(!inputs.is_empty() && rows.len() == inputs.len() * outputs.len(), "a coefficient per pair");
        assert!(inputs.iter().all(|input| input.len() == len), "inputs of one length");
        assert!(outputs.iter().all(|output| output.len() == len), "outputs of one length");
        let slower = KERNELS.iter().skip_while(|kernel| kernel.name != self.name);
        let kernel = slower
            .filter(|kernel| kernel.shortest <= len)
            .find(|kernel| kernel.is_available())
            .expect("the portable kernel can");
        // SAFETY: the processor has it, the shards are long enough, and the lengths have just been checked.
        unsafe { (kernel.combine)(rows, inputs, outputs) }
    }
}

/// [`Kernel::combine`] with the fastest kernel.
pub fn combine(rows: &[u8], inputs: &[&[u8]], outputs: &mut [&mut [u8]]) {
    KERNELS[0].combine(rows, inputs, outputs);
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
/// As [`Kernel::combine`] asks with `width` for the shortest length; `steps[n]` writes `width` bytes of n + 1 outputs.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
unsafe fn by_columns(steps: &[Step], width: usize, rows: &[u8], inputs: &[&[u8]], outputs: &mut [&mut [u8]]) {
    let len = inputs[0].len();
    let mut done = 0;
    while done < len {
        // The last step may overlap the one before: an output depends on inputs alone.
        let at = done.min(len - width);
        let groups = rows.chunks(steps.len() * inputs.len()).zip(outputs.chunks_mut(steps.len()));
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
fn rows_of<const R: usize>(rows: &[u8], len: usize) -> [&[u8]; R] {
    std::array::from_fn(|row| &rows[row * len..][..len])
}

#[cfg(test)]
mod tests;
