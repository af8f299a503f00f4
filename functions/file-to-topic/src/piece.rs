//! One piece of a file, from where its announcement says to its end, or until the time is up.

use std::time::SystemTime;

use anyhow::anyhow;
use content::{Line, Step};
use kafka_sink::{FilePosition, Rejected, Session};
use lake::{Action, Announcement};
use lambda_boot::Deadline;
use stream::Topic;
use telecom::csv::{Header, Scratch};
use telecom::{FileFault, Reason, RecordType};

use crate::opening::{Opening, Place, open};
use crate::records::Records;
use crate::rows::Rows;
use crate::run::Failure;
use crate::{Deps, HAND_OVER_MARGIN, Settings};

/// The deadline is looked at once in this many rows, so an invocation that begins too late still gets on.
const ROWS_BETWEEN_LOOKS: u64 = 1024;

/// The code and the words for rows that somebody has decided against.
const DROPPED: (&str, &str) = ("dropped", "somebody has decided that these rows do not count (trunkline files drop)");

/// A piece on its way. The announcement goes along: at any moment it is that of the rest.
struct Sending<'a> {
    settings: &'a Settings,
    session: &'a mut Session,
    announced: Announcement,
    looks: Looks,
}

/// How far a piece got.
pub(crate) enum Sent {
    /// To its end: the announcement has all its counts.
    Whole(Announcement),
    /// Not to its end: this is the announcement of the rest.
    Part(Announcement),
}

/// Sends a piece's rows in their order, from where its announcement says.
pub(crate) async fn send(
    deps: &Deps,
    session: &mut Session,
    announced: Announcement,
    deadline: Deadline,
) -> Result<Sent, Failure> {
    let (mut rows, opening) = open(deps, &announced).await?;
    let mut sending = Sending { settings: &deps.settings, session, announced, looks: Looks::new(deadline) };
    let is_whole = match (sending.announced.action, &opening.header) {
        (Action::Drop, _) => sending.reject_whole(&mut rows, &opening, DROPPED.0, DROPPED.1).await?,
        (_, Ok(header)) => sending.send_rows(&mut rows, header).await?,
        (_, Err(fault)) => sending.reject_fault(&mut rows, &opening, fault).await?,
    };
    Ok(if is_whole { Sent::Whole(sending.announced) } else { Sent::Part(sending.announced) })
}

impl<'a> Sending<'a> {
    fn topic(&self) -> &'a str {
        let topic = match self.announced.name.record_type() {
            RecordType::Data => Topic::CdrData,
            RecordType::Voice => Topic::CdrVoice,
        };
        &self.settings.topics[topic]
    }

    /// Sends the rows; `false` when the deadline came first.
    async fn send_rows(&mut self, rows: &mut Rows, header: &Header) -> Result<bool, Failure> {
        let topic = self.topic();
        let records = Records::of(&self.announced, SystemTime::now());
        let mut scratch = Scratch::default();
        let mut json = Vec::new();
        while !self.looks.is_late() {
            match rows.advance().await? {
                Step::Row => {}
                _ if rows.table().is_damaged() => {
                    return Err(Failure::Retry(anyhow!("damaged, though it was not a moment ago")));
                }
                _ => return Ok(true),
            }
            let line = rows.line();
            let number = self.announced.first_line + self.announced.from_line + 1;
            if records.is_beyond(number) {
                return Ok(true);
            }
            if self.announced.from_line < self.announced.continued {
                self.announced.count_continued();
            } else {
                match header.parse_row(line.bytes, &self.settings.zone, &mut scratch) {
                    Ok(row) if records.write(&mut json, &row, number) => {
                        self.session.send(topic, row.msisdn().digits().as_bytes(), &json).await?;
                        self.announced.count_accepted();
                    }
                    Ok(_) => self.announced.count_continued(),
                    Err(reason) => self.reject_row(line, reason).await?,
                }
            }
            self.announced.from_byte = line.to_byte;
        }
        Ok(false)
    }

    async fn reject_row(&mut self, line: Line<'_>, reason: Reason) -> Result<(), Failure> {
        // What was rejected has become no record, so none is taken back.
        if self.announced.action == Action::Publish {
            let number = self.announced.first_line + self.announced.from_line + 1;
            let place = Place { object: self.announced.key.clone(), from_byte: line.from_byte, to_byte: line.to_byte };
            let file = Some(position(&self.announced, number, &place));
            let rejected = Rejected { file, ..Rejected::new(reason.code(), reason.to_string(), line.bytes) };
            self.session.reject(&rejected).await?;
        }
        self.announced.count_rejected(reason.code());
        Ok(())
    }

    async fn reject_fault(&mut self, rows: &mut Rows, opening: &Opening, fault: &FileFault) -> Result<bool, Failure> {
        self.reject_whole(rows, opening, fault.code(), &fault.to_string()).await
    }

    /// Counts the rows of a piece that is rejected as a whole, by one record for all of them; `false` when the deadline
    /// came first.
    async fn reject_whole(
        &mut self,
        rows: &mut Rows,
        opening: &Opening,
        code: &str,
        detail: &str,
    ) -> Result<bool, Failure> {
        let mut step = opening.step;
        while !self.looks.is_late() {
            match step {
                Step::Row if rows.line().to_byte > self.announced.from_byte => {
                    self.announced.from_byte = rows.line().to_byte;
                    if self.announced.from_line < self.announced.continued {
                        self.announced.count_continued();
                    } else {
                        self.announced.count_rejected(code);
                    }
                }
                Step::End => {
                    self.reject_counted(opening, code, detail).await?;
                    return Ok(true);
                }
                _ => {}
            }
            step = rows.advance().await?;
        }
        Ok(false)
    }

    async fn reject_counted(&mut self, opening: &Opening, code: &str, detail: &str) -> Result<(), Failure> {
        if self.announced.action == Action::Withdraw {
            return Ok(());
        }
        // A piece behind others is known by its first row: the file as a whole is the first piece.
        let first = self.announced.first_line;
        let line = if first == 0 { 0 } else { first + 1 };
        let rejected = Rejected {
            rows: self.announced.rejected,
            file: Some(position(&self.announced, line, &opening.place)),
            ..Rejected::new(code, detail, &opening.line)
        };
        Ok(self.session.reject(&rejected).await?)
    }
}

fn position<'a>(announced: &'a Announcement, line: u64, place: &'a Place) -> FilePosition<'a> {
    FilePosition {
        name: announced.name.as_str().into(),
        source_id: announced.source_id.to_string().into(),
        line,
        object: place.object.as_str().into(),
        from_byte: place.from_byte,
        to_byte: place.to_byte,
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
