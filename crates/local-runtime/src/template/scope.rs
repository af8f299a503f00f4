//! What a template's values mean here: parameters, conditions and CloudFormation's functions, resolved when a value is
//! read, so that a property nobody reads may use anything.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use super::notes::{Notes, StandIn};
use super::yaml::{FOR_EACH, Kind, Node};
use super::{Finding, TemplateError};

/// Values given from outside, by parameter name; `AWS::Region=…` sets a pseudo parameter.
pub type Parameters = BTreeMap<String, String>;

/// Said of a loop wherever it stands.
pub(super) const FOR_EACH_IS_NOT_RUN: &str = "Fn::ForEach is not run here: what it makes is missing";

/// Functions inside functions; the service's own limit is lower.
const MAX_DEPTH: usize = 50;

const PSEUDO_PARAMETERS: [(&str, &str); 6] = [
    ("AWS::AccountId", "000000000000"),
    ("AWS::Partition", "aws"),
    ("AWS::Region", "us-east-1"),
    ("AWS::StackId", "arn:aws:cloudformation:us-east-1:000000000000:stack/local/0"),
    ("AWS::StackName", "local"),
    ("AWS::URLSuffix", "amazonaws.com"),
];

/// What names stand for.
pub(super) struct Scope<'a> {
    parameters: BTreeMap<String, Parameter>,
    /// Parameters whose value is the name of another one, which the service looks up.
    looked_up: BTreeSet<String>,
    resources: BTreeSet<&'a str>,
    conditions: Option<&'a Node>,
    mappings: Option<&'a Node>,
    /// What was met while values were read.
    notes: RefCell<Notes>,
}

enum Parameter {
    Text(String),
    List(Vec<String>),
}

impl<'a> Scope<'a> {
    pub(super) fn new(root: &'a Node, given: &Parameters) -> Result<Self, TemplateError> {
        let mut scope = Self {
            parameters: BTreeMap::new(),
            looked_up: BTreeSet::new(),
            resources: BTreeSet::new(),
            conditions: root.get("Conditions"),
            mappings: root.get("Mappings"),
            notes: RefCell::default(),
        };
        if let Some(Node { kind: Kind::Map(resources), .. }) = root.get("Resources") {
            scope.resources.extend(resources.iter().map(|(name, _)| name.as_str()));
        }
        scope.declare(root.get("Parameters"), given)?;
        for (name, default) in PSEUDO_PARAMETERS {
            let value = given.get(name).map_or(default, String::as_str).to_owned();
            scope.parameters.insert(name.to_owned(), Parameter::Text(value));
        }
        Ok(scope)
    }

    fn declare(&mut self, declared: Option<&Node>, given: &Parameters) -> Result<(), TemplateError> {
        let none = Vec::new();
        let declared = match declared.map(|node| &node.kind) {
            Some(Kind::Map(entries)) => entries,
            _ => &none,
        };
        if let Some(unknown) = given
            .keys()
            .find(|name| !name.starts_with("AWS::") && !declared.iter().any(|(declared, _)| declared == *name))
        {
            let known: Vec<_> = declared.iter().map(|(name, _)| name.as_str()).collect();
            let why = format!("the template has no such parameter; it has {}", known.join(", "));
            return Err(TemplateError::new(0, format!("Parameters.{unknown}"), why));
        }
        let mut missing = Vec::new();
        for (name, node) in declared {
            let default = match node.get("Default").map(|default| &default.kind) {
                Some(Kind::Scalar(text)) => Some(text),
                _ => None,
            };
            let Some(text) = given.get(name).or(default) else {
                missing.push(name.as_str());
                continue;
            };
            check_allowed(name, node, text)?;
            self.parameters.insert(name.clone(), Parameter::of(node, text));
            if !given.contains_key(name) && type_of(node).starts_with(LOOKED_UP) {
                self.looked_up.insert(name.clone());
            }
        }
        match missing.as_slice() {
            [] => Ok(()),
            names => {
                let why = format!("no default and no value: give {}", names.join("=…, ") + "=…");
                Err(TemplateError::new(0, "Parameters", why))
            }
        }
    }

    /// Says something about the template that is no error.
    pub(super) fn note(&self, line: usize, path: impl Into<String>, message: impl Into<String>) {
        self.notes.borrow_mut().say(line, path, message);
    }

    /// All that was said.
    pub(super) fn into_findings(self) -> Vec<Finding> {
        self.notes.into_inner().into_findings()
    }

    fn stands_in(&self, line: usize, path: &str, stand_in: StandIn) {
        self.notes.borrow_mut().stands_in(line, path, stand_in);
    }

