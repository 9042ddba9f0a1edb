//! Long-term reference frames that a client has acknowledged, for an encoder that marks any. Decides only.
//!
//! A client acknowledges each frame whose packets say that it is one (extraFlags 1, message 0x0350). After a loss such a
//! frame is the better reference: of any other it is only not known that it was lost.

/// Acknowledged frames that are remembered: more than a decoder keeps.
const REMEMBERED: usize = 16;

/// The newest acknowledged frames, by their index on the wire, which wraps.
#[derive(Clone, Debug, Default)]
pub struct LongTerm {
    acknowledged: Vec<u32>,
    /// The newest key frame: nothing before it is kept by anybody.
    key: Option<u32>,
}

impl LongTerm {
    /// The client has decoded this frame, and keeps it.
    pub fn handle_acknowledgement(&mut self, frame: u32) {
        let is_forgotten = self.key.is_some_and(|key| is_before(frame, key));
        if is_forgotten || self.acknowledged.contains(&frame) {
            return;
        }
        let at = self.acknowledged.partition_point(|known| is_before(*known, frame));
        self.acknowledged.insert(at, frame);
        if self.acknowledged.len() > REMEMBERED {
            self.acknowledged.remove(0);
        }
    }

    /// `frame` was sent as a key frame: with it the client forgets all before it.
    pub fn handle_key_frame(&mut self, frame: u32) {
        self.acknowledged.retain(|known| !is_before(*known, frame));
        self.key = Some(frame);
    }

    /// Of the frames that an encoder `keeps`, the one to refer to when `first` and all after it are lost: the newest
    /// acknowledged one before it, otherwise the newest one before it.
    pub fn reference(&self, first: u32, keeps: &[u32]) -> Option<u32> {
        let before = || keeps.iter().copied().filter(|frame| is_before(*frame, first));
        let newest = |a: u32, b: u32| if is_before(a, b) { b } else { a };
        before().filter(|frame| self.acknowledged.contains(frame)).reduce(newest).or(before().reduce(newest))
    }
}

fn is_before(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) < 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn acknowledged(frames: impl IntoIterator<Item = u32>) -> LongTerm {
        let mut known = LongTerm::default();
        frames.into_iter().for_each(|frame| known.handle_acknowledgement(frame));
        known
    }

    #[test]
    fn an_acknowledged_frame_is_preferred_to_a_newer_one() {
        let known = acknowledged([10, 14, 12]);
        assert_eq!(known.reference(20, &[10, 12, 14, 18]), Some(14));
        assert_eq!(known.reference(14, &[10, 12, 14, 18]), Some(12));
        assert_eq!(known.reference(20, &[15, 18]), Some(18), "none of them is kept");
        assert_eq!(known.reference(15, &[15, 18]), None);
    }

    #[test]
    fn a_key_frame_makes_all_before_it_worthless() {
        let mut known = acknowledged([10, 15]);
        known.handle_key_frame(12);
        assert_eq!(
            known.reference(20, &[10, 12, 15, 18]),
            Some(15),
            "the host may learn late of a key frame"
        );
        known.handle_key_frame(16);
        assert_eq!(known.reference(20, &[10, 15, 18]), Some(18));
        known.handle_acknowledgement(15);
        assert_eq!(known.reference(20, &[15, 18]), Some(18), "that was on its way");
        known.handle_acknowledgement(16);
        assert_eq!(known.reference(20, &[16, 18]), Some(16), "the key frame itself");
    }

    proptest! {
        /// In any order, more than once, and across the end of the numbers.
        #[test]
        fn the_newest_are_remembered(start: u32, order in proptest::collection::vec(0u32..40, 1..200)) {
            let known = acknowledged(order.iter().map(|n| start.wrapping_add(*n)));
            let mut newest = order.clone();
            newest.sort();
            newest.dedup();
            let from = newest.len().saturating_sub(REMEMBERED);
            let expected: Vec<u32> = newest[from..].iter().map(|n| start.wrapping_add(*n)).collect();
            prop_assert_eq!(&known.acknowledged, &expected);
            let all: Vec<u32> = (0..40).map(|n| start.wrapping_add(n)).collect();
            prop_assert_eq!(known.reference(start.wrapping_add(40), &all), expected.last().copied());
        }
    }
}
