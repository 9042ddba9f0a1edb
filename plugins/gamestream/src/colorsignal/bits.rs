//! Bits of headers, the most significant first, read and copied.

use super::Malformed;

/// Reads bits and writes each of them down again.
pub struct Copy<'a> {
    from: &'a [u8],
    /// In bits.
    at: usize,
    to: Vec<u8>,
    /// Bits of `to`.
    written: usize,
}

impl<'a> Copy<'a> {
    pub fn of(from: &'a [u8]) -> Self {
        Self { from, at: 0, to: Vec::with_capacity(from.len() + 8), written: 0 }
    }

    /// The next bits, 32 at most, which are not copied.
    pub fn skip(&mut self, count: usize) -> Result<u32, Malformed> {
        let mut value = 0;
        for _ in 0..count {
            let byte = self.from.get(self.at / 8).ok_or(Malformed)?;
            value = value << 1 | u32::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Ok(value)
    }

    pub fn put(&mut self, count: usize, value: u32) {
        for bit in (0..count).rev() {
            if self.written.is_multiple_of(8) {
                self.to.push(0);
            }
            let last = self.to.last_mut().expect("just pushed");
            *last |= ((value >> bit & 1) as u8) << (7 - self.written % 8);
            self.written += 1;
        }
    }

    pub fn bits(&mut self, count: usize) -> Result<u32, Malformed> {
        let value = self.skip(count)?;
        self.put(count, value);
        Ok(value)
    }

    pub fn flag(&mut self) -> Result<bool, Malformed> {
        Ok(self.bits(1)? == 1)
    }

    /// Exp-Golomb, as H.264's ue(v) and AV1's uvlc() have it.
    pub fn unsigned(&mut self) -> Result<u32, Malformed> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros > 31 {
                return Err(Malformed);
            }
        }
        Ok((1 << zeros) - 1 + self.bits(zeros)?)
    }

    /// H.264's se(v).
    pub fn signed(&mut self) -> Result<i32, Malformed> {
        let code = self.unsigned()?;
        let value = code.div_ceil(2) as i32;
        Ok(if code % 2 == 1 { value } else { -value })
    }

    /// Copies what is left, up to the bit `end`.
    pub fn rest(mut self, end: usize) -> Result<Self, Malformed> {
        while self.at < end {
            self.bits(1)?;
        }
        Ok(self)
    }

    /// What was written, with zeros up to a whole byte.
    pub fn written(self) -> Vec<u8> {
        self.to
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_written() {
        let bytes = [0b1010_0110, 0b0100_0010, 0b1000_0011];
        let mut copy = Copy::of(&bytes);
        assert!(copy.flag().unwrap());
        // 010: 1; 011: 2; 00100: 3 or 2; 00101: 4 or −2.
        assert_eq!(copy.unsigned(), Ok(1));
        assert_eq!(copy.signed(), Ok(2 - 1 + 1 - 3));
        assert_eq!(copy.unsigned(), Ok(3));
        assert_eq!(copy.rest(24).unwrap().written(), bytes);
    }

    #[test]
    fn the_end_is_no_bit() {
        assert_eq!(Copy::of(&[0]).bits(9), Err(Malformed));
        assert_eq!(Copy::of(&[0; 8]).unsigned(), Err(Malformed));
    }
}
