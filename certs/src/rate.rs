//! Limits how often one address may open a connection: one token bucket for each address.
//!
//! Guarantee: memory is bounded whatever addresses come. A full table forgets the address that was quiet longest.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

/// Most addresses remembered. An attacker with more has a whole network, which no limit by address stops.
const ADDRESSES_MAX: usize = 4096;

/// A burst, then one connection an interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Connections at once after a pause.
    pub burst: u32,
    /// Then one every so long.
    pub every: Duration,
}

#[derive(Debug)]
pub(crate) struct Limiter {
    rate: Rate,
    /// When the bucket of each address will be full again: one instant says everything about it.
    full_at: BTreeMap<IpAddr, Instant>,
}

impl Limiter {
    pub(crate) const fn new(rate: Rate) -> Self {
        Self { rate, full_at: BTreeMap::new() }
    }

    /// Takes one connection from the bucket of `address`; false when it is empty.
    pub(crate) fn admit(&mut self, address: IpAddr, now: Instant) -> bool {
        let address = network(address);
        if self.full_at.len() >= ADDRESSES_MAX && !self.full_at.contains_key(&address) {
            self.full_at.retain(|_, full_at| *full_at > now);
            if self.full_at.len() >= ADDRESSES_MAX {
                let quietest = self.full_at.iter().min_by_key(|(_, full_at)| **full_at).map(|(key, _)| *key);
                quietest.and_then(|address| self.full_at.remove(&address));
            }
        }
        let full_at = self.full_at.entry(address).or_insert(now);
        let next = (*full_at).max(now).checked_add(self.rate.every);
        // Saturating is the meaning: more room than a clock can count is no limit.
        let room = self.rate.every.saturating_mul(self.rate.burst);
        match next {
            Some(next) if next.saturating_duration_since(now) <= room => {
                *full_at = next;
                true
            }
            _ => false,
        }
    }
}

/// The unit that one customer of a provider holds: a whole IPv4 address, a /64 of IPv6.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> 64 << 64).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_then_one_an_interval_for_each_address() {
        let mut limiter = Limiter::new(Rate { burst: 3, every: Duration::from_secs(2) });
        let (one, two): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!([0; 4].map(|_| limiter.admit(one, start)), [true, true, true, false]);
        assert!(limiter.admit(two, start));
        assert!(!limiter.admit(one, at(1)));
        assert!(limiter.admit(one, at(2)));
        assert!(!limiter.admit(one, at(2)));
        assert_eq!([0; 4].map(|_| limiter.admit(one, at(60))), [true, true, true, false]);
    }

    #[test]
    fn the_table_never_grows_beyond_its_limit() {
        let mut limiter = Limiter::new(Rate { burst: 1, every: Duration::from_secs(60) });
        let start = Instant::now();
        for number in 0..10_000_u32 {
            assert!(limiter.admit(IpAddr::V4(number.into()), start));
        }
        assert!(limiter.full_at.len() <= ADDRESSES_MAX);
    }

    #[test]
    fn one_ipv6_network_is_one_address() {
        let mut limiter = Limiter::new(Rate { burst: 1, every: Duration::from_secs(60) });
        let now = Instant::now();
        assert!(limiter.admit("2001:db8::1".parse().unwrap(), now));
        assert!(!limiter.admit("2001:db8::ffff:2".parse().unwrap(), now));
        assert!(limiter.admit("2001:db8:0:1::1".parse().unwrap(), now));
        assert!(limiter.admit("::ffff:192.0.2.1".parse().unwrap(), now));
        assert!(!limiter.admit("192.0.2.1".parse().unwrap(), now));
    }
}
