//! What of a template is not run, or means something else here, is named: once, with its line.

use std::collections::BTreeMap;
use std::sync::Arc;

use expect_test::{Expect, expect};
use local_runtime::{InProcess, Options, Rules, Runtime, Template};

fn template(text: &str) -> Template {
    Template::parse(text, &BTreeMap::new()).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// Every finding of the template, without rules of a project.
fn check(text: &str, expect: Expect) {
    let findings: Vec<_> = template(text).check(&Rules::default()).iter().map(ToString::to_string).collect();
    expect.assert_eq(&findings.join("\n"));
}

/// The function `F` with these properties, on line 5.
fn function(properties: &str) -> String {
    format!("Resources:\n  F:\n    Type: AWS::Serverless::Function\n    Properties:\n      {properties}\n")
}

/// A mapping resource with these properties for the function `F`.
fn mapping_resource(properties: &str) -> String {
    format!(
        "Resources:
  F: {{Type: AWS::Lambda::Function, Properties: {{Runtime: python3.13}}}}
  M:
    Type: AWS::Lambda::EventSourceMapping
    Properties: {{{properties}}}
  Live: {{Type: AWS::Lambda::Alias, Properties: {{FunctionName: !Ref Three, FunctionVersion: !GetAtt Three.Version}}}}
  Three: {{Type: AWS::Lambda::Version, Properties: {{FunctionName: !Ref F}}}}
  Cluster: {{Type: AWS::MSK::Cluster}}
"
    )
}

const SELF_MANAGED: &str = "SelfManagedEventSource: {Endpoints: {KafkaBootstrapServers: ['b:9092']}}, Topics: [t], \
                            StartingPosition: TRIM_HORIZON, SelfManagedKafkaEventSourceConfig: {ConsumerGroupId: g}";

#[test]
fn a_mapping_resource_is_run_whatever_names_its_function() {
    for target in
        ["!Ref F", "!GetAtt F.Arn", "!Sub '${F.Arn}'", "arn:aws:lambda:us-east-1:123456789012:function:F:live", "F"]
    {
        let template = template(&mapping_resource(&format!("FunctionName: {target}, {SELF_MANAGED}")));
        let [mapping] = template.mappings.as_slice() else { panic!("{target}: {:?}", template.mappings) };
        let read = (mapping.function.as_str(), mapping.topic.as_str(), mapping.group.as_str());
        assert_eq!(read, ("F", "t", "g"), "{target}");
        assert_eq!(mapping.origin.to_string(), "line 4: M");
    }
    for target in ["!Ref Live", "!Ref Three", "!Ref F.Alias", "!Ref FAliaslive"] {
        let template = template(&mapping_resource(&format!("FunctionName: {target}, {SELF_MANAGED}")));
        assert_eq!(template.mappings[0].function, "F", "{target}");
    }
}

#[test]
fn a_mapping_resource_that_is_not_run_is_named() {
    check(
        &mapping_resource(
            "FunctionName: elsewhere, EventSourceArn: !Ref Cluster, Topics: [t], StartingPosition: LATEST",
        ),
        expect![[r#"
            warning: line 5: M: elsewhere is no function of this template: the mapping is not run
            warning: line 6: Resources: not made here, so what functions need of it has to be there: Live (AWS::Lambda::Alias, line 6), Three (AWS::Lambda::Version, line 7), Cluster (AWS::MSK::Cluster, line 8)"#]],
    );
    check(
        &mapping_resource("FunctionName: !Ref F, EventSourceArn: !GetAtt Queue.Arn")
            .replace("  Cluster: {Type: AWS::MSK::Cluster}", "  Queue: {Type: AWS::SQS::Queue}"),
        expect![[r#"
            warning: line 5: M: mappings of other sources than Kafka are not run: none of them invokes the function
            warning: line 6: Resources: not made here, so what functions need of it has to be there: Live (AWS::Lambda::Alias, line 6), Three (AWS::Lambda::Version, line 7), Queue (AWS::SQS::Queue, line 8)"#]],
    );
    check(
        &mapping_resource(
            "FunctionName: !Ref F, EventSourceArn: !Ref Cluster, Topics: [t], StartingPosition: LATEST, Odd: 1",
        ),
        expect![[r#"
            warning: line 5: M.Odd: Odd is not run here: the mapping is run without it
            warning: line 5: M: EventSourceArn (Cluster): nothing is deployed here, so the logical name stands for the real one
            warning: line 6: Resources: not made here, so what functions need of it has to be there: Live (AWS::Lambda::Alias, line 6), Three (AWS::Lambda::Version, line 7), Cluster (AWS::MSK::Cluster, line 8)"#]],
    );
}

#[test]
fn what_a_kafka_mapping_does_not_do_is_named() {
    let kafka = |more: &str| {
        function(&format!(
            "Events: {{E: {{Type: SelfManagedKafka, Properties: {{KafkaBootstrapServers: ['b:1'], Topics: [t], {more}}}}}}}"
        ))
    };
    check(
        &kafka(
            "StartingPosition: LATEST, SchemaRegistryConfig: {SchemaRegistryURI: 'https://schemas.example.org'}, \
             SourceAccessConfigurations: [{Type: BASIC_AUTH, URI: x}, {Type: VPC_SUBNET, URI: y}]",
        ),
        expect![[r#"
            warning: line 5: F.Events.E.Properties.SchemaRegistryConfig: SchemaRegistryConfig is not run here: records come as they are, neither decoded nor validated
            warning: line 5: F.Events.E: the secrets of SourceAccessConfigurations (BASIC_AUTH) are not used here: the mapping logs in with the runtime's own Kafka settings"#]],
    );
    // Nothing is said of a position: in Queue mode the service refuses one.
    check(
        &kafka("ConsumptionMode: Queue"),
        expect![
            "warning: line 5: F.Events.E: Queue mode is not run here: this mapping does not start, and its records stay in the topic"
        ],
    );
    assert!(!template(&kafka("ConsumptionMode: Queue")).mappings[0].is_enabled);
}

#[test]
fn what_schedules_and_routes_do_not_do_is_named() {
    check(
        &function(
            "Events:
        Late: {Type: ScheduleV2, Properties: {ScheduleExpression: 'at(2030-01-01T00:00:00)'}}
        Last: {Type: Schedule, Properties: {Schedule: cron(0 0 ? * L *)}}
        Often: {Type: ScheduleV2, Properties: {ScheduleExpression: rate(1 hour), FlexibleTimeWindow: {Mode: FLEXIBLE}, RetryPolicy: {MaximumRetryAttempts: 1}, EndDate: x}}
        Old: {Type: HttpApi, Properties: {Path: /old, Method: GET, PayloadFormatVersion: '1.0'}}
        Login: {Type: HttpApi, Properties: {Path: /login, Method: GET, Auth: {Authorizer: Jwt}}}
        Open: {Type: HttpApi, Properties: {Path: /open, Method: GET, Auth: {Authorizer: NONE}}}
        Again: {Type: HttpApi, Properties: {Path: /open, Method: GET, RouteSettings: {ThrottlingRateLimit: 1}}}
        Rest: {Type: Api, Properties: {Path: /rest, Method: get}}
        Queue: {Type: SQS, Properties: {Queue: !GetAtt Q.Arn}}",
        ),
        expect![[r#"
            warning: line 6: F.Events.Late: at(2030-01-01T00:00:00) is not run here: this schedule never fires
            warning: line 7: F.Events.Last: L without a day of the week in cron is not run here: this schedule never fires
            warning: line 8: F.Events.Often.Properties.FlexibleTimeWindow: FlexibleTimeWindow is not run here: the schedule fires at its time
            warning: line 8: F.Events.Often.Properties.RetryPolicy: RetryPolicy is not run here: a firing that fails is logged, and the next one is the retry
            warning: line 8: F.Events.Often.Properties.EndDate: EndDate is not run here: the schedule is run without it
            warning: line 9: F.Events.Old.Properties.PayloadFormatVersion: only payload format 2.0 is run here: this route is not served
            warning: line 10: F.Events.Login.Properties.Auth: authorizers are not run here: every request reaches the function
            warning: line 12: F.Events.Again.Properties.RouteSettings: RouteSettings is not run here: requests are answered without it
            warning: line 12: F.Events.Again: this is also the route of line 11: F.Events.Open, which gets its requests here
            warning: line 13: F.Events.Rest: events of type Api (REST) are not run: this route is not served; HttpApi events are
            warning: line 14: F.Events.Queue: events of type SQS are not run: none of them invokes the function"#]],
    );
}

#[test]
fn what_a_function_does_not_get_is_named() {
    check(
        "Parameters:
  Secret: {Type: 'AWS::SSM::Parameter::Value<String>', Default: /db/name}
Resources:
  F:
    Type: AWS::Serverless::Function
    Properties:
      Environment:
        Variables:
          TABLE: !Ref Table
          ARN: !GetAtt Table.Arn
          TOKEN: '{{resolve:ssm:/token}}'
          PASSWORD: '{{resolve:secretsmanager:db:SecretString:password}}'
          NAME: !Ref Secret
          OTHER: !ImportValue other-stack
          ENCODED: !Base64 x
          PLAIN: x
      FunctionUrlConfig: {AuthType: NONE}
      DeadLetterQueue: {Type: SQS, TargetArn: x}
      Enviroment: {Variables: {A: b}}
      VpcConfig: {SubnetIds: [a]}
      Layers: !Ref AWS::NoValue
  Table: {Type: AWS::Serverless::SimpleTable}
",
        expect![[r#"
            warning: line 9: F.Environment.Variables: TABLE (Table), ARN (Table.Arn): nothing is deployed here, so the logical name stands for the real one
            warning: line 11: F.Environment.Variables: TOKEN, PASSWORD: {{resolve:…}} is not looked up here, and stands as it is
            warning: line 13: F.Environment.Variables: NAME (Secret): nothing is looked up in SSM here: give the parameter its value itself
            warning: line 14: F.Environment.Variables: OTHER (other-stack): there are no other stacks here, so the export's name stands for its value
            warning: line 15: F.Environment.Variables.ENCODED: left out: Fn::Base64 can't be resolved here
            warning: line 17: F.FunctionUrlConfig: FunctionUrlConfig is not run here: no URL is served for it; an HttpApi event is
            warning: line 18: F.DeadLetterQueue: DeadLetterQueue is not run here: a failed event is logged and sent nowhere
            warning: line 19: F.Enviroment: Enviroment is not run here: the function is invoked without it
            warning: line 22: Resources: not made here, so what functions need of it has to be there: Table (AWS::Serverless::SimpleTable, line 22)"#]],
    );
    let text =
        "Resources: {F: {Type: AWS::Lambda::Function, Properties: {Environment: {Variables: {A: !Base64 x, B: y}}}}}";
    assert_eq!(template(text).functions[0].environment, BTreeMap::from([("B".to_owned(), "y".to_owned())]));
}

#[test]
fn what_stands_around_the_functions_is_named() {
    check(
        "Transform: [AWS::Serverless-2016-10-31, AWS::LanguageExtensions, Ours]
Globals:
  HttpApi: {CorsConfiguration: true}
Resources:
  F: {Type: AWS::Serverless::Function, Properties: {FunctionName: same}}
  G: {Type: AWS::Serverless::Function, Properties: {FunctionName: same, ReservedConcurrentExecutions: 1, Events: {E: {Type: HttpApi}}}}
  Front: {Type: AWS::Serverless::HttpApi, Properties: {StageName: prod, DefinitionBody: {openapi: 3.0.1}, Tags: {a: b}}}
  Gateway: {Type: AWS::Serverless::Api, Properties: {StageName: prod}}
  Old: {Type: AWS::Serverless::Api, Properties: {StageName: prod}}
  Rule: {Type: AWS::Events::Rule, Properties: {Targets: [{Arn: !GetAtt F.Arn}]}}
  Bucket: {Type: AWS::S3::Bucket}
  Table: {Type: AWS::DynamoDB::Table}
  Key: {Type: AWS::KMS::Key}
  Fn::ForEach::Topics: [Topic, [a, b], {'${Topic}Queue': {Type: AWS::SQS::Queue}}]
",
        expect![[r#"
            warning: line 1: Transform: Ours is not run here: the template is read as it stands
            warning: line 3: Globals.HttpApi.CorsConfiguration: CorsConfiguration is not run here: no answer gets its headers, and OPTIONS is a request like others
            warning: line 6: G: it is invoked as same, as line 5: F is: with one environment for both
            warning: line 6: G: ReservedConcurrentExecutions is not run here: the function is invoked as often as it is due
            warning: line 7: Front: StageName is not run here: paths have no stage in front
            warning: line 7: Front.DefinitionBody: DefinitionBody is not run here: only the routes of HttpApi events are served
            warning: line 8: Gateway: AWS::Serverless::Api is not run here: none of its routes is served; HttpApi events are; also Old (line 9)
            warning: line 10: Rule: AWS::Events::Rule is not run here: it invokes nothing; Schedule and ScheduleV2 events of functions do
            warning: line 11: Bucket: AWS::S3::Bucket is not run here: it is not made, and its notifications invoke nothing
            warning: line 12: Resources: not made here, so what functions need of it has to be there: Table (AWS::DynamoDB::Table, line 12), Key (AWS::KMS::Key, line 13)
            warning: line 14: Resources.Fn::ForEach::Topics: Fn::ForEach is not run here: what it makes is missing"#]],
    );
}

/// Why the runtime does not start.
async fn refused(text: &str, options: Options) -> String {
    let functions = Arc::new(InProcess::default());
    Runtime::start(&template(text), functions, options).await.err().unwrap().to_string()
}

#[tokio::test]
async fn brokers_that_nobody_names_are_said_with_the_remedy() {
    let cluster = "FunctionName: !Ref F, EventSourceArn: !Ref Cluster, Topics: [t], StartingPosition: LATEST";
    expect!["line 4: M: the template does not say where the brokers of Cluster are: give them as M=host:port, or its function a variable KAFKA_BROKERS"].assert_eq(&refused(&mapping_resource(cluster), Options::default()).await);
    let looked_up = mapping_resource(&format!("FunctionName: !Ref F, {SELF_MANAGED}"));
    let looked_up = looked_up.replace("b:9092", "{{resolve:ssm:/brokers}}");
    expect!["line 4: M: KafkaBootstrapServers has no addresses of the form host:port here: give them as M=host:port"]
        .assert_eq(&refused(&looked_up, Options::default()).await);
    let brokers_of = [("Nobody".to_owned(), "b:1".to_owned())].into();
    let options = Options { brokers_of, ..Options::default() };
    expect!["brokers are given for Nobody, but no mapping has that name; they are M"]
        .assert_eq(&refused(&mapping_resource(cluster), options).await);
}

#[tokio::test]
async fn brokers_are_given_by_any_name_of_a_mapping() {
    let arn = "arn:aws:kafka:us-east-1:123456789012:cluster/c/1";
    let properties = format!("Stream: '{arn}', Topics: [t], StartingPosition: LATEST");
    let msk = function(&format!("Events: {{Records: {{Type: MSK, Properties: {{{properties}}}}}}}"));
    for name in ["Records", "F.Events.Records", "F", "f", arn] {
        let brokers_of = [(name.to_owned(), "127.0.0.1:1".to_owned())].into();
        let options = Options { brokers_of, ..Options::default() };
        let runtime = Runtime::start(&template(&msk), Arc::new(InProcess::default()), options).await;
        runtime.unwrap_or_else(|error| panic!("{name}: {error}")).shutdown().await;
    }
    let by_variable = msk.replace("Events:", "Environment: {Variables: {KAFKA_BROKERS: '127.0.0.1:1'}}\n      Events:");
    let functions = Arc::new(InProcess::default());
    Runtime::start(&template(&by_variable), functions, Options::default()).await.unwrap().shutdown().await;
}
