//! Parity of large blocks in 9 products for every 16.
//!
//! Give the m parity shards the points 0 .. m, and the data shards those from m on: the coefficient of two points is
//! then `1 / (x ^ j)`. Between two groups of four consecutive points it depends on the last two bits of `x ^ j` alone.
//! By the upper of these bits such a 4 × 4 matrix is `[P Q; Q P]`, where P and Q are made alike by the lower one, and
//!
//! ```text
//! P·a + Q·b = P·(a + b) + (P + Q)·b
//! Q·a + P·b = P·(a + b) + (P + Q)·a
//! ```
//!
//! is three products for four, at either bit. Which sums of data go into the nine products is the same for all groups
//! of parity, and which products go into parity the same for all groups of data: additions are paid once per group.

use super::Shape;
use super::kernels::{self, Kernel};
use reed_solomon_erasure::galois_8 as gf;

/// Points of a group.
const GROUP: usize = 4;

/// Points there are: the elements of the field.
const POINTS: usize = 256;

/// Bytes of a shard that are worked on at a time: so few that the sums of a block stay near, and as many as make a call
/// worth it.
const WIDTH: usize = 128;

/// Sums that a group of data needs: of all four points, and of the two whose number differs in one bit.
const SUMS: usize = 5;

/// Products of two groups, three times three: of both halves by the upper bit, the upper half, the lower half; and each
/// of these again by the lower bit.
const PRODUCTS: usize = 9;

type Line = [u8; WIDTH];

/// The coefficients of a code between groups instead of points.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dyadic {
    data: usize,
    parity: usize,
    /// Groups of points that hold data and parity; one may hold both.
    data_groups: std::ops::Range<usize>,
    parity_groups: usize,
    /// For each choice of bits that are summed over, a row per group of parity with a coefficient per group of data.
    rows: [Vec<u8>; GROUP],
}

impl Dyadic {
    /// The code of `data` + `parity` shards; `None` where it would save nothing.
    pub fn new(data: usize, parity: usize) -> Option<Self> {
        let code = Self::of(data, parity);
        code.saves(kernels::fastest(WIDTH).products_per_group_sum).then_some(code)
    }

    /// Whether it is less work than the plain way, with the additions for a group worth so many products.
    fn saves(&self, products_per_group_sum: usize) -> bool {
        let products = PRODUCTS * self.data_groups.len() * self.parity_groups;
        // A call costs about as much as the additions of four groups.
        let groups = self.data_groups.len() + self.parity_groups + 4 * PRODUCTS;
        products + groups * products_per_group_sum < self.data * self.parity
    }

    fn of(data: usize, parity: usize) -> Self {
        let data_groups = parity / GROUP..(parity + data).div_ceil(GROUP);
        let parity_groups = parity.div_ceil(GROUP);
        let rows = std::array::from_fn(|summed| {
            let pairs = (0..parity_groups).flat_map(|q| data_groups.clone().map(move |p| p ^ q));
            pairs.map(|distance| coefficient(distance * GROUP, summed)).collect()
        });
        Self { data, parity, data_groups, parity_groups, rows }
    }

    /// As [`super::Code::encode`], for shards that are long enough; says whether they are.
    pub fn encode(&self, block: &mut [u8], shape: Shape) -> bool {
        if shape.len < WIDTH {
            return false;
        }
        let kernel = kernels::fastest(WIDTH);
        let (data, parity) = block.split_at_mut(self.data * shape.stride);
        let mut scratch = [[0; WIDTH]; PRODUCTS * POINTS / GROUP + SUMS];
        let (sums, products) = scratch.split_at_mut(SUMS * self.data_groups.len());
        let sums = sums.as_chunks_mut().0;
        let products = &mut products[..PRODUCTS * self.parity_groups];
        let mut done = 0;
        while done < shape.len {
            // The last column may overlap the one before: parity depends on data alone.
            let at = shape.skip + done.min(shape.len - WIDTH);
            let points = self.points(data, shape.stride, at);
            let groups = &points.as_chunks().0[..self.data_groups.len()];
            groups.iter().zip(&mut *sums).for_each(|(points, sums)| add_points(points, sums));
            self.multiply(kernel, groups, sums, products);
            for (group, shards) in parity.chunks_mut(GROUP * shape.stride).enumerate() {
                let lines = add_products(|n| &products[n * self.parity_groups + group]);
                for (shard, line) in shards.chunks_exact_mut(shape.stride).zip(lines) {
                    shard[at..][..WIDTH].copy_from_slice(&line);
                }
            }
            done += WIDTH;
        }
        true
    }

