//! The API is what `docs/openapi.yaml` says, and nothing else: Schemathesis makes requests of the description, good and bad ones,
//! and holds the answers against it.

use std::path::Path;
use std::process::Command;

use crate::demo::{TINY, demo, read, scratch};
use crate::program::Program;
use crate::world::ROOT;

const HERE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/openapi");

/// Ends well where no check of any phase has failed.
fn is_as_described(scratch: &Path, url: &str, more: &[&str]) {
    let mut command = Command::new(format!("{ROOT}/crates/test-support/services/tools.sh"));
    command
        .env("SCHEMATHESIS_HOOKS", format!("{HERE}/hooks.py"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .args(["schemathesis", "--config-file"])
        .arg(format!("{HERE}/schemathesis.toml"))
        .arg("run")
        .arg(format!("{ROOT}/docs/openapi.yaml"))
        .args(["--no-color", "--checks", "all", "--url", url])
        .args(more);
    let printed = Program::run(scratch, &mut command).succeeds();
    for phase in ["Examples", "Coverage", "Fuzzing", "Stateful"] {
        assert!(printed.contains(&format!("✅ {phase}")), "{phase} was left out:\n{printed}");
    }
}

#[test]
fn every_answer_is_one_that_the_description_has() {
    let scratch = scratch();
    let (mut program, report) = demo(scratch.path(), TINY, &[]);
    program.until("the report is there", || report.exists().then_some(()));
    let api = &read(&report)["api"];
    let text = |name: &str| -> &str { api[name].as_str().unwrap_or_else(|| panic!("{name} in {api}")) };
    let credentials = format!("{}:{}", text("user"), text("password"));
    is_as_described(scratch.path(), text("url"), &["--auth", &credentials]);
    // And to somebody whom nobody knows.
    let nobody = ["--generation-with-security-parameters", "false", "--warnings", "off"];
    is_as_described(scratch.path(), text("url"), &nobody);
}
