//! What a client's report (0x5502) says of one block.

use crate::protocol::control::FecStatus;

/// What became of one block, as the client reports it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BlockReport {
    pub frame: u32,
    /// Data and parity packets of the block.
    pub data: u32,
    pub parity: u32,
    /// Data packets that did not come in time.
    pub lost_data: u32,
    /// Packets known to be lost, parity included: all of a block that failed, those before the last needed otherwise.
    pub lost: u32,
    /// It could not be rebuilt.
    pub failed: bool,
    /// Share of packets lost from the first loss to the end of the block, of one that failed.
    pub density: f64,
}

/// What a report says of its block; none where no block is like that.
pub fn read(status: &FecStatus) -> Option<BlockReport> {
    let (data, parity) = (u32::from(status.data_packets), u32::from(status.parity_packets));
    let (came, parity_came) = (u32::from(status.received_data), u32::from(status.received_parity));
    if data == 0 || data + parity > 2048 || came > data || parity_came > parity {
        return None;
    }
    let (all, received) = (data + parity, came + parity_came);
    let failed = received < data;
    let missing = u32::from(status.missing_before_highest);
    let lost = if failed { all - received } else { missing.min(all - received) };
    // The highest packet says where the block begins, and that how many came before the first loss.
    let span = received + missing;
    let begin = status.highest_sequence.wrapping_add(1).wrapping_sub(span as u16);
    let head = u32::from(status.next_contiguous_sequence.wrapping_sub(begin)).min(received);
    let density = if failed { f64::from(lost) / f64::from((all - head).max(1)) } else { 0.0 };
    Some(BlockReport { frame: status.frame, data, parity, lost_data: data - came, lost, failed, density })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of 10 data and 4 parity packets, sequence numbers from 65530 on.
    fn status(received_data: u16, received_parity: u16, missing: u16, contiguous: u16) -> FecStatus {
        let span = received_data + received_parity + missing;
        FecStatus {
            frame: 7,
            highest_sequence: 65_530_u16.wrapping_add(span - 1),
            next_contiguous_sequence: 65_530_u16.wrapping_add(contiguous),
            missing_before_highest: missing,
            data_packets: 10,
            parity_packets: 4,
            received_data,
            received_parity,
            fec_percentage: 40,
            block: 0,
            blocks: 1,
        }
    }

    #[test]
    fn a_block_that_was_rebuilt() {
        let report = read(&status(8, 2, 2, 3)).expect("a block");
        assert_eq!((report.lost_data, report.lost, report.failed), (2, 2, false));
    }

    /// Four packets came, then nothing of ten.
    #[test]
    fn the_tail_of_a_block_that_failed() {
        let report = read(&status(4, 0, 0, 4)).expect("a block");
        assert_eq!((report.lost_data, report.lost, report.failed), (6, 10, true));
        assert_eq!(report.density, 1.0);
    }

    #[test]
    fn losses_here_and_there_are_not_dense() {
        let report = read(&status(6, 3, 5, 1)).expect("a block");
        assert!(report.failed && report.density < 0.5, "{report:?}");
    }

    #[test]
    fn numbers_that_no_block_has_are_passed_over() {
        assert_eq!(read(&FecStatus { data_packets: 0, ..status(8, 2, 2, 3) }), None);
        assert_eq!(read(&FecStatus { received_data: 11, ..status(8, 2, 2, 3) }), None);
        assert_eq!(read(&FecStatus { received_parity: 5, ..status(8, 2, 2, 3) }), None);
        let wild = FecStatus { missing_before_highest: u16::MAX, highest_sequence: 0, ..status(3, 0, 0, 1) };
        let report = read(&wild).expect("a block");
        assert!((0.0..=1.0).contains(&report.density), "{report:?}");
    }
}
