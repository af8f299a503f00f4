use std::collections::BTreeMap;
use std::fmt::Write as _;

use expect_test::{Expect, expect};
use local_runtime::{Parameters, Rules, Template, parse_parameter};

fn parameters(given: &[(&str, &str)]) -> Parameters {
    given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn show(template: &Template) -> String {
    let mut shown = String::new();
    for function in &template.functions {
        let (name, id, timeout) = (&function.name, &function.origin.path, function.timeout);
        writeln!(shown, "{name} ({id}) {timeout:?} {} MiB {:?}", function.memory_mib, function.environment).unwrap();
    }
    for mapping in &template.mappings {
        let (function, topic, group) = (&mapping.function, &mapping.topic, &mapping.group);
        let (size, window, start) = (mapping.batch_size, mapping.window, mapping.start);
        writeln!(shown, "{function} <- {topic} as {group} {size}/{window:?} {start:?} {:?}", mapping.cluster).unwrap();
        if mapping.later != local_runtime::Later::default() {
            writeln!(shown, "  {:?}", mapping.later).unwrap();
        }
    }
    for schedule in &template.schedules {
        let (function, name, input) = (&schedule.function, &schedule.name, &schedule.input);
        writeln!(shown, "{function} <- {name} {} {input:?} enabled={}", schedule.expression, schedule.is_enabled)
            .unwrap();
    }
    for route in &template.routes {
        let method = route.method.as_ref().map_or("ANY", |method| method.as_str());
        let path = route.path.as_ref().map_or("$default".to_owned(), ToString::to_string);
        writeln!(shown, "{} <- {method} {path} {:?}", route.function, route.integration_timeout).unwrap();
    }
    shown
}

fn check(text: &str, given: &[(&str, &str)], expect: Expect) {
    match Template::parse(text, &parameters(given)) {
        Ok(template) => expect.assert_eq(&show(&template)),
        Err(error) => expect.assert_eq(&error.to_string()),
    }
}

const EVERY_EVENT: &str = r#"
Globals:
  Function:
    Timeout: 30
    MemorySize: 256
    Environment: {Variables: {A: global, B: !Ref Stage}}
Parameters:
  Brokers: {Type: CommaDelimitedList, Default: "b-1:9096, b-2:9096"}
  Stage: {Type: String, Default: dev, AllowedValues: [dev, prod]}
  Rate: {Type: Number, Default: 5}
Conditions:
  IsProd: !Equals [!Ref Stage, prod]
  NotProd: !Not [!Condition IsProd]
Mappings:
  Sizes: {dev: {batch: 10}, prod: {batch: 10000}}
Resources:
  Dlq: {Type: AWS::SQS::Queue}
  SelfManagedFn:
    Type: AWS::Serverless::Function
    Metadata: {BuildMethod: rust-cargolambda, BuildProperties: {Binary: kafka-fn}}
    Properties:
      Policies: [!ImportValue nobody-reads-this]
      Environment:
        Variables: {A: own, C: !Sub "${Stage}-${Dlq}-${Dlq.Arn}-${!Left}", D: !If [IsProd, x, !Ref "AWS::NoValue"], E: 1.10}
      Events:
        Orders:
          Type: SelfManagedKafka
          Properties:
            KafkaBootstrapServers: !Ref Brokers
            Topics: [!Join ["-", [!Ref Stage, orders]]]
            ConsumerGroupId: orders-cg
            StartingPosition: TRIM_HORIZON
            BatchSize: !FindInMap [Sizes, !Ref Stage, batch]
            MaximumBatchingWindowInSeconds: 5
            FilterCriteria: {Filters: [{Pattern: '{"value":{"type":["order"]}}'}]}
            DestinationConfig: {OnFailure: {Type: SQS, Destination: !GetAtt Dlq.Arn}}
            ProvisionedPollerConfig: {MinimumPollers: 1, MaximumPollers: 3}
  MskFn:
    Type: AWS::Serverless::Function
    Condition: NotProd
    Properties:
      FunctionName: !Select [1, !Split [".", a.msk-fn.c]]
      Timeout: 840
      Events:
        Orders:
          Type: MSK
          Properties:
            Stream: arn:aws:kafka:us-east-1:123456789012:cluster/demo/6f0d
            Topics: [orders]
            StartingPosition: AT_TIMESTAMP
            StartingPositionTimestamp: 1700000000
  HttpApi: {Type: AWS::Serverless::HttpApi, Properties: {Auth: {DefaultAuthorizer: Basic}}}
  UsageHTTPFn:
    Type: AWS::Serverless::Function
    Properties:
      Events:
        Get: {Type: HttpApi, Properties: {ApiId: !Ref HttpApi, Path: "/items/{id}", Method: get, TimeoutInMillis: 29000}}
        All: {Type: HttpApi, Properties: {Path: "/all/{proxy+}", Method: ANY}}
        Default: {Type: HttpApi}
        Nightly: {Type: ScheduleV2, Properties: {ScheduleExpression: cron(0 2 * * ? *), Input: '{"job":"compact"}'}}
        Often: {Type: Schedule, Properties: {Name: often, Schedule: !Sub "rate(${Rate} minutes)", Enabled: false}}
        Bucket: {Type: S3, Properties: {Bucket: !Ref Bucket}}
"#;

#[test]
fn every_event_type_is_read() {
    check(
        EVERY_EVENT,
        &[],
        expect![[r#"
            kafka-fn (SelfManagedFn) 30s 256 MiB {"A": "own", "B": "dev", "C": "dev-Dlq-Dlq.Arn-${Left}", "E": "1.10"}
            msk-fn (MskFn) 840s 256 MiB {"A": "global", "B": "dev"}
            usage-http-fn (UsageHTTPFn) 30s 256 MiB {"A": "global", "B": "dev"}
            kafka-fn <- dev-orders as orders-cg 10/5s TrimHorizon SelfManaged { brokers: ["b-1:9096", "b-2:9096"] }
              Later { filters: ["{\"value\":{\"type\":[\"order\"]}}"], on_failure: Some("Dlq.Arn"), maximum_retry_attempts: None, maximum_record_age_seconds: None, bisects: false, reports_item_failures: false, is_provisioned: true, is_queue: false, parallelization_factor: None, secrets: [] }
            msk-fn <- orders as local-msk-fn-orders 100/500ms AtTimestamp(1700000000000) Msk { arn: "arn:aws:kafka:us-east-1:123456789012:cluster/demo/6f0d", brokers: None }
            usage-http-fn <- Nightly cron(0 2 * * ? *) Some("{\"job\":\"compact\"}") enabled=true
            usage-http-fn <- often every 300 s None enabled=false
            usage-http-fn <- GET /items/{id} 29s
            usage-http-fn <- ANY /all/{proxy+} 30s
            usage-http-fn <- ANY $default 30s
        "#]],
    );
    check(
        EVERY_EVENT,
        &[("Stage", "prod"), ("Brokers", "x:1")],
        expect![[r#"
            kafka-fn (SelfManagedFn) 30s 256 MiB {"A": "own", "B": "prod", "C": "prod-Dlq-Dlq.Arn-${Left}", "D": "x", "E": "1.10"}
            usage-http-fn (UsageHTTPFn) 30s 256 MiB {"A": "global", "B": "prod"}
            kafka-fn <- prod-orders as orders-cg 10000/5s TrimHorizon SelfManaged { brokers: ["x:1"] }
              Later { filters: ["{\"value\":{\"type\":[\"order\"]}}"], on_failure: Some("Dlq.Arn"), maximum_retry_attempts: None, maximum_record_age_seconds: None, bisects: false, reports_item_failures: false, is_provisioned: true, is_queue: false, parallelization_factor: None, secrets: [] }
            usage-http-fn <- Nightly cron(0 2 * * ? *) Some("{\"job\":\"compact\"}") enabled=true
            usage-http-fn <- often every 300 s None enabled=false
            usage-http-fn <- GET /items/{id} 29s
            usage-http-fn <- ANY /all/{proxy+} 30s
            usage-http-fn <- ANY $default 30s
        "#]],
    );
}

#[test]
fn what_is_not_run_is_said() {
    let template = Template::parse(EVERY_EVENT, &BTreeMap::new()).unwrap();
    let findings: Vec<_> = template.check(&Rules::default()).iter().map(ToString::to_string).collect();
    expect![[r#"
        warning: line 17: Resources: not made here, so what functions need of it has to be there: Dlq (AWS::SQS::Queue, line 17)
        warning: line 24: SelfManagedFn.Environment.Variables: C (Dlq), C (Dlq.Arn): nothing is deployed here, so the logical name stands for the real one
        warning: line 27: SelfManagedFn.Events.Orders: FilterCriteria is not run yet: the function gets every record
        warning: line 27: SelfManagedFn.Events.Orders: DestinationConfig is not run yet: a failing batch is retried for ever
        warning: line 52: HttpApi.Auth: Auth is not run here: every request reaches its function
        warning: line 62: UsageHTTPFn.Events.Bucket: events of type S3 are not run: none of them invokes the function"#]].assert_eq(&findings.join("\n"));
}

/// A template with one function with one event, and `body` as that event.
fn with_event(body: &str) -> String {
    format!(
        "Resources:\n  F:\n    Type: AWS::Serverless::Function\n    Properties:\n      Events:\n        E: {body}\n"
    )
}

fn with_kafka(more: &str) -> String {
    with_event(&format!(
        "{{Type: SelfManagedKafka, Properties: {{KafkaBootstrapServers: [b], StartingPosition: LATEST, {more}}}}}"
    ))
}

#[test]
fn a_bad_template_is_refused_by_resource_property_and_line() {
    let bad = |text: &str, expect: Expect| check(text, &[], expect);
    bad("", expect!["line 1: the template is empty"]);
    bad("Resources: []", expect!["line 1: Resources: the template has no resources"]);
    bad(
        &with_kafka("Topics: [a, b]"),
        expect!["line 6: F.Events.E.Properties.Topics: expected exactly one topic, found 2"],
    );
    bad(&with_kafka("BatchSize: 1"), expect!["line 6: F.Events.E.Properties: Topics is missing"]);
    bad(
        &with_kafka("Topics: [a], BatchSize: many"),
        expect![[r#"line 6: F.Events.E.Properties.BatchSize: expected a whole number from 1 to 10000, found "many""#]],
    );
    bad(
        &with_kafka("Topics: [a], BatchSize: 10001"),
        expect![[r#"line 6: F.Events.E.Properties.BatchSize: expected a whole number from 1 to 10000, found "10001""#]],
    );
    bad(
        &with_kafka("Topics: [a], MaximumBatchingWindowInSeconds: 0.5"),
        expect![[
            r#"line 6: F.Events.E.Properties.MaximumBatchingWindowInSeconds: expected a whole number from 0 to 300, found "0.5""#
        ]],
    );
    bad(
        &with_kafka("Topics: [a], Enabled: perhaps"),
        expect![[r#"line 6: F.Events.E.Properties.Enabled: expected true or false, found "perhaps""#]],
    );
    bad(
        &with_kafka("Topics: [!Ref Nobody]"),
        expect!["line 6: F.Events.E.Properties.Topics: Nobody is neither a parameter nor a resource"],
    );
    bad(
        &with_kafka("Topics: [!Base64 x]"),
        expect!["line 6: F.Events.E.Properties.Topics: Fn::Base64 can't be resolved here"],
    );
    bad(
        &with_kafka("Topics: [!Sub '${x']"),
        expect!["line 6: F.Events.E.Properties.Topics: no closing brace after ${x"],
    );
    bad(
        &with_kafka("Topics: [!GetAtt Nobody.Arn]"),
        expect!["line 6: F.Events.E.Properties.Topics: Nobody.Arn is no attribute of a resource"],
    );
    bad(
        &with_kafka("Topics: [!If [C, a, b]]"),
        expect!["line 6: F.Events.E.Properties.Topics: the template has no condition C"],
    );
    bad(
        &with_kafka("Topics: [a], FilterCriteria: {Filters: [{}]}"),
        expect!["line 6: F.Events.E.Properties.FilterCriteria.Filters.0: Pattern is missing"],
    );
    bad(
        &with_event("{Type: MSK, Properties: {Topics: [a]}}"),
        expect!["line 6: F.Events.E.Properties: Stream is missing"],
    );
    bad(
        &with_event("{Type: Schedule, Properties: {Schedule: often}}"),
        expect![[r#"line 6: F.Events.E.Properties.Schedule: expected rate(…) or cron(…), found "often""#]],
    );
    bad(
        &with_event("{Type: HttpApi, Properties: {Path: items, Method: GET}}"),
        expect![[r#"line 6: F.Events.E.Properties.Path: expected a path from /, found "items""#]],
    );
    bad(&with_event("{Properties: {}}"), expect!["line 6: F.Events.E: Type is missing"]);
    bad(
        "Conditions: {A: !Condition A}\nResources: {F: {Type: X, Condition: A}}",
        expect!["line 1: Conditions.A: functions are nested more than 50 deep"],
    );
    bad(
        "Parameters: {A: {Type: String}, B: {Type: String}}\nResources: {}",
        expect!["Parameters: no default and no value: give A=…, B=…"],
    );
    check(
        "Parameters: {A: {Type: String}}\nResources: {}",
        &[("A", "1"), ("C", "1")],
        expect!["Parameters.C: the template has no such parameter; it has A"],
    );
    check(
        EVERY_EVENT,
        &[("Stage", "test")],
        expect![[r#"line 9: Parameters.Stage: "test" is not among the allowed values"#]],
    );
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = Template::read("no/template.yaml".as_ref(), &Parameters::new()).unwrap_err();
    expect!["no/template.yaml: template: can't be read: No such file or directory (os error 2)"]
        .assert_eq(&error.to_string());
}

#[test]
fn parameters_come_as_name_and_value() {
    assert_eq!(parse_parameter("A=b=c"), Ok(("A".to_owned(), "b=c".to_owned())));
    assert_eq!(parse_parameter("A="), Ok(("A".to_owned(), String::new())));
    assert!(parse_parameter("=b").is_err());
    assert!(parse_parameter("A").is_err());
}

fn check_rules(more: &str, expect: Expect) {
    let template = Template::parse(&with_kafka(more), &BTreeMap::new()).unwrap();
    let rules =
        Rules { functions: vec!["f".into()], lossless: vec!["f".into()], group_prefix: Some("trunkline-".into()) };
    let findings: Vec<_> = template.check(&rules).iter().map(ToString::to_string).collect();
    expect.assert_eq(&findings.join("\n"));
}

#[test]
fn the_project_s_rules_are_checked() {
    check_rules("Topics: [a], ConsumerGroupId: trunkline-f-a", expect![""]);
    check_rules(
        "Topics: [a]",
        expect!["error: line 6: F.Events.E: the consumer group has to be trunkline-f-a, not local-f-a"],
    );
    check_rules(
        "Topics: [a], ConsumerGroupId: trunkline-f-a, DestinationConfig: {OnFailure: {Destination: 'kafka://a'}}",
        expect![[r#"
            error: line 6: F.Events.E: the on-failure destination is the source topic itself
            error: line 6: F.Events.E: f must see every record in order: remove DestinationConfig
            warning: line 6: F.Events.E: DestinationConfig is not run yet: a failing batch is retried for ever"#]],
    );
    check_rules(
        "Topics: [a], ConsumerGroupId: trunkline-f-a, BisectBatchOnFunctionError: true, ConsumptionMode: Queue, \
         ParallelizationFactor: 2, MaximumRetryAttempts: 3, FunctionResponseTypes: [ReportBatchItemFailures]",
        expect![[r#"
            error: line 6: F.Events.E: f must see every record in order: remove BisectBatchOnFunctionError
            error: line 6: F.Events.E: f must see every record in order: remove ConsumptionMode: Queue
            error: line 6: F.Events.E: f must see every record in order: remove ParallelizationFactor
            error: line 6: F.Events.E: f must see every record in order: remove FunctionResponseTypes
            error: line 6: F.Events.E: f must see every record in order: remove MaximumRetryAttempts
            warning: line 6: F.Events.E.Properties.StartingPosition: StartingPosition is not run here: the mapping is run without it
            warning: line 6: F.Events.E: FunctionResponseTypes: ReportBatchItemFailures does nothing without ProvisionedPollerConfig
            warning: line 6: F.Events.E: BisectBatchOnFunctionError does nothing without ProvisionedPollerConfig
            warning: line 6: F.Events.E: MaximumRetryAttempts does nothing without ProvisionedPollerConfig
            warning: line 6: F.Events.E: retry limits are not run yet: a failing batch is retried for ever
            warning: line 6: F.Events.E: BisectBatchOnFunctionError is not run yet: a failing batch is retried whole
            warning: line 6: F.Events.E: ReportBatchItemFailures is not run yet: the function's answer is not looked at
            warning: line 6: F.Events.E: Queue mode is not run here: this mapping does not start, and its records stay in the topic"#]],
    );
    check_rules(
        "Topics: [a], ConsumerGroupId: trunkline-f-a, MaximumRetryAttempts: -1, ProvisionedPollerConfig: {}",
        expect![""],
    );
}

/// The project's own template, as the demo reads it.
#[test]
fn the_project_s_template_is_read_and_keeps_its_rules() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../template.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    // Whatever has no default gets a value, as the demo gives it one.
    let missing = Template::parse(&text, &Parameters::new()).unwrap_err().to_string();
    let (_, names) = missing.split_once("give ").unwrap();
    let given = names.split(", ").map(|name| (name.trim_end_matches("=…").to_owned(), "x".to_owned())).collect();
    let template = Template::read(&path, &given).unwrap();
    let rules = Rules {
        functions: template.functions.iter().map(|function| function.name.clone()).collect(),
        lossless: vec!["batch-aggregator".into()],
        group_prefix: Some("trunkline-".into()),
    };
    assert_eq!(template.check(&rules), []);
    assert!(template.function("batch-aggregator").is_some_and(|f| f.environment.contains_key("USAGE_STORE")));
    assert!(!template.routes.is_empty() && !template.schedules.is_empty());
}
