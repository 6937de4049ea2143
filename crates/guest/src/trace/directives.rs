//! Which spans and events the host wants, by target.

use ampoule_wire::trace::Level;

/// `level` and `target=level`, separated by commas, as `env_logger` reads `RUST_LOG`. The host has
/// checked the text; what is not understood is passed over.
#[derive(Debug, Default)]
pub(crate) struct Directives {
    /// For targets that no other directive names; 0 turns them off.
    default: u8,
    /// The longest target first.
    targets: Vec<(String, u8)>,
}

impl Directives {
    /// Reads `text`. An empty one is a single directive of `level`, above which nothing goes.
    pub(crate) fn parse(text: &str, level: u8) -> Self {
        let mut directives = Self::default();
        if text.trim().is_empty() {
            directives.default = level;
            return directives;
        }
        for directive in text.split(',') {
            match directive.rsplit_once('=') {
                None => {
                    if let Some(wanted) = parse_level(directive) {
                        directives.default = wanted.min(level);
                    }
                }
                Some((target, wanted)) => {
                    let Some(wanted) = parse_level(wanted) else { continue };
                    let target = target.trim();
                    // As with everything that is set twice, the last one counts.
                    directives.targets.retain(|(other, _)| other != target);
                    directives.targets.push((target.to_owned(), wanted.min(level)));
                }
            }
        }
        directives.targets.sort_by_key(|(target, _)| std::cmp::Reverse(target.len()));
        directives
    }

    /// Whether `target` is wanted at `level`.
    pub(crate) fn allow(&self, level: Level, target: &str) -> bool {
        level as u8 <= self.level_of(target)
    }

    /// The most verbose level of any directive.
    pub(crate) fn max_level(&self) -> u8 {
        self.targets.iter().fold(self.default, |max, &(_, level)| max.max(level))
    }

    fn level_of(&self, target: &str) -> u8 {
        let named = self.targets.iter().find(|(prefix, _)| {
            target.strip_prefix(prefix.as_str()).is_some_and(|rest| {
                // `app` names `app::http` and not `apple`.
                rest.is_empty() || rest.starts_with("::")
            })
        });
        named.map_or(self.default, |&(_, level)| level)
    }
}

fn parse_level(text: &str) -> Option<u8> {
    const NAMES: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    (0..)
        .zip(NAMES)
        .find_map(|(level, name)| text.trim().eq_ignore_ascii_case(name).then_some(level))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn levels(text: &str, targets: &[&str]) -> Vec<u8> {
        let directives = Directives::parse(text, 5);
        targets.iter().map(|target| directives.level_of(target)).collect()
    }

    #[test]
    fn the_longest_target_on_a_module_boundary_counts() {
        let text = "warn,app=debug,app::http=off,app::http::client=trace";
        let targets =
            ["app", "app::db", "app::http", "app::http::server", "app::http::client", "apple", ""];
        assert_eq!(levels(text, &targets), [4, 4, 0, 0, 5, 2, 2]);
    }

    #[test]
    fn without_a_default_the_rest_is_off() {
        assert_eq!(levels("app=info", &["app", "other"]), [3, 0]);
        assert_eq!(Directives::parse("app=info", 5).max_level(), 3);
    }

    #[test]
    fn what_is_said_twice_counts_as_said_last() {
        assert_eq!(levels("info,app=info,app=error,debug", &["app", "other"]), [1, 4]);
    }

    #[test]
    fn no_directive_goes_above_the_level() {
        let directives = Directives::parse("trace,app=debug", 2);
        assert_eq!((directives.level_of("app"), directives.level_of("x")), (2, 2));
        assert_eq!(Directives::parse(" ", 4).level_of("app"), 4);
        assert!(directives.allow(Level::Warn, "app") && !directives.allow(Level::Info, "app"));
    }

    #[test]
    fn what_is_not_understood_is_passed_over() {
        assert_eq!(levels("loud,app=loud,=,,x=INFO , debug", &["app", "x"]), [4, 3]);
        assert_eq!(Directives::parse("nonsense", 5).max_level(), 0);
    }
}
