//! Whether a back end can be used here, and if not, why and what to do.

use std::fmt;

/// Whether a back end can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Availability {
    /// It works.
    Available,
    /// It does not.
    Unavailable(Obstacle),
}

/// Why a back end cannot be used, and what to do about it. Shown as [`Obstacle::finding`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obstacle {
    /// What is missing, one word or two: `hypervisor`.
    pub lacking: &'static str,
    /// What kind of reason it is.
    pub kind: ObstacleKind,
    /// What was found, a clause that names the device or facility.
    pub finding: String,
    /// What to do about it.
    pub remedy: &'static str,
}

/// A reason, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObstacleKind {
    /// The device or facility does not exist.
    NoDevice,
    /// It exists, but this user may not use it.
    NoPermission,
    /// It could not be opened or used for another reason.
    Unusable,
    /// The kernel lacks something of it that Ampoule needs.
    TooOld,
}

impl Availability {
    /// A stable word for programs: `available`, `no-device`, `no-permission`, `unusable`, `too-old`.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::Unavailable(obstacle) => obstacle.kind.word(),
        }
    }

    /// What to do about it; empty when nothing needs doing.
    #[must_use]
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::Available => "",
            Self::Unavailable(obstacle) => obstacle.remedy,
        }
    }
}

impl ObstacleKind {
    /// A stable word for programs: `no-device`, `no-permission`, `unusable`, `too-old`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::NoDevice => "no-device",
            Self::NoPermission => "no-permission",
            Self::Unusable => "unusable",
            Self::TooOld => "too-old",
        }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.finding)
    }
}
