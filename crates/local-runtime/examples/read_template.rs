//! What of SAM templates is run, and what is not: `cargo run -p local-runtime --example read_template -- FILE…`.
//! Parameters without a default get a value that says so.
#![expect(clippy::print_stdout, reason = "an example prints what it has read")]

use std::path::{Path, PathBuf};

use local_runtime::{Parameters, Rules, Template, TemplateError};

fn main() {
    for file in std::env::args_os().skip(1).map(PathBuf::from) {
        println!("## {}", file.display());
        match read(&file) {
            Ok(template) => show(&template),
            Err(error) => println!("refused: {error}"),
        }
        println!();
    }
}

/// With a value for every parameter that needs one: the reader names them.
fn read(file: &Path) -> Result<Template, TemplateError> {
    Template::read(file, &Parameters::new()).or_else(|error| {
        let text = error.to_string();
        let Some((_, names)) = text.split_once("no default and no value: give ") else { return Err(error) };
        let names = names.split(", ").map(|name| name.trim_end_matches("=…").to_owned());
        Template::read(file, &names.map(|name| (name.clone(), format!("given-{name}"))).collect())
    })
}

fn show(template: &Template) {
    for function in &template.functions {
        println!("function {} ({})", function.name, function.origin);
    }
    for mapping in &template.mappings {
        let state = if mapping.is_enabled { "" } else { ", not enabled" };
        println!("mapping {} <- {} as {} ({}{state})", mapping.function, mapping.topic, mapping.group, mapping.origin);
    }
    for schedule in &template.schedules {
        println!("schedule {} <- {} ({})", schedule.function, schedule.expression, schedule.origin);
    }
    for route in &template.routes {
        let method = route.method.as_ref().map_or("ANY", |method| method.as_str());
        let path = route.path.as_ref().map_or("$default".to_owned(), ToString::to_string);
        println!("route {} <- {method} {path} ({})", route.function, route.origin);
    }
    for finding in template.check(&Rules::default()) {
        println!("{finding}");
    }
}
