//! What belongs to one JavaScript thread: its staging buffer, its sandboxes, its step handler.

use crate::staging::Staging;
use ampoule_host::Driver;
use ampoule_host::registry::{Owned, Owner};
use ampoule_sandbox::{CallTrace, Failure, Snapshot};
use napi::bindgen_prelude::{Function, Unknown};
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi::{Env, Error, Result, Status};
use napi_derive::napi;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

/// Tells JavaScript that a sandbox has a step. Weak: it never keeps the process alive.
type StepHandler = ThreadsafeFunction<i64, (), i64, Status, false, true>;

/// A sandbox of this thread.
pub(crate) type SandboxHere = Owned<Notes>;

/// What JavaScript has yet to be told of a sandbox, and what it has told of the next call.
#[derive(Default)]
pub(crate) struct Notes {
    /// Why the last operation was not accepted, for `stopped`.
    pub(crate) refusal: RefCell<Option<Failure>>,
    /// How the program ended.
    pub(crate) exit: RefCell<(i32, u8)>,
    /// A snapshot that a step has brought.
    pub(crate) snapshot: RefCell<Option<Snapshot>>,
    /// How the next call is traced, if it is.
    pub(crate) trace: RefCell<Option<CallTrace>>,
}

#[derive(Default)]
struct Environment {
    staging: Option<Staging>,
    /// A payload that did not fit into the staging buffer.
    waiting: Vec<u8>,
    handler: Option<Arc<StepHandler>>,
    /// Whether [`leave`] will be called.
    leaves: bool,
    owner: Owner<Notes>,
}

thread_local! {
    static HERE: RefCell<Environment> = RefCell::default();
}

/// The staging buffer with at least `minimum_bytes`; a payload that waits for it is put there.
#[napi(ts_return_type = "Uint8Array")]
pub fn staging(env: &Env, minimum_bytes: u32) -> Result<Unknown<'_>> {
    HERE.with_borrow_mut(|here| {
        let minimum = usize::try_from(minimum_bytes).unwrap_or(usize::MAX).max(1);
        if here.staging.as_ref().is_none_or(|staging| staging.len() < minimum)
            && let Some(old) = here.staging.replace(Staging::new(env, minimum)?)
        {
            old.release(env)?;
        }
        let Some(staging) = &mut here.staging else {
            return Err(Error::from_reason("there is no staging buffer"));
        };
        let waiting = std::mem::take(&mut here.waiting);
        staging.put(&waiting);
        staging.array(env)
    })
}

/// Sets the function that is called with a handle whenever `takeStep` has something for it.
#[napi]
pub fn on_step(env: &Env, handler: Function<'_, i64, ()>) -> Result<()> {
    let handler = handler
        .build_threadsafe_function::<i64>()
        .callee_handled::<false>()
        .weak::<true>()
        .build()?;
    HERE.with_borrow_mut(|here| here.handler = Some(Arc::new(handler)));
    leave_in_the_end(env)
}

/// Makes sure that [`leave`] is called; to be called before anything is kept for this thread.
pub(crate) fn leave_in_the_end(env: &Env) -> Result<()> {
    let first = HERE.with_borrow_mut(|here| !std::mem::replace(&mut here.leaves, true));
    if first {
        env.add_env_cleanup_hook((), |()| leave())?;
    }
    Ok(())
}

/// The thread's JavaScript ends: whatever it left running is stopped and freed by the runners.
fn leave() {
    let left = HERE.with_borrow_mut(std::mem::take);
    left.owner.leave();
}

/// Lets `act` see what this thread owns.
pub(crate) fn with_owner<T>(act: impl FnOnce(&mut Owner<Notes>) -> T) -> T {
    HERE.with_borrow_mut(|here| act(&mut here.owner))
}

/// Makes a sandbox of this thread and returns its handle.
pub(crate) fn add(
    restores_after_calls: bool,
    make: impl FnOnce(Box<dyn Fn() + Send + Sync>) -> Arc<Driver>,
) -> Result<i64> {
    HERE.with_borrow_mut(|here| {
        let Some(handler) = here.handler.clone() else {
            return Err(Error::from_reason("onStep comes before create"));
        };
        Ok(here.owner.add(Notes::default(), |handle| {
            let driver = make(Box::new(move || {
                // The only failure is a thread whose JavaScript has ended: nobody is left to tell.
                let _ = handler.call(handle, ThreadsafeFunctionCallMode::NonBlocking);
            }));
            if restores_after_calls {
                driver.restore_after_calls();
            }
            driver
        }))
    })
}

/// The sandbox of this thread with that handle.
pub(crate) fn sandbox(handle: i64) -> Result<Rc<SandboxHere>> {
    HERE.with_borrow(|here| here.owner.get(handle))
        .ok_or_else(|| Error::from_reason(format!("there is no sandbox {handle} on this thread")))
}

/// Lets `read` see the first `length` bytes of the staging buffer.
pub(crate) fn with_staged<T>(length: u32, read: impl FnOnce(&[u8]) -> T) -> T {
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    // Taken out meanwhile, so that nothing can replace the buffer while it is borrowed.
    let staging = HERE.with_borrow_mut(|here| here.staging.take());
    let result = read(staging.as_ref().map_or(&[], |staging| staging.bytes(length)));
    HERE.with_borrow_mut(|here| here.staging = staging);
    result
}

/// Puts `payload` into the staging buffer, or keeps it until that has grown.
pub(crate) fn put(payload: &[u8]) {
    HERE.with_borrow_mut(|here| {
        let fits = here.staging.as_mut().is_some_and(|staging| staging.put(payload));
        here.waiting.clear();
        if !fits {
            here.waiting.extend_from_slice(payload);
        }
    });
}
