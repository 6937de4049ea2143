//! Limits of resources: kept and read back. Those on descriptors and on processor time have an effect, for
//! programs look after themselves by them; what a guest may use up is the host's to say.

use crate::answer::{Answer, Outcome};
use crate::clock::NANOSECONDS_PER_SECOND;
use crate::errno::Errno;
use crate::guest::{Arguments, Record, read_pair, to_usize};
use crate::personality::Personality;
use crate::process::check_self;
use crate::signals::PENDING_MAX;
use ampoule_memory::AddressSpace;
use serde::{Deserialize, Serialize};

const RESOURCES: usize = 16;
const RLIMIT_CPU: usize = 0;
const RLIMIT_NOFILE: usize = 7;
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

fn limit_index(resource: u32) -> Result<usize, Errno> {
    let index = resource as usize;
    if index < RESOURCES { Ok(index) } else { Err(Errno::EINVAL) }
}

impl Personality {
    /// Sets a limit, if one is given, and tells what it was.
    fn limit(&mut self, index: usize, new: Option<(u64, u64)>) -> Result<(u64, u64), Errno> {
        let before = self.process.limits.0[index];
        if let Some((soft, hard)) = new {
            if soft > hard {
                return Err(Errno::EINVAL);
            }
            if hard > before.1 {
                return Err(Errno::EPERM);
            }
            self.process.limits.0[index] = (soft, hard);
            if index == RLIMIT_NOFILE {
                self.files.descriptor_limit = to_usize(soft).min(crate::files::DESCRIPTORS_MAX);
            }
        }
        Ok(before)
    }
}

fn record((soft, hard): (u64, u64)) -> Record<16> {
    Record::new().set_u64(0, soft).set_u64(8, hard)
}

/// `prlimit64(pid_t, int resource, const struct rlimit *new, struct rlimit *old)`
pub(crate) fn prlimit64(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    let (new, old) = (arguments.get(2), arguments.get(3));
    let wanted = if new == 0 { None } else { Some(read_pair(space, new)?) };
    check_self(arguments.int(0))?;
    let before = personality.limit(limit_index(arguments.uint(1))?, wanted)?;
    record(before).store_if(space, old)?;
    Ok(Answer::ZERO)
}

/// `getrlimit(int resource, struct rlimit *)`
pub(crate) fn getrlimit(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    let limit = personality.limit(limit_index(arguments.uint(0))?, None)?;
    record(limit).store(space, arguments.get(1))?;
    Ok(Answer::ZERO)
}

/// `setrlimit(int resource, const struct rlimit *)`
pub(crate) fn setrlimit(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    let wanted = read_pair(space, arguments.get(1))?;
    personality.limit(limit_index(arguments.uint(0))?, Some(wanted))?;
    Ok(Answer::ZERO)
}
