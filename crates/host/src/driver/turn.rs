//! What is done with a sandbox on a runner thread.

use super::Driver;
use crate::cache::recycled;
use crate::executor::{Executor, Turn};
use crate::job::Report;
use crate::phase::{Duty, Held, Phase};
use crate::slot::Slot;
use ampoule_sandbox::{Step, Stop, Waker};
use std::panic::{AssertUnwindSafe, catch_unwind};

impl Turn for Driver {
    fn turn(&self, runner: usize) {
        let (held, duty) = self.phases.lock().begin_turn(runner);
        let Duty::Work(job) = duty else {
            // Ended outside the lock: freeing a VM takes most of a millisecond.
            let gone = std::mem::replace(&mut *self.slot.lock(), Slot::Gone);
            if let Slot::Made(made) = gone
                && let Some(vm) = made.sandbox.retire()
            {
                recycled::keep(vm);
            }
            self.report(held, Report::Closed, Phase::Closed);
            return;
        };
        let work = || self.slot.lock().work(job, &self.control);
        let (report, phase) = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
            // A defect of ours must cost one sandbox, not the runner and everybody's calls.
            let message = "an internal error of Ampoule; please report it".to_owned();
            let failure = Stop::Hypervisor { message }.failure();
            *self.slot.lock() = Slot::Failed(failure);
            (Report::Step(Step::Stopped), Phase::Idle)
        });
        if matches!(report, Report::Step(Step::Preempted)) {
            let todo = self.phases.lock().preempt(held);
            self.follow(todo);
        } else {
            self.report(held, report, phase);
        }
    }
}

impl Driver {
    fn report(&self, held: Held, report: Report, phase: Phase) {
        Executor::finishes();
        self.phases.lock().report(held, report, phase);
        (self.on_step)();
        self.wake();
    }
}