    /// Where reading begins.
    pub(super) fn value<'s>(&'s self, node: &'s Node, path: impl Into<String>) -> Result<Value<'s>, TemplateError> {
        let path = path.into();
        Value::resolve(self, Cow::Borrowed(node), path.clone())?
            .ok_or_else(|| TemplateError::new(node.line, path, "AWS::NoValue can't stand here"))
    }

    /// Whether the condition of this name holds.
    pub(super) fn holds(&self, name: &str, line: usize, path: &str) -> Result<bool, TemplateError> {
        self.condition_named(name, line, path, 0)
    }

    fn condition_named(&self, name: &str, line: usize, path: &str, depth: usize) -> Result<bool, TemplateError> {
        let node = self
            .conditions
            .and_then(|conditions| conditions.get(name))
            .ok_or_else(|| TemplateError::new(line, path, format!("the template has no condition {name}")))?;
        self.condition(node, &format!("Conditions.{name}"), depth + 1)
    }

    fn condition(&self, node: &Node, path: &str, depth: usize) -> Result<bool, TemplateError> {
        let fail = |why: String| TemplateError::new(node.line, path, why);
        too_deep(node, path, depth)?;
        let (function, argument) =
            node.intrinsic().ok_or_else(|| fail("expected a condition such as !Equals [a, b]".into()))?;
        if function == "Condition" {
            return self.condition_named(&text_of(argument, path)?, node.line, path, depth);
        }
        let arguments = list_of(argument, path)?;
        let all = |wanted: bool| -> Result<bool, TemplateError> {
            for argument in arguments {
                if self.condition(argument, path, depth + 1)? == wanted {
                    return Ok(true);
                }
            }
            Ok(false)
        };
        match (function, arguments) {
            ("Fn::Equals", [one, other]) => Ok(self.text(one, path, depth + 1)? == self.text(other, path, depth + 1)?),
            ("Fn::Not", [one]) => Ok(!self.condition(one, path, depth + 1)?),
            ("Fn::And", [_, ..]) => Ok(!all(false)?),
            ("Fn::Or", [_, ..]) => all(true),
            _ => Err(fail(format!("{function} with {} arguments is no condition", arguments.len()))),
        }
    }

    /// Follows functions until a plain value is there; what is inside it stays as it is. `None` is `AWS::NoValue`.
    fn shallow(&self, node: &Node, path: &str, depth: usize) -> Result<Option<Node>, TemplateError> {
        too_deep(node, path, depth)?;
        let Some((function, argument)) = node.intrinsic() else { return Ok(Some(node.clone())) };
        let fail = |why: String| TemplateError::new(node.line, path, why);
        let text = |text: String| Ok(Some(Node::scalar(node.line, text)));
        match function {
            "Ref" if text_of(argument, path)? == "AWS::NoValue" => Ok(None),
            "Ref" => self.reference(&text_of(argument, path)?, node.line, path).map(Some),
            "Fn::GetAtt" => text(self.attribute(argument, path)?),
            "Fn::ImportValue" => {
                let export = self.text(argument, path, depth + 1)?;
                self.stands_in(node.line, path, StandIn::Export(export.clone()));
                text(export)
            }
            "Fn::Sub" => text(self.substituted(argument, path, depth)?),
            "Fn::Join" => match list_of(argument, path)? {
                [separator, items] => {
                    let separator = self.text(separator, path, depth + 1)?;
                    text(self.texts(items, path, depth + 1)?.join(&separator))
                }
                _ => Err(fail("expected !Join [separator, list]".into())),
            },
            "Fn::Split" => match list_of(argument, path)? {
                [separator, whole] => {
                    let separator = self.text(separator, path, depth + 1)?;
                    let whole = self.text(whole, path, depth + 1)?;
                    let parts = whole.split(&separator).map(|part| Node::scalar(node.line, part)).collect();
                    Ok(Some(Node { line: node.line, kind: Kind::List(parts) }))
                }
                _ => Err(fail("expected !Split [separator, text]".into())),
            },
            "Fn::Select" => match list_of(argument, path)? {
                [index, items] => {
                    let index = self.text(index, path, depth + 1)?;
                    let mut items = self.texts(items, path, depth + 1)?;
                    match index.parse::<usize>() {
                        Ok(index) if index < items.len() => text(items.swap_remove(index)),
                        _ => Err(fail(format!("no item {index} in a list of {}", items.len()))),
                    }
                }
                _ => Err(fail("expected !Select [index, list]".into())),
            },
            "Fn::If" => match list_of(argument, path)? {
                [name, yes, no] => {
                    let holds = self.condition_named(&text_of(name, path)?, node.line, path, depth)?;
                    self.shallow(if holds { yes } else { no }, path, depth + 1)
                }
                _ => Err(fail("expected !If [condition, value, other value]".into())),
            },
            "Fn::FindInMap" => match list_of(argument, path)? {
                [map, top, second] => {
                    let map = self.text(map, path, depth + 1)?;
                    let top = self.text(top, path, depth + 1)?;
                    let second = self.text(second, path, depth + 1)?;
                    let found = self.mappings.and_then(|maps| maps.get(&map)?.get(&top)?.get(&second));
                    found.cloned().map(Some).ok_or_else(|| fail(format!("no entry {map}.{top}.{second} in Mappings")))
                }
                _ => Err(fail("expected !FindInMap [map, key, key]".into())),
            },
            function => Err(fail(format!("{function} can't be resolved here"))),
        }
    }

