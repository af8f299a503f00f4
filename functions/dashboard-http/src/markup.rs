//! The templates, and the headers of what they make.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lambda_http::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use lambda_http::http::response::Builder;
use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, UndefinedBehavior};
use sha2::{Digest, Sha256};

const STYLE: &str = include_str!("templates/style.css");

/// Nothing may run or be fetched: the page is its own style, and a form.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = STANDARD.encode(Sha256::digest(STYLE));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; img-src data:; form-action 'self'; base-uri 'none'; \
         frame-ancestors 'none'"
    )
});

/// Adds the headers of a page to an answer.
pub(crate) fn with_headers(page: Builder) -> Builder {
    page.header(CONTENT_TYPE, "text/html; charset=utf-8")
        .header(CACHE_CONTROL, "no-store")
        .header(CONTENT_SECURITY_POLICY, POLICY.as_str())
        .header(REFERRER_POLICY, "no-referrer")
        .header(X_CONTENT_TYPE_OPTIONS, "nosniff")
}

/// The templates. What they are given is escaped, as their names end in `.html`.
///
/// # Errors
/// When one is malformed.
pub(crate) fn templates() -> anyhow::Result<Environment<'static>> {
    let mut templates = Environment::new();
    templates.set_undefined_behavior(UndefinedBehavior::Strict);
    // The policy has the hash of every byte of the style.
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true).build()?;
    templates.set_syntax(syntax);
    templates.add_template("style.css", STYLE)?;
    templates.add_template("blocks.html", include_str!("templates/blocks.html"))?;
    templates.add_template("page.html", include_str!("templates/page.html"))?;
    Ok(templates)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// The relative luminance of `#rrggbb` or `#rgb`, as the accessibility guidelines define it.
    fn luminance(colour: &str) -> f64 {
        let digits: String = match colour.len() {
            3 => colour.chars().flat_map(|digit| [digit, digit]).collect(),
            _ => colour.to_owned(),
        };
        let part = |at| {
            let part = f64::from(u8::from_str_radix(&digits[at..at + 2], 16).unwrap()) / 255.0;
            if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * part(0) + 0.7152 * part(2) + 0.0722 * part(4)
    }

    #[test]
    fn everything_can_be_told_from_what_it_stands_on() {
        let themes: Vec<BTreeMap<&str, f64>> = STYLE
            .split(":root{")
            .skip(1)
            .map(|theme| {
                let colours = theme.split('}').next().unwrap().split(';').filter_map(|it| it.trim().split_once(":#"));
                colours.map(|(name, colour)| (name, luminance(colour))).collect()
            })
            .collect();
        assert_eq!(themes.len(), 2, "light and dark");
        for theme in themes {
            let contrast = |a: &str, b: &str| {
                let (a, b) = (theme[a].max(theme[b]), theme[a].min(theme[b]));
                (a + 0.05) / (b + 0.05)
            };
            for background in ["--page", "--card"] {
                for text in ["--ink", "--soft", "--accent", "--good", "--bad"] {
                    assert!(
                        contrast(text, background) >= 4.5,
                        "{text} on {background}: {}",
                        contrast(text, background)
                    );
                }
            }
            for colour in theme.keys().filter(|name| name.starts_with("--c") && **name != "--card") {
                assert!(contrast(colour, "--card") >= 3.0, "{colour}: {}", contrast(colour, "--card"));
            }
        }
    }
}
