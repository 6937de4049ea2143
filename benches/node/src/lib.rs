//! Floors for JavaScript: those of `ampoule-floors`, timed here, and those of Node-API itself, to be
//! timed by the caller. Nothing of the product.
#![deny(unsafe_code)]

use ampoule_floors::{Copy, Create, Exit};
use napi::bindgen_prelude::Function;
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi::{Error, Result, Status};
use napi_derive::napi;
use std::cell::RefCell;
use std::sync::mpsc::{Sender, channel};

type Callback = ThreadsafeFunction<(), (), (), Status, false, true>;

thread_local! {
    static EXIT: RefCell<Option<Exit>> = const { RefCell::new(None) };
    static CREATE: RefCell<Option<Create>> = const { RefCell::new(None) };
    static COPY: RefCell<Option<(u32, Copy)>> = const { RefCell::new(None) };
    static HOP: RefCell<Option<Sender<()>>> = const { RefCell::new(None) };
}

/// The floor `napi`: does nothing.
#[napi]
pub fn empty() {}

/// Prepares the floor `hop`: `callback` is called on this thread after each [`hop`], by way of
/// another thread.
#[napi]
pub fn on_hop(callback: Function<'_, (), ()>) -> Result<()> {
    let callback: Callback = callback
        .build_threadsafe_function::<()>()
        .callee_handled::<false>()
        .weak::<true>()
        .build()?;
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        while receiver.recv().is_ok() {
            callback.call((), ThreadsafeFunctionCallMode::NonBlocking);
        }
    });
    HOP.set(Some(sender));
    Ok(())
}

/// The floor `hop`: wakes the other thread.
#[napi]
pub fn hop() -> Result<()> {
    HOP.with_borrow(|hop| {
        let hop = hop.as_ref().ok_or_else(|| Error::from_reason("onHop comes first"))?;
        hop.send(()).map_err(|error| Error::from_reason(error.to_string()))
    })
}

/// Times of so many round trips of the floor `exit`, in microseconds.
#[napi]
pub fn exit_turn(samples: u32) -> Result<Vec<f64>> {
    EXIT.with_borrow_mut(|exit| {
        let exit = made(exit, Exit::new)?;
        exit.turn(samples as usize).map_err(reason)
    })
}

/// Times of so many turns of the floor `create`, in microseconds, each followed by the time of
/// destroying it.
#[napi]
pub fn create_turn(samples: u32) -> Result<Vec<f64>> {
    CREATE.with_borrow_mut(|create| {
        let create = made(create, Create::new)?;
        let mut times = Vec::new();
        for _ in 0..samples {
            let life = create.once().map_err(reason)?;
            times.extend([life.created, life.destroyed]);
        }
        Ok(times)
    })
}

/// Times of so many turns of the floor `copy` of `pages` pages, in microseconds.
#[napi]
pub fn copy_turn(pages: u32, samples: u32) -> Result<Vec<f64>> {
    COPY.with_borrow_mut(|copy| {
        if copy.as_ref().is_some_and(|(size, _)| *size != pages) {
            *copy = None;
        }
        let (_, copy) = made(copy, || Ok((pages, Copy::of(pages as usize)?)))?;
        copy.by_host(samples as usize).map_err(reason)
    })
}

fn made<T>(
    place: &mut Option<T>,
    make: impl FnOnce() -> std::result::Result<T, anyhow::Error>,
) -> Result<&mut T> {
    if place.is_none() {
        *place = Some(make().map_err(reason)?);
    }
    place.as_mut().ok_or_else(|| Error::from_reason("not made"))
}

fn reason(error: impl std::fmt::Display) -> Error {
    Error::from_reason(format!("{error:#}"))
}
