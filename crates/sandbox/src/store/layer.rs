//! What the layers of a snapshot are.

use ampoule_store::Descriptor;

/// What a layer of a snapshot holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layer {
    /// Every used page of memory, in order.
    Base,
    /// The pages that differ from the base, behind a list of them.
    Pages,
    /// What the guest said when it was ready.
    Interface,
    /// The guest's executable.
    Executable,
    /// A file of the guest's.
    File,
}

impl Layer {
    const ALL: [Self; 5] = [Self::Base, Self::Pages, Self::Interface, Self::Executable, Self::File];

    pub(super) const fn media_type(self) -> &'static str {
        match self {
            Self::Base => "application/vnd.ampoule.memory.base.v1",
            Self::Pages => "application/vnd.ampoule.memory.pages.v1",
            Self::Interface => "application/vnd.ampoule.interface.v1+flatbuffers",
            Self::Executable => "application/vnd.ampoule.executable.v1",
            Self::File => "application/vnd.ampoule.file.v1",
        }
    }

    pub(super) fn of(descriptor: &Descriptor) -> Option<Self> {
        Self::ALL.into_iter().find(|layer| layer.media_type() == descriptor.media_type)
    }

    /// The name that `inspect` and results use.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Pages => "pages",
            Self::Interface => "interface",
            Self::Executable => "executable",
            Self::File => "file",
        }
    }
}
