//! Which part of a published batch has not been read yet.

use std::ops::Range;

/// What a guest has published, copied out of its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Published {
    /// Number of the batch.
    pub sequence: u64,
    /// Guest-virtual address of its first byte.
    pub address: u64,
    /// Bytes of complete records.
    pub length: u64,
}

/// A header that describes no batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// A guest rang for a batch and has published none.
    #[error("A TraceBatch is not present")]
    Absent,
    /// The length is zero where a full batch was announced, or beyond the limit.
    #[error("Invalid TraceBatch length: {length}")]
    Length {
        /// The length.
        length: u64,
    },
    /// A batch that was replaced by a later one comes back.
    #[error("TraceBatch {found} was published after {last}")]
    Sequence {
        /// The number of the last batch.
        last: u64,
        /// What was published now.
        found: u64,
    },
    /// The batch would end behind the end of all memory.
    #[error("a TraceBatch of {length} bytes at address {address:#x}")]
    Address {
        /// The address.
        address: u64,
        /// The length.
        length: u64,
    },
}

/// Bytes of a batch that are to be read: guest-virtual addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// Where they lie.
    pub addresses: Range<u64>,
}

/// How far batches have been read, so that nothing is read twice.
#[derive(Debug, Clone, Copy, Default)]
pub struct Transport {
    sequence: u64,
    consumed: u64,
}

impl Transport {
    /// What is new in `published`, which counts as read from now on. `is_full` says that the guest rang
    /// because the batch is full. `limit` bounds a batch, in bytes.
    ///
    /// # Errors
    /// [`TransportError`]; nothing is to be read then.
    pub fn advance(
        &mut self,
        published: Published,
        is_full: bool,
        limit: u64,
    ) -> Result<Option<Unread>, TransportError> {
        let Published { sequence, address, length } = published;
        if sequence == 0 || address == 0 {
            let absent = Err(TransportError::Absent);
            return if is_full || sequence != 0 || length != 0 { absent } else { Ok(None) };
        }
        if sequence < self.sequence {
            return Err(TransportError::Sequence { last: self.sequence, found: sequence });
        }
        if length > limit || (length == 0 && is_full) {
            return Err(TransportError::Length { length });
        }
        let end = address.checked_add(length).ok_or(TransportError::Address { address, length })?;
        if sequence > self.sequence {
            (self.sequence, self.consumed) = (sequence, 0);
        }
        // A shorter length than before is a guest that is about to begin the next batch.
        let start = address + self.consumed.min(length);
        self.consumed = self.consumed.max(length);
        Ok((start < end).then_some(Unread { addresses: start..end }))
    }

    /// The number of the batch of which everything has been read.
    #[must_use]
    pub const fn acknowledged(&self) -> u64 {
        self.sequence
    }
}

#[cfg(test)]
mod tests {
    use super::{Published, Transport, TransportError, Unread};

    const LIMIT: u64 = 1000;

    fn batch(sequence: u64, length: u64) -> Published {
        Published { sequence, address: 0x1000, length }
    }

    fn unread(start: u64, end: u64) -> Result<Option<Unread>, TransportError> {
        Ok(Some(Unread { addresses: 0x1000 + start..0x1000 + end }))
    }

    #[test]
    fn nothing_is_read_twice() {
        let mut transport = Transport::default();
        assert_eq!(transport.advance(batch(1, 100), false, LIMIT), unread(0, 100));
        assert_eq!(transport.advance(batch(1, 100), false, LIMIT), Ok(None));
        assert_eq!(transport.advance(batch(1, 160), false, LIMIT), unread(100, 160));
        assert_eq!(transport.acknowledged(), 1);
        assert_eq!(transport.advance(batch(2, 40), false, LIMIT), unread(0, 40));
        assert_eq!(transport.acknowledged(), 2);
    }

    #[test]
    fn a_guest_that_is_stopped_while_it_begins_a_batch_loses_nothing() {
        let mut transport = Transport::default();
        assert_eq!(transport.advance(batch(1, 100), false, LIMIT), unread(0, 100));
        assert_eq!(transport.advance(batch(1, 0), false, LIMIT), Ok(None));
        assert_eq!(transport.advance(batch(1, 100), false, LIMIT), Ok(None));
    }

    #[test]
    fn a_batch_that_nobody_published_is_absent() {
        let mut transport = Transport::default();
        assert_eq!(transport.advance(Published::default(), false, LIMIT), Ok(None));
        let error = transport.advance(Published::default(), true, LIMIT).unwrap_err();
        assert_eq!(error.to_string(), "A TraceBatch is not present");
        let nowhere = Published { address: 0, ..batch(1, 10) };
        assert_eq!(transport.advance(nowhere, false, LIMIT), Err(TransportError::Absent));
    }

    #[test]
    fn a_length_of_zero_or_beyond_the_limit_is_invalid() {
        let mut transport = Transport::default();
        let error = transport.advance(batch(1, 0), true, LIMIT).unwrap_err();
        assert_eq!(error.to_string(), "Invalid TraceBatch length: 0");
        let error = transport.advance(batch(1, LIMIT + 1), false, LIMIT).unwrap_err();
        assert_eq!(error.to_string(), "Invalid TraceBatch length: 1001");
        assert_eq!(transport.advance(batch(1, LIMIT), false, LIMIT), unread(0, LIMIT));
    }

    #[test]
    fn old_batches_and_impossible_addresses_are_refused() {
        let mut transport = Transport::default();
        assert_eq!(transport.advance(batch(9, 10), false, LIMIT), unread(0, 10));
        let old = transport.advance(batch(8, 10), false, LIMIT);
        assert_eq!(old, Err(TransportError::Sequence { last: 9, found: 8 }));
        let address = u64::MAX - 5;
        let wraps = transport.advance(Published { address, ..batch(10, 10) }, false, LIMIT);
        assert_eq!(wraps, Err(TransportError::Address { address, length: 10 }));
    }
}
