//! The tables. A column that is added here is in PostgreSQL and in new silver objects; `rows` gives its values.

use super::{Column, Kind, Origin, Table};

/// The columns of a data session, and some more.
macro_rules! data_columns {
    ($($more:expr),*) => {
        &[
            MSISDN,
            TOWER_ID,
            big_int("up_bytes", "Bytes sent by the subscriber."),
            big_int("down_bytes", "Bytes received by the subscriber."),
            text("data_type", "What was transferred: video, audio, image, text or application."),
            text("ip_address", "The address that the network recorded; NULL where the record has none.").nullable(),
            text("website_url", "The page or host; NULL where the record has none.").nullable(),
            civil_time("event_datetime", "When it happened, in the operator's civil time."),
            SOURCE_FILE,
            SOURCE_ID,
            SOURCE_LINE,
            INGESTED_AT,
            KAFKA_EPOCH,
            KAFKA_PARTITION,
            KAFKA_OFFSET,
            KAFKA_TIMESTAMP,
            $($more),*
        ]
    };
}

/// The columns of a call, and some more.
macro_rules! voice_columns {
    ($($more:expr),*) => {
        &[
            MSISDN,
            TOWER_ID,
            text("call_type", "voice or video."),
            text("dest_nr", "The number that was called, as recorded; NULL where the record has none.").nullable(),
            big_int("call_duration_sec", "How long it lasted, in seconds."),
            civil_time("start_time", "When it began, in the operator's civil time."),
            SOURCE_FILE,
            SOURCE_ID,
            SOURCE_LINE,
            INGESTED_AT,
            KAFKA_EPOCH,
            KAFKA_PARTITION,
            KAFKA_OFFSET,
            KAFKA_TIMESTAMP,
            $($more),*
        ]
    };
}

/// Data sessions: `cdr_data.data`.
pub const CDR_DATA: Table = Table {
    schema: "cdr_data",
    name: "data",
    silver: "cdr_data",
    comment: "A data session of a subscriber, as the network recorded it; each record once.",
    columns: data_columns![BATCH_ID],
    key: POSITION,
    indexes: &[BY_BATCH, &["event_datetime"]],
};

/// Data sessions that were taken back: `cdr_data.data_withdrawn`.
pub const CDR_DATA_WITHDRAWN: Table = Table {
    schema: "cdr_data",
    name: "data_withdrawn",
    silver: "cdr_data_withdrawn",
    comment: "A data session that was in cdr_data.data and was taken back, as its file was replaced; with the place of \
              the record that took it back.",
    columns: data_columns![ROW_BATCH_ID, BATCH_ID],
    key: POSITION,
    indexes: &[BY_BATCH, BY_ROW_BATCH, BY_SOURCE],
};

/// Calls: `cdr_data.voice`.
pub const CDR_VOICE: Table = Table {
    schema: "cdr_data",
    name: "voice",
    silver: "cdr_voice",
    comment: "A voice or video call of a subscriber, as the network recorded it; each record once.",
    columns: voice_columns![BATCH_ID],
    key: POSITION,
    indexes: &[BY_BATCH, &["start_time"]],
};

/// Calls that were taken back: `cdr_data.voice_withdrawn`.
pub const CDR_VOICE_WITHDRAWN: Table = Table {
    schema: "cdr_data",
    name: "voice_withdrawn",
    silver: "cdr_voice_withdrawn",
    comment: "A call that was in cdr_data.voice and was taken back, as its file was replaced; with the place of the \
              record that took it back.",
    columns: voice_columns![ROW_BATCH_ID, BATCH_ID],
    key: POSITION,
    indexes: &[BY_BATCH, BY_ROW_BATCH, BY_SOURCE],
};

/// Messages: `raw.messages`.
pub const MESSAGES: Table = Table {
    schema: "raw",
    name: "messages",
    silver: "messages",
    comment: "A message of a customer or an agent; each message_id once, as it came first.",
    columns: &[
        text("message_id", "The message."),
        text("room_id", "The room that it was written in."),
        civil_time("room_created_at", "When the room was opened, in the operator's civil time."),
        text("channel", "How the customer reached the operator, such as whatsapp."),
        text("customer_id", "The customer of the room."),
        text("customer_name", "The customer's name, where it is known.").nullable(),
        text("phone", "The customer's number as it was given, where it is known.").nullable(),
        text("sender_type", "Who wrote it: the customer, an agent, …"),
        text("message_text", "What was written."),
        civil_time("message_date", "When it was written, in the operator's civil time."),
        moment(
            "message_at",
            "The same as a moment: clocks that are set back show an hour twice, and this tells which.",
        ),
        civil_time("upload_date", "When the load put it here, in the operator's civil time.").from(Origin::LoadedAt),
        KAFKA_EPOCH,
        KAFKA_PARTITION,
        KAFKA_OFFSET,
        KAFKA_TIMESTAMP,
        BATCH_ID,
    ],
    key: &["message_id"],
    indexes: &[BY_BATCH, &["room_id"], &["customer_id"], &["message_date"]],
};

