//! The frames of a backtrace that tell its reader something.

use crate::location::Location;

/// The part of a panic's backtrace that is the guest author's: without the panic machinery inside
/// and the frames from the innermost one that is named `outside` on. All of it when the symbols do not tell.
#[must_use]
pub fn authors_part(frames: Vec<Location>, outside: &str) -> Vec<Location> {
    let named = |frame: &Location, parts: &[&str]| {
        let name = frame.symbol.as_deref().unwrap_or_default();
        parts.iter().any(|part| name.contains(part))
    };
    let machinery = ["rust_begin_unwind", "core::panicking::", "__rust_end_short_backtrace"];
    let start = frames.iter().rposition(|frame| named(frame, &machinery)).map_or(0, |at| at + 1);
    let serving = frames[start..].iter().position(|frame| named(frame, &[outside]));
    let end = serving.map_or(frames.len(), |at| start + at);
    if start == end {
        return frames;
    }
    frames[start..end].to_vec()
}
