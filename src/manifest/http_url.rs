//! `http` and `https` URLs, read strictly: one spelling, no secrets in what is shown.

use std::fmt;

use super::finding::quoted;
use super::host::Host;

/// A checked `http` or `https` URL. Its query may hold a secret: show [`HttpUrl::shown`] only.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpUrl {
    is_tls: bool,
    host: Host,
    port: Option<u16>,
    /// Path and query; begins with `/`.
    target: String,
}

impl HttpUrl {
    /// Reads an absolute URL; its fragment is dropped.
    ///
    /// # Errors
    /// What would have been right, in words: `http` or `https`, printable ASCII, no user
    /// information, a canonical host, a port.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let Some((scheme, rest)) = text.split_once(':') else {
            return Err("an http or https URL");
        };
        let is_tls = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return Err("an http or https URL"),
        };
        let rest = rest.strip_prefix("//").ok_or("a host after `//`")?;
        Self::of_rest(is_tls, rest)
    }

    /// * `rest`: what follows `//`
    fn of_rest(is_tls: bool, rest: &str) -> Result<Self, &'static str> {
        if !rest.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("printable ASCII characters without spaces");
        }
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        if authority.contains(['@', '\\']) {
            return Err("a host without user information");
        }
        let after_brackets = authority.rfind(']').unwrap_or(0);
        let (host, port) = match authority[after_brackets..].find(':') {
            Some(colon) => {
                let (host, port) = authority.split_at(after_brackets + colon);
                (
                    host,
                    Some(read_port(&port[1..]).ok_or("a port from 1 to 65535")?),
                )
            }
            None => (authority, None),
        };
        if host.is_empty() {
            return Err("a host after `//`");
        }
        let host = Host::parse(host)
            .ok_or("a host name, a dotted IPv4 address, or an IPv6 address in brackets")?;
        let target = match target {
            "" => "/".to_owned(),
            query if query.starts_with('?') => format!("/{query}"),
            path => path.to_owned(),
        };
        Ok(Self {
            is_tls,
            host,
            port,
            target,
        })
    }

    /// The URL a `Location` header of this one's answer leads to.
    ///
    /// # Errors
    /// As [`HttpUrl::parse`].
    ///
    /// Source: RFC 3986, section 5.2.
    pub fn join(&self, location: &str) -> Result<Self, &'static str> {
        if let Some(rest) = location.strip_prefix("//") {
            return Self::of_rest(self.is_tls, rest);
        }
        let before_path = location.split(['/', '?', '#']).next().unwrap_or_default();
        if before_path.contains(':') {
            return Self::parse(location);
        }
        let (path, query) = split_query(location.split('#').next().unwrap_or_default());
        let (own_path, own_query) = split_query(&self.target);
        let merged = match path {
            "" => own_path.to_owned(),
            path if path.starts_with('/') => without_dots(path),
            path => {
                let folder = own_path.rfind('/').map_or("/", |slash| &own_path[..=slash]);
                without_dots(&format!("{folder}{path}"))
            }
        };
        let query = if path.is_empty() && query.is_empty() {
            own_query
        } else {
            query
        };
        if !location.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("printable ASCII characters without spaces");
        }
        Ok(Self {
            target: format!("{merged}{query}"),
            ..self.clone()
        })
    }

    /// The whole URL, secrets included: for requests only.
    pub fn text(&self) -> String {
        format!("{}{}", self.origin(), self.target)
    }

    /// The URL without its query, for telling whether two name one file.
    pub fn without_query(&self) -> String {
        let (path, _) = split_query(&self.target);
        format!("{}{path}", self.origin())
    }

    /// The URL without its query, escaped and cut when long.
    pub fn shown(&self) -> String {
        quoted(&self.without_query())
    }

    fn origin(&self) -> String {
        let scheme = if self.is_tls { "https" } else { "http" };
        let port = self.port.map_or(String::new(), |port| format!(":{port}"));
        format!("{scheme}://{}{port}", self.host)
    }

    /// Whether it is `https`.
    pub fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// The host.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The last component of its path; empty when there is none.
    pub fn file_name(&self) -> &str {
        let (path, _) = split_query(&self.target);
        path.rsplit('/').next().unwrap_or_default()
    }
}

