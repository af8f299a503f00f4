//! YAML with the line of every value. dbt's files need no anchors and no tags, so both are refused.

use std::str::Chars;

use saphyr_parser::{BufferedInput, Event, Parser, ScalarStyle, Span};
use serde_json::Value as Json;

use crate::error::{Place, ReadError};

/// Far deeper than any project's file. It limits the reader's recursion.
const MAX_DEPTH: usize = 50;

/// One value, and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) kind: Kind,
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// A text, `null`, a number or a boolean, by the rules of YAML 1.2.
    Scalar(Json),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

impl Node {
    /// The value, without its places.
    pub(crate) fn json(&self) -> Json {
        match &self.kind {
            Kind::Scalar(value) => value.clone(),
            Kind::List(items) => items.iter().map(Self::json).collect(),
            Kind::Map(entries) => entries.iter().map(|(key, node)| (key.clone(), node.json())).collect(),
        }
    }

    /// A mapping's entries; `null` has no entries.
    pub(crate) fn entries(&self) -> Result<&[(String, Self)], ReadError> {
        match &self.kind {
            Kind::Map(entries) => Ok(entries),
            Kind::Scalar(Json::Null) => Ok(&[]),
            _ => Err(self.place.error("expected keys and values")),
        }
    }

    /// A list's items; `null` has no items.
    pub(crate) fn items(&self) -> Result<&[Self], ReadError> {
        match &self.kind {
            Kind::List(items) => Ok(items),
            Kind::Scalar(Json::Null) => Ok(&[]),
            _ => Err(self.place.error("expected a list")),
        }
    }

    /// A text; a number is the text that it was written as. Jinja in it is refused, as dbt would render it.
    pub(crate) fn text(&self) -> Result<String, ReadError> {
        let text = self.template()?;
        if has_jinja(&text) { Err(self.place.error("Jinja is not rendered here")) } else { Ok(text) }
    }

    /// A text that may have Jinja in it.
    pub(crate) fn template(&self) -> Result<String, ReadError> {
        match &self.kind {
            Kind::Scalar(Json::String(text)) => Ok(text.clone()),
            Kind::Scalar(Json::Number(number)) => Ok(number.to_string()),
            _ => Err(self.place.error("expected a text")),
        }
    }

    /// A list of texts, or one.
    pub(crate) fn texts(&self) -> Result<Vec<String>, ReadError> {
        match &self.kind {
            Kind::List(items) => items.iter().map(Self::text).collect(),
            _ => Ok(vec![self.text()?]),
        }
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&self) -> Result<bool, ReadError> {
        match &self.kind {
            Kind::Scalar(Json::Bool(value)) => Ok(*value),
            _ => Err(self.place.error("expected true or false")),
        }
    }
}

/// Whether dbt would render the text.
pub(crate) fn has_jinja(text: &str) -> bool {
    ["{{", "{%", "{#"].iter().any(|start| text.contains(start))
}

/// Reads a file's one document; `None` when it is empty.
pub(crate) fn parse(file: &str, text: &str) -> Result<Option<Node>, ReadError> {
    let mut reader = Reader { file, events: Parser::new_from_iter(text.chars()) };
    loop {
        let (event, span) = reader.next()?;
        match event {
            Event::StreamEnd => return Ok(None),
            Event::StreamStart | Event::DocumentStart(_) => {}
            event => return reader.node(event, &span, 0).map(Some),
        }
    }
}

struct Reader<'a> {
    file: &'a str,
    events: Parser<'a, BufferedInput<Chars<'a>>>,
}

impl<'a> Reader<'a> {
    fn place(&self, span: &Span) -> Place {
        Place::new(self.file, span.start.line())
    }

    fn next(&mut self) -> Result<(Event<'a>, Span), ReadError> {
        match self.events.next_event() {
            Some(Ok(next)) => Ok(next),
            Some(Err(error)) => Err(Place::new(self.file, error.marker().line()).error(error.info())),
            None => Err(Place::new(self.file, 1).error("the file ends too early")),
        }
    }

    fn node(&mut self, event: Event<'a>, span: &Span, depth: usize) -> Result<Node, ReadError> {
        let place = self.place(span);
        if depth > MAX_DEPTH {
            return Err(place.error(format!("values are nested more than {MAX_DEPTH} deep")));
        }
        let kind = match event {
            Event::Scalar(text, ScalarStyle::Plain, _, None) => Kind::Scalar(plain(&text)),
            Event::Scalar(text, _, _, None) => Kind::Scalar(Json::String(text.into_owned())),
            Event::SequenceStart(_, None) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, _) => break Kind::List(items),
                        (event, span) => items.push(self.node(event, &span, depth + 1)?),
                    }
                }
            }
            Event::MappingStart(_, None) => Kind::Map(self.mapping(depth)?),
            _ => return Err(place.error("YAML's tags and aliases are not taken here")),
        };
        Ok(Node { place, kind })
    }

    fn mapping(&mut self, depth: usize) -> Result<Vec<(String, Node)>, ReadError> {
        let mut entries: Vec<(String, Node)> = Vec::new();
        loop {
            let (event, span) = self.next()?;
            let key = match event {
                Event::MappingEnd => return Ok(entries),
                Event::Scalar(text, ..) => text.into_owned(),
                _ => return Err(self.place(&span).error("a key must be plain text")),
            };
            if entries.iter().any(|(name, _)| *name == key) {
                return Err(self.place(&span).error(format!("the key {key} is there twice")));
            }
            let (event, span) = self.next()?;
            let value = self.node(event, &span, depth + 1)?;
            entries.push((key, value));
        }
    }
}

/// What a scalar without quotes is.
fn plain(text: &str) -> Json {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Json::Null,
        "true" | "True" | "TRUE" => Json::Bool(true),
        "false" | "False" | "FALSE" => Json::Bool(false),
        // A number whose digits would change (`010`, `1.10`) stays a text.
        text => match text.parse::<serde_json::Number>() {
            Ok(number) if number.to_string() == text => Json::Number(number),
            _ => Json::String(text.to_owned()),
        },
    }
}
