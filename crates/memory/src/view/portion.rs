//! What a portion of a change came to.

use crate::address::VirtualAddress;
use crate::error::MapError;

/// How far a view came with a portion of a change.
#[must_use]
#[derive(Debug)]
pub(crate) struct Portion {
    /// Where it stopped: everything before is changed, whatever [`Self::done`] says.
    pub(crate) reached: VirtualAddress,
    /// Whether the host did its part; the guest may not run on when it did not.
    pub(crate) done: Result<(), MapError>,
}

impl Portion {
    /// Where it stopped, if the host did its part.
    ///
    /// # Errors
    /// [`MapError::Host`].
    pub(crate) fn finished(self) -> Result<VirtualAddress, MapError> {
        self.done.map(|()| self.reached)
    }
}
