//! `docker-compose.yml` and `localstack/`, held against the template, the command line and their own page.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::path::Path;
use std::process::Command;

use local_runtime::Template;
use serde_json::Value;

use crate::program::Program;

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
const PASSWORDS: [&str; 5] = ["API_PASSWORD", "CRM_PASSWORD", "POSTGRES_PASSWORD", "S3_PASSWORD", "SFTP_PASSWORD"];

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
    let known = ["brokers", "sftp_host", "sftp_port", "22", "postgres", "scylla", "s3", "localstack", ""];
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

/// The documents' `docker exec redpanda-0 rpk …` and `docker exec sftp ls …`.
#[test]
fn containers_have_the_names_that_people_know() {
    let compose = compose();
    for name in ["redpanda-0", "redpanda-1", "redpanda-2", "sftp"] {
        assert_eq!(services(&compose)[name]["container_name"], name);
    }
}

/// What ends by itself is started again until it succeeds; what does not, whenever it ends. A dependency that ends without
/// success would leave everything behind it out.
#[test]
fn what_runs_once_is_started_again_until_it_succeeds() {
    let compose = compose();
    let once = ["init", "cdr", "crm-tables", "crm"];
    for (name, service) in services(&compose).iter().filter(|(name, _)| *name != "dbt") {
        let policy = if once.contains(&name.as_str()) { "on-failure" } else { "unless-stopped" };
        assert_eq!(service["restart"], policy, "{name}");
        for (dependency, how) in service["depends_on"].as_object().into_iter().flatten() {
            let is_once = once.contains(&dependency.as_str());
            let condition = if is_once { "service_completed_successfully" } else { "service_healthy" };
            assert_eq!(how["condition"], condition, "{name} waits for {dependency}");
            let has_check = !services(&compose)[dependency]["healthcheck"].is_null();
            assert!(is_once || has_check, "{name} waits for {dependency}, which has no health check");
        }
    }
}

/// A port where nobody listens.
fn closed_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

/// A run of a service's command with these variables, and less of it, until it ends: whether well, and what it printed.
fn run(service: &Value, less: [&str; 2], scratch: &Path, variables: &[(&str, String)]) -> (bool, String) {
    let command: Vec<_> = strings(&service["command"]).filter(|word| *word != "--to-topics").chain(less).collect();
    let mut program = Command::new(env!("CARGO_BIN_EXE_trunkline"));
    let index = scratch.join("idx_data.dat").display().to_string();
    program.args(command.iter().map(|word| if word.ends_with("idx_data.dat") { index.as_str() } else { word }));
    let mut program = Program::run(scratch, program.envs(variables.iter().map(|(name, value)| (name, value))));
    (program.ends().success(), program.printed())
}

/// Started before its service, behind it, and once more: the tables are made once, and a start that comes too early fails, so
/// that Compose repeats it.
#[tokio::test]
async fn the_crms_tables_may_be_made_early_late_and_twice() {
    let (compose, scratch) = (compose(), tempfile::tempdir().expect("a folder"));
    let (service, less) = (&services(&compose)["crm-tables"], ["--accounts", "1000"]);
    let nobody = format!("postgres://crm:secret@127.0.0.1:{}/wtc_prod", closed_port());
    let (ended_well, printed) = run(service, less, scratch.path(), &[("CRM_DATABASE_URL", nobody)]);
    assert!(!ended_well, "{printed}");
    let url = test_support::postgres_database().await;
    for _ in 0..2 {
        let (ended_well, printed) = run(service, less, scratch.path(), &[("CRM_DATABASE_URL", url.clone())]);
        assert!(ended_well && printed.contains("accounts [1000], changes [0]"), "{printed}");
    }
}

#[tokio::test]
async fn the_call_records_may_be_made_early_late_and_twice() {
    let (compose, scratch) = (compose(), tempfile::tempdir().expect("a folder"));
    let (service, less) = (&services(&compose)["cdr"], ["--seconds", "2500"]);
    let server = test_support::sftp_server().await;
    let variables = |port: u16| {
        [
            ("SFTP_HOST", server.host.clone()),
            ("SFTP_PORT", port.to_string()),
            ("SFTP_USER", server.user.clone()),
            ("SFTP_PASSWORD", server.password.expose().to_owned()),
            ("SFTP_HOST_KEY", server.host_key.clone()),
        ]
    };
    let (ended_well, printed) = run(service, less, scratch.path(), &variables(closed_port()));
    assert!(!ended_well, "{printed}");
    for _ in 0..2 {
        let (ended_well, printed) = run(service, less, scratch.path(), &variables(server.port));
        assert!(ended_well && printed.contains("cdr_data [2500], cdr_voice [2500], files [3]"), "{printed}");
        assert_eq!(std::fs::read_dir(server.upload()).expect("the folder").count(), 6);
    }
}

/// While PostgreSQL's image makes the databases, its server listens on a socket only: the check must ask over TCP.
#[tokio::test]
async fn postgres_is_healthy_once_it_listens_on_tcp() {
    let compose = compose();
    let check = strings(&services(&compose)["postgres"]["healthcheck"]["test"]).nth(1).expect("a command").to_owned();
    let is_healthy = |port: u16| {
        // The socket's folder is this one, where nobody listens.
        let mut command = Command::new("sh");
        command.args(["-c", &check]).env("PGPORT", port.to_string()).env("PGHOST", "/");
        command.status().expect("sh runs").success()
    };
    assert!(!is_healthy(closed_port()), "{check}");
    let url = test_support::postgres_database().await;
    let port = url.rsplit_once(':').and_then(|(_, rest)| rest.split('/').next()?.parse().ok()).expect("a port");
    assert!(is_healthy(port), "{check}");
}

/// What answers `deploy.sh` for EC2: a subnet and a group, one request each.
fn ec2() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for id in ["<subnetId>subnet-1</subnetId>", "<groupId>sg-1</groupId>"] {
            let (mut stream, _) = listener.accept().expect("a request");
            let mut request = [0; 4096];
            let read = stream.read(&mut request).expect("a request");
            assert!(read > 0);
            let length = id.len();
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{id}")
                .expect("sent");
        }
    });
    format!("http://{address}")
}

/// What the template's parameters are made of can be missing: nothing is deployed without them.
#[test]
fn a_deployment_without_parameters_fails() {
    let output = Command::new(format!("{ROOT}/localstack/deploy.sh"))
        .envs(PASSWORDS.map(|name| (name, name.to_lowercase())))
        .envs([
            ("AWS_ENDPOINT_URL", ec2().as_str()),
            ("SFTP_HOST_KEY", "ssh-ed25519 AAAA"),
            ("TRUNKLINE", "/bin/false"),
        ])
        .output()
        .expect("deploy.sh runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && !said.contains("sam"), "{said}");
}
