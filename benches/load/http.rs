//! As much HTTP/1.1 as loopback needs, on one connection that is kept: cheap enough to leave the processor to what is
//! being measured.

use anyhow::{Context as _, ensure};
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

const HEXADECIMAL: &[u8; 16] = b"0123456789ABCDEF";

/// A connection, with what each request on it says of who asks.
#[derive(Debug)]
pub(crate) struct Connection {
    address: String,
    token: String,
    stream: Option<BufReader<TcpStream>>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Connection {
    /// A connection that is made when it is needed.
    pub(crate) fn new(address: &str, token: &str) -> Self {
        Self { address: address.to_owned(), token: token.to_owned(), stream: None }
    }

    /// Sends a request and reads the answer. A connection that the server has closed meanwhile is made again.
    pub(crate) fn call(&mut self, method: &str, path: &str, body: &str) -> anyhow::Result<Answer> {
        let kept = self.stream.is_some();
        match self.try_call(method, path, body) {
            Err(_) if kept => {
                self.stream = None;
                self.try_call(method, path, body)
            }
            answer => answer,
        }
    }

    /// The same for a request that must be answered 200; returns the body as JSON.
    pub(crate) fn ask(&mut self, method: &str, path: &str, body: &str) -> anyhow::Result<serde_json::Value> {
        let answer = self.call(method, path, body)?;
        ensure!(answer.status == 200, "{method} {path}: {} {}", answer.status, answer.body);
        Ok(serde_json::from_str(&answer.body).unwrap_or_default())
    }

    fn try_call(&mut self, method: &str, path: &str, body: &str) -> anyhow::Result<Answer> {
        if self.stream.is_none() {
            let stream = TcpStream::connect(&self.address).with_context(|| self.address.clone())?;
            stream.set_nodelay(true)?;
            self.stream = Some(BufReader::new(stream));
        }
        let stream = self.stream.as_mut().context("no connection")?;
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", self.address);
        if !self.token.is_empty() {
            write!(request, "Authorization: Bearer {}\r\n", self.token)?;
        }
        write!(request, "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len())?;
        stream.get_mut().write_all(request.as_bytes())?;
        read(stream)
    }
}

fn read(stream: &mut BufReader<TcpStream>) -> anyhow::Result<Answer> {
    let mut line = String::new();
    ensure!(stream.read_line(&mut line)? > 0, "the connection was closed");
    let status = line.split(' ').nth(1).context("no status")?.parse()?;
    let (mut length, mut chunked) = (0_usize, false);
    loop {
        line.clear();
        ensure!(stream.read_line(&mut line)? > 0, "the connection was closed");
        let header = line.trim_end().to_ascii_lowercase();
        match header.split_once(':') {
            Some(("content-length", value)) => length = value.trim().parse()?,
            Some(("transfer-encoding", value)) => chunked = value.trim() == "chunked",
            Some(_) => {}
            None => break,
        }
    }
    let mut body = Vec::new();
    if chunked {
        loop {
            line.clear();
            stream.read_line(&mut line)?;
            let size = usize::from_str_radix(line.trim_end(), 16)?;
            let mut chunk = vec![0; size];
            stream.read_exact(&mut chunk)?;
            line.clear();
            stream.read_line(&mut line)?;
            if size == 0 {
                break;
            }
            body.extend(chunk);
        }
    } else {
        body = vec![0; length];
        stream.read_exact(&mut body)?;
    }
    Ok(Answer { status, body: String::from_utf8(body)? })
}

/// A path segment or query value with everything escaped that could be taken for something else.
pub(crate) fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut escaped, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push('%');
            escaped.extend([byte >> 4, byte & 15].map(|digit| char::from(HEXADECIMAL[usize::from(digit)])));
        }
        escaped
    })
}
