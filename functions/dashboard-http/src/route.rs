use http_api::{Problem, decoded};
use lambda_http::http::Method;

/// What a path stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// `/dashboard`
    Page,
    /// `/dashboard/{table}`
    Table {
        /// The file's name as it was written, decoded.
        file: String,
    },
}

impl Route {
    /// Every path of the function; `template.yaml` and `docs/openapi.yaml` have the same.
    pub const PATHS: [&str; 2] = ["/dashboard", "/dashboard/{table}"];

    /// Finds the route of a request.
    ///
    /// # Errors
    /// 404, or 405 where the path is known and the method is not.
    pub fn find(method: &Method, path: &str) -> Result<Self, Problem> {
        let route = match path.split('/').collect::<Vec<_>>()[..] {
            ["", "dashboard"] => Self::Page,
            ["", "dashboard", file] if !file.is_empty() => Self::Table { file: decoded(file) },
            _ => return Err(Problem::not_found()),
        };
        if matches!(*method, Method::GET | Method::HEAD) { Ok(route) } else { Err(Problem::read_only()) }
    }

    /// The path without its values, for the log.
    #[must_use]
    pub fn path(&self) -> &'static str {
        match self {
            Self::Page => Self::PATHS[0],
            Self::Table { .. } => Self::PATHS[1],
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(method: &str, path: &str, expect: Expect) {
        match Route::find(&method.parse().unwrap(), path) {
            Ok(route) => expect.assert_eq(&format!("{} {route:?}", route.path())),
            Err(problem) => expect.assert_eq(problem.status().as_str()),
        }
    }

    #[test]
    fn finds_every_path_and_nothing_else() {
        check("GET", "/dashboard", expect!["/dashboard Page"]);
        check("HEAD", "/dashboard/data.csv", expect![[r#"/dashboard/{table} Table { file: "data.csv" }"#]]);
        check("GET", "/dashboard/a%2Fb", expect![[r#"/dashboard/{table} Table { file: "a/b" }"#]]);
        for path in ["", "/", "dashboard", "/dashboard/", "/dashboard/data.csv/", "/dashboards", "/health"] {
            check("GET", path, expect!["404"]);
        }
        check("POST", "/dashboard", expect!["405"]);
        check("get", "/dashboard/data.csv", expect!["405"]);
        check("DELETE", "/nothing", expect!["404"]);
    }
}