/// What could not be used: `raw.rejected`.
pub const REJECTED: Table = Table {
    schema: "raw",
    name: "rejected",
    silver: "rejected",
    comment: "A row of a file or a record of a topic that could not be used, and why; each place once.",
    columns: &[
        text("key", "Its place, by which repeats are dropped: source_id/line, or topic/partition/offset."),
        text("reason", "Why it could not be used: a code, such as bad_msisdn."),
        text("detail", "The reason in words."),
        big_int("rows", "How many rows of a file it stands for: 1; all of them for a bad header; 0 for no row."),
        text("file_name", "The file that it lies in; NULL for a topic's record.").nullable(),
        text("source_id", "That file's content: the beginning of its SHA-256.").nullable(),
        big_int("line", "The data row of that file, from 1; 0 is the whole file.").nullable(),
        text("topic", "The topic that it lies in; NULL for a file's row.").nullable(),
        integer("partition", "The partition of that topic.").nullable(),
        big_int("offset", "The offset in that partition.").nullable(),
        boolean("is_truncated", "Whether raw is only the beginning."),
        bytes("raw", "Its bytes, at most the first 64 KiB."),
        civil_time("rejected_at", "When it was rejected, in the operator's civil time.").nullable(),
        KAFKA_EPOCH,
        KAFKA_PARTITION,
        KAFKA_OFFSET,
        KAFKA_TIMESTAMP,
        BATCH_ID,
    ],
    key: POSITION,
    indexes: &[BY_BATCH, &["key"]],
};

const MSISDN: Column = text("msisdn", "The subscriber's number: canonical digits, with country code, without +.");
const TOWER_ID: Column =
    big_int("tower_id", "The tower that served the subscriber; NULL where the record names none.").nullable();
const SOURCE_FILE: Column = text("source_file", "The file that it came from, where that is known.").nullable();
const SOURCE_ID: Column = text(
    "source_id",
    "That file's content: the beginning of its SHA-256. With source_line it is the record's identity.",
)
.nullable();
const SOURCE_LINE: Column = big_int("source_line", "The data row of that file, from 1.").nullable();
const INGESTED_AT: Column = moment("ingested_at", "When the file was read, where that is known.").nullable();
const KAFKA_EPOCH: Column = big_int("kafka_epoch", "The stream epoch of the topic that it was read from.");
const KAFKA_PARTITION: Column = integer("kafka_partition", "The partition of that topic.");
const KAFKA_OFFSET: Column = big_int("kafka_offset", "The offset in that partition.");
const KAFKA_TIMESTAMP: Column = moment("kafka_timestamp", "When it was published, by Kafka's timestamp.").nullable();
const BATCH_ID: Column =
    big_int("batch_id", "The chunk of the load that brought it (ops.chunks): what comes later has a higher one.")
        .from(Origin::Batch);

const ROW_BATCH_ID: Column =
    big_int("row_batch_id", "The chunk of the load that had brought the row (ops.chunks).").from(Origin::RowBatch);

/// The models take what is new by its batch, and then what belongs to the same window by the other indexes: their cost
/// grows with what is new, not with the table. Those of call records begin with the time: an hour's rows are written
/// and read side by side, where an index by subscriber would touch a page of its own for each.
const BY_BATCH: &[&str] = &["batch_id"];

const BY_ROW_BATCH: &[&str] = &["row_batch_id"];

/// A row that is put back is looked for among those that were withdrawn.
const BY_SOURCE: &[&str] = &["source_id", "source_line"];

const POSITION: &[&str] = &["kafka_epoch", "kafka_partition", "kafka_offset"];

const fn column(name: &'static str, kind: Kind, comment: &'static str) -> Column {
    Column { name, kind, is_nullable: false, origin: Origin::Record, comment }
}

const fn text(name: &'static str, comment: &'static str) -> Column {
    column(name, Kind::Text, comment)
}

const fn bytes(name: &'static str, comment: &'static str) -> Column {
    column(name, Kind::Bytes, comment)
}

const fn boolean(name: &'static str, comment: &'static str) -> Column {
    column(name, Kind::Boolean, comment)
}

const fn integer(name: &'static str, comment: &'static str) -> Column {
    column(name, Kind::Integer, comment)
}

const fn big_int(name: &'static str, comment: &'static str) -> Column {
    column(name, Kind::BigInt, comment)
}

const fn civil_time(name: &'static str, comment: &'static str) -> Column {
    column(name, Kind::CivilTime, comment)
}

const fn moment(name: &'static str, comment: &'static str) -> Column {
    column(name, Kind::Moment, comment)
}

impl Column {
    const fn nullable(self) -> Self {
        Self { is_nullable: true, ..self }
    }

    const fn from(self, origin: Origin) -> Self {
        Self { origin, ..self }
    }
}
