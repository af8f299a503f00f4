//! `trunkline generate cdr` and the other small commands.

use std::path::Path;
use std::process::{Command, ExitStatus};

use crate::program::Program;

#[test]
fn a_folder_gets_the_seeds_files_and_a_second_run_adds_none() {
    let scratch = tempfile::tempdir().expect("a folder");
    for _ in 0..2 {
        let mut program =
            Program::start(scratch.path(), &["generate", "cdr", "--seconds", "2500", "--to-folder", "files"]);
        assert!(program.ends().success(), "{}", program.printed());
        assert!(program.printed().contains(" - INFO - Completed data generation. cdr_data [2500], cdr_voice [2500]"));
        assert_eq!(
            csv_files(&scratch.path().join("files")),
            [
                "cdr_data_20240101_000000.csv",
                "cdr_data_20240101_001640.csv",
                "cdr_data_20240101_003320.csv",
                "cdr_voice_20240101_000000.csv",
                "cdr_voice_20240101_001640.csv",
                "cdr_voice_20240101_003320.csv",
            ]
        );
    }
}

/// `trunkline generate cdr ARGS…` onto this server and into the topics of this broker; what it printed.
async fn generate_onto(server: &embedded::SftpServer, scratch: &Path, args: &[&str]) -> (ExitStatus, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trunkline"));
    command.args(["generate", "cdr", "--to-sftp", "--to-topics", "--to-folder", "files"]).args(args).envs([
        ("KAFKA_BROKERS", test_support::broker().await),
        ("SFTP_HOST", &server.host),
        ("SFTP_PORT", &server.port.to_string()),
        ("SFTP_USER", &server.user),
        ("SFTP_PASSWORD", server.password.expose()),
        ("SFTP_HOST_KEY", &server.host_key),
    ]);
    let mut program = Program::run(scratch, &mut command);
    let status = program.ends();
    (status, program.printed())
}

fn csv_files(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).expect("the folder").map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<_> = names.filter_map(|name| name.into_string().ok()).filter(|n| n.ends_with(".csv")).collect();
    names.sort();
    names
}

#[tokio::test]
async fn files_and_topics_in_one_run_and_days_that_go_on() {
    let scratch = tempfile::tempdir().expect("a folder");
    let (server, other) = (test_support::sftp_server().await, test_support::sftp_server().await);
    let args = ["--seconds", "1200", "--lines-per-file", "500", "--start", "2024-03-01T23:50", "--continue"];
    for runs in [1, 2] {
        let (status, printed) = generate_onto(&server, scratch.path(), &args).await;
        assert!(status.success(), "{printed}");
        assert!(printed.contains("cdr_data [1200], cdr_voice [1200], files [3]"), "{printed}");
        let files = csv_files(&server.upload());
        assert_eq!(files.len(), 6 * runs, "{files:?}");
        assert_eq!(files, csv_files(&scratch.path().join("files")));
        let kafka = kafka_sink::Config::plaintext(test_support::broker().await);
        for topic in [generator::DATA_TOPIC, generator::VOICE_TOPIC] {
            assert_eq!(test_support::records(kafka.client(), topic).await.len(), 1200 * runs);
        }
    }
    let files = csv_files(&server.upload());
    let days = ["cdr_data_20240301_235000.csv", "cdr_data_20240301_235820.csv", "cdr_data_20240302_000640.csv"];
    assert_eq!(files[..3], days);
    assert_eq!(
        files[3..6],
        ["20240302_001000", "20240302_001820", "20240302_002640"].map(|t| format!("cdr_data_{t}.csv"))
    );

    let (status, printed) = generate_onto(&other, scratch.path(), &args).await;
    assert!(!status.success() && printed.contains("name another file with --index"), "{printed}");
    let (status, printed) =
        generate_onto(&other, scratch.path(), &[&args[..], &["--index", "other.dat"]].concat()).await;
    assert!(status.success(), "{printed}");
    assert_eq!(csv_files(&other.upload()).len(), 6);
}

#[tokio::test]
async fn a_crm_is_filled_and_changed_and_a_second_run_goes_on() {
    let scratch = tempfile::tempdir().expect("a folder");
    let url = test_support::postgres_database().await;
    for (changes, before) in [("20", 0), ("20", 20), ("30", 20)] {
        let args = ["generate", "crm", "--accounts", "100", "--changes", changes, "--database-url", &url];
        let mut program = Program::start(scratch.path(), &args);
        assert!(program.ends().success(), "{}", program.printed());
        let line = format!("Completed CRM generation. accounts [100], changes [{changes}], made before [{before}]");
        assert!(program.printed().contains(&line), "{}", program.printed());
    }
}

