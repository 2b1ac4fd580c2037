//! A request of the Query API: names and values, encoded as a form.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::actions::{Action, VERSION};

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    pub(crate) action: Action,
    fields: Vec<(String, String)>,
    filters: usize,
}

impl Query {
    pub(crate) fn new(action: Action) -> Query {
        Query { action, fields: Vec::new(), filters: 0 }
    }
    /// Adds a field.
    pub(crate) fn with(mut self, name: impl Into<String>, value: impl ToString) -> Query {
        self.fields.push((name.into(), value.to_string()));
        self
    }
    /// Adds a field when there is something to say.
    pub(crate) fn with_some(self, name: &str, value: Option<impl ToString>) -> Query {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }
    /// Adds a list.
    pub(crate) fn list(self, name: &str, values: impl IntoIterator<Item = impl ToString>) -> Query {
        values.into_iter().enumerate().fold(self, |query, (i, value)| {
            let name = format!("{name}.{}", i + 1);
            query.with(name, value)
        })
    }
    /// Only what matches.
    pub(crate) fn filter(self, name: &str, value: impl ToString) -> Query {
        self.any_of(name, [value])
    }
    /// Only what matches one of these. EC2 takes at most 200.
    pub(crate) fn any_of(mut self, name: &str, values: impl IntoIterator<Item = impl ToString>) -> Query {
        self.filters += 1;
        let at = self.filters;
        self.with(format!("Filter.{at}.Name"), name).list(&format!("Filter.{at}.Value"), values)
    }
    /// Tags for what is made.
    pub(crate) fn tagged(self, kind: &str, tags: &BTreeMap<String, String>) -> Query {
        let query = self.with("TagSpecification.1.ResourceType", kind);
        tags.iter().enumerate().fold(query, |query, (i, (key, value))| {
            let at = format!("TagSpecification.1.Tag.{}", i + 1);
            query.with(format!("{at}.Key"), key).with(format!("{at}.Value"), value)
        })
    }
    /// As it is sent.
    pub(crate) fn body(&self) -> String {
        let mut body = format!("Action={}&Version={VERSION}", self.action.name());
        for (name, value) in &self.fields {
            body.push('&');
            escape(name, &mut body);
            body.push('=');
            escape(value, &mut body);
        }
        body
    }
}

fn escape(text: &str, to: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => to.push(char::from(byte)),
            _ => _ = write!(to, "%{byte:02X}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_numbered_and_escaped() {
        let tags = BTreeMap::from([("ideal:demand".to_owned(), "1.2 *=away".to_owned())]);
        let query = Query::new(Action::CreateVolume)
            .with_some("SnapshotId", None::<&str>)
            .list("ResourceId", ["a", "b"])
            .filter("tag-key", "ideal:cloud")
            .tagged("volume", &tags);
        assert_eq!(
            query.body(),
            "Action=CreateVolume&Version=2016-11-15&ResourceId.1=a&ResourceId.2=b&Filter.1.Name=tag-key\
             &Filter.1.Value.1=ideal%3Acloud&TagSpecification.1.ResourceType=volume\
             &TagSpecification.1.Tag.1.Key=ideal%3Ademand&TagSpecification.1.Tag.1.Value=1.2%20%2A%3Daway"
        );
    }
}
