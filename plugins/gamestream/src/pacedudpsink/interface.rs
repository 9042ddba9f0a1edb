//! How fast the interface is that leads to a destination.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    path::Path,
};

/// Where Linux says it: `Documentation/ABI/testing/sysfs-class-net` of its sources.
const INTERFACES: &str = "/sys/class/net";

/// The speed in kbit/s of the interface through which datagrams from `source`, or from where the kernel chooses, reach
/// `destination`. Loopback and wireless interfaces have none.
pub fn speed_towards(destination: SocketAddr, source: Option<IpAddr>) -> Option<u32> {
    let local = local_address(destination, source)?;
    let interface = if_addrs::get_if_addrs().ok()?.into_iter().find(|interface| interface.ip() == local)?;
    speed(&Path::new(INTERFACES).join(interface.name))
}

/// The address that datagrams to `destination` leave from. Nothing is sent.
fn local_address(destination: SocketAddr, source: Option<IpAddr>) -> Option<IpAddr> {
    let any: IpAddr =
        if destination.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((source.unwrap_or(any), 0)).ok()?;
    socket.connect(destination).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// The speed in kbit/s that `folder`, an interface's, tells in Mbit/s; unknown is −1 there, or an error.
fn speed(folder: &Path) -> Option<u32> {
    // A tunnel says 10 Mbit/s whatever is below it.
    if folder.join("tun_flags").exists() {
        return None;
    }
    let mbps: i64 = fs::read_to_string(folder.join("speed")).ok()?.trim().parse().ok()?;
    u32::try_from(mbps).ok().filter(|mbps| *mbps > 0)?.checked_mul(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_true_speed_counts() {
        let folder = tempfile::tempdir().unwrap();
        let told = |text: &str| {
            fs::write(folder.path().join("speed"), text).unwrap();
            speed(folder.path())
        };
        assert_eq!(speed(folder.path()), None);
        assert_eq!(told("1000\n"), Some(1_000_000));
        assert_eq!(told("400000\n"), Some(400_000_000));
        for unknown in ["-1\n", "0\n", "", "4294967295\n", "fast"] {
            assert_eq!(told(unknown), None, "{unknown:?}");
        }
        fs::write(folder.path().join("tun_flags"), "0x1002\n").unwrap();
        assert_eq!(told("10\n"), None);
    }

    #[test]
    fn the_loopback_interface_has_no_speed() {
        for destination in ["127.0.0.1:9", "[::1]:9"] {
            let destination: SocketAddr = destination.parse().unwrap();
            assert_eq!(local_address(destination, None), Some(destination.ip()));
            assert_eq!(speed_towards(destination, None), None);
        }
        let source = "127.0.0.7".parse().unwrap();
        assert_eq!(local_address("127.0.0.1:9".parse().unwrap(), Some(source)), Some(source));
    }

    #[test]
    fn an_interface_is_found_by_its_address() {
        for interface in if_addrs::get_if_addrs().unwrap().iter().filter(|interface| interface.ip().is_ipv4())
        {
            let expected = speed(&Path::new(INTERFACES).join(&interface.name));
            // What goes to an address of this machine goes through the loopback interface, but leaves from there.
            assert_eq!(speed_towards(SocketAddr::new(interface.ip(), 9), Some(interface.ip())), expected);
        }
    }
}
