//! An answer as a tree, read by other code than what is tested.

/// An element.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shaped {
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) children: Vec<Shaped>,
}

impl Shaped {
    /// Reads what has no comments and no attributes that matter.
    pub(crate) fn read(xml: &str) -> Shaped {
        let mut open = vec![Shaped::default()];
        for piece in xml.split('<').skip(1) {
            let (tag, text) = piece.split_once('>').unwrap();
            if tag.starts_with('?') {
                continue;
            }
            if tag.starts_with('/') {
                let done = open.pop().unwrap();
                open.last_mut().unwrap().children.push(done);
                continue;
            }
            let name = tag.trim_end_matches('/').split_whitespace().next().unwrap().to_owned();
            let element = Shaped { name, text: text.to_owned(), children: Vec::new() };
            if tag.ends_with('/') {
                open.last_mut().unwrap().children.push(element);
            } else {
                open.push(element);
            }
        }
        open.pop().unwrap().children.pop().unwrap()
    }
}
