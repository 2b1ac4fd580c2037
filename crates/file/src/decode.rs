//! From bytes to text: what is not UTF-8, or too long to be an ideal, ends here.

use crate::tree::Extent;
use crate::yaml::{Problem, narrow};

/// All sources of one ideal together. Ten thousand clouds written out take about two.
pub const MOST_BYTES: usize = 4 << 20;
/// The bytes of a file as text without byte order mark, or why they are none. In the second case a readable
/// rendering comes along, for the picture of the problem.
pub(crate) fn decode(source: u32, bytes: &[u8]) -> Result<&str, Box<(String, Problem)>> {
    let lossy = |len: usize| String::from_utf8_lossy(&bytes[..bytes.len().min(len)]).into_owned();
    let at = |start: usize, len: usize| Extent { source, start: narrow(start), end: narrow(start + len) };
    if bytes.len() > MOST_BYTES {
        let message = format!("the file has more than {MOST_BYTES} bytes");
        let help = "an ideal file of this size is most likely not one";
        return Err(Box::new((lossy(200), Problem::new("ideal/too-large", at(0, 0), message).help(help))));
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) || looks_like_utf16(bytes) {
        let problem = Problem::new("ideal/not-utf8", at(0, 0), "the file is UTF-16 text");
        return Err(Box::new((String::new(), problem.help("save it as UTF-8"))));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    match std::str::from_utf8(bytes) {
        Ok(text) => match text.bytes().position(|b| b == 0) {
            None => Ok(text),
            Some(nul) => {
                let problem = Problem::new("ideal/not-utf8", at(nul, 1), "there is a NUL byte in the file");
                Err(Box::new((text.to_owned(), problem.help("is this a text file?"))))
            }
        },
        Err(error) => {
            let good = error.valid_up_to();
            let problem = Problem::new("ideal/not-utf8", at(good, 1), "this byte is not UTF-8 text");
            Err(Box::new((
                String::from_utf8_lossy(bytes).into_owned(),
                problem.help("save the file as UTF-8"),
            )))
        }
    }
}

/// Every other byte of the beginning is NUL: ASCII in UTF-16 without a mark.
fn looks_like_utf16(bytes: &[u8]) -> bool {
    let head = &bytes[..bytes.len().min(64)];
    let nuls = |from: usize| head.iter().skip(from).step_by(2).filter(|b| **b == 0).count();
    head.len() >= 4 && (nuls(0) * 2 >= head.len() - 1 || nuls(1) * 2 >= head.len() - 1)
}
