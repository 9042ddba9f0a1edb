//! Bits of a NAL unit, and the bytes that keep start codes out of it (ITU-T H.264, 7.4.1).

/// Reads the bits of a NAL unit, most significant first, and passes over emulation prevention bytes.
#[derive(Clone, Debug)]
pub struct BitReader<'a> {
    nal: &'a [u8],
    /// The next byte of `nal`, zeros right before it, and the bits of the byte before that are left.
    next: usize,
    zeros: u32,
    current: u8,
    left: u32,
    /// Bits read.
    at: usize,
}

impl<'a> BitReader<'a> {
    pub fn new(nal: &'a [u8]) -> Self {
        Self { nal, next: 0, zeros: 0, current: 0, left: 0, at: 0 }
    }

    /// Bits read so far, emulation prevention left out.
    pub fn at(&self) -> usize {
        self.at
    }

    /// The next byte, where one is left.
    fn byte(&mut self) -> Option<u8> {
        let mut byte = *self.nal.get(self.next)?;
        if self.zeros >= 2 && byte == 3 {
            self.next += 1;
            self.zeros = 0;
            byte = *self.nal.get(self.next)?;
        }
        self.next += 1;
        self.zeros = if byte == 0 { self.zeros + 1 } else { 0 };
        Some(byte)
    }

    pub fn bit(&mut self) -> Option<bool> {
        if self.left == 0 {
            self.current = self.byte()?;
            self.left = 8;
        }
        self.left -= 1;
        self.at += 1;
        Some(self.current >> self.left & 1 == 1)
    }

    /// Up to 32 bits.
    pub fn bits(&mut self, count: u32) -> Option<u32> {
        (0..count).try_fold(0, |value, _| Some(value << 1 | u32::from(self.bit()?)))
    }

    /// ue(v) of at most 31 bits after the zeros.
    pub fn unsigned(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.bit()? {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        Some((1 << zeros) - 1 + self.bits(zeros)?)
    }
}

/// Collects bits into bytes, most significant first.
#[derive(Debug, Default)]
pub struct BitWriter {
    bytes: Vec<u8>,
    bits: usize,
}

impl BitWriter {
    pub fn bit(&mut self, bit: bool) {
        if self.bits.is_multiple_of(8) {
            self.bytes.push(0);
        }
        let last = self.bytes.last_mut().expect("one was pushed");
        *last |= u8::from(bit) << (7 - self.bits % 8);
        self.bits += 1;
    }

    pub fn bits(&mut self, value: u32, count: u32) {
        (0..count).rev().for_each(|shift| self.bit(value >> shift & 1 == 1));
    }

    pub fn unsigned(&mut self, value: u32) {
        let code = value + 1;
        let bits = 32 - code.leading_zeros();
        self.bits(0, bits - 1);
        self.bits(code, bits);
    }

    /// The bytes, filled up with zeros.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// Appends the bytes of a NAL unit, with emulation prevention where it is needed.
#[derive(Debug)]
pub struct Escaper<'a> {
    out: &'a mut Vec<u8>,
    zeros: u32,
}

impl<'a> Escaper<'a> {
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, zeros: 0 }
    }

    pub fn push(&mut self, byte: u8) {
        if self.zeros >= 2 && byte <= 3 {
            self.out.push(3);
            self.zeros = 0;
        }
        self.out.push(byte);
        self.zeros = if byte == 0 { self.zeros + 1 } else { 0 };
    }

    /// The last byte was no zero: what comes next is escaped as anywhere else.
    pub fn is_between(&self) -> bool {
        self.zeros == 0
    }

    /// Bytes that are escaped already. Only where [`Self::is_between`], here and where they come from.
    pub fn append_escaped(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }
}
