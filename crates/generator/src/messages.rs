use std::time::Duration;

use anyhow::bail;
use kafka_sink::Sink;
use telecom::RecordType;

use crate::plan::Plan;
use crate::records;
use crate::render::{data_json, number, voice_json};

/// The topic of data records.
pub const DATA_TOPIC: &str = "cdr_data";

/// The topic of voice records.
pub const VOICE_TOPIC: &str = "cdr_voice";

/// A set's records of one type as a topic has them: JSON values in one buffer, with their keys.
pub(crate) struct Messages {
    topic: &'static str,
    values: Vec<u8>,
    /// Each record's MSISDN, and where its value ends.
    records: Vec<(u64, usize)>,
}

/// A value's usual length, with room to spare.
const VALUE_BYTES: usize = 256;

/// A set's records, of both types.
pub(crate) fn messages(plan: &Plan, set: u64) -> Vec<Messages> {
    RecordType::ALL.map(|record_type| of_type(plan, record_type, set)).into()
}

/// A set's records are some MB, which brokers take in seconds: these are down, or can't be written to.
const TAKEN_WITHIN: Duration = Duration::from_secs(120);

/// Sends a set's records and waits until all are acknowledged. After a crash a set is sent once more.
pub(crate) async fn send(sink: &Sink, messages: &[Messages]) -> anyhow::Result<()> {
    let sent = tokio::time::timeout(TAKEN_WITHIN, send_all(sink, messages)).await;
    sent.unwrap_or_else(|_| {
        bail!(
            "Kafka did not take the records within {} s: check that all brokers run; then start this again, it goes on",
            TAKEN_WITHIN.as_secs()
        )
    })
}

async fn send_all(sink: &Sink, messages: &[Messages]) -> anyhow::Result<()> {
    let mut session = sink.session()?;
    let mut key = Vec::new();
    for Messages { topic, values, records } in messages {
        let mut start = 0;
        for &(msisdn, end) in records {
            key.clear();
            number(&mut key, msisdn);
            session.send(topic, &key, &values[start..end]).await?;
            start = end;
        }
    }
    session.flush(None).await?;
    Ok(())
}

fn of_type(plan: &Plan, record_type: RecordType, set: u64) -> Messages {
    let rows = plan.rows_in(set) as usize;
    let mut clock = plan.clock();
    let mut values = Vec::with_capacity(rows * VALUE_BYTES);
    let mut ends = Vec::with_capacity(rows);
    let topic = match record_type {
        RecordType::Data => {
            for record in records::data(plan, set) {
                data_json(&mut values, &record, &mut clock);
                ends.push((record.msisdn, values.len()));
            }
            DATA_TOPIC
        }
        RecordType::Voice => {
            for record in records::voice(plan, set) {
                voice_json(&mut values, &record, &mut clock);
                ends.push((record.msisdn, values.len()));
            }
            VOICE_TOPIC
        }
    };
    Messages { topic, values, records: ends }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use telecom::Zone;

    use super::*;
    use crate::options::Options;

    /// The values are JSON with the files' fields, and say the same as the files' rows.
    #[test]
    fn a_topic_has_the_files_rows() {
        let plan = Plan::new(&Options { seconds: 1_500, ..Options::default() }).unwrap();
        let zone = Zone::default();
        let mut shown = String::new();
        for (messages, record_type) in messages(&plan, 1).iter().zip(RecordType::ALL) {
            let file = crate::files::files(&plan, 1).unwrap().remove(record_type as usize);
            let mut lines = file.content.split(|&byte| byte == b'\n');
            let header = telecom::csv::Header::parse(lines.next().unwrap(), record_type).unwrap();
            let mut scratch = telecom::csv::Scratch::default();
            assert_eq!(messages.records.len(), 500);
            let mut start = 0;
            for (&(msisdn, end), line) in messages.records.iter().zip(lines) {
                let value = &messages.values[start..end];
                let record = telecom::json::parse(value, record_type, &zone).unwrap();
                let row = header.parse_row(line, &zone, &mut scratch).unwrap();
                assert_eq!((record.event, record.tower_id, record.time), (row.event(), row.tower_id(), row.time()));
                assert_eq!(row.msisdn().as_u64(), msisdn);
                start = end;
            }
            let first = &messages.values[..messages.records[0].1];
            shown += &format!("{} {}\n", messages.topic, String::from_utf8_lossy(first));
        }
        expect![[r#"
            cdr_data {"msisdn":"+27845358554","tower_id":589,"up_bytes":932310,"down_bytes":909697,"data_type":"video","ip_address":"154.197.182.139","website_url":"https://tv.example.org/live/95768","event_datetime":"2024-01-01 00:16:40"}
            cdr_voice {"msisdn":"+27663184158","tower_id":938,"call_type":"voice","dest_nr":"+27837259686","call_duration_sec":732,"start_time":"2024-01-01 00:16:40"}
        "#]].assert_eq(&shown);
    }
}
