//! Bytes on a plain connection, also such as no client would send, and the answers byte by byte.

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;

use serde_json::Value;

use crate::http::connect;
use crate::site::admin;

/// One answer as it came.
#[derive(Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The lines of the header, names in small letters.
    fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut found = self.fields.iter().filter(|(key, _)| key == name);
        found.next().map(|(_, value)| value.as_str())
    }

    /// The stable code of an error's answer.
    #[track_caller]
    pub(crate) fn code(&self) -> String {
        let body: Value =
            serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self}"));
        assert_eq!(body["success"], false, "{self}");
        body["code"]
            .as_str()
            .unwrap_or_else(|| panic!("{self}"))
            .to_owned()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self}"))
    }

    fn parse_head(text: &str) -> Option<(Self, usize)> {
        let mut lines = text.split("\r\n");
        let status = lines
            .next()?
            .strip_prefix("HTTP/1.")?
            .split(' ')
            .nth(1)?
            .parse()
            .ok()?;
        let fields: Vec<_> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let answer = Self {
            status,
            fields,
            body: Vec::new(),
        };
        let length = answer
            .field("content-length")
            .map_or(Some(0), |text| text.parse().ok())?;
        Some((answer, length))
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body: String = String::from_utf8_lossy(&self.body).chars().take(1_000).collect();
        write!(f, "{} {:?}\n{body}", self.status, self.fields)
    }
}

/// A request of the administrator, after which the connection closes.
pub(crate) fn request(method: &str, target: &str, fields: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut text = format!(
        "{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {}\r\n",
        admin()
    );
    for (name, value) in fields {
        text += &format!("{name}: {value}\r\n");
    }
    if !body.is_empty() {
        text += &format!("Content-Length: {}\r\n", body.len());
    }
    let mut bytes = (text + "\r\n").into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// Sends bytes and reads until the other side closes. It may close before it has read everything.
#[track_caller]
pub(crate) fn raw(port: u16, bytes: &[u8]) -> Vec<u8> {
    let mut stream = connect(port);
    drop(stream.write_all(bytes));
    let mut got = Vec::new();
    if let Err(error) = stream.read_to_end(&mut got) {
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}");
    }
    got
}

/// The answers that bytes have: what comes is nothing but whole answers.
#[track_caller]
pub(crate) fn answers(port: u16, bytes: &[u8]) -> Vec<Answer> {
    let got = raw(port, bytes);
    let shown = || {
        String::from_utf8_lossy(&got)
            .chars()
            .take(2_000)
            .collect::<String>()
    };
    let mut found = Vec::new();
    let mut rest = got.as_slice();
    while !rest.is_empty() {
        let end = find(rest, b"\r\n\r\n").unwrap_or_else(|| panic!("no answer: {}", shown()));
        let head = String::from_utf8_lossy(&rest[..end]);
        let (mut answer, length) =
            Answer::parse_head(&head).unwrap_or_else(|| panic!("no answer: {}", shown()));
        rest = &rest[end + 4..];
        assert!(rest.len() >= length, "an answer that ends early: {}", shown());
        answer.body = rest[..length].to_vec();
        rest = &rest[length..];
        found.push(answer);
    }
    found
}

/// The one answer that there has to be.
#[track_caller]
pub(crate) fn answer(port: u16, bytes: &[u8]) -> Answer {
    let mut all = answers(port, bytes);
    let found = all
        .pop()
        .unwrap_or_else(|| panic!("no answer to {}", String::from_utf8_lossy(bytes)));
    assert!(all.is_empty(), "more than one answer: {found}");
    found
}

/// The head of the answer to a request, and the connection, on which the body comes.
pub(crate) fn begin(port: u16, bytes: &[u8]) -> io::Result<(Answer, u64, TcpStream)> {
    let mut stream = connect(port);
    stream.write_all(bytes)?;
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte)? == 0 {
            let text = String::from_utf8_lossy(&head).into_owned();
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("the head ends early: {text:?}"),
            ));
        }
        head.push(byte[0]);
    }
    let text = String::from_utf8_lossy(&head[..head.len() - 4]);
    let (answer, length) = Answer::parse_head(&text)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("no head: {text:?}")))?;
    Ok((answer, length as u64, stream))
}

/// A request and its whole answer.
pub(crate) fn call(port: u16, bytes: &[u8]) -> io::Result<Answer> {
    let (mut answer, length, stream) = begin(port, bytes)?;
    let read = stream.take(length).read_to_end(&mut answer.body)?;
    if read as u64 != length {
        let text = format!("{read} of {length} bytes: {answer}");
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
    }
    Ok(answer)
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