    fn text(&self, node: &Node, path: &str, depth: usize) -> Result<String, TemplateError> {
        match self.shallow(node, path, depth)? {
            Some(Node { kind: Kind::Scalar(text), .. }) => Ok(text),
            _ => Err(TemplateError::new(node.line, path, "expected a text")),
        }
    }

    fn texts(&self, node: &Node, path: &str, depth: usize) -> Result<Vec<String>, TemplateError> {
        match self.shallow(node, path, depth)? {
            Some(Node { kind: Kind::List(items), .. }) => {
                items.iter().map(|item| self.text(item, path, depth + 1)).collect()
            }
            _ => Err(TemplateError::new(node.line, path, "expected a list")),
        }
    }

    /// A parameter's value; of a resource the logical name: there is no physical one here.
    fn reference(&self, name: &str, line: usize, path: &str) -> Result<Node, TemplateError> {
        if self.looked_up.contains(name) {
            self.stands_in(line, path, StandIn::LookedUp(name.to_owned()));
        }
        match self.parameters.get(name) {
            Some(Parameter::Text(text)) => Ok(Node::scalar(line, text.clone())),
            Some(Parameter::List(items)) => {
                let items = items.iter().map(|item| Node::scalar(line, item.clone())).collect();
                Ok(Node { line, kind: Kind::List(items) })
            }
            None if self.is_resource(name) => {
                self.stands_in(line, path, StandIn::Resource(name.to_owned()));
                Ok(Node::scalar(line, name))
            }
            None => Err(TemplateError::new(line, path, format!("{name} is neither a parameter nor a resource"))),
        }
    }

    /// SAM generates resources, too: their names begin with that of the resource they come from.
    fn is_resource(&self, name: &str) -> bool {
        self.resources.iter().any(|resource| name.starts_with(resource))
            || matches!(name, "ServerlessHttpApi" | "ServerlessRestApi" | "ServerlessDeploymentApplication")
    }

    fn attribute(&self, argument: &Node, path: &str) -> Result<String, TemplateError> {
        let attribute = match &argument.kind {
            Kind::Scalar(text) => text.clone(),
            _ => list_of(argument, path)?
                .iter()
                .map(|part| text_of(part, path))
                .collect::<Result<Vec<_>, _>>()?
                .join("."),
        };
        match attribute.split_once('.') {
            Some((resource, _)) if self.is_resource(resource) => {
                self.stands_in(argument.line, path, StandIn::Resource(attribute.clone()));
                Ok(attribute)
            }
            _ => Err(TemplateError::new(argument.line, path, format!("{attribute} is no attribute of a resource"))),
        }
    }

    fn substituted(&self, argument: &Node, path: &str, depth: usize) -> Result<String, TemplateError> {
        let (pattern, own) = match &argument.kind {
            Kind::List(items) => match items.as_slice() {
                [pattern, own] => (pattern, Some(own)),
                _ => return Err(TemplateError::new(argument.line, path, "expected !Sub [text, variables]")),
            },
            _ => (argument, None),
        };
        let pattern_text = text_of(pattern, path)?;
        let mut rest = pattern_text.as_str();
        let mut out = String::with_capacity(rest.len());
        while let Some(start) = rest.find("${") {
            let (before, after) = rest.split_at(start);
            out.push_str(before);
            let Some(end) = after.find('}') else {
                return Err(TemplateError::new(pattern.line, path, format!("no closing brace after {after}")));
            };
            let name = after[2..end].trim();
            if let Some(literal) = name.strip_prefix('!') {
                out.push_str("${");
                out.push_str(literal);
                out.push('}');
            } else if let Some(own) = own.and_then(|own| own.get(name)) {
                out.push_str(&self.text(own, path, depth + 1)?);
            } else if self.parameters.contains_key(name) || !name.contains('.') {
                match self.reference(name, pattern.line, path)?.kind {
                    Kind::Scalar(text) => out.push_str(&text),
                    _ => return Err(TemplateError::new(pattern.line, path, format!("{name} is a list, not a text"))),
                }
            } else {
                out.push_str(&self.attribute(&Node::scalar(pattern.line, name), path)?);
            }
            rest = &after[end + 1..];
        }
        out.push_str(rest);
        Ok(out)
    }
}

