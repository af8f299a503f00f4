#![doc = include_str!("../README.md")]

pub mod event;
mod health;
mod http;
mod invoke;
mod mapping;
mod runtime;
mod schedule;
mod template;

pub use http::PathPattern;
pub use invoke::{Call, FunctionError, InProcess, InProcessFunction, Invocation, InvokeError, Invoker, RemoteInvoker};
pub use mapping::{
    EventSource, Found, MappingState, MappingStatus, PartitionStatus, Progress, SourceConfig, Stop, StopReason, look,
};
pub use runtime::{Mappings, Options, Runtime, Status};
pub use template::{
    Cluster, Cron, Expression, ExpressionError, Finding, Function, Later, Mapping, Origin, Parameters, Route, Rules,
    Schedule, Severity, StartingPosition, Template, TemplateError, parse_parameter,
};
