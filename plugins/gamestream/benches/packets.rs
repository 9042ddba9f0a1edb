//! From access unit to datagrams: what the packetizer takes, beside what others do and beside its limit.
//!
//! `cargo bench --bench packets [-- --quick]`

mod common;
#[path = "packets/reference.rs"]
mod reference;

use common::{Clock, Contest, Options, Results, Table, micros, number, times};
use gstgamestream::wire::fec::kernels::{KERNELS, Kernel};
use gstgamestream::wire::fec::{Code, Codes, Shape};
use gstgamestream::wire::seal::{Key, VIDEO_PREFIX, VideoSealer};
use gstgamestream::wire::video::{Frame, FrameKind, HEADER, Layout, Packetizer, Redundancy};
use reference::Reference;
use std::hint::black_box;

/// The packet size that clients agree on most: 1408 bytes with its header, 1376 of them payload.
const PACKET_SIZE: usize = 1392;
const SHARD: usize = PACKET_SIZE + 16;

/// Data packets of a frame and the share of parity.
const FRAMES: [(usize, u8); 5] = [(20, 20), (100, 20), (600, 20), (848, 20), (3000, 0)];

fn main() {
    let options = Options::from_args();
    common::print_machine(
        "Packets",
        "Medians of processor time of one thread; variants run in turns, ratios are medians of the rounds' ratios.",
    );
    parity(options);
    sealing(options);
    for sealed in [false, true] {
        frames(options, sealed);
    }
}

/// Any bytes.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 7u64;
    let mut byte = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 56) as u8
    };
    (0..len).map(|_| byte()).collect()
}

fn key() -> Key {
    Key::parse("000102030405060708090a0b0c0d0e0f").expect("32 hex digits").expect("a key")
}

/// The parity of one block by every kernel that this processor has, and by others.
fn parity(options: Options) {
    const DATA: usize = 200;
    const PARITY: usize = 40;
    let block = noise((DATA + PARITY) * SHARD);
    let shards = || block.chunks_exact(SHARD).map(<[u8]>::to_vec).collect::<Vec<_>>();
    let code = &Code::cauchy(DATA, PARITY);
    let mut contest = Contest::new(Clock::ThreadCpu);
    let mut encoded = block.clone();
    contest.add("ours", move || code.encode(black_box(&mut encoded), Shape::packed(SHARD)));
    let available = || KERNELS.iter().filter(|kernel| kernel.is_available());
    for kernel in available() {
        contest.add(kernel.name, with_kernel(kernel, code, &block));
    }
    let (theirs, mut theirs_block) = (fec_rs::ReedSolomon::new(DATA, PARITY).expect("a code"), shards());
    contest.add("fec-rs", move || theirs.encode(black_box(&mut theirs_block)).expect("shards of one length"));
    for (name, arithmetic) in [("scalar", reference::SCALAR), ("SIMD", reference::SIMD)] {
        let mut block = shards();
        let rows = code.rows();
        contest.add(format!("reed-solomon-erasure, {name}"), move || {
            let (data, parity) = block.split_at_mut(DATA);
            arithmetic.encode(rows, data, black_box(parity));
        });
    }
    let results = contest.run(options);
    let mut table = Table::new(&["kernel", "µs a block", "GB/s of data", "fec-rs takes"]);
    for name in results.names() {
        let time = results.median(name);
        let rate = (DATA * SHARD) as f64 / time.as_secs_f64() / 1e9;
        table.row([name.to_owned(), micros(time), number(rate), times(results.ratio("fec-rs", name))]);
    }
    table.print("Parity of (200, 40) × 1408 bytes");
    let absent: Vec<&str> = KERNELS.iter().filter(|k| !k.is_available()).map(|k| k.name).collect();
    if !absent.is_empty() {
        println!("\nNot on this processor: {}.", absent.join(", "));
    }
}

/// The parity of `block` by one kernel.
fn with_kernel<'a>(kernel: &'a Kernel, code: &'a Code, block: &[u8]) -> impl FnMut() + 'a {
    let mut block = block.to_vec();
    move || {
        let (data, parity) = block.split_at_mut(code.data() * SHARD);
        let inputs: Vec<&[u8]> = data.chunks_exact(SHARD).collect();
        let mut outputs: Vec<&mut [u8]> = parity.chunks_exact_mut(SHARD).collect();
        kernel.combine(code.rows(), &inputs, black_box(&mut outputs));
    }
}

