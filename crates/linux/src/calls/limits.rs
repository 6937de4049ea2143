//! Limits of resources: kept and read back. Those on descriptors and on processor time have an effect, for
//! programs look after themselves by them; what a guest may use up is the host's to say.

use super::call::Call;
use super::process::check_self;
use crate::answer::{Answer, Outcome};
use crate::errno::Errno;
use crate::guest::{Record, read_pair, to_usize};
use crate::kernel::limits::RLIMIT_NOFILE;

fn set(call: &mut Call<'_>, resource: u32, limit: (u64, u64)) -> Result<(), Errno> {
    call.kernel.limits.set(resource, limit)?;
    if resource as usize == RLIMIT_NOFILE {
        call.kernel.files.limit_descriptors(to_usize(limit.0));
    }
    Ok(())
}

fn record((soft, hard): (u64, u64)) -> Record<16> {
    Record::new().set_u64(0, soft).set_u64(8, hard)
}

/// `prlimit64(pid_t process, int resource, const struct rlimit *new, struct rlimit *old)`
pub(crate) fn prlimit64(
    call: &mut Call<'_>,
    process: i32,
    resource: u32,
    new: u64,
    old: u64,
) -> Outcome {
    let wanted = if new == 0 { None } else { Some(read_pair(call.space, new)?) };
    check_self(process)?;
    let before = call.kernel.limits.get(resource)?;
    if let Some(wanted) = wanted {
        set(call, resource, wanted)?;
    }
    record(before).store_if(call.space, old)?;
    Ok(Answer::ZERO)
}

/// `getrlimit(int resource, struct rlimit *out)`
pub(crate) fn getrlimit(call: &mut Call<'_>, resource: u32, out: u64) -> Outcome {
    let limit = call.kernel.limits.get(resource)?;
    record(limit).store(call.space, out)?;
    Ok(Answer::ZERO)
}

/// `setrlimit(int resource, const struct rlimit *limit)`
pub(crate) fn setrlimit(call: &mut Call<'_>, resource: u32, limit: u64) -> Outcome {
    let wanted = read_pair(call.space, limit)?;
    set(call, resource, wanted)?;
    Ok(Answer::ZERO)
}
