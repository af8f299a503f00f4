//! What can go wrong between here and the database, what it means, and whether it passes.

use std::fmt;

use scylla::errors::{
    ConnectionError, ConnectionPoolError, ConnectionSetupRequestError, ConnectionSetupRequestErrorKind, DbError,
    ExecutionError, MetadataError, NewSessionError, PrepareError, RequestAttemptError,
};

/// Why a request was not answered as it should be.
#[derive(Debug)]
pub(super) enum Failure {
    /// There is no session.
    Connect(NewSessionError),
    /// The hosts did not answer in time while a session was made.
    ConnectTimeout,
    /// The cluster has no node in this datacenter.
    NoSuchDatacenter(String),
    /// The statement was refused.
    Prepare(PrepareError),
    /// It was sent, or could not be.
    Execute(ExecutionError),
}

impl Failure {
    /// Whether the same request, a little later, may do better. What has been waited for long enough is left to the
    /// event's next delivery.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Connect(NewSessionError::FailedToResolveAnyHostname(_)) => true,
            Self::ConnectTimeout | Self::NoSuchDatacenter(_) => false,
            _ => match (self.pool(), self.attempt()) {
                (Some(ConnectionPoolError::Broken { last_connection_error }), _) => {
                    login(last_connection_error).is_none()
                }
                (Some(_), _) => true,
                (None, Some(attempt)) => is_passing(attempt),
                (None, None) => matches!(self, Self::Execute(ExecutionError::EmptyPlan)),
            },
        }
    }

    /// That there was no connection to send on.
    fn pool(&self) -> Option<&ConnectionPoolError> {
        match self {
            Self::Connect(NewSessionError::MetadataError(MetadataError::ConnectionPoolError(pool)))
            | Self::Prepare(PrepareError::ConnectionPoolError(pool))
            | Self::Execute(ExecutionError::ConnectionPoolError(pool)) => Some(pool),
            _ => None,
        }
    }

    /// What came of the last sending.
    fn attempt(&self) -> Option<&RequestAttemptError> {
        match self {
            Self::Prepare(PrepareError::AllAttemptsFailed { first_attempt: attempt })
            | Self::Execute(ExecutionError::LastAttemptError(attempt)) => Some(attempt),
            _ => None,
        }
    }
}

fn is_passing(attempt: &RequestAttemptError) -> bool {
    match attempt {
        RequestAttemptError::BrokenConnectionError(_) | RequestAttemptError::UnableToAllocStreamId => true,
        RequestAttemptError::DbError(error, _) => matches!(
            error,
            DbError::Unavailable { .. }
                | DbError::Overloaded
                | DbError::IsBootstrapping
                | DbError::ReadTimeout { .. }
                | DbError::WriteTimeout { .. }
                | DbError::ServerError
                | DbError::RateLimitReached { .. }
        ),
        _ => false,
    }
}

/// What is wrong with the user or password, if that is why there is no connection.
fn login(error: &ConnectionError) -> Option<&'static str> {
    let ConnectionError::ConnectionSetupRequestError(ConnectionSetupRequestError { error, .. }) = error else {
        return None;
    };
    match error {
        ConnectionSetupRequestErrorKind::DbError(DbError::AuthenticationError | DbError::Unauthorized, _) => {
            Some("it refuses the user or the password: check USAGE_STORE")
        }
        ConnectionSetupRequestErrorKind::MissingAuthentication => {
            Some("it wants a user and a password: USAGE_STORE=scylla://user:password@…")
        }
        _ => None,
    }
}

/// Without an address, a value or a password.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConnectTimeout => return f.write_str("it does not answer"),
            Self::Connect(NewSessionError::FailedToResolveAnyHostname(_)) => {
                return f.write_str("none of its hosts has an address: check USAGE_STORE");
            }
            Self::NoSuchDatacenter(name) => {
                return write!(f, "the cluster has no datacenter {name}: check USAGE_STORE");
            }
            _ => {}
        }
        match (self.pool(), self.attempt()) {
            (Some(ConnectionPoolError::Broken { last_connection_error }), _) => match login(last_connection_error) {
                Some(wrong) => f.write_str(wrong),
                None => write!(f, "it can't be reached: {last_connection_error}"),
            },
            (_, Some(RequestAttemptError::DbError(error, message))) => show(error, message, f),
            (_, Some(attempt)) => write!(f, "{attempt}"),
            _ => match self {
                Self::Connect(error) => write!(f, "{error}"),
                Self::Prepare(error) => write!(f, "{error}"),
                Self::Execute(ExecutionError::EmptyPlan) => f.write_str("no node of it is known to be up"),
                Self::Execute(ExecutionError::RequestTimeout(after)) => {
                    write!(f, "it did not answer within {} ms", after.as_millis())
                }
                Self::Execute(error) => write!(f, "{error}"),
                Self::ConnectTimeout | Self::NoSuchDatacenter(_) => Ok(()),
            },
        }
    }
}

fn show(error: &DbError, message: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match error {
        // Cassandra, and ScyllaDB in several wordings: a table or a keyspace is missing.
        DbError::Invalid
            if ["does not exist", "unconfigured table", "Can't find"].iter().any(|w| message.contains(w)) =>
        {
            write!(f, "{message}: run `trunkline init`")
        }
        DbError::Unavailable { .. } | DbError::ReadTimeout { .. } | DbError::WriteTimeout { .. } => {
            write!(f, "{error}")
        }
        _ => write!(f, "{message}"),
    }
}