impl Parameter {
    fn of(declared: &Node, text: &str) -> Self {
        let kind = type_of(declared);
        let kind = kind.strip_prefix(LOOKED_UP).unwrap_or(kind);
        if kind.starts_with("CommaDelimitedList") || kind.starts_with("List<") {
            Self::List(text.split(',').map(|item| item.trim().to_owned()).collect())
        } else {
            Self::Text(text.to_owned())
        }
    }
}

/// A type that begins so is of what the service looks up under the parameter's value.
const LOOKED_UP: &str = "AWS::SSM::Parameter::Value<";

fn type_of(declared: &Node) -> &str {
    match declared.get("Type").map(|node| &node.kind) {
        Some(Kind::Scalar(kind)) => kind,
        _ => "String",
    }
}

fn check_allowed(name: &str, declared: &Node, text: &str) -> Result<(), TemplateError> {
    let Some(Node { kind: Kind::List(allowed), .. }) = declared.get("AllowedValues") else { return Ok(()) };
    if allowed.iter().any(|value| value.kind == Kind::Scalar(text.to_owned())) {
        return Ok(());
    }
    let why = format!("{text:?} is not among the allowed values");
    Err(TemplateError::new(declared.line, format!("Parameters.{name}"), why))
}

fn too_deep(node: &Node, path: &str, depth: usize) -> Result<(), TemplateError> {
    if depth > MAX_DEPTH {
        return Err(TemplateError::new(node.line, path, format!("functions are nested more than {MAX_DEPTH} deep")));
    }
    Ok(())
}

fn text_of(node: &Node, path: &str) -> Result<String, TemplateError> {
    match &node.kind {
        Kind::Scalar(text) => Ok(text.clone()),
        _ => Err(TemplateError::new(node.line, path, "expected a text")),
    }
}

fn list_of<'n>(node: &'n Node, path: &str) -> Result<&'n [Node], TemplateError> {
    match &node.kind {
        Kind::List(items) => Ok(items),
        _ => Err(TemplateError::new(node.line, path, "expected a list")),
    }
}

/// A resolved value and the way to it, for the error message.
pub(super) struct Value<'s> {
    scope: &'s Scope<'s>,
    node: Cow<'s, Node>,
    path: String,
    /// The entries that were asked for.
    asked: RefCell<BTreeSet<String>>,
}

impl<'s> Value<'s> {
    fn resolve(scope: &'s Scope<'s>, node: Cow<'s, Node>, path: String) -> Result<Option<Self>, TemplateError> {
        let node = match node.intrinsic() {
            None => Some(node),
            Some(_) => scope.shallow(&node, &path, 0)?.map(Cow::Owned),
        };
        Ok(node.map(|node| Self { scope, node, path, asked: RefCell::default() }))
    }

