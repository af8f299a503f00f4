//! The directions between the crates (ARCHITECTURE.md): trunkline → functions, local-runtime, embedded, generator;
//! functions → adapters → telecom.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, MetadataCommand};

const ADAPTERS: [&str; 6] = ["kafka-batch", "kafka-sink", "lake", "lambda-boot", "sftp", "usage-store"];

/// The workspace's own crates a crate may use, by the folder it lives in and its name.
fn allowed(name: &str, is_function: bool, all: &BTreeSet<String>) -> BTreeSet<String> {
    let set = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    match name {
        _ if is_function => set(&[&ADAPTERS[..], &["telecom"]].concat()),
        _ if ADAPTERS.contains(&name) => set(&["telecom"]),
        "embedded" => set(&["sftp"]),
        "generator" => set(&["telecom", "sftp", "kafka-sink"]),
        "trunkline" => all.iter().filter(|name| *name != "test-support").cloned().collect(),
        "test-support" => set(&["embedded"]),
        _ => BTreeSet::new(),
    }
}

#[test]
fn crates_depend_only_downwards() {
    let metadata = MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml"))
        .no_deps()
        .exec()
        .expect("cargo metadata");
    let ours: BTreeSet<String> = metadata.packages.iter().map(|package| package.name.to_string()).collect();
    let mut wrong: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in &metadata.packages {
        let is_function = package.manifest_path.components().any(|part| part.as_str() == "functions");
        let used: BTreeSet<String> = package
            .dependencies
            .iter()
            .filter(|dependency| dependency.kind == DependencyKind::Normal && ours.contains(&dependency.name))
            .map(|dependency| dependency.name.clone())
            .collect();
        let extra: BTreeSet<String> = used.difference(&allowed(&package.name, is_function, &ours)).cloned().collect();
        if !extra.is_empty() {
            wrong.insert(package.name.to_string(), extra);
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
    assert!(!allowed("usage-http", true, &all).contains("batch-aggregator"));
}
