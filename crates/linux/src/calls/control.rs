//! `prctl` and `arch_prctl`: what a process may say about itself.

use super::call::Call;
use crate::answer::{Answer, Outcome};
use crate::errno::Errno;
use crate::guest::{Record, low_half, read_some};
use crate::kernel::identity::TIMER_SLACK;
use ampoule_abi::layout::USER_END;

/// `prctl(int option, unsigned long argument, ...)`
pub(crate) fn prctl(
    call: &mut Call<'_>,
    option: u32,
    argument: u64,
    third: u64,
    fourth: u64,
    fifth: u64,
) -> Outcome {
    const SET_PARENT_DEATH_SIGNAL: u32 = 1;
    const GET_PARENT_DEATH_SIGNAL: u32 = 2;
    const GET_DUMPABLE: u32 = 3;
    const SET_DUMPABLE: u32 = 4;
    const GET_KEEP_CAPABILITIES: u32 = 7;
    const SET_NAME: u32 = 15;
    const GET_NAME: u32 = 16;
    const GET_SECCOMP: u32 = 21;
    const SET_TIMER_SLACK: u32 = 29;
    const GET_TIMER_SLACK: u32 = 30;
    const SET_NO_NEW_PRIVILEGES: u32 = 38;
    const GET_NO_NEW_PRIVILEGES: u32 = 39;
    let others = third | fourth | fifth;
    let identity = &mut call.kernel.identity;
    match option {
        SET_NAME => {
            let mut name = [0; 16];
            let found = read_some(call.space, argument, &mut name[..15]);
            let end = name[..found].iter().position(|&byte| byte == 0);
            if end.is_none() && found < 15 {
                return Err(Errno::EFAULT);
            }
            name[end.unwrap_or(15)..].fill(0);
            call.task.name = name;
        }
        GET_NAME => {
            let name = call.task.name;
            call.space.write(argument, &name)?;
        }
        // The parent never ends before the guest.
        SET_PARENT_DEATH_SIGNAL if argument > 64 => return Err(Errno::EINVAL),
        SET_PARENT_DEATH_SIGNAL => identity.parent_death_signal = low_half(argument),
        GET_PARENT_DEATH_SIGNAL => {
            Record::<4>::new()
                .set_u32(0, identity.parent_death_signal)
                .store(call.space, argument)?;
        }
        GET_DUMPABLE => return Ok(Answer::value(identity.is_dumpable.into())),
        SET_DUMPABLE if argument > 1 => return Err(Errno::EINVAL),
        SET_DUMPABLE => identity.is_dumpable = argument == 1,
        GET_TIMER_SLACK => return Ok(Answer::value(identity.timer_slack)),
        SET_TIMER_SLACK => {
            let wanted = argument.cast_signed();
            identity.timer_slack =
                u64::try_from(wanted).ok().filter(|&slack| slack > 0).unwrap_or(TIMER_SLACK);
        }
        SET_NO_NEW_PRIVILEGES if argument != 1 || others != 0 => return Err(Errno::EINVAL),
        SET_NO_NEW_PRIVILEGES => identity.gets_no_privileges = true,
        GET_NO_NEW_PRIVILEGES if argument | others != 0 => return Err(Errno::EINVAL),
        GET_NO_NEW_PRIVILEGES => return Ok(Answer::value(identity.gets_no_privileges.into())),
        // No capabilities are kept, no filter is set.
        GET_KEEP_CAPABILITIES | GET_SECCOMP => {}
        _ => return Err(Errno::EINVAL),
    }
    Ok(Answer::ZERO)
}

/// `arch_prctl(int code, unsigned long address)`
pub(crate) fn arch_prctl(call: &mut Call<'_>, code: u32, address: u64) -> Outcome {
    const SET_FS: u32 = 0x1002;
    const GET_FS: u32 = 0x1003;
    match code {
        SET_FS if address >= USER_END => Err(Errno::EPERM),
        SET_FS => {
            call.task.registers.fs_base = address;
            Ok(Answer::SetFsBase(address))
        }
        GET_FS => {
            let base = call.task.registers.fs_base;
            Record::<8>::new().set_u64(0, base).store(call.space, address)?;
            Ok(Answer::ZERO)
        }
        _ => Err(Errno::EINVAL),
    }
}
