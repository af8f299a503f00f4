//! `docker-compose.yml` and `localstack/`, held against the template, the command line and their own page.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use local_runtime::Template;
use serde_json::Value;

/// Where a container's variables are read.
const READERS: [&str; 6] = [
    "template.yaml",
    "localstack/parameters.sh",
    "functions/cdc-handler/connector.json",
    "warehouse/profiles.yml",
    "crates/generator/src/crm.rs",
    "crates/trunkline/src/cli.rs",
];

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// What `localstack/env.sh` makes.
const PASSWORDS: [&str; 4] = ["API_PASSWORD", "CRM_PASSWORD", "POSTGRES_PASSWORD", "SFTP_PASSWORD"];

/// What Compose makes of the file: anchors, defaults and variables resolved.
fn compose() -> Value {
    let output = Command::new(format!("{ROOT}/crates/test-support/services/tools.sh"))
        .args(["docker-compose", "--file", "docker-compose.yml", "--profile", "*", "config", "--format", "json"])
        .current_dir(ROOT)
        .envs(PASSWORDS.map(|name| (name, name.to_lowercase())))
        .output()
        .expect("tools.sh runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("Compose's JSON")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(ROOT).join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn services(compose: &Value) -> &serde_json::Map<String, Value> {
    compose["services"].as_object().expect("services")
}

fn strings(value: &Value) -> impl Iterator<Item = &str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// The template's parameters, and those of them that have no default.
fn parameters() -> (BTreeSet<String>, BTreeSet<String>) {
    let template = read("template.yaml");
    let section =
        template.split_once("\nParameters:\n").expect("parameters").1.split_once("\nGlobals:").expect("globals").0;
    let (mut all, mut required) = (BTreeSet::new(), BTreeSet::new());
    let mut name = String::new();
    for line in section.lines().filter(|line| !line.trim_start().starts_with('#')) {
        if let Some((key, rest)) = line.strip_prefix("  ").and_then(|line| line.split_once(':'))
            && !key.starts_with(' ')
        {
            name = key.to_owned();
            all.insert(name.clone());
            required.insert(name.clone());
            if !rest.contains("Default") {
                continue;
            }
        }
        if line.contains("Default:") {
            required.remove(&name);
        }
    }
    (all, required)
}

#[test]
fn compose_has_the_ports_that_people_know_and_they_are_this_machines_only() {
    let compose = compose();
    let page = read("localstack/README.md");
    let mut published = BTreeMap::new();
    for (name, service) in services(&compose) {
        assert!(page.contains(&format!("`{name}`")), "localstack/README.md says nothing of {name}");
        for port in service["ports"].as_array().into_iter().flatten() {
            assert_eq!(port["host_ip"], "127.0.0.1", "{name} would listen on every interface");
            let port = port["published"].as_str().expect("a port").to_owned();
            assert!(page.contains(&port), "localstack/README.md does not name port {port} of {name}");
            assert!(published.insert(port, name.as_str()).is_none(), "two services want one port");
        }
    }
    for (port, service) in [
        ("10022", "sftp"),
        ("19092", "redpanda-0"),
        ("29092", "redpanda-1"),
        ("39092", "redpanda-2"),
        ("18084", "console"),
        ("18089", "trunkline"),
    ] {
        assert_eq!(published.get(port), Some(&service), "port {port}");
    }
}

#[test]
fn every_image_is_pinned_and_every_version_is_the_one_that_is_tested() {
    let compose = compose();
    for (name, service) in services(&compose) {
        let image = service["image"].as_str().unwrap_or_else(|| panic!("{name} has no image"));
        let is_ours = image.starts_with("trunkline");
        assert!(is_ours || image.split_once(':').is_some_and(|(_, tag)| tag != "latest"), "{name}: {image}");
    }
    let version = |path: &str, artifact: &str| {
        let pom = read(path);
        let property = |text: &str| {
            let name = text.strip_prefix("${").and_then(|text| text.strip_suffix('}'));
            name.map_or(text.to_owned(), |name| between(&pom, &format!("<{name}>"), "<").to_owned())
        };
        let dependency = pom.split_once(&format!("<artifactId>{artifact}</artifactId>")).expect("the artifact").1;
        property(between(dependency, "<version>", "</version>"))
    };
    let tested = "crates/test-support/services/kafka-pom.xml";
    let debezium = "debezium-connector-postgres";
    assert_eq!(version("localstack/images/connect/pom.xml", debezium), version(tested, debezium));
    let kafka = format!("FROM apache/kafka:{}\n", version(tested, "connect-runtime"));
    assert!(read("localstack/images/connect/Dockerfile").contains(&kafka), "the image is not {kafka}");

    let (dbt, tools) = (read("localstack/images/dbt/Dockerfile"), read("crates/test-support/services/tools.sh"));
    let pinned: Vec<_> = dbt.split_whitespace().filter(|word| word.contains("==")).collect();
    assert!(
        pinned.len() >= 2 && pinned.iter().all(|word| tools.contains(word)),
        "{pinned:?} are not those of tools.sh"
    );
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let rest = text.split_once(start).unwrap_or_else(|| panic!("no {start} in {text}")).1;
    rest.split_once(end).unwrap_or_else(|| panic!("no {end} in {rest}")).0
}

#[test]
fn the_scripts_give_the_template_exactly_the_parameters_that_it_has() {
    let (all, required) = parameters();
    assert!(all.len() > 15 && required.contains("KafkaBrokers") && !required.contains("SftpPort"), "{required:?}");
    let env = Command::new(format!("{ROOT}/localstack/env.sh")).output().expect("env.sh runs");
    let passwords: BTreeMap<_, _> = std::str::from_utf8(&env.stdout)
        .expect("UTF-8")
        .lines()
        .map(|line| line.split_once('=').expect("NAME=value"))
        .collect();
    assert_eq!(passwords.keys().copied().collect::<Vec<_>>(), PASSWORDS);

    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAabbbTHiO3uE9MNPL1KWoUZ6sdVPwsQTRSQfnSqMzLT";
    for place in ["host", "network"] {
        let output = Command::new(format!("{ROOT}/localstack/parameters.sh"))
            .arg(place)
            .envs(&passwords)
            .env("TRUNKLINE", env!("CARGO_BIN_EXE_trunkline"))
            .env("SFTP_HOST_KEY", key)
            .output()
            .expect("parameters.sh runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let printed = String::from_utf8(output.stdout).expect("UTF-8");
        let names: BTreeSet<String> = printed
            .lines()
            .map(|line| line.split_once('=').expect("Key=Value").0.to_owned())
            .filter(|name| !name.starts_with("AWS_"))
            .collect();
        let unknown: Vec<_> = names.difference(&all).collect();
        assert!(unknown.is_empty(), "{place}: the template has no {unknown:?}");
        let missing: Vec<_> = required.difference(&names).collect();
        assert!(missing.is_empty(), "{place}: nothing is said of {missing:?}");
    }
}

#[test]
fn containers_name_only_services_files_and_commands_that_are_there() {
    let compose = compose();
    let names: BTreeSet<&str> = services(&compose).keys().map(String::as_str).collect();
    let parameters = read("localstack/parameters.sh");
    let network = between(&parameters, "\nnetwork)\n", ";;");
    let hosts = network.split([' ', '=', ',', '\n']).filter_map(|word| word.split(':').next());
    let known = ["brokers", "sftp_host", "sftp_port", "22", "postgres", "scylla", "localstack", ""];
    for host in hosts.filter(|host| !known.contains(host)) {
        assert!(names.contains(host), "parameters.sh names {host}, which is no service");
    }
    for (name, service) in services(&compose) {
        for volume in service["volumes"].as_array().into_iter().flatten().filter(|volume| volume["type"] == "bind") {
            let source = volume["source"].as_str().expect("a source");
            assert!(source.ends_with("docker.sock") || Path::new(source).exists(), "{name}: there is no {source}");
        }
        if service["image"] == "trunkline" {
            let command: Vec<_> = strings(&service["command"]).collect();
            let help: Vec<_> =
                command.iter().take_while(|word| !word.starts_with('-')).copied().chain(["--help"]).collect();
            let help = Command::new(env!("CARGO_BIN_EXE_trunkline")).args(&help).output().expect("trunkline runs");
            let help = String::from_utf8_lossy(&help.stdout).into_owned();
            for option in command.iter().filter(|word| word.starts_with("--")) {
                assert!(help.contains(option), "{name}: `trunkline {}` has no {option}", command.join(" "));
            }
        }
        for variable in service["environment"].as_object().into_iter().flat_map(|map| map.keys()) {
            let is_known = READERS.iter().any(|path| read(path).contains(variable.as_str()));
            let is_the_images_own = !service["image"].as_str().is_some_and(|image| image.starts_with("trunkline"));
            let is_sftps = name == "sftp" && read("localstack/images/sftp/entrypoint.sh").contains(variable.as_str());
            assert!(is_known || is_the_images_own || is_sftps, "{name}: nothing reads {variable}");
        }
    }
}

/// The topics that Debezium writes are those that cdc-handler reads.
#[test]
fn the_connectors_tables_are_the_templates_topics() {
    let connector: Value = serde_json::from_str(&read("functions/cdc-handler/connector.json")).expect("JSON");
    let config = |name: &str| connector["config"][name].as_str().unwrap_or_else(|| panic!("no {name}"));
    let written: BTreeSet<String> =
        config("table.include.list").split(',').map(|table| format!("{}.{table}", config("topic.prefix"))).collect();

    let values = parameters().1.into_iter().map(|name| (name, "127.0.0.1:1".to_owned())).collect();
    let template = Template::parse(&read("template.yaml"), &values).expect("the template");
    let mappings = template.mappings.into_iter().filter(|mapping| mapping.function == "cdc-handler");
    assert_eq!(written, mappings.map(|mapping| mapping.topic).collect());
}
