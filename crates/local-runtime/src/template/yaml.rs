//! YAML as CloudFormation reads it: every scalar kept as its text, every value with its line, and a tag such as `!Ref X`
//! turned into its long form, `{"Ref": "X"}`.

use std::borrow::Cow;
use std::str::Chars;

use saphyr_parser::{BufferedInput, Event, Parser, ScalarStyle, Span, Tag};

/// CloudFormation's own templates stay far below this; it keeps the reader's recursion off the end of the stack.
const MAX_DEPTH: usize = 100;

/// Places where the reader is stricter than CloudFormation's; each costs reading up to it once more.
const MAX_REPAIRS: usize = 1_000;
/// Further right than any nesting begins.
const INDENTATION_COLUMNS: usize = 1_024;

/// A template's one document.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) root: Node,
    /// Keys that are there twice, and where the second one is: the last one counts, as for SAM's own reader.
    pub(crate) repeated: Vec<(usize, String)>,
}

/// The key of a loop begins so; its entries stand in the mapping around it.
pub(crate) const FOR_EACH: &str = "Fn::ForEach::";

/// One value of the template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    /// 1-based.
    pub(crate) line: usize,
    pub(crate) kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Null,
    Scalar(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

/// A text that is not the YAML of a template.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct YamlError {
    pub(crate) line: usize,
    /// 0-based.
    column: usize,
    pub(crate) why: String,
}

impl Node {
    pub(crate) fn scalar(line: usize, text: impl Into<String>) -> Self {
        Self { line, kind: Kind::Scalar(text.into()) }
    }

    /// A mapping's value under `key`; `None` for other values too.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        match &self.kind {
            Kind::Map(entries) => entries.iter().find(|(name, _)| name == key).map(|(_, node)| node),
            _ => None,
        }
    }

    /// The function's name and argument, when this is a call of a CloudFormation function (`Ref`, `Fn::Sub`, …).
    pub(crate) fn intrinsic(&self) -> Option<(&str, &Self)> {
        match &self.kind {
            Kind::Map(entries) => match entries.as_slice() {
                [(name, _)] if name.starts_with(FOR_EACH) => None,
                [(name, argument)] if name == "Ref" || name == "Condition" || name.starts_with("Fn::") => {
                    Some((name, argument))
                }
                _ => None,
            },
            _ => None,
        }
    }
}

/// Reads the text's one document.
pub(crate) fn parse(text: &str) -> Result<Document, YamlError> {
    let mut text = Cow::Borrowed(text);
    for _ in 0..MAX_REPAIRS {
        match Reader::new(&text).document() {
            Ok(document) => return Ok(document),
            Err(error) => match repaired(&text, &error) {
                Some(repaired) => text = Cow::Owned(repaired),
                None => return Err(error),
            },
        }
    }
    Reader::new(&text).document()
}

/// The text as the reader takes it, where it refuses what most others take, CloudFormation's among them. Both are said
/// of what stands within brackets only.
fn repaired(text: &str, error: &YamlError) -> Option<String> {
    let start = text.split_inclusive('\n').take(error.line.checked_sub(1)?).map(str::len).sum::<usize>();
    match error.why.as_str() {
        // Within brackets, a line may begin anywhere.
        "invalid indentation" | "invalid indentation in flow construct" => {
            let (before, line) = text.split_at_checked(start)?;
            Some(format!("{before}{}{line}", " ".repeat(INDENTATION_COLUMNS)))
        }
        // `!Split [-, x]`
        "plain scalar cannot start with '-' followed by ,[]{}" => {
            let column = text.get(start..)?.char_indices().nth(error.column)?.0;
            let (before, dash) = text.split_at_checked(start + column)?;
            Some(format!("{before}'-'{}", dash.strip_prefix('-')?))
        }
        _ => None,
    }
}

fn fail(span: &Span, why: impl Into<String>) -> YamlError {
    YamlError { line: span.start.line(), column: span.start.col(), why: why.into() }
}

