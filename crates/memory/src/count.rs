//! Numbers of pages.

use ampoule_abi::layout::PAGE_SIZE;

/// A number of pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct PageCount(u64);

impl PageCount {
    /// None.
    pub const ZERO: Self = Self(0);
    pub(crate) const ONE: Self = Self(1);

    /// `count` pages.
    #[must_use]
    pub const fn new(count: u64) -> Self {
        Self(count)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The bytes of so many pages.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0 * PAGE_SIZE
    }

    /// The difference; none when `other` is more.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl std::ops::Add for PageCount {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl std::ops::AddAssign for PageCount {
    fn add_assign(&mut self, other: Self) {
        self.0 += other.0;
    }
}

impl std::ops::Sub for PageCount {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
}

impl std::ops::SubAssign for PageCount {
    fn sub_assign(&mut self, other: Self) {
        self.0 -= other.0;
    }
}

impl std::iter::Sum for PageCount {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        Self(counts.map(Self::get).sum())
    }
}
