//! What is said about a program that a person runs on a node by hand.
//!
//! The question is a line of JSON, an [`Exec`], and then what the program reads, as it is, to the end of the body. The
//! answer is a stream of frames: a byte for the kind, the length as four bytes, the highest first, and so many bytes. The
//! last frame says how it ended; an answer without it broke off.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

pub use hyper::body::Bytes;
use hyper::body::Frame as BodyFrame;
use ideal_core::slice::ForNode;
use ideal_core::time::Span;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

/// A program that a person runs on a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exec {
    /// An agent of another slot or generation refuses.
    pub node: ForNode,
    /// What.
    pub what: What,
    /// Whether it is given the rest of the question to read; else nothing.
    pub stdin: bool,
    /// After this long it is killed.
    pub limit: Option<Span>,
    /// With the environment of this replica, which must run there; in its container, when it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replica: Option<String>,
}

/// Which program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// This one, with these words.
    Run(Vec<String>),
    /// The agent's own, which writes what is at this path as an archive.
    Give(String),
    /// The agent's own, which reads an archive and puts what is in it at a path.
    Take {
        /// The path.
        path: String,
        /// Whether it must be a directory, for several things.
        many: bool,
    },
}

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// With this number.
    Exited(u8),
    /// By this signal.
    Killed(i32),
    /// It took longer than it may, and was killed with all of its group.
    TimedOut,
    /// It could not be started.
    NotStarted {
        /// As a shell would end: 127 when there is no such program, else 126.
        code: u8,
        /// In one line.
        why: String,
    },
}

/// A piece of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Of its standard output.
    Out(Bytes),
    /// Of its standard error.
    Err(Bytes),
    /// How it ended.
    Ended(Ended),
}

/// The kinds of frames.
pub mod kind {
    /// Nothing: the agent is still there.
    pub const ALIVE: u8 = 0;
    /// Of its standard output.
    pub const OUT: u8 = 1;
    /// Of its standard error.
    pub const ERR: u8 = 2;
    /// How it ended, in JSON.
    pub const ENDED: u8 = 3;
}

/// How many bytes stand before what a frame holds.
pub const HEAD: usize = 5;
/// The longest question without what the program reads.
pub const LONGEST_QUESTION: usize = 1 << 20;
/// The longest that is said of how it ended.
const LONGEST_END: usize = 64 << 10;

/// What stands before `length` bytes of this kind.
pub fn head(kind: u8, length: usize) -> [u8; HEAD] {
    let [a, b, c, d] = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    [kind, a, b, c, d]
}

/// One frame.
pub fn frame(kind: u8, content: &[u8]) -> Bytes {
    let mut frame = head(kind, content.len()).to_vec();
    frame.extend_from_slice(content);
    frame.into()
}

/// Takes frames apart, however they were cut on their way. It holds nothing but a head and the last frame.
#[derive(Debug, Default)]
pub struct Decoder {
    head: Vec<u8>,
    left: usize,
    ended: Vec<u8>,
}

impl Decoder {
    /// The next piece, taken from the beginning of `data`; none when more is needed.
    pub fn next(&mut self, data: &mut Bytes) -> Result<Option<Piece>, String> {
        while !data.is_empty() {
            if self.head.len() < HEAD {
                let part = data.split_to(data.len().min(HEAD - self.head.len()));
                self.head.extend_from_slice(&part);
                if let [_, a, b, c, d] = self.head[..] {
                    self.left = u32::from_be_bytes([a, b, c, d]) as usize;
                }
            }
            if self.head.len() < HEAD {
                break;
            }
            let part = data.split_to(data.len().min(self.left));
            self.left -= part.len();
            let kind = self.head[0];
            if self.left == 0 {
                self.head.clear();
            }
            match kind {
                kind::OUT if !part.is_empty() => return Ok(Some(Piece::Out(part))),
                kind::ERR if !part.is_empty() => return Ok(Some(Piece::Err(part))),
                kind::ENDED => {
                    self.ended.extend_from_slice(&part);
                    if self.ended.len() > LONGEST_END {
                        return Err("the end of its answer is too long".to_owned());
                    }
                    if self.left == 0 {
                        let ended = serde_json::from_slice(&self.ended).map_err(|error| error.to_string())?;
                        return Ok(Some(Piece::Ended(ended)));
                    }
                }
                kind::ALIVE | kind::OUT | kind::ERR => {}
                other => return Err(format!("its answer holds a frame of the unknown kind {other}")),
            }
        }
        Ok(None)
    }
}

/// A body that is written while it is sent. Who writes waits while the other end does not read.
#[derive(Debug)]
pub struct Pipe {
    first: Option<Bytes>,
    rest: Option<mpsc::Receiver<Bytes>>,
}

impl Pipe {
    /// First this, then what comes through the channel, until it closes.
    pub fn new(first: Option<Bytes>, rest: Option<mpsc::Receiver<Bytes>>) -> Pipe {
        Pipe { first, rest }
    }
}

impl hyper::body::Body for Pipe {
    type Data = Bytes;
    type Error = Infallible;

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.rest.is_none()
    }

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<BodyFrame<Bytes>, Infallible>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(BodyFrame::data(first))));
        }
        match &mut self.rest {
            None => Poll::Ready(None),
            Some(rest) => rest.poll_recv(context).map(|bytes| bytes.map(|bytes| Ok(BodyFrame::data(bytes)))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_taken_apart_wherever_they_were_cut() {
        let ended = Ended::NotStarted { code: 127, why: "no such program".into() };
        let whole: Vec<u8> = [
            frame(kind::OUT, b"one"),
            frame(kind::ALIVE, b""),
            frame(kind::ERR, b"two"),
            frame(kind::OUT, b""),
            frame(kind::ENDED, &serde_json::to_vec(&ended).unwrap()),
        ]
        .concat();
        for length in 1..whole.len() {
            let (mut decoder, mut out, mut err, mut end) = (Decoder::default(), vec![], vec![], None);
            for part in whole.chunks(length) {
                let mut part = Bytes::copy_from_slice(part);
                while let Some(piece) = decoder.next(&mut part).unwrap() {
                    match piece {
                        Piece::Out(bytes) => out.extend_from_slice(&bytes),
                        Piece::Err(bytes) => err.extend_from_slice(&bytes),
                        Piece::Ended(ended) => end = Some(ended),
                    }
                }
            }
            assert_eq!((&out[..], &err[..]), (&b"one"[..], &b"two"[..]), "cut at {length}");
            assert_eq!(end.as_ref(), Some(&ended), "cut at {length}");
        }
        assert!(Decoder::default().next(&mut frame(9, b"x")).is_err());
        assert!(Decoder::default().next(&mut frame(kind::ENDED, &vec![b' '; LONGEST_END + 1])).is_err());
    }
}