    pub(super) fn line(&self) -> usize {
        self.node.line
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn error(&self, why: impl Into<String>) -> TemplateError {
        TemplateError::new(self.node.line, &self.path, why)
    }

    /// Says something about this value that is no error.
    pub(super) fn note(&self, message: impl Into<String>) {
        self.scope.note(self.node.line, &self.path, message);
    }

    /// The entry of a mapping; missing, null and `AWS::NoValue` are all `None`.
    pub(super) fn get(&self, key: &str) -> Result<Option<Self>, TemplateError> {
        self.asked.borrow_mut().insert(key.to_owned());
        if !matches!(self.node.kind, Kind::Map(_) | Kind::Null) {
            return Err(self.error("expected a mapping"));
        }
        match self.node.get(key) {
            None | Some(Node { kind: Kind::Null, .. }) => Ok(None),
            Some(node) => Self::resolve(self.scope, Cow::Owned(node.clone()), format!("{}.{key}", self.path)),
        }
    }

    /// Names every entry that nobody has asked for, and that is not among those that change nothing here; `instead`
    /// says what happens without it.
    pub(super) fn name_rest(&self, harmless: &[&str], instead: impl Fn(&str) -> &'static str) {
        let Kind::Map(entries) = &self.node.kind else { return };
        for (name, node) in entries {
            if self.asked.borrow().contains(name) || harmless.contains(&name.as_str()) {
                continue;
            }
            let path = format!("{}.{name}", self.path);
            if !matches!(self.scope.shallow(node, &path, 0), Ok(None | Some(Node { kind: Kind::Null, .. }))) {
                self.scope.note(node.line, path, format!("{name} is not run here: {}", instead(name)));
            }
        }
    }

    /// A text that names another resource, for which its logical name is good enough.
    pub(super) fn name_of(&self, key: &str) -> Result<Option<String>, TemplateError> {
        let before = self.scope.notes.borrow().mark();
        let name = self.get(key)?.map(|value| value.text()).transpose();
        self.scope.notes.borrow_mut().forget_since(before);
        name
    }

    /// The entry, which has to be there.
    pub(super) fn need(&self, key: &str) -> Result<Self, TemplateError> {
        self.get(key)?.ok_or_else(|| self.error(format!("{key} is missing")))
    }

    pub(super) fn entries(&self) -> Result<Vec<(String, Self)>, TemplateError> {
        let Kind::Map(entries) = &self.node.kind else { return Err(self.error("expected a mapping")) };
        let mut values = Vec::with_capacity(entries.len());
        for (name, node) in entries {
            if name.starts_with(FOR_EACH) {
                self.scope.note(node.line, format!("{}.{name}", self.path), FOR_EACH_IS_NOT_RUN);
            } else if let Some(value) = self.get(name)? {
                values.push((name.clone(), value));
            }
        }
        Ok(values)
    }

    /// As [`Value::entries`], for entries of which each may be left out: one that can't be resolved is named.
    pub(super) fn texts_by_name(&self) -> Result<BTreeMap<String, String>, TemplateError> {
        let Kind::Map(entries) = &self.node.kind else { return Err(self.error("expected a mapping")) };
        let mut texts = BTreeMap::new();
        for (name, node) in entries {
            if name.starts_with(FOR_EACH) {
                self.scope.note(node.line, format!("{}.{name}", self.path), FOR_EACH_IS_NOT_RUN);
                continue;
            }
            match self.get(name).and_then(|value| value.map(|value| value.text()).transpose()) {
                Ok(text) => texts.extend(text.map(|text| (name.clone(), text))),
                Err(error) => self.scope.note(error.origin.line, error.origin.path, format!("left out: {}", error.why)),
            }
        }
        Ok(texts)
    }

    /// The items of a list; a single text counts as a list of one, as CloudFormation has it.
    pub(super) fn texts(&self) -> Result<Vec<String>, TemplateError> {
        match &self.node.kind {
            Kind::List(items) => items.iter().map(|item| self.scope.text(item, &self.path, 0)).collect(),
            Kind::Scalar(_) => Ok(vec![self.text()?]),
            _ => Err(self.error("expected a list of texts")),
        }
    }

    /// The items of a list.
    pub(super) fn items(&self) -> Result<Vec<Self>, TemplateError> {
        let Kind::List(items) = &self.node.kind else { return Err(self.error("expected a list")) };
        let mut values = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let path = format!("{}.{index}", self.path);
            values.extend(Self::resolve(self.scope, Cow::Owned(item.clone()), path)?);
        }
        Ok(values)
    }

    pub(super) fn text(&self) -> Result<String, TemplateError> {
        match &self.node.kind {
            Kind::Scalar(text) => {
                if text.contains("{{resolve:") {
                    self.scope.stands_in(self.node.line, &self.path, StandIn::DynamicReference);
                }
                Ok(text.clone())
            }
            _ => Err(self.error("expected a text")),
        }
    }

    pub(super) fn integer(&self, range: RangeInclusive<i64>) -> Result<i64, TemplateError> {
        let text = self.text()?;
        text.parse().ok().filter(|number| range.contains(number)).ok_or_else(|| {
            self.error(format!("expected a whole number from {} to {}, found {text:?}", range.start(), range.end()))
        })
    }

    pub(super) fn boolean(&self) -> Result<bool, TemplateError> {
        match self.text()?.as_str() {
            "true" | "True" | "TRUE" => Ok(true),
            "false" | "False" | "FALSE" => Ok(false),
            other => Err(self.error(format!("expected true or false, found {other:?}"))),
        }
    }
}
