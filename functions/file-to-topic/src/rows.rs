use bytes::{Buf as _, Bytes};
use content::{Line, Step, Table};
use futures::StreamExt as _;
use futures::stream::BoxStream;

/// The lines of a piece, read as a stream; it is never held.
pub(crate) struct Rows {
    stored: BoxStream<'static, Result<Bytes, lake::Error>>,
    chunk: Bytes,
    table: Table,
}

impl Rows {
    pub(crate) fn new(stored: BoxStream<'static, Result<Bytes, lake::Error>>, table: Table) -> Self {
        Self { stored, chunk: Bytes::new(), table }
    }

    /// What is known of the file so far.
    pub(crate) fn table(&self) -> &Table {
        &self.table
    }

    /// The current line.
    pub(crate) fn line(&self) -> Line<'_> {
        self.table.line()
    }

    /// Goes on to the header, the next row or the end. Gives way to other tasks now and then, so a loop over it never
    /// starves the runtime.
    ///
    /// # Errors
    /// When the lake fails.
    pub(crate) async fn advance(&mut self) -> Result<Step, lake::Error> {
        tokio::task::coop::consume_budget().await;
        loop {
            match self.table.advance() {
                Step::More => self.read().await?,
                step => return Ok(step),
            }
        }
    }

    /// Reads all that is left.
    ///
    /// # Errors
    /// When the lake fails.
    pub(crate) async fn read_to_end(&mut self) -> Result<(), lake::Error> {
        while self.advance().await? != Step::End {}
        Ok(())
    }

    /// Whether the file is compressed, once something of it has been read.
    pub(crate) fn is_compressed(&self) -> bool {
        self.table.stored().is_some_and(content::Stored::is_compressed)
    }

    async fn read(&mut self) -> Result<(), lake::Error> {
        if self.chunk.is_empty() {
            match self.stored.next().await.transpose()? {
                Some(chunk) => self.chunk = chunk,
                None => {
                    self.table.finish();
                    return Ok(());
                }
            }
        }
        let taken = self.table.push(&self.chunk);
        self.chunk.advance(taken);
        Ok(())
    }
}
