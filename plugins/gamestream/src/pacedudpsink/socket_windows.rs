//! Sending with UDP segmentation offload (USO) on Windows 10, version 2004, and newer.
//!
//! **Never compiled and never run so far**: it was written from Microsoft's documentation of `WSASendMsg` and of the
//! `UDP_SEND_MSG_SIZE` option. The sink's timer and its opening of sockets still ask for Linux; what is here is the part
//! that the choice of calls in `sender.rs` needs.

use super::sender::Transmit;
use socket2::SockAddr;
use std::{
    io::{self, IoSlice},
    os::windows::io::RawSocket,
    ptr,
};
use windows_sys::Win32::Networking::WinSock as winsock;

/// A control message that holds the size of segments, laid out as `WSA_CMSG_SPACE(sizeof(DWORD))` has it.
#[repr(C)]
struct SegmentSize {
    header: winsock::CMSGHDR,
    size: u32,
    _padding: u32,
}

/// The system calls of a socket that does not block, along a way.
pub struct Along<'a> {
    pub socket: RawSocket,
    pub address: &'a SockAddr,
}

impl Along<'_> {
    /// Whether this version of Windows knows UDP_SEND_MSG_SIZE.
    pub fn can_segment(&self) -> bool {
        let (mut size, mut length) = (0u32, size_of::<u32>() as i32);
        // SAFETY: the option is a DWORD, whose address and size are given.
        let result = unsafe {
            winsock::getsockopt(
                self.socket as winsock::SOCKET,
                winsock::IPPROTO_UDP,
                winsock::UDP_SEND_MSG_SIZE,
                ptr::from_mut(&mut size).cast(),
                &mut length,
            )
        };
        result == 0
    }

    fn send(&self, datagrams: &[IoSlice<'_>], control: Option<&SegmentSize>) -> io::Result<()> {
        let message = winsock::WSAMSG {
            name: self.address.as_ptr().cast_mut().cast(),
            namelen: self.address.len() as i32,
            // IoSlice is guaranteed to have the layout of WSABUF.
            lpBuffers: datagrams.as_ptr().cast_mut().cast(),
            dwBufferCount: datagrams.len() as u32,
            Control: winsock::WSABUF {
                len: control.map_or(0, |_| size_of::<SegmentSize>() as u32),
                buf: control.map_or(ptr::null_mut(), |control| ptr::from_ref(control).cast_mut().cast()),
            },
            dwFlags: 0,
        };
        let mut sent = 0;
        // SAFETY: the message points to an address, slices and a control message that outlive the call, which does not
        // overlap with others and only reads them.
        let result = unsafe {
            winsock::WSASendMsg(self.socket as winsock::SOCKET, &message, 0, &mut sent, ptr::null_mut(), None)
        };
        if result == 0 { Ok(()) } else { Err(last_error()) }
    }
}

/// The last error, by the number that Linux has for it where `sender.rs` and `fault.rs` tell errors apart.
fn last_error() -> io::Error {
    let error = io::Error::last_os_error();
    let known = match error.raw_os_error() {
        Some(winsock::WSAEINVAL) => libc::EINVAL,
        Some(winsock::WSAENOPROTOOPT) => libc::ENOPROTOOPT,
        Some(winsock::WSAEOPNOTSUPP) => libc::EOPNOTSUPP,
        Some(winsock::WSAEMSGSIZE) => libc::EMSGSIZE,
        Some(winsock::WSAEWOULDBLOCK) => libc::EAGAIN,
        Some(winsock::WSAENOBUFS) => libc::ENOBUFS,
        Some(winsock::WSAECONNRESET | winsock::WSAECONNREFUSED) => libc::ECONNREFUSED,
        Some(winsock::WSAEHOSTUNREACH) => libc::EHOSTUNREACH,
        Some(winsock::WSAENETUNREACH) => libc::ENETUNREACH,
        _ => return error,
    };
    io::Error::from_raw_os_error(known)
}

impl Transmit for Along<'_> {
    fn segmented(&self, datagrams: &[IoSlice<'_>]) -> io::Result<()> {
        let control = SegmentSize {
            header: winsock::CMSGHDR {
                // WSA_CMSG_LEN(sizeof(DWORD))
                cmsg_len: size_of::<winsock::CMSGHDR>() + size_of::<u32>(),
                cmsg_level: winsock::IPPROTO_UDP,
                cmsg_type: winsock::UDP_SEND_MSG_SIZE,
            },
            size: datagrams[0].len() as u32,
            _padding: 0,
        };
        self.send(datagrams, Some(&control))
    }

    /// There is no such call: each goes alone.
    fn many(&self, _datagrams: &[IoSlice<'_>]) -> io::Result<usize> {
        Err(io::Error::from_raw_os_error(libc::ENOSYS))
    }

    fn single(&self, datagram: &IoSlice<'_>) -> io::Result<()> {
        self.send(std::slice::from_ref(datagram), None)
    }
}
