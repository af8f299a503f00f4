//! Whether the mappings are well, for people and their monitors.

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::Value;

use crate::mapping::{MappingState, MappingStatus, Stop, as_text};
use crate::runtime::Mappings;

/// A batch that fails, a broker that is away, are waited for this long before they are called trouble.
const PATIENCE: SignedDuration = SignedDuration::from_secs(60);

/// Answers of this runtime beside, and in, those of the functions.
#[derive(Clone)]
pub(crate) struct Health {
    /// Where a function says whether it is well.
    path: String,
    mappings: Mappings,
}

/// The JSON of `<path>/mappings`.
#[derive(Debug, Serialize)]
struct Report<'a> {
    status: Verdict,
    mappings: Vec<MappingReport<'a>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Ok,
    Degraded,
}

#[derive(Debug, Serialize)]
struct MappingReport<'a> {
    function: &'a str,
    topic: &'a str,
    group: &'a str,
    status: Verdict,
    state: &'static str,
    #[serde(serialize_with = "as_text")]
    since: Timestamp,
    #[serde(serialize_with = "as_text")]
    last_step: Timestamp,
    batches: u64,
    records: u64,
    failures: u64,
    lost_offsets: u64,
    lag: Option<u64>,
    partitions: Vec<PartitionReport<'a>>,
}

#[derive(Debug, Serialize)]
struct PartitionReport<'a> {
    partition: i32,
    position: Option<i64>,
    end: Option<i64>,
    lag: Option<u64>,
    stop: Option<&'a Stop>,
}

impl Health {
    pub(crate) fn new(path: String, mappings: Mappings) -> Self {
        Self { path, mappings }
    }

    /// The answer to a request for the mappings' own state: 503 where one needs a person, so that a monitor which knows
    /// nothing but status codes sees it.
    pub(crate) fn answer(&self, method: &Method, path: &str) -> Option<Response<Bytes>> {
        let is_asked =
            path.strip_prefix(&self.path) == Some("/mappings") && matches!(*method, Method::GET | Method::HEAD);
        is_asked.then(|| {
            let status = self.mappings.status();
            let report = Report::new(&status.mappings, Timestamp::now());
            let code = match report.status {
                Verdict::Ok => StatusCode::OK,
                Verdict::Degraded => StatusCode::SERVICE_UNAVAILABLE,
            };
            let body = if *method == Method::HEAD { Bytes::new() } else { json(&report) };
            let mut response = Response::new(body);
            *response.status_mut() = code;
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        })
    }

    /// What a function answered at `path`: where it says that it is well and a mapping is not, the answer says so too.
    /// It stays a 200: what answers requests does answer them, and no restart and no other instance mends a record.
    pub(crate) fn complete(&self, path: &str, response: Response<Bytes>) -> Response<Bytes> {
        if path != self.path || response.status() != StatusCode::OK {
            return response;
        }
        let status = self.mappings.status();
        let mut report = Report::new(&status.mappings, Timestamp::now());
        report.mappings.retain(|mapping| mapping.status == Verdict::Degraded);
        let Ok(Value::Object(mut body)) = serde_json::from_slice(response.body()) else { return response };
        if report.status == Verdict::Ok {
            return response;
        }
        body.insert("status".into(), "degraded".into());
        body.insert("mappings".into(), serde_json::to_value(&report.mappings).unwrap_or_default());
        response.map(|_| Bytes::from(Value::Object(body).to_string()))
    }
}

impl<'a> Report<'a> {
    fn new(mappings: &'a [MappingStatus], now: Timestamp) -> Self {
        let mappings: Vec<_> = mappings.iter().map(|mapping| MappingReport::new(mapping, now)).collect();
        let is_well = mappings.iter().all(|mapping| mapping.status == Verdict::Ok);
        Self { status: verdict(is_well), mappings }
    }
}

impl<'a> MappingReport<'a> {
    fn new(mapping: &'a MappingStatus, now: Timestamp) -> Self {
        let is_lasting = now.duration_since(mapping.since) >= PATIENCE;
        let (state, is_well) = match &mapping.state {
            MappingState::Waiting(_) => ("waiting", !is_lasting),
            MappingState::Spare => ("spare", true),
            MappingState::Running => ("running", true),
            MappingState::Failing(_) => ("failing", !is_lasting),
            MappingState::Stopped(_) => ("stopped", false),
        };
        let partitions = mapping.partitions.iter().map(|partition| PartitionReport {
            partition: partition.partition,
            position: partition.position,
            end: partition.end,
            lag: partition.lag(),
            stop: partition.stop.as_ref(),
        });
        let partitions: Vec<_> = partitions.collect();
        let stands_still = partitions.iter().any(|partition| partition.stop.is_some());
        let hangs = now.duration_since(mapping.last_step) >= PATIENCE;
        Self {
            function: &mapping.function,
            topic: &mapping.topic,
            group: &mapping.group,
            status: verdict(is_well && !stands_still && !hangs),
            state,
            since: mapping.since,
            last_step: mapping.last_step,
            batches: mapping.batches,
            records: mapping.records,
            failures: mapping.failures,
            lost_offsets: mapping.lost_offsets,
            lag: mapping.lag(),
            partitions,
        }
    }
}

fn verdict(is_well: bool) -> Verdict {
    if is_well { Verdict::Ok } else { Verdict::Degraded }
}

fn json(report: &Report<'_>) -> Bytes {
    // Strings, numbers and lists always serialize.
    serde_json::to_vec(report).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a mapping is well that has been in this state for so long.
    fn check(state: MappingState, seconds: i64, expected: Verdict) {
        let now = Timestamp::now();
        let mapping = mapping(state, now - SignedDuration::from_secs(seconds), now);
        assert_eq!(Report::new(std::slice::from_ref(&mapping), now).status, expected, "{mapping:?}");
    }

    fn mapping(state: MappingState, since: Timestamp, last_step: Timestamp) -> MappingStatus {
        MappingStatus {
            function: "f".into(),
            topic: "t".into(),
            group: "g".into(),
            state,
            since,
            last_step,
            batches: 0,
            records: 0,
            failures: 0,
            lost_offsets: 0,
            partitions: Vec::new(),
        }
    }

    #[test]
    fn a_thread_that_hangs_is_seen() {
        let now = Timestamp::now();
        for (seconds, expected) in [(59, Verdict::Ok), (60, Verdict::Degraded)] {
            let mapping = mapping(MappingState::Running, now, now - SignedDuration::from_secs(seconds));
            assert_eq!(Report::new(&[mapping], now).status, expected);
        }
    }

    #[test]
    fn what_passes_by_itself_is_waited_for() {
        check(MappingState::Running, 0, Verdict::Ok);
        check(MappingState::Spare, 3_600, Verdict::Ok);
        for state in [MappingState::Waiting("for a broker".into()), MappingState::Failing("a lane is stopped".into())] {
            check(state.clone(), 59, Verdict::Ok);
            check(state, 60, Verdict::Degraded);
        }
        check(MappingState::Stopped("its own code panicked".into()), 0, Verdict::Degraded);
    }
}
