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

#[cfg(test)]
mod tests {
    use super::authors_part;
    use crate::location::Location;

    fn frames(names: &[Option<&str>]) -> Vec<Location> {
        let names = names.iter().zip(0..);
        names
            .map(|(name, address)| Location { address, symbol: name.map(Into::into), offset: 0 })
            .collect()
    }

    fn part(names: &[Option<&str>]) -> Vec<u64> {
        authors_part(frames(names), "sdk::serve").iter().map(|frame| frame.address).collect()
    }

    #[test]
    fn the_panic_machinery_and_what_serves_are_left_out() {
        let names = [
            Some("std::backtrace::here"),
            Some("rust_begin_unwind"),
            Some("core::panicking::panic_fmt"),
            Some("guest::inner"),
            None,
            Some("guest::outer"),
            Some("<guest::Table as sdk::serve::functions::Functions>::call"),
            Some("sdk::serve::life::serve"),
            Some("main"),
        ];
        assert_eq!(part(&names), [3, 4, 5]);
    }

    #[test]
    fn a_panic_in_what_a_panic_calls_is_told_from_the_outermost_one() {
        let names = [
            Some("core::panicking::panic"),
            Some("guest::drop"),
            Some("core::panicking::panic"),
            Some("guest::outer"),
        ];
        assert_eq!(part(&names), [3]);
    }

    #[test]
    fn frames_that_tell_nothing_stay_all() {
        assert_eq!(part(&[None, None]), [0, 1]);
        assert_eq!(part(&[Some("rust_begin_unwind"), Some("sdk::serve::life::serve")]), [0, 1]);
        assert_eq!(part(&[]), [0_u64; 0]);
    }
}
