//! Snapshots on disk. Everything here runs on a worker thread of libuv, and what came of it crosses as
//! data: `value` or `error`.

use crate::report::NativeFailure;
use crate::snapshots;
use ampoule_host::{BACKENDS, registry};
use ampoule_sandbox::store::{self, LoadOptions, Loaded, SaveOptions, SnapshotStoreError};
use ampoule_sandbox::{Failure, Snapshot};
use napi::bindgen_prelude::AsyncTask;
use napi::{Env, Result, Task};
use napi_derive::napi;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

/// What came of an operation.
#[napi(object, object_from_js = false)]
pub struct NativeOutcome {
    /// What it brought, as JSON: a key that a store has chosen, such as `__proto__`, is set in an object
    /// of JavaScript's by no other way.
    pub value: Option<String>,
    /// Why it failed.
    pub error: Option<NativeFailure>,
}

/// What is to be saved, and how.
#[napi(object, object_to_js = false)]
pub struct NativeSave {
    /// Number of the snapshot.
    pub snapshot: i64,
    /// Directory of the store.
    pub path: String,
    /// Name to load it by.
    pub tag: String,
    /// Kept with it.
    pub metadata: HashMap<String, String>,
}

/// What an operation brings.
pub enum Brought {
    /// Plain data.
    Plain(Value),
    /// A snapshot, to be shared on the JavaScript thread.
    Snapshot(Loaded),
}

type Work = Box<dyn FnOnce(&AtomicBool) -> std::result::Result<Brought, Failure> + Send>;

/// An operation on a store, by a number with which it can be stopped.
pub struct StoreTask {
    operation: i64,
    stop: Arc<AtomicBool>,
    work: Option<Work>,
}

static NEXT: AtomicI64 = AtomicI64::new(1);
/// What says to operations that they are to stop.
static RUNNING: Mutex<Option<HashMap<i64, Arc<AtomicBool>>>> = Mutex::new(None);

impl StoreTask {
    fn new(
        operation: i64,
        work: impl FnOnce(&AtomicBool) -> std::result::Result<Brought, Failure> + Send + 'static,
    ) -> AsyncTask<Self> {
        let running = RUNNING.lock().as_ref().and_then(|running| running.get(&operation).cloned());
        AsyncTask::new(Self {
            operation,
            stop: running.unwrap_or_default(),
            work: Some(Box::new(work)),
        })
    }
}

#[napi]
impl Task for StoreTask {
    type Output = std::result::Result<Brought, Failure>;
    type JsValue = NativeOutcome;

    fn compute(&mut self) -> Result<Self::Output> {
        let work = self.work.take();
        Ok(work.map_or_else(|| Ok(Brought::Plain(Value::Null)), |work| work(&self.stop)))
    }

    fn resolve(&mut self, env: Env, output: Self::Output) -> Result<Self::JsValue> {
        Ok(match output {
            Ok(Brought::Plain(value)) => {
                NativeOutcome { value: Some(value.to_string()), error: None }
            }
            Ok(Brought::Snapshot(Loaded { snapshot, name })) => {
                let id = snapshots::share(&env, snapshot, name)?;
                NativeOutcome { value: Some(id.to_string()), error: None }
            }
            Err(failure) => NativeOutcome { value: None, error: Some(failure.into()) },
        })
    }

    fn finally(self, _env: Env) -> Result<()> {
        if let Some(running) = &mut *RUNNING.lock() {
            running.remove(&self.operation);
        }
        Ok(())
    }
}

/// A number for the next operation, with which it can be stopped.
#[napi]
pub fn begin_store() -> i64 {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    RUNNING.lock().get_or_insert_default().insert(number, Arc::default());
    number
}

/// Makes an operation end soon.
#[napi]
pub fn stop_store(operation: i64) {
    if let Some(stop) = RUNNING.lock().as_ref().and_then(|running| running.get(&operation)) {
        stop.store(true, Ordering::Relaxed);
    }
}

/// Saves a snapshot.
#[napi(ts_return_type = "Promise<NativeOutcome>")]
pub fn save_snapshot(operation: i64, save: NativeSave) -> Result<AsyncTask<StoreTask>> {
    let found: Option<Snapshot> = snapshots::find(save.snapshot)?;
    let name = registry::with_snapshot(save.snapshot, |_, name| name.to_owned());
    let options = SaveOptions {
        tag: save.tag,
        name: name.unwrap_or_default(),
        metadata: save.metadata.into_iter().collect::<BTreeMap<_, _>>(),
    };
    let path = PathBuf::from(save.path);
    Ok(StoreTask::new(operation, move |stop| {
        let Some(snapshot) = found else { return Ok(Brought::Plain(Value::Null)) };
        let saved = store::save(&snapshot, &path, &options, stop);
        let saved = saved.map_err(|error| error.failure())?;
        let layers = saved.layers.iter();
        let layers = layers
            .map(|(kind, digest, bytes)| json!({ "kind": kind, "digest": digest, "bytes": bytes }));
        Ok(Brought::Plain(json!({
            "digest": saved.digest,
            "tag": saved.tag,
            "newBytes": saved.new_bytes,
            "layers": layers.collect::<Vec<_>>(),
        })))
    }))
}

/// Loads a snapshot; brings its number, with a handle open on this thread.
#[napi(ts_return_type = "Promise<NativeOutcome>")]
#[must_use]
pub fn load_snapshot(
    operation: i64,
    path: String,
    tag: String,
    verify: bool,
) -> AsyncTask<StoreTask> {
    StoreTask::new(operation, move |stop| {
        let options = LoadOptions { tag, verify, backends: BACKENDS };
        let loaded = store::load(Path::new(&path), &options, stop);
        loaded.map(Brought::Snapshot).map_err(|error| error.failure())
    })
}

/// Tells what is in a store, or about the snapshot of a tag.
#[napi(ts_return_type = "Promise<NativeOutcome>")]
#[must_use]
pub fn inspect_store(operation: i64, path: String, tag: Option<String>) -> AsyncTask<StoreTask> {
    StoreTask::new(operation, move |_| {
        let about = store::inspect(Path::new(&path), tag.as_deref());
        about.map(Brought::Plain).map_err(|error| error.failure())
    })
}

/// Checks every snapshot of a store.
#[napi(ts_return_type = "Promise<NativeOutcome>")]
#[must_use]
pub fn verify_store(operation: i64, path: String) -> AsyncTask<StoreTask> {
    StoreTask::new(operation, move |stop| {
        let findings = store::verify(Path::new(&path), stop);
        let findings = findings.map_err(|error| error.failure())?.into_iter();
        let findings = findings.map(|finding| {
            let problem = finding.problem.as_ref().map(SnapshotStoreError::failure);
            let problem = problem.map(|failure| {
                json!({
                    "code": failure.code.as_str(), "message": failure.message, "details": failure.details,
                })
            });
            json!({ "tag": finding.tag, "digest": finding.digest, "problem": problem })
        });
        Ok(Brought::Plain(findings.collect()))
    })
}

/// Removes what no snapshot of a store needs.
#[napi(ts_return_type = "Promise<NativeOutcome>")]
#[must_use]
pub fn prune_store(operation: i64, path: String) -> AsyncTask<StoreTask> {
    StoreTask::new(operation, move |stop| {
        let pruned = store::prune(Path::new(&path), stop);
        let pruned = pruned.map_err(|error| error.failure())?;
        Ok(Brought::Plain(json!({ "blobs": pruned.blobs, "bytes": pruned.bytes })))
    })
}
