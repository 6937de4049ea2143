//! `prctl` and `arch_prctl`: what a process may say about itself.

use crate::answer::{Answer, Outcome};
use crate::errno::Errno;
use crate::guest::{Arguments, Record, read_some};
use crate::personality::Personality;
use crate::process::TIMER_SLACK;
use ampoule_abi::layout::USER_END;
use ampoule_memory::AddressSpace;

/// `prctl(int option, ...)`
pub(crate) fn prctl(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
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
    let argument = arguments.get(1);
    let others = arguments.get(2) | arguments.get(3) | arguments.get(4);
    let process = &mut personality.process;
    match arguments.uint(0) {
        SET_NAME => {
            let mut name = [0; 16];
            let found = read_some(space, argument, &mut name[..15]);
            let end = name[..found].iter().position(|&byte| byte == 0);
            if end.is_none() && found < 15 {
                return Err(Errno::EFAULT);
            }
            name[end.unwrap_or(15)..].fill(0);
            personality.thread_mut().name = name;
        }
        GET_NAME => {
            let name = personality.thread().name;
            space.write(argument, &name)?;
        }
        // The parent never ends before the guest.
        SET_PARENT_DEATH_SIGNAL if argument > 64 => return Err(Errno::EINVAL),
        SET_PARENT_DEATH_SIGNAL => process.parent_death_signal = arguments.uint(1),
        GET_PARENT_DEATH_SIGNAL => {
            Record::<4>::new().set_u32(0, process.parent_death_signal).store(space, argument)?;
        }
        GET_DUMPABLE => return Ok(Answer::value(process.is_dumpable.into())),
        SET_DUMPABLE if argument > 1 => return Err(Errno::EINVAL),
        SET_DUMPABLE => process.is_dumpable = argument == 1,
        GET_TIMER_SLACK => return Ok(Answer::value(process.timer_slack)),
        SET_TIMER_SLACK => {
            let wanted = arguments.long(1);
            process.timer_slack =
                u64::try_from(wanted).ok().filter(|&slack| slack > 0).unwrap_or(TIMER_SLACK);
        }
        SET_NO_NEW_PRIVILEGES if argument != 1 || others != 0 => return Err(Errno::EINVAL),
        SET_NO_NEW_PRIVILEGES => process.gets_no_privileges = true,
        GET_NO_NEW_PRIVILEGES if argument | others != 0 => return Err(Errno::EINVAL),
        GET_NO_NEW_PRIVILEGES => return Ok(Answer::value(process.gets_no_privileges.into())),
        // No capabilities are kept, no filter is set.
        GET_KEEP_CAPABILITIES | GET_SECCOMP => {}
        _ => return Err(Errno::EINVAL),
    }
    Ok(Answer::ZERO)
}

/// `arch_prctl(int code, unsigned long address)`
pub(crate) fn arch_prctl(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    const SET_FS: u32 = 0x1002;
    const GET_FS: u32 = 0x1003;
    let address = arguments.get(1);
    match arguments.uint(0) {
        SET_FS if address >= USER_END => Err(Errno::EPERM),
        SET_FS => {
            personality.thread_mut().fs_base = address;
            Ok(Answer::SetFsBase(address))
        }
        GET_FS => {
            let base = personality.thread().fs_base;
            Record::<8>::new().set_u64(0, base).store(space, address)?;
            Ok(Answer::ZERO)
        }
        _ => Err(Errno::EINVAL),
    }
}
