//! Where a listener is: `host:port`.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use crate::text::{decimal, serde_as_text};

/// A host name or address and a port: `collector.example.org:4433`, `192.0.2.7:4433`, `[2001:db8::7]:4433`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(String);

impl Address {
    /// The text, as it is dialled.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?}", self.0)
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (host, port) = text.rsplit_once(':').ok_or(AddressError)?;
        if !decimal(port).is_some_and(|port| (1..=65535).contains(&port)) {
            return Err(AddressError);
        }
        let good = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(address) => address.parse::<Ipv6Addr>().is_ok(),
            None => {
                let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-');
                (1..=253).contains(&host.len()) && host.bytes().all(allowed) && !host.starts_with(['-', '.'])
            }
        };
        if good { Ok(Self(text.to_owned())) } else { Err(AddressError) }
    }
}
serde_as_text!(Address);

/// A text that is not host and port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not host:port with a lower-case host name or address and a port from 1 to 65535")]
pub struct AddressError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_host_and_port() {
        for good in ["collector.example.org:4433", "192.0.2.7:1", "[2001:db8::7]:65535", "localhost:80"] {
            assert_eq!(good.parse::<Address>().unwrap().as_str(), good);
        }
        for wrong in [
            "",
            "a",
            "a:",
            ":1",
            "a:0",
            "a:65536",
            "a:01",
            "A:1",
            "a b:1",
            "2001:db8::7:1",
            "[x]:1",
            "-a:1",
            "a/b:1",
        ] {
            assert_eq!(wrong.parse::<Address>(), Err(AddressError), "{wrong:?}");
        }
    }
}
