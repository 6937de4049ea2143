use super::*;
use std::cell::RefCell;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a guest posted: kind, function, payload.
pub(crate) type Posted = (u32, u32, Vec<u8>);
/// What a host answers: kind, function, payload.
pub(crate) type Answer = (HostMessage, u32, Vec<u8>);

type Host = Box<dyn FnMut(Posted) -> Answer>;

thread_local! {
    static HOST: RefCell<Option<Host>> = const { RefCell::new(None) };
}

/// Makes `host` what this thread's doorbell reaches.
pub(crate) fn play_host(host: impl FnMut(Posted) -> Answer + 'static) {
    HOST.set(Some(Box::new(host)));
}

/// The right to use channels is the process's: one test at a time.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lets this thread's host answer what was posted, if there is one.
pub(super) fn host_answers(channel: &Channel) -> bool {
    let Some(mut host) = HOST.take() else { return false };
    let header = channel.to_host.header();
    let length = usize::try_from(header.length.load(Ordering::Relaxed)).unwrap();
    // SAFETY: the area has as many bytes, and nothing writes to it meanwhile.
    let payload = unsafe { std::slice::from_raw_parts(channel.to_host.payload(), length) };
    let posted = (
        header.kind.load(Ordering::Relaxed),
        header.function.load(Ordering::Relaxed),
        payload.to_vec(),
    );
    let (kind, function, payload) = host(posted);
    assert!(payload.len() <= channel.to_guest.capacity);
    // SAFETY: as many bytes fit (just checked), and no reference to the area is in use while it rings.
    unsafe { channel.to_guest.payload().copy_from_nonoverlapping(payload.as_ptr(), payload.len()) };
    channel.to_guest.header().function.store(function, Ordering::Relaxed);
    let sequence = header.sequence.load(Ordering::Relaxed).wrapping_add(1);
    answer(channel, sequence, kind as u32, u64::try_from(payload.len()).unwrap());
    HOST.set(Some(host));
    true
}

/// A channel over ordinary memory, in which the test plays the host.
#[repr(C, align(4096))]
struct Memory {
    to_guest: [u8; 4096],
    to_host: [u8; 4096],
}

pub(crate) fn channel() -> Channel {
    let memory = Box::leak(Box::new(Memory { to_guest: [0; 4096], to_host: [0; 4096] }));
    let base = (&raw mut *memory).expose_provenance();
    let area = |offset| Mailbox::new(base, Area { offset, size: 4096 }).unwrap();
    Channel { control: base, to_guest: area(0), to_host: area(4096), trace: None }
}

fn answer(channel: &Channel, sequence: u32, kind: u32, length: u64) {
    let header = channel.to_guest.header();
    header.kind.store(kind, Ordering::Relaxed);
    header.length.store(length, Ordering::Relaxed);
    header.sequence.store(sequence, Ordering::Release);
}

#[test]
fn sequence_numbers_alternate() {
    let channel = channel();
    channel.post(GuestMessage::Ready, 0, b"abc").unwrap();
    let header = channel.to_host.header();
    assert_eq!(header.sequence.load(Ordering::Relaxed), 1);
    assert_eq!(header.length.load(Ordering::Relaxed), 3);

    answer(&channel, 2, 1, 0);
    assert_eq!(channel.received().unwrap().kind, HostMessage::Call);
    channel.post(GuestMessage::HostCall, 7, b"").unwrap();
    assert_eq!(header.sequence.load(Ordering::Relaxed), 3);
    assert_eq!(header.function.load(Ordering::Relaxed), 7);
    // A message that replaces one before the doorbell keeps its number.
    channel.post(GuestMessage::Return, 0, b"").unwrap();
    assert_eq!(header.sequence.load(Ordering::Relaxed), 3);
}

#[test]
fn what_the_host_gets_wrong_is_named() {
    let channel = channel();
    channel.post(GuestMessage::Ready, 0, b"").unwrap();
    let problem = || channel.received().unwrap_err().to_string();
    assert_eq!(problem(), "protocol: message 0 from the host where 2 was due");
    answer(&channel, 2, 9, 0);
    assert_eq!(problem(), "protocol: unknown message kind 9 from the host");
    answer(&channel, 2, 1, 4096 - HEADER_SIZE + 1);
    assert_eq!(problem(), "protocol: a payload of 4033 bytes in an area of 4032");
    answer(&channel, 2, 1, 4096 - HEADER_SIZE);
    assert!(channel.received().is_ok());
}

#[test]
fn a_message_that_does_not_fit_is_not_posted() {
    let channel = channel();
    let error = channel.post(GuestMessage::Return, 0, &[1; 4096]).unwrap_err();
    assert_eq!((error.size, error.limit), (4096, 4032));
    assert_eq!(channel.to_host.header().sequence.load(Ordering::Relaxed), 0);
    channel.post(GuestMessage::Return, 0, &[1; 4032]).unwrap();
}

#[test]
fn only_one_claim_is_given_at_a_time() {
    let _alone = alone();
    let channel = channel();
    let claim = Claim::take(&channel).unwrap();
    assert!(Claim::take(&channel).is_none());
    drop(claim);
    assert!(Claim::take(&channel).is_some());
}
