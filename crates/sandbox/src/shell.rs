//! Virtual machines without a guest, kept for the next one.
//!
//! Making a VM and freeing it take a millisecond together, and neither depends on the guest: a sandbox
//! that is closed leaves its VM, its emptied memory and its channel behind, and one that starts from a
//! snapshot of the same shape takes them. Nothing of a guest stays in a shell: memory is given back to
//! the host, and everything of a processor that ring 3 can change is set when a snapshot is entered.

use crate::channel::Channel;
use crate::error::CreateError;
use crate::sandbox::{SnapshotParts, describe};
use crate::watchdog::{Watch, Watched};
use ampoule_hypervisor::create_vm;
use ampoule_hypervisor::ring3::{Machine, SystemPages};
use ampoule_memory::{AddressSpace, SealedSpace};
use parking_lot::Mutex;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// Shells kept. Each takes two file descriptors and about 300 KiB of the kernel's memory.
const KEPT_MAX: usize = 8;
/// How long one is kept.
const KEPT_FOR: Duration = Duration::from_millis(250);

/// The process's shells.
#[derive(Default)]
struct Shells(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    /// With the time at which each goes; the one that was left last is the last one.
    shells: Vec<(Instant, Shell)>,
    /// The watchdog's entry for the oldest one.
    watch: Watch,
}

/// A VM with a processor, memory and a channel.
#[derive(Debug)]
pub(crate) struct Shell {
    // The VM goes before the memory it uses.
    pub(crate) machine: Machine,
    pub(crate) space: AddressSpace,
    pub(crate) channel: Channel,
}

impl Shell {
    /// One whose memory is that of a snapshot: one that another sandbox left, or a new one.
    ///
    /// # Errors
    /// [`CreateError`].
    pub(crate) fn of(snapshot: &SnapshotParts) -> Result<Self, CreateError> {
        let SnapshotParts { space: image, message_bytes, .. } = snapshot;
        let pages = snapshot.image.system_pages;
        if let Some(mut shell) = Self::take(image, pages, *message_bytes)
            && shell.space.restore(image).is_ok()
        {
            return Ok(shell);
        }
        let memory = |source| CreateError::Memory { source };
        let mut space = image.instantiate().map_err(memory)?;
        let channel = Channel::new(*message_bytes).map_err(memory)?;
        channel.attach_to(&mut space);
        let mut vm = create_vm()?;
        for (base, mapping) in space.memory().parts() {
            vm.map_memory(base, Arc::clone(mapping))?;
        }
        let registers = &snapshot.cpu.registers;
        let machine = Machine::new(vm, &space, pages, registers.rip, registers.rsp)?;
        describe(Some(&channel), &machine)?;
        Ok(Self { machine, space, channel })
    }

    /// One that can run what is in `image`, if there is one.
    fn take(image: &SealedSpace, pages: SystemPages, message_bytes: u64) -> Option<Self> {
        let shells = &mut Shells::get().0.lock().shells;
        let at = shells.iter().rposition(|(_, shell)| {
            shell.space.fits(image)
                && shell.machine.system_pages() == pages
                && shell.channel.capacity() == message_bytes
                // Where it is not, a new VM is there sooner.
                && shell.machine.is_at_home()
        })?;
        Some(shells.remove(at).1)
    }

    /// Empties it and keeps it for another guest. One too many is freed.
    ///
    /// Cost: a few system calls, and that of freeing a VM when there are too many.
    pub(crate) fn keep(mut self) {
        // What cannot be emptied is not kept.
        if self.space.clear().is_err() || self.channel.clear().is_err() {
            return;
        }
        let until = Instant::now() + KEPT_FOR;
        let oldest = {
            let mut kept = Shells::get().0.lock();
            kept.shells.push((until, self));
            kept.watch.by(until, || Arc::downgrade(Shells::get()) as _);
            (kept.shells.len() > KEPT_MAX).then(|| kept.shells.remove(0))
        };
        drop(oldest);
    }
}

impl Shells {
    fn get() -> &'static Arc<Self> {
        static SHELLS: OnceLock<Arc<Shells>> = OnceLock::new();
        SHELLS.get_or_init(Arc::default)
    }
}

impl Watched for Shells {
    /// Frees what was kept long enough, one at a time: that takes most of a millisecond, which is how
    /// late a deadline may come by it.
    fn check(self: Arc<Self>, now: Instant, entry: Instant) {
        let expired = {
            let mut kept = self.0.lock();
            let is_due = kept.shells.first().is_some_and(|(until, _)| *until <= now);
            let expired = is_due.then(|| kept.shells.remove(0));
            if kept.watch.take(entry)
                && let Some(&(until, _)) = kept.shells.first()
            {
                kept.watch.by(until, || Arc::downgrade(&self) as _);
            }
            expired
        };
        drop(expired);
    }
}
