//! The directions between the crates (ARCHITECTURE.md): trunkline → functions, local-runtime, embedded, generator;
//! functions → adapters → telecom → stream.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;

use serde::Deserialize;

/// What several adapters and functions stand on: the words of the log, the rules of files and records, and connecting to
/// PostgreSQL.
const FOUNDATION: [&str; 4] = ["content", "postgres-pool", "stream", "telecom"];
const ADAPTERS: [&str; 8] =
    ["http-api", "kafka-batch", "kafka-sink", "lake", "lambda-boot", "sftp", "sql-models", "usage-store"];

/// The workspace's own crates a crate may use, by the folder it lives in and its name.
fn allowed(name: &str, is_function: bool, all: &BTreeSet<String>) -> BTreeSet<String> {
    let set = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    match name {
        _ if is_function => set(&[&ADAPTERS[..], &FOUNDATION].concat()),
        _ if ADAPTERS.contains(&name) => set(&FOUNDATION),
        "content" => set(&["telecom"]),
        "telecom" => set(&["stream"]),
        "embedded" => set(&["sftp"]),
        "generator" => set(&[&FOUNDATION[..], &["sftp", "kafka-sink"]].concat()),
        "trunkline" => all.iter().filter(|name| *name != "test-support").cloned().collect(),
        "test-support" => set(&["embedded"]),
        _ => BTreeSet::new(),
    }
}

/// What `cargo metadata` says of a workspace, as far as it matters here.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// `dev` or `build`; nothing for what is linked in.
    kind: Option<String>,
}

fn metadata() -> Metadata {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline", "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo's JSON")
}

#[test]
fn crates_depend_only_downwards() {
    let packages = metadata().packages;
    let ours: BTreeSet<String> = packages.iter().map(|package| package.name.clone()).collect();
    let mut wrong: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in &packages {
        let is_function = package.manifest_path.iter().any(|part| part == "functions");
        let used: BTreeSet<String> = package
            .dependencies
            .iter()
            .filter(|dependency| dependency.kind.is_none() && ours.contains(&dependency.name))
            .map(|dependency| dependency.name.clone())
            .collect();
        let extra: BTreeSet<String> = used.difference(&allowed(&package.name, is_function, &ours)).cloned().collect();
        if !extra.is_empty() {
            wrong.insert(package.name.clone(), extra);
        }
    }
    assert!(ours.len() >= 16, "the workspace was not read whole: {ours:?}");
    assert!(wrong.is_empty(), "these crates depend on what they must not know: {wrong:?}");
}

#[test]
fn only_trunkline_names_functions_and_test_support_is_for_tests() {
    let all = ["batch-aggregator", "telecom", "test-support"].map(String::from).into_iter().collect();
    assert!(allowed("trunkline", false, &all).contains("batch-aggregator"));
    assert!(!allowed("trunkline", false, &all).contains("test-support"));
    assert!(!allowed("lake", false, &all).contains("sftp"));
    assert!(!allowed("telecom", false, &all).contains("lake"));
    assert!(allowed("stream", false, &all).is_empty());
    assert!(!allowed("usage-http", true, &all).contains("batch-aggregator"));
}
