//! Frames of datagrams for `pacedudpsink`, and sockets that get them.
#![allow(dead_code)]

use super::media::init;
use gst::prelude::*;
use gst_check::Harness;
use gstgamestream::packets::{CAPS_NAME, PacketsMeta};
use std::{
    net::{SocketAddr, UdpSocket},
    time::Duration,
};

pub const LIMIT: Duration = Duration::from_secs(20);
pub const SIZE: usize = 200;

pub fn receiver(address: &str) -> UdpSocket {
    let socket = UdpSocket::bind(address).unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    socket
}

pub fn receive(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut bytes = [0; 2000];
    let (count, from) = socket.recv_from(&mut bytes).expect("a datagram in time");
    (bytes[..count].to_vec(), from)
}

/// Whether nothing lies in the socket. On the loopback interface a send ends after the datagram has arrived.
pub fn is_empty(socket: &UdpSocket) -> bool {
    socket.set_nonblocking(true).unwrap();
    let empty = socket.recv(&mut [0; 2000]).is_err();
    socket.set_nonblocking(false).unwrap();
    empty
}

/// The datagram `index` of frame `frame`.
pub fn datagram(frame: u8, index: usize) -> Vec<u8> {
    let mut bytes = vec![frame; SIZE];
    bytes[..8].copy_from_slice(&(index as u64).to_be_bytes());
    bytes
}

pub fn index(datagram: &[u8]) -> usize {
    u64::from_be_bytes(datagram[..8].try_into().unwrap()) as usize
}

/// A buffer of `count` datagrams that lasts `duration`.
pub fn frame(number: u8, count: usize, duration: Duration) -> gst::Buffer {
    let bytes: Vec<u8> = (0..count).flat_map(|index| datagram(number, index)).collect();
    let mut buffer = gst::Buffer::from_mut_slice(bytes);
    let writable = buffer.get_mut().unwrap();
    writable.set_duration(gst::ClockTime::from_nseconds(duration.as_nanos() as u64));
    PacketsMeta::add(writable, SIZE, count);
    buffer
}

pub fn sink(to: Option<SocketAddr>) -> gst::Element {
    init();
    let sink = gst::ElementFactory::make("pacedudpsink").build().unwrap();
    // Datagrams are small here; a number of them is what leaves together.
    sink.set_property("burst-bytes", 0u32);
    if let Some(to) = to {
        point(&sink, to);
    }
    sink
}

pub fn point(sink: &gst::Element, to: SocketAddr) {
    sink.set_property("host", to.ip().to_string());
    sink.set_property("port", i32::from(to.port()));
}

pub fn start(sink: &gst::Element) -> Harness {
    let mut harness = Harness::with_element(sink, Some("sink"), None);
    harness.set_src_caps_str(&format!("{CAPS_NAME},media=video"));
    harness.play();
    harness
}

pub fn count(sink: &gst::Element, field: &str) -> u64 {
    let stats = sink.property::<gst::Structure>("stats");
    assert_eq!(stats.name(), "application/x-pacedudpsink-stats");
    stats.get(field).unwrap()
}