/// The function that takes messages, alone.
const INTAKE: &str = r#"
Resources:
  IntakeHttp:
    Type: AWS::Serverless::Function
    Metadata: {BuildMethod: rust-cargolambda, BuildProperties: {Binary: intake-http}}
    Properties:
      Timeout: 29
      Environment: {Variables: {KAFKA_BROKERS: "<brokers>", API_USERS: '<users>', CHAT_MESSAGES_TOPIC: "<topic>"}}
      Events: {Messages: {Type: HttpApi, Properties: {Path: /messages, Method: ANY}}}
"#;

#[tokio::test]
async fn messages_are_posted_and_what_the_api_says_of_them_is_checked() {
    let scratch = tempfile::tempdir().expect("a folder");
    let (brokers, topic) = (test_support::broker().await, test_support::topic("chat-messages"));
    let kafka = kafka_sink::Config::plaintext(brokers);
    kafka_sink::admin::create_topics(&kafka, &[(&topic, 3)]).await.expect("a topic");
    let users = include_str!("../../../../events/usage-http/users.parameters");
    let users = users.lines().find_map(|line| line.strip_prefix("ApiUsers=")).expect("the users");
    let template = INTAKE.replace("<brokers>", brokers).replace("<users>", users).replace("<topic>", &topic);
    std::fs::write(scratch.path().join("intake.yaml"), template).expect("written");
    let mut up = Program::start(scratch.path(), &["up", "--template", "intake.yaml", "--listen", "127.0.0.1:0"]);
    let url = up.until_printed("it listens", |printed| {
        Some(printed.split_once("The API is at ")?.1.split_once(". Ctrl-C")?.0.to_owned())
    });

    let messages = ["generate", "messages", "--count", "1200", "--rooms", "200", "--faults", "0.05"];
    let file = [&messages[..], &["--to-file", "messages.jsonl"]].concat();
    let mut program = Program::start(scratch.path(), &file);
    assert!(program.ends().success(), "{}", program.printed());
    let written = std::fs::read_to_string(scratch.path().join("messages.jsonl")).expect("the file");

    // Twice, as after a 503: messages are known by their ids, so nobody has to know what arrived.
    let posts: Vec<_> = (0..2).map(|_| post(scratch.path(), &messages, &url, "example")).collect();
    assert_eq!(posts[0], posts[1]);
    let counts: Vec<u64> = posts[0].split(['[', ']']).filter_map(|text| text.parse().ok()).collect();
    assert_eq!(counts.iter().sum::<u64>(), written.lines().count() as u64, "{}", posts[0]);
    assert!(counts[0] >= 1200 && counts[1] > 0 && counts[2] > 0, "{}", posts[0]);

    let refused = post(scratch.path(), &messages, &url, "shop");
    assert!(refused.contains("403") && refused.contains("may_post"), "{refused}");
}

/// The last line of what `generate messages --url` prints.
fn post(scratch: &std::path::Path, messages: &[&str], url: &str, user: &str) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trunkline"));
    command.args(messages).args(["--url", url, "--user", user]);
    let mut program = Program::run(scratch, command.env("TRUNKLINE_API_PASSWORD", format!("{user}-password")));
    program.ends();
    let printed = program.printed();
    printed.lines().last().and_then(|line| line.rsplit(" - ").next()).unwrap_or_default().to_owned()
}

#[test]
fn what_makes_no_sense_is_refused_with_the_flag_to_change() {
    let scratch = tempfile::tempdir().expect("a folder");
    for (args, word) in [
        (["--lines-per-second", "1001"], "--lines-per-second"),
        (["--faults", "2"], "--faults"),
        (["--subscribers", "0"], "--subscribers"),
    ] {
        let mut all = vec!["generate", "cdr", "--to-folder", "files"];
        all.extend(args);
        let mut program = Program::start(scratch.path(), &all);
        assert!(!program.ends().success(), "{args:?}");
        assert!(program.printed().contains(word), "{args:?}: {}", program.printed());
    }
}

#[test]
fn a_missing_variable_is_named_in_one_line() {
    let scratch = tempfile::tempdir().expect("a folder");
    let mut program = Program::start(scratch.path(), &["generate", "cdr", "--to-sftp"]);
    assert!(!program.ends().success());
    assert_eq!(program.printed(), "trunkline: SFTP_HOST is missing: set this environment variable\n");
}

#[test]
fn a_missing_template_is_named_with_what_to_do() {
    let scratch = tempfile::tempdir().expect("a folder");
    let mut program = Program::start(scratch.path(), &["load", "--now"]);
    assert!(!program.ends().success());
    let expected = "trunkline: there is no template.yaml: run this in the project's folder, or name the template with --template\n";
    assert_eq!(program.printed(), expected);
}