    /// One column of the data at its points, from the first group that has data on; zeros elsewhere.
    fn points<'a>(&self, data: &'a [u8], stride: usize, at: usize) -> [&'a Line; POINTS] {
        let mut points = [&[0; WIDTH]; POINTS];
        for (point, shard) in points[self.parity % GROUP..].iter_mut().zip(data.chunks_exact(stride)) {
            *point = shard[at..].first_chunk().expect("a column lies in its shard");
        }
        points
    }

    /// All products, each of all groups of parity, and of all groups of data in one.
    fn multiply(
        &self,
        kernel: &Kernel,
        points: &[[&Line; GROUP]],
        sums: &[[Line; SUMS]],
        products: &mut [Line],
    ) {
        let mut inputs = [[&[] as &[u8]; POINTS / GROUP]; PRODUCTS];
        for (group, (points, sums)) in points.iter().zip(sums).enumerate() {
            for (inputs, operand) in inputs.iter_mut().zip(operands(points, sums)) {
                inputs[group] = operand;
            }
        }
        for (n, products) in products.chunks_exact_mut(self.parity_groups).enumerate() {
            let mut outputs: [&mut [u8]; POINTS / GROUP] = std::array::from_fn(|_| Default::default());
            outputs.iter_mut().zip(products).for_each(|(output, product)| *output = product);
            let (inputs, outputs) = (&inputs[n][..points.len()], &mut outputs[..self.parity_groups]);
            kernel.combine(&self.rows[summed(n)], inputs, outputs);
        }
    }
}

/// The coefficient between points whose numbers differ in `distance`, summed over the values of the bits in `summed`.
fn coefficient(distance: usize, summed: usize) -> u8 {
    // A distance of 0 is a parity shard's to itself, where there is no data.
    let inverse = |x: usize| if x == 0 { 0 } else { gf::div(1, x as u8) };
    (0..GROUP).filter(|bits| bits & !summed == 0).fold(0, |sum, bits| sum ^ inverse(distance | bits))
}

/// The bits that the coefficients of product `n` are summed over: where not both halves are its operand.
fn summed(n: usize) -> usize {
    let bit = |half: usize| usize::from(half != 0);
    bit(n / 3) << 1 | bit(n % 3)
}

/// All sums of the points of a group that products are taken of.
fn add_points([x0, x1, x2, x3]: &[&Line; GROUP], [all, odd, even, upper, lower]: &mut [Line; SUMS]) {
    for i in 0..WIDTH {
        even[i] = x0[i] ^ x2[i];
        odd[i] = x1[i] ^ x3[i];
        all[i] = even[i] ^ odd[i];
        upper[i] = x2[i] ^ x3[i];
        lower[i] = x0[i] ^ x1[i];
    }
}

/// What each product is taken of.
fn operands<'a>([x0, x1, x2, x3]: &[&'a Line; GROUP], sums: &'a [Line; SUMS]) -> [&'a Line; PRODUCTS] {
    let [all, odd, even, upper, lower] = sums;
    [all, odd, even, upper, x3, x2, lower, x1, x0]
}

/// A group of parity from its products.
fn add_products<'a>(product: impl Fn(usize) -> &'a Line) -> [Line; GROUP] {
    let [both, both_1, both_0, upper, upper_1, upper_0, lower, lower_1, lower_0]: [&Line; PRODUCTS] =
        std::array::from_fn(product);
    let mut parity = [[0; WIDTH]; GROUP];
    for i in 0..WIDTH {
        let (even, odd) = (both[i] ^ both_1[i], both[i] ^ both_0[i]);
        parity[0][i] = even ^ upper[i] ^ upper_1[i];
        parity[1][i] = odd ^ upper[i] ^ upper_0[i];
        parity[2][i] = even ^ lower[i] ^ lower_1[i];
        parity[3][i] = odd ^ lower[i] ^ lower_0[i];
    }
    parity
}

#[cfg(test)]
mod tests {
    use super::super::Code;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whether or not it would save anything.
        #[test]
        fn parity_is_that_of_the_plain_way(
            data in 1usize..120,
            parity in 1usize..60,
            len in WIDTH..4 * WIDTH,
            skip in 0usize..40,
            seed: u8,
        ) {
            let code = Code { dyadic: None, ..Code::cauchy(data, parity) };
            let shape = Shape { stride: skip + len, skip, len };
            let byte = |n: usize| (n as u8).wrapping_mul(29) ^ (n >> 8) as u8 ^ seed;
            let mut plain: Vec<u8> = (0..(data + parity) * shape.stride).map(byte).collect();
            let mut dyadic = plain.clone();
            code.encode(&mut plain, shape);
            prop_assert!(Dyadic::of(data, parity).encode(&mut dyadic, shape));
            prop_assert!(plain == dyadic);
        }
    }

    /// Whatever processor this runs on.
    #[test]
    fn it_is_taken_where_it_saves() {
        for kernel in kernels::KERNELS {
            let cost = kernel.products_per_group_sum;
            assert!(Dyadic::of(127, 128).saves(cost), "{}", kernel.name);
            assert!(!Dyadic::of(20, 4).saves(cost), "{}", kernel.name);
        }
        // What table look-ups gain from it, the faster multiplication does not.
        assert!(Dyadic::of(212, 43).saves(14));
        assert!(!Dyadic::of(212, 43).saves(40));
        assert_eq!(Dyadic::new(20, 4), None);
        assert!(Dyadic::new(127, 128).is_some());
    }

    #[test]
    fn short_shards_are_left_alone() {
        assert!(!Dyadic::of(200, 40).encode(&mut vec![0; 240 * 100], Shape::packed(100)));
    }
}
