//! Paths with variables, and which route takes a request.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

use http::Method;

use crate::event::http::{Matched, percent_decoded};
use crate::template::Route;

/// A route's path: `/items/{id}`, `/files/{proxy+}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern {
    text: String,
    segments: Vec<Segment>,
}

/// In the order in which the service prefers them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Segment {
    Literal(String),
    Variable(String),
    Rest(String),
}

impl PathPattern {
    /// Reads a path with variables.
    ///
    /// # Errors
    /// When it does not begin with `/`, or a variable is malformed, there twice, or greedy before the end.
    pub fn parse(text: &str) -> Result<Self, String> {
        let path = text.strip_prefix('/').ok_or_else(|| format!("expected a path from /, found {text:?}"))?;
        let mut segments: Vec<Segment> = Vec::new();
        for part in path.split('/') {
            if matches!(segments.last(), Some(Segment::Rest(_))) {
                return Err(format!("a greedy variable has to be the end of {text:?}"));
            }
            let segment = match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
                Some(name) => match name.strip_suffix('+') {
                    Some(name) => Segment::Rest(name.to_owned()),
                    None => Segment::Variable(name.to_owned()),
                },
                None if part.contains(['{', '}']) => {
                    return Err(format!("a variable has to fill its segment in {text:?}"));
                }
                None => Segment::Literal(part.to_owned()),
            };
            if let Segment::Variable(name) | Segment::Rest(name) = &segment {
                let is_twice =
                    segments.iter().any(|s| matches!(s, Segment::Variable(n) | Segment::Rest(n) if n == name));
                if name.is_empty() || is_twice {
                    return Err(format!("a variable without a name, or twice, in {text:?}"));
                }
            }
            segments.push(segment);
        }
        Ok(Self { text: text.to_owned(), segments })
    }

    /// The variables' values, when `path` (percent-encoded) matches.
    fn matches(&self, path: &str) -> Option<BTreeMap<String, String>> {
        let mut rest = Some(path.strip_prefix('/')?);
        let mut variables = BTreeMap::new();
        for segment in &self.segments {
            let here = rest?;
            let (part, after) = match here.split_once('/') {
                Some((part, after)) => (part, Some(after)),
                None => (here, None),
            };
            match segment {
                Segment::Literal(literal) if *literal == percent_decoded(part, false) => rest = after,
                Segment::Variable(name) if !part.is_empty() => {
                    variables.insert(name.clone(), percent_decoded(part, false));
                    rest = after;
                }
                Segment::Rest(name) if !here.is_empty() => {
                    variables.insert(name.clone(), percent_decoded(here, false));
                    rest = None;
                }
                _ => return None,
            }
        }
        rest.is_none().then_some(variables)
    }

    /// The more exact pattern first: literal before variable before greedy, segment by segment.
    fn precedence(&self, other: &Self) -> Ordering {
        let rank = |segment: &Segment| match segment {
            Segment::Literal(_) => 0,
            Segment::Variable(_) => 1,
            Segment::Rest(_) => 2,
        };
        self.segments.iter().map(rank).cmp(other.segments.iter().map(rank))
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The routes of a template, the most exact first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Router(Vec<Route>);

impl Router {
    pub(crate) fn new(routes: &[Route]) -> Self {
        let mut routes = routes.to_vec();
        routes.sort_by(|one, other| {
            match (&one.path, &other.path) {
                (Some(one), Some(other)) => one.precedence(other),
                (one, other) => one.is_none().cmp(&other.is_none()),
            }
            .then(one.method.is_none().cmp(&other.method.is_none()))
        });
        Self(routes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The route that takes a request, and what it makes of the path.
    pub(crate) fn find(&self, method: &Method, path: &str) -> Option<(&Route, Matched)> {
        self.0.iter().find_map(|route| {
            if route.method.as_ref().is_some_and(|wanted| wanted != method) {
                return None;
            }
            let Some(pattern) = &route.path else {
                return Some((route, Matched { route_key: "$default".into(), path_parameters: BTreeMap::new() }));
            };
            let path_parameters = pattern.matches(path)?;
            let method = route.method.as_ref().map_or("ANY", Method::as_str);
            Some((route, Matched { route_key: format!("{method} {pattern}"), path_parameters }))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::template::Origin;

    fn router(routes: &[&str]) -> Router {
        let routes: Vec<_> = routes
            .iter()
            .map(|route| {
                let (method, path) = route.split_once(' ').unwrap();
                Route {
                    origin: Origin { line: 0, path: String::new() },
                    function: (*route).to_owned(),
                    timeout: Duration::ZERO,
                    integration_timeout: Duration::ZERO,
                    method: (method != "ANY").then(|| method.parse().unwrap()),
                    path: (path != "$default").then(|| PathPattern::parse(path).unwrap()),
                }
            })
            .collect();
        Router::new(&routes)
    }

    #[test]
    fn the_most_exact_route_takes_a_request() {
        let router = router(&[
            "ANY $default",
            "GET /v1/{proxy+}",
            "ANY /v1/usage/{msisdn}",
            "GET /v1/usage/{msisdn}",
            "GET /v1/usage/me",
            "GET /v1/usage/{msisdn}/summary",
            "GET /",
        ]);
        let check = |method: Method, path: &str, expected: &str| {
            let (route, matched) = router.find(&method, path).unwrap();
            let variables: Vec<_> =
                matched.path_parameters.iter().map(|(name, value)| format!(" {name}={value}")).collect();
            assert_eq!(format!("{}{}", route.function, variables.concat()), expected, "{method} {path}");
            assert!(matched.route_key == route.function || matched.route_key == "$default");
        };
        check(Method::GET, "/v1/usage/2782", "GET /v1/usage/{msisdn} msisdn=2782");
        check(Method::PUT, "/v1/usage/2782", "ANY /v1/usage/{msisdn} msisdn=2782");
        check(Method::GET, "/v1/usage/me", "GET /v1/usage/me");
        check(Method::GET, "/v1/usage/%6De", "GET /v1/usage/me");
        check(Method::GET, "/v1/usage/a%2Fb", "GET /v1/usage/{msisdn} msisdn=a/b");
        check(Method::GET, "/v1/usage/2782/summary", "GET /v1/usage/{msisdn}/summary msisdn=2782");
        check(Method::GET, "/v1/usage/2782/summary/", "GET /v1/{proxy+} proxy=usage/2782/summary/");
        check(Method::GET, "/v1/usage//summary", "GET /v1/{proxy+} proxy=usage//summary");
        check(Method::GET, "/v1/", "ANY $default");
        check(Method::POST, "/v1/x", "ANY $default");
        check(Method::GET, "/", "GET /");
    }

    #[test]
    fn without_a_default_there_may_be_no_route() {
        let router = router(&["GET /health"]);
        assert!(router.find(&Method::GET, "/health").is_some());
        assert!(router.find(&Method::GET, "/health/").is_none());
        assert!(router.find(&Method::POST, "/health").is_none());
        assert!(router.find(&Method::OPTIONS, "*").is_none());
    }

    #[test]
    fn malformed_paths_are_refused() {
        for bad in ["", "health", "/a{b}", "/{}", "/{+}", "/{a}/{a}", "/{a+}/b", "/{a"] {
            assert!(PathPattern::parse(bad).is_err(), "{bad}");
        }
    }
}
