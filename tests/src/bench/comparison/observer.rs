use super::row::Row;
use super::subject::{Daemon, SubjectError};

/// Who looks at each row while it is measured.
pub(super) trait Observer {
    /// The row is about to begin. What this starts is running when it returns.
    fn begin(&mut self, row: Row, daemons: &[Daemon]) -> Result<(), SubjectError>;

    /// The row has ended; its bytes are not compared yet.
    fn end(&mut self) -> Result<(), SubjectError>;
}
