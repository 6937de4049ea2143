use super::*;

/// A channel over ordinary memory, in which the test plays the host.
#[repr(C, align(4096))]
struct Memory {
    to_guest: [u8; 4096],
    to_host: [u8; 4096],
}

fn channel() -> Channel {
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
    let channel = channel();
    let claim = Claim::take(&channel).unwrap();
    assert!(Claim::take(&channel).is_none());
    drop(claim);
    assert!(Claim::take(&channel).is_some());
}