/// Sealing one packet again and again: the rate of AES-128-GCM itself.
fn sealing(options: Options) {
    let mut contest = Contest::new(Clock::ThreadCpu);
    let mut sealer = VideoSealer::new(&key(), 0);
    let mut datagram = noise(VIDEO_PREFIX + SHARD);
    contest.add("AES-128-GCM", move || sealer.seal(1, black_box(&mut datagram)));
    let (from, mut to) = (noise(SHARD), noise(SHARD));
    contest.add("copy", move || to.copy_from_slice(black_box(&from)));
    let results = contest.run(options);
    let mut table = Table::new(&["a packet of 1408 bytes", "ns", "million/s", "Gbit/s"]);
    for name in results.names() {
        let seconds = results.median(name).as_secs_f64();
        let rate = 8.0 * SHARD as f64 / seconds / 1e9;
        table.row([name.to_owned(), number(seconds * 1e9), number(1e-6 / seconds), number(rate)]);
    }
    table.print("Packets one by one, in the first-level cache");
}

/// Whole frames.
fn frames(options: Options, sealed: bool) {
    let mut table = Table::new(&[
        "data packets, parity",
        "ours µs",
        "copy",
        "parity",
        "seal",
        "ours ÷ sum",
        "reference, scalar µs",
        "÷ ours",
        "reference, SIMD µs",
        "÷ ours",
    ]);
    for (packets, percentage) in FRAMES {
        let results = frame(options, packets, percentage, sealed);
        let parts = ["copy", "parity", "seal"].map(|part| results.median(part));
        let sum = parts.iter().sum::<std::time::Duration>().as_secs_f64();
        let mut cells = vec![format!("{packets}, {percentage} %"), micros(results.median("ours"))];
        cells.extend(parts.map(micros));
        cells.push(times(results.median("ours").as_secs_f64() / sum));
        for theirs in ["scalar", "SIMD"] {
            cells.extend([micros(results.median(theirs)), times(results.ratio(theirs, "ours"))]);
        }
        table.row(cells);
    }
    table.print(match sealed {
        false => "Frames, plain",
        true => "Frames, encrypted",
    });
}

/// One frame by everybody, and what of it nobody can avoid.
fn frame(options: Options, packets: usize, percentage: u8, sealed: bool) -> Results {
    let bitstream = &noise(packets * (SHARD - HEADER) - 8)[..];
    let frame = Frame { kind: FrameKind::Delta, timestamp: 1, latency: 1, bitstream };
    let redundancy = Redundancy { percentage, min: 2 };
    let layout = &Layout::plan(bitstream.len(), PACKET_SIZE, redundancy).expect("a frame that fits");
    let stride = layout.datagram(sealed);
    let room = || vec![0; layout.packets() * stride];
    let new_sealer = || sealed.then(|| VideoSealer::new(&key(), 0));
    let mut contest = Contest::new(Clock::ThreadCpu);

    let (mut out, mut sealer, mut packetizer) = (room(), new_sealer(), Packetizer::default());
    contest.add("ours", move || packetizer.write(layout, &frame, sealer.as_mut(), black_box(&mut out)));
    let mut copied = room();
    contest.add("copy", move || {
        for (datagram, payload) in copied.chunks_exact_mut(stride).zip(bitstream.chunks(SHARD - HEADER)) {
            datagram[stride - (SHARD - HEADER)..][..payload.len()].copy_from_slice(black_box(payload));
        }
    });
    let (mut coded, mut codes) = (room(), Codes::default());
    let shape = Shape { stride, skip: stride - SHARD, len: SHARD };
    contest.add("parity", move || {
        let mut rest = &mut coded[..];
        for block in layout.blocks().iter().filter(|block| block.parity > 0) {
            let (now, later) = rest.split_at_mut(block.packets() * stride);
            codes.get(block.data, block.parity).encode(black_box(now), shape);
            rest = later;
        }
    });
    let (mut clear, mut part_sealer) = (room(), new_sealer());
    contest.add("seal", move || {
        if let Some(sealer) = &mut part_sealer {
            clear.chunks_exact_mut(stride).for_each(|datagram| sealer.seal(1, black_box(datagram)));
        }
    });
    for (name, arithmetic) in [("scalar", reference::SCALAR), ("SIMD", reference::SIMD)] {
        let mut reference = Reference::new(arithmetic, new_sealer());
        contest.add(name, move || drop(black_box(reference.packets(layout, frame.bitstream))));
    }
    contest.run(options)
}
