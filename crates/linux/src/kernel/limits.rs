//! Limits of resources.

use super::clock::NANOSECONDS_PER_SECOND;
use crate::errno::Errno;
use crate::task::signals::PENDING_MAX;
use serde::{Deserialize, Serialize};

const RESOURCES: usize = 16;
const RLIMIT_CPU: usize = 0;
pub(crate) const RLIMIT_NOFILE: usize = 7;
const UNLIMITED: u64 = u64::MAX;

/// Soft and hard limit of each resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Limits([(u64, u64); RESOURCES]);

impl Limits {
    pub(crate) const fn new(stack_bytes: u64) -> Self {
        let mut limits = [(UNLIMITED, UNLIMITED); RESOURCES];
        limits[3] = (stack_bytes, stack_bytes);
        limits[4] = (0, 0); // core files
        limits[6] = (1, 1); // processes
        limits[RLIMIT_NOFILE] = (1024, 1024);
        limits[8] = (8 << 20, 8 << 20); // locked memory
        limits[11] = (PENDING_MAX as u64, PENDING_MAX as u64);
        limits[12] = (819_200, 819_200); // message queues
        limits[13] = (0, 0); // nice
        limits[14] = (0, 0); // real-time priority
        Self(limits)
    }

    /// Soft and hard limit of a resource.
    ///
    /// # Errors
    /// `EINVAL` when there is no such resource.
    pub(crate) fn get(&self, resource: u32) -> Result<(u64, u64), Errno> {
        self.0.get(resource as usize).copied().ok_or(Errno::EINVAL)
    }

    /// Sets the limits of a resource; a hard one only ever goes down.
    ///
    /// # Errors
    /// `EINVAL` when there is no such resource or the soft limit is above the hard one, `EPERM`.
    pub(crate) fn set(&mut self, resource: u32, (soft, hard): (u64, u64)) -> Result<(), Errno> {
        let limit = self.0.get_mut(resource as usize).ok_or(Errno::EINVAL)?;
        if soft > hard {
            return Err(Errno::EINVAL);
        }
        if hard > limit.1 {
            return Err(Errno::EPERM);
        }
        *limit = (soft, hard);
        Ok(())
    }

    /// Soft and hard limit of processor time, in nanoseconds; [`None`] while there is no soft one.
    pub(crate) const fn processor_time(&self) -> Option<(u64, u64)> {
        match self.0[RLIMIT_CPU] {
            (UNLIMITED, _) => None,
            (soft, hard) => Some((
                soft.saturating_mul(NANOSECONDS_PER_SECOND),
                hard.saturating_mul(NANOSECONDS_PER_SECOND),
            )),
        }
    }

    /// Lets a guest that went on beyond its soft limit of processor time do so for a second more.
    pub(crate) const fn extend_processor_time(&mut self) {
        self.0[RLIMIT_CPU].0 = self.0[RLIMIT_CPU].0.saturating_add(1);
    }
}
