//! What a piece begins with: the header, which may stand in an earlier piece, and the rows that were sent before.

use content::{Step, Table};
use futures::StreamExt as _;
use lake::Announcement;
use telecom::FileFault;
use telecom::csv::Header;

use crate::Deps;
use crate::rows::Rows;
use crate::run::Failure;
use crate::unusable::Unusable;

/// How the rows of a piece are read.
pub(crate) struct Opening {
    /// The header, or why there is none.
    pub(crate) header: Result<Header, FileFault>,
    /// The line that it was read from.
    pub(crate) line: Vec<u8>,
    /// Where that line lies.
    pub(crate) place: Place,
    /// Where the rows stand now: a first line that is no header is a row.
    pub(crate) step: Step,
}

/// Where bytes lie.
pub(crate) struct Place {
    pub(crate) object: String,
    pub(crate) from_byte: u64,
    pub(crate) to_byte: u64,
}

/// Opens a piece, and goes on to the first row that has not been sent.
pub(crate) async fn open(deps: &Deps, announced: &Announcement) -> Result<(Rows, Opening), Failure> {
    let record_type = announced.name.record_type();
    let (mut rows, mut opening) = match &announced.header_key {
        Some(header_key) => {
            let mut opening =
                read_opening(&mut stored(deps, header_key, None, Table::new(record_type)).await?, header_key).await?;
            // Its own rows are still to come.
            opening.step = Step::Header;
            let table = Table::continued(record_type, announced.first_line);
            (stored(deps, &announced.key, Some(announced.bytes), table).await?, opening)
        }
        None => open_first(deps, announced).await?,
    };
    let from_byte = announced.from_byte;
    while rows.table().position() < from_byte && opening.step != Step::End {
        opening.step = rows.advance().await?;
    }
    if from_byte > 0 && rows.table().position() != from_byte {
        return Err(Failure::Unusable(Unusable::NotARow { key: announced.key.clone(), from_byte }));
    }
    Ok((rows, opening))
}

async fn open_first(deps: &Deps, announced: &Announcement) -> Result<(Rows, Opening), Failure> {
    let table = || Table::new(announced.name.record_type());
    let mut rows = stored(deps, &announced.key, Some(announced.bytes), table()).await?;
    let mut opening = read_opening(&mut rows, &announced.key).await?;
    if rows.is_compressed() {
        // A checksum stands at the end. Until it is seen, any row may be garbage that looks like a row.
        rows.read_to_end().await?;
        let damage = rows.table().is_damaged().then(|| rows.table().fault()).flatten();
        rows = stored(deps, &announced.key, Some(announced.bytes), table()).await?;
        opening = read_opening(&mut rows, &announced.key).await?;
        if let Some(damage) = damage {
            opening.header = Err(damage);
        }
    }
    Ok((rows, opening))
}

/// Begins to read an object.
async fn stored(deps: &Deps, key: &str, bytes: Option<u64>, table: Table) -> Result<Rows, Failure> {
    let object = deps.lake.get_stream(key).await?;
    if let Some(announced) = bytes
        && object.bytes != announced
    {
        let found = object.bytes;
        return Err(Failure::Unusable(Unusable::ObjectChanged { key: key.to_owned(), announced, found }));
    }
    Ok(Rows::new(object.into_stream().boxed(), table))
}

async fn read_opening(rows: &mut Rows, key: &str) -> Result<Opening, Failure> {
    let mut step = Step::More;
    while rows.table().header().is_none() && step != Step::End {
        step = rows.advance().await?;
    }
    let header = match (rows.table().header(), rows.table().fault()) {
        (Some(Ok(header)), _) => Ok(header.clone()),
        (_, Some(fault)) => Err(fault),
        (_, None) => Err(FileFault::Damaged),
    };
    let line = rows.line();
    let place = Place { object: key.to_owned(), from_byte: line.from_byte, to_byte: line.to_byte };
    Ok(Opening { header, line: line.bytes.to_vec(), place, step })
}
