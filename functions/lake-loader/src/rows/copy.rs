//! Writes rows into PostgreSQL, by its binary COPY.

use std::pin::pin;

use bytes::{BufMut as _, Bytes, BytesMut};
use futures::SinkExt as _;
use telecom::EventTime;
use tokio_postgres::Transaction;

use super::Columns;
use super::columns::{Cells, Values, span};
use crate::table::{Kind, Origin};

/// The values of a chunk's rows that come from the load, not from the records.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// The chunk's batch id.
    pub batch_id: i64,
    /// When the load puts them there.
    pub loaded_at: EventTime,
}

/// How many bytes are encoded before they are sent: some thousand rows. Less costs more task switches, more only
/// memory.
const PIECE_BYTES: usize = 256 << 10;

/// PostgreSQL counts microseconds from 2000-01-01.
const POSTGRES_EPOCH_US: i64 = 946_684_800_000_000;

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";

/// A column's values.
enum Field<'a> {
    Cells(Kind, &'a Cells),
    /// The same value in each row: its length and its bytes.
    Constant([u8; 12]),
}

impl Columns {
    /// Copies all rows into the table `into` (SQL), which has the columns of their [`Table`](crate::table::Table).
    /// Returns how many rows PostgreSQL took.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn copy(
        &self,
        transaction: &Transaction<'_>,
        into: &str,
        load: Load,
    ) -> Result<u64, tokio_postgres::Error> {
        let fields = self.fields(load);
        let statement = format!("copy {into} ({}) from stdin (format binary)", self.table().sql_columns());
        let mut sink = pin!(transaction.copy_in::<_, Bytes>(&statement).await?);
        let mut piece = BytesMut::with_capacity(PIECE_BYTES * 2);
        piece.put_slice(SIGNATURE);
        // Neither flags nor an extended header.
        piece.put_i64(0);
        let field_count = i16::try_from(fields.len()).expect("a table has few columns");
        for row in 0..self.len() {
            piece.put_i16(field_count);
            for field in &fields {
                field.put(row, &mut piece);
            }
            if piece.len() >= PIECE_BYTES {
                sink.send(piece.split().freeze()).await?;
            }
        }
        // The end.
        piece.put_i16(-1);
        sink.send(piece.freeze()).await?;
        sink.finish().await
    }

    fn fields(&self, load: Load) -> Vec<Field<'_>> {
        let mut cells = self.cells().iter();
        let field = |column: &crate::table::Column| match column.origin {
            Origin::Record => Field::Cells(column.kind, cells.next().expect("cells for each of the record's columns")),
            // A withdrawn row gets its own number when it is removed (see `withdraw`).
            Origin::Batch | Origin::RowBatch => Field::constant(load.batch_id),
            Origin::LoadedAt => Field::constant(load.loaded_at.civil_microseconds() - POSTGRES_EPOCH_US),
        };
        self.table().columns.iter().map(field).collect()
    }
}

impl Field<'_> {
    fn constant(number: i64) -> Self {
        let mut field = [0; 12];
        (&mut field[..]).put_i32(8);
        (&mut field[4..]).put_i64(number);
        Self::Constant(field)
    }

    /// Appends one row's value: its length, and its bytes.
    fn put(&self, row: usize, piece: &mut BytesMut) {
        let (kind, cells) = match self {
            Self::Constant(field) => return piece.put_slice(field),
            Self::Cells(kind, cells) => (kind, cells),
        };
        if !cells.is_present(row) {
            return piece.put_i32(-1);
        }
        match cells.values() {
            Values::Bytes { all, ends } => {
                let bytes = &all[span(ends, row)];
                piece.put_i32(i32::try_from(bytes.len()).expect("a value is smaller than a Kafka message"));
                piece.put_slice(bytes);
            }
            Values::Booleans(booleans) => {
                piece.put_i32(1);
                piece.put_u8(booleans[row].into());
            }
            Values::Numbers(numbers) => match kind {
                Kind::Integer => {
                    piece.put_i32(4);
                    piece.put_i32(i32::try_from(numbers[row]).expect("it came from 32 bits"));
                }
                Kind::CivilTime | Kind::Moment => {
                    piece.put_i32(8);
                    piece.put_i64(numbers[row] - POSTGRES_EPOCH_US);
                }
                Kind::BigInt | Kind::Text | Kind::Bytes | Kind::Boolean => {
                    piece.put_i32(8);
                    piece.put_i64(numbers[row]);
                }
            },
        }
    }
}
