//! Which system call sends: segmented where the kernel can, many at once otherwise, one by one elsewhere.

use std::io::{self, IoSlice};

/// Bytes that one segmented send may carry: an IPv4 datagram less its headers.
const MAX_SEGMENTED_BYTES: usize = 65_507;
/// Segments that every kernel with UDP_SEGMENT takes.
const MAX_SEGMENTS: usize = 64;
/// Datagrams per `sendmmsg`.
pub const MAX_MANY: usize = 64;

/// The system calls, apart from the choice between them.
pub trait Transmit {
    /// Sends all of `datagrams` with UDP_SEGMENT: all have the size of the first, only the last may be shorter.
    fn segmented(&self, datagrams: &[IoSlice<'_>]) -> io::Result<()>;
    /// Sends up to [`MAX_MANY`] datagrams with `sendmmsg`; how many went.
    fn many(&self, datagrams: &[IoSlice<'_>]) -> io::Result<usize>;
    /// Sends one datagram.
    fn single(&self, datagram: &IoSlice<'_>) -> io::Result<()>;
}

/// From the fastest to the one that always works.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Call {
    #[default]
    Segmented,
    Many,
    Single,
}

impl Call {
    /// The name in the statistics.
    pub fn name(self) -> &'static str {
        match self {
            Call::Segmented => "gso",
            Call::Many => "sendmmsg",
            Call::Single => "send",
        }
    }
}

/// Remembers what works on a way.
#[derive(Debug, Default)]
pub struct Sender {
    /// What the kernel has.
    fastest: Call,
    call: Call,
    calls: u64,
}

impl Sender {
    pub fn new(fastest: Call) -> Self {
        Self { fastest, call: fastest, calls: 0 }
    }

    pub fn call(&self) -> Call {
        self.call
    }

    /// System calls so far.
    pub fn calls(&self) -> u64 {
        self.calls
    }

    /// Begins again with the fastest: another way may allow what this one does not.
    pub fn start_over(&mut self) {
        self.call = self.fastest;
    }

    /// Sends the first of `datagrams`, as many as go together; how many went. A call that the kernel or the device
    /// does not have is never made again once the next one worked.
    pub fn send(&mut self, socket: &impl Transmit, datagrams: &[IoSlice<'_>]) -> io::Result<usize> {
        let run = segmentable(datagrams);
        if self.call == Call::Segmented && run > 1 {
            self.calls += 1;
            match socket.segmented(&datagrams[..run]) {
                Err(error) if cannot_segment(&error) => {}
                result => return result.map(|()| run),
            }
        }
        if self.call != Call::Single && datagrams.len() > 1 {
            self.calls += 1;
            match socket.many(&datagrams[..datagrams.len().min(MAX_MANY)]) {
                Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => self.call = Call::Single,
                Ok(sent) => {
                    if run > 1 {
                        self.call = Call::Many;
                    }
                    return Ok(sent);
                }
                error => return error,
            }
        }
        self.calls += 1;
        socket.single(&datagrams[0]).map(|()| 1)
    }
}

/// How many of the first datagrams one segmented send may carry.
fn segmentable(datagrams: &[IoSlice<'_>]) -> usize {
    let size = datagrams[0].len();
    if size == 0 {
        return 1;
    }
    let most = (MAX_SEGMENTED_BYTES / size).clamp(1, MAX_SEGMENTS).min(datagrams.len());
    match datagrams[..most].iter().position(|d| d.len() != size) {
        Some(other) if (1..size).contains(&datagrams[other].len()) => other + 1,
        Some(other) => other,
        None => most,
    }
}

/// EIO: the device computes no checksums; EINVAL, EMSGSIZE: a segment does not fit the way; EOPNOTSUPP, ENOPROTOOPT: the
/// socket cannot. A kernel that is older than UDP_SEGMENT says nothing: it passes over the control message and sends one long
/// datagram, so that it has to be asked before.
fn cannot_segment(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EIO | libc::EINVAL | libc::EMSGSIZE | libc::EOPNOTSUPP | libc::ENOPROTOOPT)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    /// A kernel that answers each kind of call with an error or takes some of the datagrams.
    #[derive(Default)]
    struct Kernel {
        segmented: Option<i32>,
        many: Option<i32>,
        at_most: Option<usize>,
        log: RefCell<Vec<(Call, usize)>>,
    }

    impl Kernel {
        fn answer(&self, call: Call, count: usize, error: Option<i32>) -> io::Result<()> {
            self.log.borrow_mut().push((call, count));
            error.map_or(Ok(()), |code| Err(io::Error::from_raw_os_error(code)))
        }
    }

    impl Transmit for Kernel {
        fn segmented(&self, datagrams: &[IoSlice<'_>]) -> io::Result<()> {
            self.answer(Call::Segmented, datagrams.len(), self.segmented)
        }

        fn many(&self, datagrams: &[IoSlice<'_>]) -> io::Result<usize> {
            self.answer(Call::Many, datagrams.len(), self.many)?;
            Ok(datagrams.len().min(self.at_most.unwrap_or(usize::MAX)))
        }

        fn single(&self, _datagram: &IoSlice<'_>) -> io::Result<()> {
            self.answer(Call::Single, 1, None)
        }
    }

    /// Sends datagrams of these sizes to the end and returns the calls made.
    fn send_all(sender: &mut Sender, kernel: &Kernel, sizes: &[usize]) -> Vec<(Call, usize)> {
        let bytes = [0u8; 70_000];
        let slices: Vec<_> = sizes.iter().map(|size| IoSlice::new(&bytes[..*size])).collect();
        let mut rest = &slices[..];
        while !rest.is_empty() {
            rest = &rest[sender.send(kernel, rest).unwrap()..];
        }
        kernel.log.take()
    }

    #[test]
    fn equal_datagrams_go_in_segmented_sends_within_their_limits() {
        let mut sender = Sender::default();
        let kernel = Kernel::default();
        assert_eq!(
            send_all(&mut sender, &kernel, &[1392; 60]),
            [(Call::Segmented, 47), (Call::Segmented, 13)]
        );
        assert_eq!(send_all(&mut sender, &kernel, &[100; 70]), [(Call::Segmented, 64), (Call::Segmented, 6)]);
        assert_eq!(send_all(&mut sender, &kernel, &[1392]), [(Call::Single, 1)]);
        assert_eq!(sender.calls(), 5);
    }

    #[test]
    fn a_shorter_datagram_ends_a_segmented_send() {
        let mut sender = Sender::default();
        let kernel = Kernel::default();
        assert_eq!(
            send_all(&mut sender, &kernel, &[900, 900, 300, 900, 900]),
            [(Call::Segmented, 3), (Call::Segmented, 2)]
        );
        assert_eq!(send_all(&mut sender, &kernel, &[900, 900, 0]), [(Call::Segmented, 2), (Call::Single, 1)]);
        assert_eq!(send_all(&mut sender, &kernel, &[300, 900, 900]), [(Call::Many, 3)]);
        assert_eq!(sender.call(), Call::Segmented, "sizes that do not fit say nothing about the kernel");
    }

    #[test]
    fn without_segmentation_many_are_sent_for_good() {
        for code in [libc::EIO, libc::EINVAL, libc::EMSGSIZE, libc::EOPNOTSUPP, libc::ENOPROTOOPT] {
            let mut sender = Sender::default();
            let kernel = Kernel { segmented: Some(code), ..Kernel::default() };
            assert_eq!(
                send_all(&mut sender, &kernel, &[1000; 100]),
                [(Call::Segmented, 64), (Call::Many, 64), (Call::Many, 36)]
            );
            assert_eq!(sender.call(), Call::Many);
            sender.start_over();
            assert_eq!(sender.call(), Call::Segmented);
        }
    }

    #[test]
    fn a_partial_send_is_resumed_where_it_stopped() {
        let mut sender = Sender::new(Call::Many);
        let kernel = Kernel { at_most: Some(3), ..Kernel::default() };
        assert_eq!(
            send_all(&mut sender, &kernel, &[10; 8]),
            [(Call::Many, 8), (Call::Many, 5), (Call::Many, 2)]
        );
    }

    #[test]
    fn a_kernel_without_segmentation_is_never_asked_to_segment() {
        let mut sender = Sender::new(Call::Many);
        sender.start_over();
        assert_eq!(send_all(&mut sender, &Kernel::default(), &[10; 8]), [(Call::Many, 8)]);
    }

    #[test]
    fn without_sendmmsg_each_goes_alone() {
        let mut sender = Sender::default();
        let kernel = Kernel { segmented: Some(libc::EINVAL), many: Some(libc::ENOSYS), ..Kernel::default() };
        assert_eq!(
            send_all(&mut sender, &kernel, &[10, 10]),
            [(Call::Segmented, 2), (Call::Many, 2), (Call::Single, 1), (Call::Single, 1)]
        );
        assert_eq!(sender.call(), Call::Single);
    }

    #[test]
    fn an_error_of_the_way_is_no_reason_to_change_the_call() {
        for code in [libc::ECONNREFUSED, libc::EAGAIN, libc::ENOBUFS, libc::ENETUNREACH] {
            let mut sender = Sender::default();
            let kernel = Kernel { segmented: Some(code), ..Kernel::default() };
            let slices = [IoSlice::new(b"a"), IoSlice::new(b"b")];
            assert_eq!(sender.send(&kernel, &slices).unwrap_err().raw_os_error(), Some(code));
            assert_eq!(sender.call(), Call::Segmented);
        }
        // An address that cannot be used refuses every call with EINVAL.
        let mut sender = Sender::default();
        let kernel = Kernel { segmented: Some(libc::EINVAL), many: Some(libc::EINVAL), ..Kernel::default() };
        assert!(sender.send(&kernel, &[IoSlice::new(b"a"), IoSlice::new(b"b")]).is_err());
        assert_eq!(sender.call(), Call::Segmented);
    }
}
