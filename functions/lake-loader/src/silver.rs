//! A chunk's rows as Parquet: one object for each hour of events, so that late data lies in its own hour.
//!
//! An object's name and bytes are those of the chunk alone: written again, it is the same object. Its columns are those
//! of the table in PostgreSQL that the record decides (not the batch, nor the time of loading).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesPtr};
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::TypePtr;
use stream::Lane;
use telecom::Day;

use crate::rows::{Cells, Columns, Values, span};
use crate::table::{Kind, Table};

/// An object to be put into the lake.
#[derive(Clone, Debug)]
pub struct Object {
    /// `silver/<table>/date=…/hour=…/<topic>-<epoch>-<partition>-<start>.parquet`
    pub key: String,
    /// How many rows it has.
    pub rows: u64,
    /// The Parquet file.
    pub bytes: Bytes,
}

/// The writer's name in the form that Parquet's readers expect. It has no version of Trunkline, so that the bytes do
/// not change with it.
const CREATED_BY: &str = "trunkline version 1";

/// An object is written once and read often, but the hour's load waits for it: 3 is zstd's own default.
const ZSTD_LEVEL: i32 = 3;

/// The objects of a chunk that begins at the offset `start`, hour by hour. Only one is made at a time.
///
/// # Errors
/// None is known: they are written into memory.
pub fn objects(columns: &Columns, start: i64) -> impl Iterator<Item = Result<Object, ParquetError>> {
    let writer = Writer::new(columns.table());
    let mut hours = BTreeMap::<i32, Vec<usize>>::new();
    for (row, &hour) in columns.hours().iter().enumerate() {
        hours.entry(hour).or_default().push(row);
    }
    hours.into_iter().map(move |(hour, rows)| {
        let key = key(columns, start, hour);
        Ok(Object { key, rows: rows.len() as u64, bytes: writer.write(columns, &rows)? })
    })
}

fn key(columns: &Columns, start: i64, hour: i32) -> String {
    let table = columns.table().silver;
    let Lane { epoch, topic, partition } = columns.lane();
    let day = Day::from_epoch_days(hour / 24).expect("an event's day is one that can be counted");
    let hour = hour % 24;
    format!("silver/{table}/date={day}/hour={hour:02}/{topic}-{epoch}-{partition}-{start:020}.parquet")
}

struct Writer {
    schema: TypePtr,
    properties: WriterPropertiesPtr,
    kinds: Vec<Kind>,
}

impl Writer {
    fn new(table: &Table) -> Self {
        let level = ZstdLevel::try_new(ZSTD_LEVEL).expect("zstd has this level");
        let properties = WriterProperties::builder()
            .set_created_by(CREATED_BY.to_owned())
            .set_compression(Compression::ZSTD(level))
            // An object has one row group, of an hour of one chunk: pages need no index of their own.
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_offset_index_disabled(true)
            .set_max_row_group_row_count(None)
            .build();
        let schema = parse_message_type(&message_type(table)).expect("the text is that of a schema");
        let kinds = table.record_columns().map(|column| column.kind).collect();
        Self { schema: Arc::new(schema), properties: Arc::new(properties), kinds }
    }

    fn write(&self, columns: &Columns, rows: &[usize]) -> Result<Bytes, ParquetError> {
        let mut file = SerializedFileWriter::new(Vec::new(), self.schema.clone(), self.properties.clone())?;
        let mut group = file.next_row_group()?;
        for (&kind, cells) in self.kinds.iter().zip(columns.cells()) {
            let mut column = group.next_column()?.expect("the schema has a column for each of the table's");
            write_column(&mut column, kind, cells, rows)?;
            column.close()?;
        }
        group.close()?;
        file.into_inner().map(Bytes::from)
    }
}

/// The schema in Parquet's own notation.
fn message_type(table: &Table) -> String {
    let mut schema = format!("message {} {{\n", table.silver);
    for column in table.record_columns() {
        let repetition = if column.is_nullable { "OPTIONAL" } else { "REQUIRED" };
        let (physical, logical) = match column.kind {
            Kind::Text => ("BYTE_ARRAY", " (STRING)"),
            Kind::Bytes => ("BYTE_ARRAY", ""),
            Kind::Boolean => ("BOOLEAN", ""),
            Kind::Integer => ("INT32", ""),
            Kind::BigInt => ("INT64", ""),
            Kind::CivilTime => ("INT64", " (TIMESTAMP(MICROS,false))"),
            Kind::Moment => ("INT64", " (TIMESTAMP(MICROS,true))"),
        };
        writeln!(schema, "    {repetition} {physical} {}{logical};", column.name).expect("a string takes all");
    }
    schema.push('}');
    schema
}

/// Writes what these rows have in one column.
fn write_column(
    column: &mut SerializedColumnWriter<'_>,
    kind: Kind,
    cells: &Cells,
    rows: &[usize],
) -> Result<(), ParquetError> {
    let levels: Option<Vec<i16>> =
        cells.present().map(|present| rows.iter().map(|&row| i16::from(present[row])).collect());
    let rows = rows.iter().copied().filter(|&row| cells.is_present(row));
    let levels = levels.as_deref();
    match (cells.values(), kind) {
        (Values::Bytes { all, ends }, _) => {
            // Copied together first, so that the values share one allocation.
            let mut bytes = Vec::new();
            let ends: Vec<usize> = rows
                .map(|row| {
                    bytes.extend_from_slice(&all[span(ends, row)]);
                    bytes.len()
                })
                .collect();
            let bytes = Bytes::from(bytes);
            let value = |row| ByteArray::from(bytes.slice(span(&ends, row)));
            let values: Vec<ByteArray> = (0..ends.len()).map(value).collect();
            column.typed::<ByteArrayType>().write_batch(&values, levels, None)?;
        }
        (Values::Booleans(booleans), _) => {
            let values: Vec<bool> = rows.map(|row| booleans[row]).collect();
            column.typed::<BoolType>().write_batch(&values, levels, None)?;
        }
        (Values::Numbers(numbers), Kind::Integer) => {
            let value = |row: usize| i32::try_from(numbers[row]).expect("it came from 32 bits");
            let values: Vec<i32> = rows.map(value).collect();
            column.typed::<Int32Type>().write_batch(&values, levels, None)?;
        }
        (Values::Numbers(numbers), _) => {
            let values: Vec<i64> = rows.map(|row| numbers[row]).collect();
            column.typed::<Int64Type>().write_batch(&values, levels, None)?;
        }
    }
    Ok(())
}
