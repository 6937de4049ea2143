//! What a guest publishes in the header of its trace area.

use ampoule_spans::{Published, Transport};

const LIMIT: u64 = 1 << 20;

/// Whatever is published, nothing is read twice, nor more than a batch can have.
///
/// The input is a sequence of headers of 25 bytes: a flag, then sequence, address and length.
pub fn check(input: &[u8]) {
    let mut transport = Transport::default();
    let mut last = (0, 0);
    for header in input.chunks_exact(25) {
        let word = |at: usize| u64::from_le_bytes(header[at..at + 8].try_into().unwrap());
        let published = Published { sequence: word(1), address: word(9), length: word(17) };
        let Ok(Some(unread)) = transport.advance(published, header[0] & 1 == 1, LIMIT) else {
            continue;
        };
        let range = unread.addresses;
        assert!(range.start < range.end && range.end - range.start <= LIMIT);
        assert_eq!(range.end, published.address + published.length);
        let from = range.start - published.address;
        assert!(published.sequence > last.0 || (published.sequence == last.0 && from >= last.1));
        last = (published.sequence, published.length);
        assert_eq!(transport.acknowledged(), published.sequence);
    }
}

/// A batch that grows, the next one, and a guest that rings because one is full.
pub fn seeds() -> Vec<Vec<u8>> {
    let header = |flag: u8, sequence: u64, length: u64| {
        let words = [sequence, 0x7e_8010_0040, length].map(u64::to_le_bytes).concat();
        [vec![flag], words].concat()
    };
    let grows = [header(0, 1, 64), header(0, 1, 640), header(0, 1, 0), header(0, 2, 8)].concat();
    let full = [header(0, 1, 0), header(1, 1, 65_472), header(1, 2, 65_472)].concat();
    vec![grows, full]
}