impl fmt::Debug for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpUrl({})", self.shown())
    }
}

fn read_port(text: &str) -> Option<u16> {
    let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_plain
        .then(|| text.parse().ok())
        .flatten()
        .filter(|port| *port > 0)
}

/// Path, and query with its `?`.
fn split_query(target: &str) -> (&str, &str) {
    target.split_at(target.find('?').unwrap_or(target.len()))
}

/// An absolute path without `.` and `..`.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    let ends_open = matches!(parts.last(), Some(&("." | "..")));
    for part in parts {
        match part {
            "." => {}
            ".." => drop(kept.pop()),
            part => kept.push(part),
        }
    }
    if ends_open {
        kept.push("");
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn url(text: &str) -> HttpUrl {
        HttpUrl::parse(text).unwrap_or_else(|expected| panic!("{text}: {expected}"))
    }

    #[test]
    fn urls_are_read_and_written_back() {
        for (text, back) in [
            ("https://h/a?b=c#d", "https://h/a?b=c"),
            ("HTTP://H.dev", "http://h.dev/"),
            ("https://h?x", "https://h/?x"),
            ("http://[::1]:8080/a:b", "http://[::1]:8080/a:b"),
            ("http://127.0.0.1:80/", "http://127.0.0.1:80/"),
        ] {
            assert_eq!(url(text).text(), back);
        }
        assert_eq!(url("https://h/d/m.tar.gz?x=/y").file_name(), "m.tar.gz");
    }

    #[test]
    fn what_is_not_canonical_is_refused() {
        for (text, expected) in [
            ("ftp://h/a", "http or https"),
            ("https:h", "after `//`"),
            ("https:///a", "after `//`"),
            ("https://:80/a", "after `//`"),
            ("https://u@h/a", "user information"),
            ("https://h\\@g/a", "user information"),
            ("https://h:0/a", "a port"),
            ("https://h:65536/a", "a port"),
            ("https://h:/a", "a port"),
            ("https://h:+1/a", "a port"),
            ("https://2130706433/a", "dotted IPv4"),
            ("https://[fe80::1%25eth0]/a", "IPv6"),
            ("https://[::1]x/a", "IPv6"),
            ("https://h/a b", "ASCII"),
            ("https://h/ä", "ASCII"),
            ("https://h/a\r\nX: y", "ASCII"),
        ] {
            let found = HttpUrl::parse(text).expect_err(text);
            assert!(found.contains(expected), "{text}: {found}");
        }
    }

    #[test]
    fn locations_are_joined() {
        let base = url("https://h:1/a/b?q=1");
        let check = |location, expected: &str| {
            assert_eq!(
                base.join(location).expect(location).text(),
                expected,
                "{location}"
            );
        };
        check("https://g/x", "https://g/x");
        check("http://g/x", "http://g/x");
        check("//g/x?y", "https://g/x?y");
        check("/x/../y", "https://h:1/y");
        check("c", "https://h:1/a/c");
        check("../../c?z", "https://h:1/c?z");
        check("./", "https://h:1/a/");
        check("..", "https://h:1/");
        check("?z", "https://h:1/a/b?z");
        check("", "https://h:1/a/b?q=1");
        assert!(base.join("file:///etc/passwd").is_err());
        assert!(base.join("/a b").is_err());
    }

    #[test]
    fn secrets_are_not_shown() {
        let url = url("https://h/a?sig=topsecret");
        assert_eq!(url.shown(), "https://h/a");
        assert!(!format!("{url:?}").contains("topsecret"));
        assert!(url.text().contains("topsecret"));
    }
}
