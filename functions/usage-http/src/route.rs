use http_api::{Problem, decoded};
use lambda_http::http::Method;

/// What a path stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// `/health`
    Health,
    /// A form of a subscriber's usage.
    Usage(Resource),
    /// `/v1/towers/{id}/activity`
    TowerActivity {
        /// The tower's id as it was written, decoded.
        id: String,
    },
}

/// A form of a subscriber's usage. An MSISDN in the path is as it was written, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resource {
    /// `/data_usage`
    DataUsage,
    /// `/v1/usage/{msisdn}`
    Days {
        /// As it was written.
        msisdn: String,
    },
    /// `/v1/usage/{msisdn}/summary`
    Summary {
        /// As it was written.
        msisdn: String,
    },
}

impl Route {
    /// Every path of the function; `template.yaml` and `docs/openapi.yaml` have the same.
    pub const PATHS: [&str; 5] =
        ["/data_usage", "/health", "/v1/towers/{id}/activity", "/v1/usage/{msisdn}", "/v1/usage/{msisdn}/summary"];

    /// Finds the route of a request.
    ///
    /// # Errors
    /// 404, or 405 where the path is known and the method is not.
    pub fn find(method: &Method, path: &str) -> Result<Self, Problem> {
        let route = match path.split('/').collect::<Vec<_>>()[..] {
            ["", "health"] => Self::Health,
            ["", "data_usage"] => Self::Usage(Resource::DataUsage),
            ["", "v1", "towers", id, "activity"] if !id.is_empty() => Self::TowerActivity { id: decoded(id) },
            ["", "v1", "usage", msisdn] if !msisdn.is_empty() => {
                Self::Usage(Resource::Days { msisdn: decoded(msisdn) })
            }
            ["", "v1", "usage", msisdn, "summary"] if !msisdn.is_empty() => {
                Self::Usage(Resource::Summary { msisdn: decoded(msisdn) })
            }
            _ => return Err(Problem::not_found()),
        };
        if matches!(*method, Method::GET | Method::HEAD) { Ok(route) } else { Err(Problem::read_only()) }
    }

    /// The path without its values, for the log.
    #[must_use]
    pub fn path(&self) -> &'static str {
        match self {
            Self::Usage(Resource::DataUsage) => Self::PATHS[0],
            Self::Health => Self::PATHS[1],
            Self::TowerActivity { .. } => Self::PATHS[2],
            Self::Usage(Resource::Days { .. }) => Self::PATHS[3],
            Self::Usage(Resource::Summary { .. }) => Self::PATHS[4],
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
        check("GET", "/health", expect![[r#"/health Health"#]]);
        check("HEAD", "/data_usage", expect!["/data_usage Usage(DataUsage)"]);
        check("GET", "/v1/usage/2782", expect![[r#"/v1/usage/{msisdn} Usage(Days { msisdn: "2782" })"#]]);
        check("GET", "/v1/usage/%2B2782", expect![[r#"/v1/usage/{msisdn} Usage(Days { msisdn: "+2782" })"#]]);
        check("GET", "/v1/usage/a%2Fb", expect![[r#"/v1/usage/{msisdn} Usage(Days { msisdn: "a/b" })"#]]);
        check("GET", "/v1/usage/%FF", expect![[r#"/v1/usage/{msisdn} Usage(Days { msisdn: "�" })"#]]);
        check(
            "GET",
            "/v1/usage/+1/summary",
            expect![[r#"/v1/usage/{msisdn}/summary Usage(Summary { msisdn: "+1" })"#]],
        );
        check("GET", "/v1/towers/%31/activity", expect![[r#"/v1/towers/{id}/activity TowerActivity { id: "1" }"#]]);
        for path in [
            "",
            "/",
            "health",
            "/health/",
            "/v1/usage",
            "/v1/usage/",
            "/v1/usage//summary",
            "/v1/usage/1/2",
            "/dashboard",
        ] {
            check("GET", path, expect!["404"]);
        }
        for path in ["/v1/towers", "/v1/towers/1", "/v1/towers//activity", "/v1/towers/1/activity/"] {
            check("GET", path, expect!["404"]);
        }
        check("POST", "/data_usage", expect!["405"]);
        check("get", "/data_usage", expect!["405"]);
        check("DELETE", "/nothing", expect!["404"]);
    }
}