struct Reader<'a> {
    events: Parser<'a, BufferedInput<Chars<'a>>>,
    repeated: Vec<(usize, String)>,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Self {
        Self { events: Parser::new_from_iter(text.chars()), repeated: Vec::new() }
    }

    fn document(mut self) -> Result<Document, YamlError> {
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => return Err(fail(&span, "the template is empty")),
                Event::StreamStart | Event::DocumentStart(_) => {}
                event => {
                    let root = self.node(event, &span, 0)?;
                    return Ok(Document { root, repeated: self.repeated });
                }
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'a>, Span), YamlError> {
        match self.events.next_event() {
            Some(Ok(next)) => Ok(next),
            Some(Err(error)) => Err(YamlError {
                line: error.marker().line(),
                column: error.marker().col(),
                why: error.info().to_owned(),
            }),
            None => Err(YamlError { line: 0, column: 0, why: "the template ends too early".into() }),
        }
    }

    fn node(&mut self, event: Event<'a>, span: &Span, depth: usize) -> Result<Node, YamlError> {
        if depth > MAX_DEPTH {
            return Err(fail(span, format!("values are nested more than {MAX_DEPTH} deep")));
        }
        let line = span.start.line();
        match event {
            Event::Scalar(text, style, _, tag) => {
                let is_null = style == ScalarStyle::Plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                let kind = if is_null && tag.is_none() { Kind::Null } else { Kind::Scalar(text.into_owned()) };
                Ok(tagged(Node { line, kind }, tag.as_deref()))
            }
            Event::SequenceStart(_, tag) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, _) => break,
                        (event, span) => items.push(self.node(event, &span, depth + 1)?),
                    }
                }
                Ok(tagged(Node { line, kind: Kind::List(items) }, tag.as_deref()))
            }
            Event::MappingStart(_, tag) => Ok(tagged(Node { line, kind: self.entries(depth)? }, tag.as_deref())),
            Event::Alias(_) => Err(fail(span, "YAML aliases are not taken (nor does CloudFormation take them)")),
            _ => Err(fail(span, "expected a value")),
        }
    }

    fn entries(&mut self, depth: usize) -> Result<Kind, YamlError> {
        let mut entries: Vec<(String, Node)> = Vec::new();
        loop {
            let (event, span) = self.next()?;
            let key = match event {
                Event::MappingEnd => return Ok(Kind::Map(entries)),
                Event::Scalar(text, ..) => text.into_owned(),
                _ => return Err(fail(&span, "a key must be plain text")),
            };
            let line = span.start.line();
            let (event, span) = self.next()?;
            let value = self.node(event, &span, depth + 1)?;
            match entries.iter_mut().find(|(name, _)| *name == key) {
                Some((_, first)) => {
                    *first = value;
                    self.repeated.push((line, key));
                }
                None => entries.push((key, value)),
            }
        }
    }
}

/// `!Sub x` as `{"Fn::Sub": x}`; YAML's own tags (`!!str`) say nothing here, where every scalar is text.
fn tagged(node: Node, tag: Option<&Tag>) -> Node {
    match tag {
        Some(tag) if tag.handle == "!" && !tag.suffix.is_empty() => {
            let name = match tag.suffix.as_str() {
                name @ ("Ref" | "Condition") => name.to_owned(),
                name => format!("Fn::{name}"),
            };
            Node { line: node.line, kind: Kind::Map(vec![(name, node)]) }
        }
        _ => node,
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn show(node: &Node) -> String {
        match &node.kind {
            Kind::Null => "null".into(),
            Kind::Scalar(text) => format!("{text:?}@{}", node.line),
            Kind::List(items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(", ")),
            Kind::Map(entries) => {
                let entries: Vec<_> = entries.iter().map(|(name, node)| format!("{name}: {}", show(node))).collect();
                format!("{{{}}}", entries.join(", "))
            }
        }
    }

    fn check(text: &str, expect: Expect) {
        match parse(text) {
            Ok(document) => {
                let repeated = document.repeated.iter().map(|(line, key)| format!(" {key} again@{line}"));
                expect.assert_eq(&(show(&document.root) + &repeated.collect::<String>()));
            }
            Err(error) => expect.assert_eq(&format!("line {}: {}", error.line, error.why)),
        }
    }

    #[test]
    fn keeps_texts_tags_and_lines() {
        check("a: 010\nb: [1.10, ~, \"\", yes]\n", expect![[r#"{a: "010"@1, b: ["1.10"@2, null, ""@2, "yes"@2]}"#]]);
        check(
            "a: !Ref B\nc: !Sub\n  - x${y}\n  - {y: !GetAtt D.Arn}\n",
            expect![[r#"{a: {Ref: "B"@1}, c: {Fn::Sub: ["x${y}"@3, {y: {Fn::GetAtt: "D.Arn"@4}}]}}"#]],
        );
        check(r#"{"a": {"Ref": "B"}}"#, expect![[r#"{a: {Ref: "B"@1}}"#]]);
        check("a: |\n  one\n  two\n", expect![[r#"{a: "one\ntwo\n"@2}"#]]);
    }

    #[test]
    fn of_a_key_that_is_there_twice_the_last_counts() {
        check("a: 1\nb: 2\na: 3\n", expect![[r#"{a: "3"@3, b: "2"@2} a again@3"#]]);
    }

    #[test]
    fn within_brackets_a_line_begins_anywhere() {
        check(
            "a:\n  b: [\n    {c: 1,\n d: 2\n}\n  ]\n  e: [\nf]\n",
            expect![[r#"{a: {b: [{c: "1"@3, d: "2"@4}], e: ["f"@8]}}"#]],
        );
        check("a: [-, é, -]\nb: {c: -}\n", expect![[r#"{a: ["-"@1, "é"@1, "-"@1], b: {c: "-"@2}}"#]]);
        check("a:\n  b: 1\n c: 2\n", expect!["line 3: while parsing a block mapping, did not find expected key"]);
    }

    #[test]
    fn names_the_line_of_what_is_not_yaml() {
        check("", expect!["line 1: the template is empty"]);
        check("a: &x 1\nb: *x\n", expect!["line 2: YAML aliases are not taken (nor does CloudFormation take them)"]);
        check("a: [1\nb: 2\n", expect!["line 2: illegal placement of ':' indicator"]);
        check(&"[".repeat(200), expect!["line 1: values are nested more than 100 deep"]);
    }
}
