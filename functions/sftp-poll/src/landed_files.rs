//! The topic `landed-files`.

use std::time::Duration;

use anyhow::Context as _;
use kafka_sink::{Session, Sink};
use lake::Announcement;
use lambda_boot::Deadline;
use stream::Topic;

use crate::{Deps, ports};

/// Left for the notes once Kafka has answered.
const NOTES_MARGIN: Duration = Duration::from_secs(3);

/// Announces within the time that an invocation has.
pub(crate) struct LandedFiles<'a> {
    sink: &'a Sink,
    topic: &'a str,
    deadline: Deadline,
    session: Option<Session>,
    has_failed: bool,
}

impl<'a> LandedFiles<'a> {
    pub(crate) fn new(deps: &'a Deps, deadline: Deadline) -> Self {
        let topic = &deps.settings.topics[Topic::LandedFiles];
        Self { sink: &deps.sink, topic, deadline, session: None, has_failed: false }
    }

    /// Whether something could not be announced: then nothing else is, in this invocation.
    pub(crate) fn has_failed(&self) -> bool {
        self.has_failed
    }

    async fn send(&mut self, announcements: &[Announcement]) -> anyhow::Result<()> {
        let mut session = match self.session.take() {
            Some(session) => session,
            None => self.sink.session()?,
        };
        for announcement in announcements {
            let json = serde_json::to_vec(announcement)?;
            session.send(self.topic, announcement.name.as_str().as_bytes(), &json).await?;
        }
        let within = self.deadline.remaining().map(|left| left.saturating_sub(NOTES_MARGIN));
        session.flush(within).await.context("landed files could not be announced")?;
        self.session = Some(session);
        Ok(())
    }
}

impl ports::Topic for LandedFiles<'_> {
    async fn announce(&mut self, announcements: &[Announcement]) -> anyhow::Result<()> {
        let sent = self.send(announcements).await;
        self.has_failed |= sent.is_err();
        sent
    }
}
