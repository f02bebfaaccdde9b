//! XML as far as LSL uses it: elements with text or with children. Attributes, which it never
//! writes, are not kept.
//!
//! A description comes from whoever answers on the network, or from a file, so its size and
//! depth are bounded before anything is made of it.

use roxmltree::{Document, Node, ParsingOptions};

/// The longest XML that is read; 16 384 channels with all they can have take 8 MiB.
pub const MAX_XML: usize = 16 << 20;
/// The most elements and texts in it.
const MAX_NODES: u32 = 1 << 20;
/// The deepest that elements are nested.
const MAX_DEPTH: usize = 32;

/// An element, its text and its children.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Element {
    /// Its name.
    pub name: String,
    /// Its text, without the white space around it; empty if it has children.
    pub text: String,
    /// What is in it, in order.
    pub children: Vec<Element>,
}

/// Why a text is no XML that can be used.
#[derive(Debug, thiserror::Error)]
pub enum XmlError {
    /// Too long.
    #[error("{0} bytes of XML are over the limit of {MAX_XML}")]
    TooLong(usize),
    /// Nested too deep.
    #[error("elements are nested deeper than {MAX_DEPTH}")]
    TooDeep,
    /// No XML.
    #[error("no XML: {0}")]
    Malformed(#[from] roxmltree::Error),
}

impl Element {
    /// An element without content.
    pub fn new(name: &str) -> Element {
        Element { name: name.into(), ..Element::default() }
    }

    /// Reads XML.
    pub fn parse(xml: &str) -> Result<Element, XmlError> {
        if xml.len() > MAX_XML {
            return Err(XmlError::TooLong(xml.len()));
        }
        let options =
            ParsingOptions { nodes_limit: MAX_NODES, ..ParsingOptions::default() };
        // pylsl's strings may end in NULs.
        let document = Document::parse_with_options(xml.trim_end_matches('\0'), options)?;
        Element::of(document.root_element(), 0)
    }

    fn of(node: Node<'_, '_>, depth: usize) -> Result<Element, XmlError> {
        if depth == MAX_DEPTH {
            return Err(XmlError::TooDeep);
        }
        let inner = node.children().filter(Node::is_element);
        let children: Vec<Element> =
            inner.map(|child| Element::of(child, depth + 1)).collect::<Result<_, _>>()?;
        let text = match children.is_empty() {
            true => node.children().filter_map(|child| child.text()).collect::<String>(),
            false => String::new(),
        };
        let name = node.tag_name().name().to_owned();
        Ok(Element { name, text: text.trim().to_owned(), children })
    }

    /// The first child of that name.
    pub fn child(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|child| child.name == name)
    }

    /// All children of that name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Element> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// The text of what stands at a path like `acquisition/model`, if there is any.
    pub fn text_at(&self, path: &str) -> Option<&str> {
        let mut at = self;
        for name in path.split('/') {
            at = at.child(name)?;
        }
        Some(at.text.as_str()).filter(|text| !text.is_empty())
    }

    /// Adds a child; returns it.
    pub fn add(&mut self, child: Element) -> &mut Element {
        let at = self.children.len();
        self.children.push(child);
        &mut self.children[at]
    }

    /// Adds a child with a text, unless there is none.
    pub fn add_text(&mut self, name: &str, text: &str) {
        if !text.is_empty() {
            let mut child = Element::new(name);
            child.text = text.into();
            self.children.push(child);
        }
    }

    /// Takes the children of that name out.
    pub fn remove(&mut self, name: &str) {
        self.children.retain(|child| child.name != name);
    }

    /// Writes it as liblsl does, each element on a line of its own.
    pub fn write(&self, depth: usize, out: &mut String) {
        indent(depth, out);
        self.write_tag("<", out);
        if self.children.is_empty() {
            escape(&self.text, out);
        } else {
            out.push('\n');
            self.children.iter().for_each(|child| child.write(depth + 1, out));
            indent(depth, out);
        }
        self.write_tag("</", out);
        out.push('\n');
    }

    fn write_tag(&self, open: &str, out: &mut String) {
        [open, &self.name, ">"].into_iter().for_each(|part| out.push_str(part));
    }

    /// All of it as a document.
    pub fn to_document(&self) -> String {
        let mut out = String::from("<?xml version=\"1.0\"?>\n");
        self.write(0, &mut out);
        out
    }
}

fn indent(depth: usize, out: &mut String) {
    out.extend((0..depth).map(|_| '\t'));
}

/// Characters that XML has no form for are left out: a document with them has no reader.
fn escape(text: &str, out: &mut String) {
    for char in text.chars() {
        match char {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '\r' => out.push_str("&#13;"),
            '\t' | '\n' => out.push(char),
            '\0'..' ' | '\u{fffe}' | '\u{ffff}' => {}
            _ => out.push(char),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut element = Element::new("info");
        element.add_text("name", "a <b> & \"c\" é");
        element.add_text("none", "");
        let inner = element.add(Element::new("desc"));
        inner.add_text("label", "x");
        inner.add(Element::new("empty"));
        let read = Element::parse(&element.to_document()).unwrap();
        assert_eq!(read, element);
        assert_eq!(read.text_at("desc/label"), Some("x"));
        assert_eq!(read.text_at("desc/empty"), None);
        assert_eq!(read.text_at("none"), None);
    }

    #[test]
    fn characters_that_xml_cannot_hold_are_left_out() {
        let mut element = Element::new("a");
        element.text = "x\u{1}y\r\nz\0".into();
        assert_eq!(Element::parse(&element.to_document()).unwrap().text, "xy\r\nz");
    }

    #[test]
    fn hostile_xml_is_refused() {
        let deep = format!("{}{}", "<a>".repeat(40), "</a>".repeat(40));
        assert!(matches!(Element::parse(&deep), Err(XmlError::TooDeep)));
        let deeper = "<a>".repeat(1 << 20);
        assert!(matches!(Element::parse(&deeper), Err(XmlError::Malformed(_))));
        let many = format!("<a>{}</a>", "<b/>".repeat(MAX_NODES as usize));
        assert!(matches!(Element::parse(&many), Err(XmlError::Malformed(_))));
        let long = " ".repeat(MAX_XML + 1);
        assert!(matches!(Element::parse(&long), Err(XmlError::TooLong(_))));
        let bomb = "<!DOCTYPE a [<!ENTITY b \"cc\">]><a>&b;</a>";
        assert!(matches!(Element::parse(bomb), Err(XmlError::Malformed(_))));
    }
}
