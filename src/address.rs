//! Where a node can be dialled: `tcp://host:port` or `host:port`. It must not resolve names.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use crate::error::{Error, ErrorKind};

/// A host (a name, an IPv4 or an IPv6 address) and a port, in one spelling: `host:port`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    host: String,
    port: u16,
}

impl Address {
    /// The host, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The socket address, if the host is numeric and need not be resolved.
    pub fn numeric(&self) -> Option<SocketAddr> {
        self.host.parse().ok().map(|ip| SocketAddr::new(ip, self.port))
    }
}

impl FromStr for Address {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let invalid = |why: &str| {
            Error::new(
                ErrorKind::InvalidAddress,
                format!("{text:?} {why}; write host:port or tcp://host:port"),
            )
        };
        let rest = text.strip_prefix("tcp://").unwrap_or(text);
        if rest.contains("://") {
            return Err(invalid("names a transport other than tcp"));
        }
        let (host, port) = rest.rsplit_once(':').ok_or_else(|| invalid("has no port"))?;
        let port = port.parse().map_err(|_| invalid("has no valid port"))?;
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = bracketed.unwrap_or(host);
        let numeric_v6 = host.parse::<std::net::Ipv6Addr>().is_ok();
        if bracketed.is_some() != numeric_v6 {
            return Err(invalid("has a malformed IPv6 host, which stands in brackets"));
        }
        let named = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        if !numeric_v6 && (host.is_empty() || host.len() > 253 || !host.bytes().all(named)) {
            return Err(invalid("has no valid host"));
        }
        Ok(Self { host: host.to_ascii_lowercase(), port })
    }
}

/// Reads the text, like [`str::parse`].
macro_rules! from_text {
    ($($text:ty),+) => { $(
        impl TryFrom<$text> for Address {
            type Error = Error;

            fn try_from(text: $text) -> Result<Self, Error> {
                text.parse()
            }
        }
    )+ };
}

from_text!(&str, &String, String);

impl From<&Address> for Address {
    fn from(address: &Address) -> Self {
        address.clone()
    }
}

impl From<SocketAddr> for Address {
    fn from(addr: SocketAddr) -> Self {
        Self { host: addr.ip().to_string(), port: addr.port() }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_spelling_for_every_form() {
        for (text, shown) in [
            ("tcp://127.0.0.1:80", "127.0.0.1:80"),
            ("LocalHost:0", "localhost:0"),
            ("tcp://[::1]:9", "[::1]:9"),
            ("my_host.lan:65535", "my_host.lan:65535"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            ":",
            "host",
            "host:",
            ":80",
            "host:99999",
            "::1:80",
            "[host]:80",
            "invalid://address",
            "udp://h:1",
            "a b:1",
        ] {
            let error = text.parse::<Address>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidAddress, "{text:?}");
        }
    }
}
