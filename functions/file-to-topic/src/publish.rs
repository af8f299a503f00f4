use std::time::SystemTime;

use anyhow::anyhow;
use futures::StreamExt as _;
use kafka_sink::{FilePosition, Rejected, Session, SinkError};
use lake::{Announcement, FileResult};
use lambda_boot::Deadline;
use telecom::csv::{Header, Provenance, Scratch, is_blank};
use telecom::{Reason, RecordType};

use crate::lines::Line;
use crate::rows::{Next, Rows};
use crate::unusable::Unusable;
use crate::{Deps, HAND_OVER_MARGIN, Topics};

/// The deadline is looked at once in this many rows, so an invocation that begins too late still gets on.
const ROWS_BETWEEN_LOOKS: u64 = 1024;

/// How far a file got. What follows from it is to wait until Kafka has acknowledged the rows.
#[derive(Debug)]
pub(crate) enum Published {
    /// To its end.
    Whole(FileResult),
    /// Not to its end: this is the announcement of the rest.
    Part(Announcement),
}

/// Why a file did not get on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The announcement will never do.
    #[error(transparent)]
    Unusable(Unusable),
    /// The same event is to be delivered again.
    #[error(transparent)]
    Retry(anyhow::Error),
}

impl From<lake::Error> for Failure {
    fn from(error: lake::Error) -> Self {
        Self::Retry(error.into())
    }
}

impl From<SinkError> for Failure {
    fn from(error: SinkError) -> Self {
        Self::Retry(error.into())
    }
}

/// Sends one file's rows in their order, from where its announcement says.
pub(crate) async fn publish(
    deps: &Deps,
    session: &mut Session,
    announced: Announcement,
    deadline: Deadline,
) -> Result<Published, Failure> {
    let mut rows = open(deps, &announced).await?;
    let mut fault = None;
    if rows.is_compressed().await? {
        // A checksum stands at the end. Until it is seen, any row may be garbage that looks like a row; and the rows of a
        // file cut short would be counted twice when it is sent again.
        fault = (!rows.read_to_end().await?).then_some(Reason::DamagedFile);
        rows = open(deps, &announced).await?;
    }
    let mut file = File { topics: &deps.topics, session, announced };
    let is_whole = match file.read_header(&mut rows, fault).await? {
        Ok(reader) => file.publish_rows(&mut rows, reader, deadline).await?,
        Err((fault, header)) => file.reject_whole(&mut rows, fault, &header, deadline).await?,
    };
    let File { announced, .. } = file;
    Ok(if is_whole { Published::Whole(announced.into_result()) } else { Published::Part(announced) })
}

async fn open(deps: &Deps, file: &Announcement) -> Result<Rows, Failure> {
    let object = deps.lake.get_stream(&file.key).await?;
    if object.bytes != file.bytes {
        let (key, announced) = (file.key.clone(), file.bytes);
        return Err(Failure::Unusable(Unusable::ObjectChanged { key, announced, found: object.bytes }));
    }
    Ok(Rows::new(object.into_stream().boxed()))
}

/// A file on its way. The announcement goes along: at any moment it is that of the rest.
struct File<'a> {
    topics: &'a Topics,
    session: &'a mut Session,
    announced: Announcement,
}

/// What a file's rows are read with.
struct Reader<'a> {
    header: Header,
    provenance: Provenance,
    topic: &'a str,
}

/// A line that is kept while others are read.
struct OwnedLine {
    bytes: Vec<u8>,
    from_byte: u64,
    to_byte: u64,
}

