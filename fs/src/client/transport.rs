use std::error::Error;

use tonic::Status;

/// Whether the call failed before anything was sent.
pub(super) fn never_sent(status: &Status) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = status.source();
    while let Some(error) = cause {
        if error.is::<tonic::ConnectError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// A failed call in one line: tonic's own message leaves the causes out.
pub(super) fn describe(status: &Status) -> String {
    let mut text = status.message().to_owned();
    let mut cause: Option<&(dyn Error + 'static)> = status.source();
    while let Some(error) = cause {
        let part = error.to_string();
        if !text.contains(&part) {
            text = format!("{text}: {part}");
        }
        cause = error.source();
    }
    if text.is_empty() { status.code().to_string() } else { text }
}
