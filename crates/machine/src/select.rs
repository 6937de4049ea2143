//! Which of several back ends is used.

use crate::availability::ObstacleKind;
use crate::backend::Backend;
use crate::error::MachineError;
use std::time::Duration;

/// Back ends in order of preference, one at least.
#[derive(Debug, Clone, Copy)]
pub struct Backends {
    preferred: &'static dyn Backend,
    others: &'static [&'static dyn Backend],
}

impl Backends {
    /// `preferred` where it can be used, else the first usable one of `others`.
    #[must_use]
    pub const fn new(
        preferred: &'static dyn Backend,
        others: &'static [&'static dyn Backend],
    ) -> Self {
        Self { preferred, others }
    }

    /// All of them.
    pub fn iter(self) -> impl Iterator<Item = &'static dyn Backend> {
        std::iter::once(self.preferred).chain(self.others.iter().copied())
    }

    /// The one to use: see [`Self::nearest`]. Where none can be used, whatever it is asked for says why.
    ///
    /// Cost: that of [`Backend::open`] of those up to the first usable one.
    #[must_use]
    pub fn select(self) -> &'static dyn Backend {
        let opened = |backend: &'static dyn Backend| (backend, backend.open());
        let (found, _) = self.nearest(opened, |(_, opened)| match opened {
            Err(MachineError::Unavailable { obstacle }) => Some(obstacle.kind),
            // One that is there and refuses says so itself.
            Ok(()) | Err(MachineError::Refused { .. }) => None,
        });
        found
    }

    /// The answer of the first back end that has no obstacle by it; those behind it are not asked then. Where
    /// all have one, that of the first that is there at all, or else of the first.
    pub fn nearest<T>(
        self,
        ask: impl Fn(&'static dyn Backend) -> T,
        obstacle: impl Fn(&T) -> Option<ObstacleKind>,
    ) -> T {
        nearest(ask(self.preferred), self.others.iter().map(|&backend| ask(backend)), obstacle)
    }

    /// Values that [`crate::GuestFeatures::backend`] can have.
    pub fn feature_sources(self) -> impl Iterator<Item = &'static str> {
        self.iter().flat_map(|backend| backend.feature_sources().iter().copied())
    }

    /// The largest [`Backend::thread_change_cost`].
    #[must_use]
    pub fn thread_change_cost(self) -> Duration {
        self.iter().map(Backend::thread_change_cost).max().unwrap_or_default()
    }
}

/// They are the same when their names are.
impl PartialEq for Backends {
    fn eq(&self, other: &Self) -> bool {
        self.iter().map(Backend::name).eq(other.iter().map(Backend::name))
    }
}

impl Eq for Backends {}

/// See [`Backends::nearest`].
fn nearest<T>(
    first: T,
    others: impl IntoIterator<Item = T>,
    obstacle: impl Fn(&T) -> Option<ObstacleKind>,
) -> T {
    let Some(kind) = obstacle(&first) else { return first };
    let (mut nearest, mut is_there) = (first, kind != ObstacleKind::NoDevice);
    for candidate in others {
        match obstacle(&candidate) {
            None => return candidate,
            Some(ObstacleKind::NoDevice) => {}
            Some(_) if is_there => {}
            Some(_) => (nearest, is_there) = (candidate, true),
        }
    }
    nearest
}

#[cfg(test)]
mod tests {
    use super::nearest;
    use crate::availability::ObstacleKind::{self, NoDevice, NoPermission, TooOld};

    fn found(candidates: &[Option<ObstacleKind>]) -> usize {
        let mut candidates = candidates.iter().enumerate();
        let first = candidates.next().unwrap();
        nearest(first, candidates, |(_, kind)| **kind).0
    }

    #[test]
    fn the_first_usable_one_wins_else_the_first_that_is_there() {
        assert_eq!(found(&[None, None]), 0);
        assert_eq!(found(&[Some(NoPermission), None]), 1);
        assert_eq!(found(&[Some(NoDevice), Some(NoDevice)]), 0);
        assert_eq!(found(&[Some(NoDevice), Some(NoPermission), Some(TooOld)]), 1);
        assert_eq!(found(&[Some(NoDevice), Some(NoPermission), None]), 2);
        assert_eq!(found(&[Some(NoPermission), Some(NoDevice)]), 0);
        assert_eq!(found(&[Some(TooOld), Some(NoPermission)]), 0);
    }

    #[test]
    fn nothing_behind_the_first_usable_one_is_looked_at() {
        let mut looked = 0;
        let others = [None, None].into_iter().inspect(|_| looked += 1);
        assert_eq!(nearest(Some(NoDevice), others, |kind| *kind), None);
        assert_eq!(looked, 1);
        let others = std::iter::from_fn(|| -> Option<Option<ObstacleKind>> { unreachable!() });
        assert_eq!(nearest(None, others, |kind| *kind), None);
    }
}
