//! A minimal HTTP/1.1 client with one connection, so that the load uses little of the shared CPU.

use std::ops::Range;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The pause after a 503, and how often a request is repeated.
const PAUSE: Duration = Duration::from_millis(100);
const MAX_RETRIES: u32 = 100;

/// One persistent connection.
pub struct Client {
    stream: TcpStream,
    address: String,
    request: Vec<u8>,
    answer: Vec<u8>,
}

impl Client {
    /// Connects to `host:port`.
    ///
    /// # Errors
    /// When nobody listens.
    pub async fn connect(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            address: address.to_owned(),
            request: Vec::new(),
            answer: Vec::new(),
        })
    }

    /// Sends JSON, again after each 503, as a client would; returns the body of the answer.
    ///
    /// # Errors
    /// When the answer is not a success.
    pub async fn send(&mut self, method: &str, path: &str, json: &str) -> Result<&[u8]> {
        let mut body = self.send_once(method, path, json).await?;
        for _ in 0..MAX_RETRIES {
            if !self.answer.starts_with(b"HTTP/1.1 503") {
                break;
            }
            tokio::time::sleep(PAUSE).await;
            body = self.send_once(method, path, json).await?;
        }
        if !self.answer.starts_with(b"HTTP/1.1 2") {
            let answer = String::from_utf8_lossy(&self.answer);
            bail!("{method} {path} was answered: {answer}");
        }
        Ok(&self.answer[body])
    }

    async fn send_once(&mut self, method: &str, path: &str, json: &str) -> Result<Range<usize>> {
        use std::io::Write as _;
        self.request.clear();
        write!(
            self.request,
            "{method} {path} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{json}",
            self.address,
            json.len()
        )?;
        self.stream.write_all(&self.request).await?;
        self.answer.clear();
        loop {
            let read = self.stream.read_buf(&mut self.answer).await?;
            ensure!(read > 0, "the connection was closed within an answer");
            if let Some(body) = body_of(&self.answer)? {
                return Ok(body);
            }
        }
    }
}

/// Returns where the body is, once all of it has arrived.
fn body_of(answer: &[u8]) -> Result<Option<Range<usize>>> {
    const END: &[u8] = b"\r\n\r\n";
    let Some(head) = memchr::memmem::find(answer, END) else {
        return Ok(None);
    };
    let length: usize = std::str::from_utf8(&answer[..head])?
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map(|(_, length)| length.trim().parse())
        .context("an answer without a length")??;
    let start = head + END.len();
    Ok((answer.len() >= start + length).then_some(start..start + length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_complete_when_its_whole_body_has_arrived() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
        assert_eq!(body_of(answer).unwrap(), Some(38..40));
        assert_eq!(body_of(&answer[..39]).unwrap(), None);
        assert_eq!(body_of(&answer[..20]).unwrap(), None);
        assert!(body_of(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
