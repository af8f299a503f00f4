//! The sessions that hold the locks that a session waits for.

use std::fmt;

use tokio_postgres::Row;

/// The sessions whose locks a session waits for, as the server reports them during the wait.
pub(crate) const SQL: &str = "SELECT pid, usename::text, application_name,
        to_char(xact_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'),
        to_char(query_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'), state LIKE 'idle%'
    FROM pg_stat_activity WHERE pid = ANY (pg_blocking_pids($1)) ORDER BY xact_start, pid";

/// A session that holds a lock. Fields that the server shows only to users who may see others' sessions can be missing.
#[derive(Clone, Debug)]
struct Blocker {
    pid: i32,
    user: Option<String>,
    application: Option<String>,
    transaction_start: Option<String>,
    query_start: Option<String>,
    is_idle: Option<bool>,
}

/// All of them. Shown, they are the end of a sentence that says what failed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Blockers(Vec<Blocker>);

impl Blockers {
    pub(crate) fn of(rows: &[Row]) -> Self {
        let blocker = |row: &Row| Blocker {
            pid: row.get(0),
            user: row.get(1),
            application: row.get(2),
            transaction_start: row.get(3),
            query_start: row.get(4),
            is_idle: row.get(5),
        };
        Self(rows.iter().map(blocker).collect())
    }

    pub(crate) fn are_known(&self) -> bool {
        !self.0.is_empty()
    }
}

impl fmt::Display for Blocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "session {} (user {}", self.pid, self.user.as_deref().unwrap_or("unknown"))?;
        if let Some(application) = self.application.as_deref().filter(|name| !name.is_empty()) {
            write!(f, ", application {application}")?;
        }
        if let Some(start) = &self.transaction_start {
            write!(f, ", in a transaction since {start} UTC")?;
        }
        if let Some(start) = &self.query_start {
            let what = if self.is_idle == Some(true) { "idle, its last query began" } else { "its query began" };
            write!(f, ", {what} {start} UTC")?;
        }
        f.write_str(")")
    }
}

impl fmt::Display for Blockers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a lock was waited for in vain")?;
        for (nth, blocker) in self.0.iter().enumerate() {
            write!(f, "{} {blocker}", if nth == 0 { ", which is held by" } else { " and" })?;
        }
        f.write_str(": let its transaction end, or end it with pg_terminate_backend, and try again")
    }
}
