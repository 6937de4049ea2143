//! The staging buffer: memory of the binding's own that JavaScript sees as a `Uint8Array`.
//!
//! The only unsafe code of the binding. Passing bytes through memory that both sides see costs one
//! copy and no call, where a fresh `Buffer` for each message costs microseconds.
//!
//! The memory belongs to JavaScript's `ArrayBuffer`, whose finalizer frees it; the binding holds a
//! strong reference to the array for as long as it keeps the pointer. It is never guest memory.
#![expect(unsafe_code, reason = "memory shared with JavaScript is reached through a raw pointer")]

use napi::bindgen_prelude::{FromNapiValue as _, JsValue as _, Uint8ArraySlice, Unknown};
use napi::{Env, Result, UnknownRef};
use std::ptr::NonNull;

/// The buffer that is in use on this thread.
///
/// Invariant: `bytes` is the backing store of the array that `array` keeps alive, `length` long,
/// initialised, neither shared with another thread nor detached: the TypeScript side never hands the
/// array out. JavaScript and this type run on one thread and in turns, so a slice that does not
/// outlive a native call is not written to by JavaScript.
pub(crate) struct Staging {
    bytes: NonNull<u8>,
    length: usize,
    array: UnknownRef<false>,
}

impl Staging {
    /// Allocates `length` bytes that JavaScript sees, too.
    pub(crate) fn new(env: &Env, length: usize) -> Result<Self> {
        let memory = Box::leak(vec![0; length].into_boxed_slice());
        let bytes = NonNull::from(&mut *memory).cast::<u8>();
        let address = bytes.as_ptr();
        // SAFETY: `from_external` wants memory that stays valid until the finalizer runs and is not
        // freed otherwise: it was leaked above, and only the finalizer takes it back.
        let array = unsafe {
            Uint8ArraySlice::from_external(
                env,
                address,
                length,
                (bytes, length),
                |_, (bytes, length)| {
                    free(bytes, length);
                },
            )
        }?;
        let value = array.to_unknown().raw();
        // SAFETY: wants an environment and a live value of it: both are those of this call.
        let array = unsafe { UnknownRef::from_napi_value(env.raw(), value) }?;
        Ok(Self { bytes, length, array })
    }

    /// The buffer as JavaScript sees it.
    pub(crate) fn array<'env>(&self, env: &'env Env) -> Result<Unknown<'env>> {
        self.array.get_value(env)
    }

    /// Lets JavaScript's collector have the buffer.
    pub(crate) fn release(self, env: &Env) -> Result<()> {
        self.array.unref(env)
    }

    pub(crate) const fn len(&self) -> usize {
        self.length
    }

    /// The first `length` bytes, or all when there are fewer.
    pub(crate) fn bytes(&self, length: usize) -> &[u8] {
        // SAFETY: by the type's invariant the pointer is valid for reads of `self.length` bytes; the
        // borrow of `self` keeps `put` away, and JavaScript does not run while native code does.
        unsafe { std::slice::from_raw_parts(self.bytes.as_ptr(), length.min(self.length)) }
    }

    /// Writes `payload` to the start and says whether it fits.
    pub(crate) fn put(&mut self, payload: &[u8]) -> bool {
        if payload.len() > self.length {
            return false;
        }
        // SAFETY: the pointer is valid for writes of `self.length` bytes, which is not less than the
        // payload; the payload is borrowed by Rust code and cannot overlap, since `&mut self` excludes
        // a slice from `bytes`.
        unsafe {
            std::ptr::copy_nonoverlapping(payload.as_ptr(), self.bytes.as_ptr(), payload.len());
        }
        true
    }
}

/// Takes back what [`Staging::new`] leaked.
fn free(bytes: NonNull<u8>, length: usize) {
    let slice = NonNull::slice_from_raw_parts(bytes, length);
    // SAFETY: pointer and length are those of the leaked box, and the finalizer, which alone calls
    // this, runs once.
    drop(unsafe { Box::from_raw(slice.as_ptr()) });
}