impl<'a> File<'a> {
    /// Reads the header, and goes on to the first row that has not been published. The inner error is a fault of the
    /// whole file, if none is known yet.
    async fn read_header(
        &mut self,
        rows: &mut Rows,
        fault: Option<Reason>,
    ) -> Result<Result<Reader<'a>, (Reason, OwnedLine)>, Failure> {
        let line = match rows.next().await? {
            Next::Line(line) => line,
            Next::Damage(_) | Next::End => Line { bytes: b"", from_byte: 0, to_byte: 0 },
        };
        let reader = fault.map_or_else(|| self.reader(line.bytes), Err);
        let line = OwnedLine { bytes: line.bytes.to_vec(), from_byte: line.from_byte, to_byte: line.to_byte };
        let from_byte = self.announced.from_byte;
        while rows.position() < from_byte && matches!(rows.next().await?, Next::Line(_)) {}
        if from_byte > 0 && rows.position() != from_byte {
            let key = self.announced.key.clone();
            return Err(Failure::Unusable(Unusable::NotARow { key, from_byte }));
        }
        Ok(reader.map_err(|fault| (fault, line)))
    }

    fn reader(&self, header: &[u8]) -> Result<Reader<'a>, Reason> {
        let name = self.announced.name;
        Ok(Reader {
            header: Header::parse(header, name.record_type())?,
            provenance: Provenance::new(name, self.announced.source_id, SystemTime::now()),
            topic: match name.record_type() {
                RecordType::Data => &self.topics.cdr_data,
                RecordType::Voice => &self.topics.cdr_voice,
            },
        })
    }

    /// Publishes the rows; `false` when the deadline came first.
    async fn publish_rows(&mut self, rows: &mut Rows, reader: Reader<'_>, deadline: Deadline) -> Result<bool, Failure> {
        let mut scratch = Scratch::default();
        let mut json = Vec::new();
        let mut looks = Looks::new(deadline);
        while !looks.is_late() {
            let line = match rows.next().await? {
                Next::Line(line) if is_blank(line.bytes) => continue,
                Next::Line(line) => line,
                Next::Damage(_) => return Err(Failure::Retry(anyhow!("damaged, though it was not a moment ago"))),
                Next::End => return Ok(true),
            };
            match reader.header.parse_row(line.bytes, &self.topics.zone, &mut scratch) {
                Ok(row) => {
                    json.clear();
                    row.write_json(&mut json, &reader.provenance, self.announced.from_line + 1);
                    self.session.send(reader.topic, row.msisdn().digits().as_bytes(), &json).await?;
                    self.announced.count_accepted();
                }
                Err(reason) => self.reject_row(line, reason).await?,
            }
            self.announced.from_byte = line.to_byte;
        }
        Ok(false)
    }

    async fn reject_row(&mut self, line: Line<'_>, reason: Reason) -> Result<(), Failure> {
        let number = self.announced.from_line + 1;
        let file = Some(position(&self.announced, number, line.from_byte, line.to_byte));
        let rejected = Rejected { file, ..Rejected::new(reason.code(), reason.to_string(), line.bytes) };
        self.session.reject(&rejected).await?;
        self.announced.count_rejected(reason.code());
        Ok(())
    }

    /// Counts the rows of a file that is rejected as a whole, by one record for all of them; `false` when the deadline
    /// came first.
    async fn reject_whole(
        &mut self,
        rows: &mut Rows,
        fault: Reason,
        header: &OwnedLine,
        deadline: Deadline,
    ) -> Result<bool, Failure> {
        let mut looks = Looks::new(deadline);
        while !looks.is_late() {
            match rows.next().await? {
                Next::Line(line) | Next::Damage(line) if is_blank(line.bytes) => continue,
                Next::Line(line) | Next::Damage(line) => {
                    self.announced.from_byte = line.to_byte;
                    self.announced.count_rejected(fault.code());
                }
                Next::End => {
                    let rejected = Rejected {
                        rows: self.announced.rejected,
                        file: Some(position(&self.announced, 0, header.from_byte, header.to_byte)),
                        ..Rejected::new(fault.code(), fault.to_string(), &header.bytes)
                    };
                    self.session.reject(&rejected).await?;
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

fn position(announced: &Announcement, line: u64, from_byte: u64, to_byte: u64) -> FilePosition<'_> {
    FilePosition {
        name: announced.name.as_str().into(),
        source_id: announced.source_id.to_string().into(),
        line,
        object: announced.key.as_str().into(),
        from_byte,
        to_byte,
    }
}

/// Looks at the deadline now and then.
struct Looks {
    deadline: Deadline,
    rows: u64,
}

impl Looks {
    fn new(deadline: Deadline) -> Self {
        Self { deadline, rows: 0 }
    }

    fn is_late(&mut self) -> bool {
        let is_time_to_look = self.rows > 0 && self.rows.is_multiple_of(ROWS_BETWEEN_LOOKS);
        self.rows += 1;
        is_time_to_look && self.deadline.is_within(HAND_OVER_MARGIN)
    }
}
