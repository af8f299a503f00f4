//! The template and the events, as others read them.

use std::path::Path;

use crate::program::Program;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// What `trunkline up` needs to hear at least.
const PARAMETERS: &str = "KafkaBrokers=127.0.0.1:1
SftpHost=127.0.0.1
SftpUser=u
SftpHostKey=ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAabbbTHiO3uE9MNPL1KWoUZ6sdVPwsQTRSQfnSqMzLT
LakeBucket=b
UsageStore=postgres://u:p@127.0.0.1:1/d
DatabaseUrl=postgres://u:p@127.0.0.1:1/d
ApiUsers=[]
";

fn replay(template: &str, event: &str) -> (bool, String) {
    let scratch = tempfile::tempdir().expect("a folder");
    std::fs::write(scratch.path().join("template.yaml"), template).expect("written");
    std::fs::write(scratch.path().join("parameters"), PARAMETERS).expect("written");
    let mut program = Program::start(scratch.path(), &["replay", "--parameters", "parameters", event]);
    (program.ends().success(), program.printed())
}

fn template() -> String {
    std::fs::read_to_string(Path::new(ROOT).join("template.yaml")).expect("the template")
}

#[test]
fn a_template_that_would_lose_records_is_refused() {
    let group = "            ConsumerGroupId: ";
    for (function, mapping, group) in [
        ("batch-aggregator", "BatchAggregator.Events.CdrData", format!("{group}trunkline-batch-aggregator-cdr-data\n")),
        ("lake-writer", "LakeWriter.Events.Rejected", format!("{group}trunkline-lake-writer-rejected\n")),
        (
            "cdc-handler",
            "CdcHandler.Events.Accounts",
            format!("{group}!Sub \"trunkline-cdc-handler-${{CrmTopicPrefix}}.accounts\"\n"),
        ),
    ] {
        refuses_what_loses_records(function, mapping, &group);
    }
}

fn refuses_what_loses_records(function: &str, mapping: &str, group: &str) {
    assert!(template().contains(group), "{group}");
    for (property, word) in [
        (
            "            DestinationConfig: {OnFailure: {Type: Kafka, Destination: \"kafka://lost\"}}\n",
            "remove DestinationConfig",
        ),
        ("            ConsumptionMode: Queue\n", "ConsumptionMode"),
        ("            BisectBatchOnFunctionError: true\n", "remove BisectBatchOnFunctionError"),
    ] {
        let changed = template().replace(group, &format!("{group}{property}"));
        let (is_run, printed) = replay(&changed, &format!("{ROOT}/events/usage-http/health.json"));
        assert!(!is_run && printed.contains(mapping) && printed.contains(function), "{word}: {printed}");
        assert!(printed.contains(word), "{word}: {printed}");
    }
}

#[test]
fn every_event_lies_in_a_functions_folder_and_is_json() {
    let mut events = 0;
    for folder in std::fs::read_dir(Path::new(ROOT).join("events")).expect("events").flatten() {
        if !folder.path().is_dir() {
            continue;
        }
        let name = folder.file_name().into_string().expect("a name");
        assert!(Path::new(ROOT).join("functions").join(&name).is_dir(), "there is no function {name}");
        for event in std::fs::read_dir(folder.path()).expect("events").flatten() {
            if event.path().extension().is_some_and(|extension| extension == "json") {
                let text = std::fs::read(event.path()).expect("an event");
                serde_json::from_slice::<serde_json::Value>(&text).expect("JSON");
                events += 1;
            }
        }
    }
    assert!(events >= 8, "only {events} events were found");
}
