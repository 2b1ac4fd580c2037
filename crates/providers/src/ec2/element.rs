//! An answer of the Query API: elements by name.

use quick_xml::Reader;
use quick_xml::events::Event;

/// How deep an answer may be: those of EC2 have fewer than ten levels.
const DEEPEST: usize = 32;

/// An element with what is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Element {
    name: String,
    text: String,
    children: Vec<Element>,
}

impl Element {
    /// The outermost element of an answer.
    pub(crate) fn read(xml: &[u8]) -> Result<Element, String> {
        let xml = std::str::from_utf8(xml).map_err(|error| error.to_string())?;
        let mut reader = Reader::from_str(xml);
        let mut open: Vec<Element> = vec![Element::default()];
        loop {
            match reader.read_event().map_err(|error| error.to_string())? {
                Event::Start(tag) => {
                    if open.len() > DEEPEST {
                        return Err("it is too deep".to_owned());
                    }
                    let name = tag.local_name().as_ref().to_owned();
                    open.push(Element { name, ..Element::default() });
                }
                Event::Empty(tag) => {
                    let name = tag.local_name().as_ref().to_owned();
                    if let Some(outer) = open.last_mut() {
                        outer.children.push(Element { name, ..Element::default() });
                    }
                }
                Event::Text(text) => {
                    if let Some(inner) = open.last_mut() {
                        inner.text.push_str(&text);
                    }
                }
                Event::GeneralRef(reference) => {
                    let whole = format!("&{};", &*reference);
                    let meant = quick_xml::escape::unescape(&whole).map_err(|error| error.to_string())?;
                    if let Some(inner) = open.last_mut() {
                        inner.text.push_str(&meant);
                    }
                }
                Event::End(_) => {
                    if let (Some(done), Some(outer)) = (open.pop(), open.last_mut()) {
                        outer.children.push(done);
                    }
                }
                Event::Eof => break,
                _ => {}
            }
        }
        match (open.len(), open.pop().and_then(|mut root| root.children.pop())) {
            (1, Some(outermost)) => Ok(outermost),
            _ => Err("it is cut off".to_owned()),
        }
    }

    /// The first element of this name.
    pub(crate) fn get(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|child| child.name == name)
    }
    /// The text of the first element of this name; empty when there is none.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.get(name).map_or("", |child| child.text.trim())
    }
    /// The same as it was sent: what is written in a tag may begin or end with a space.
    pub(crate) fn untrimmed(&self, name: &str) -> &str {
        self.get(name).map_or("", |child| &child.text)
    }
    /// The text of the first element of this name as something else.
    pub(crate) fn parsed<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.text(name).parse().ok()
    }
    /// The items of a list.
    pub(crate) fn items(&self, name: &str) -> impl Iterator<Item = &Element> {
        let list = self.get(name).map_or(&[][..], |list| &list.children);
        list.iter().filter(|item| item.name == "item")
    }
    /// The first element of this name, as deep as it may be.
    pub(crate) fn anywhere(&self, name: &str) -> Option<&Element> {
        self.get(name).or_else(|| self.children.iter().find_map(|child| child.anywhere(name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read() {
        let xml = br#"<?xml version="1.0"?><A xmlns="u"><set><item><id> vol-1 </id></item><item/></set>
            <why>a &lt; b &amp; c&#33;</why><none/></A>"#;
        let read = Element::read(xml).unwrap();
        assert_eq!(read.items("set").count(), 2);
        assert_eq!(read.items("set").next().unwrap().text("id"), "vol-1");
        assert_eq!(read.items("set").next().unwrap().untrimmed("id"), " vol-1 ");
        assert_eq!(read.text("why"), "a < b & c!");
        assert_eq!((read.text("none"), read.text("absent")), ("", ""));
        assert_eq!(read.anywhere("id").unwrap().text, " vol-1 ");
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        for wrong in ["", "<a><b></a>", "<a>", "plain", "<a>&unknown;</a>"] {
            assert!(Element::read(wrong.as_bytes()).is_err(), "{wrong}");
        }
        let bomb = "<a>".repeat(100) + &"</a>".repeat(100);
        assert!(Element::read(bomb.as_bytes()).is_err());
    }
}
