//! What an engine says as a stream: frames of a program's output, and lines of JSON.

use hyper::body::Bytes;

/// What comes before the text of a frame: the channel, three zeros, and the length.
const HEAD: usize = 8;
/// A frame is one line, which the engine cuts at 16 KiB; more is no frame.
const LONGEST: usize = 1 << 20;

/// Takes frames out of a stream that comes in parts of any size.
#[derive(Debug, Default)]
pub(crate) struct Frames(Vec<u8>);

impl Frames {
    /// Adds a part.
    pub(crate) fn add(&mut self, part: &Bytes) {
        self.0.extend_from_slice(part);
    }
    /// The text of the next whole frame; an error is that this is no stream of frames.
    pub(crate) fn next(&mut self) -> Result<Option<Vec<u8>>, String> {
        Ok(self.next_of()?.map(|(_, text)| text))
    }
    /// The same with its channel: 1 for output, 2 for errors.
    pub(crate) fn next_of(&mut self) -> Result<Option<(u8, Vec<u8>)>, String> {
        let Some(head) = self.0.get(..HEAD) else { return Ok(None) };
        let length = head[4..].iter().fold(0usize, |sum, byte| sum << 8 | usize::from(*byte));
        if head[0] > 3 || head[1..4] != [0, 0, 0] || length > LONGEST {
            return Err("the engine's stream is not one of frames".to_owned());
        }
        if self.0.len() < HEAD + length {
            return Ok(None);
        }
        let (channel, text) = (head[0], self.0[HEAD..HEAD + length].to_vec());
        self.0.drain(..HEAD + length);
        Ok(Some((channel, text)))
    }
}

/// Takes lines out of a stream that comes in parts of any size.
#[derive(Debug, Default)]
pub(crate) struct Lines(Vec<u8>);

impl Lines {
    /// Adds a part.
    pub(crate) fn add(&mut self, part: &Bytes) {
        self.0.extend_from_slice(part);
    }
    /// The next whole line.
    pub(crate) fn next(&mut self) -> Option<Vec<u8>> {
        let end = self.0.iter().position(|byte| *byte == b'\n')?;
        let rest = self.0.split_off(end + 1);
        Some(std::mem::replace(&mut self.0, rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_whole_however_they_are_cut() {
        let whole = [&[1, 0, 0, 0, 0, 0, 0, 3][..], b"a\nb", &[2, 0, 0, 0, 0, 0, 0, 1], b"c"].concat();
        for cut in 0..whole.len() {
            let mut frames = Frames::default();
            let mut found = Vec::new();
            for part in [&whole[..cut], &whole[cut..]] {
                frames.add(&Bytes::copy_from_slice(part));
                while let Some(text) = frames.next().unwrap() {
                    found.push(text);
                }
            }
            assert_eq!(found, [b"a\nb".to_vec(), b"c".to_vec()], "cut at {cut}");
        }
        let mut frames = Frames::default();
        frames.add(&Bytes::from_static(b"plain text of a terminal"));
        assert!(frames.next().is_err());
    }

    #[test]
    fn lines_come_whole() {
        let mut lines = Lines::default();
        lines.add(&Bytes::from_static(b"{}\n{"));
        assert_eq!(lines.next(), Some(b"{}\n".to_vec()));
        assert_eq!(lines.next(), None);
        lines.add(&Bytes::from_static(b"}\n"));
        assert_eq!(lines.next(), Some(b"{}\n".to_vec()));
    }
}
