//! What one restore knows for the next: where dirty pages can be, and which were.

use super::scan::Directory;
use super::tables::Tables;
use crate::frame::Run;
use crate::physical::PhysicalMemory;
use std::io;

/// What one restore knows for the next.
#[derive(Debug, Default)]
pub(super) struct Tracking {
    /// The page directories. Found at the first restore, and right until a table is added.
    directories: Option<Vec<Directory>>,
    /// The hot pages as runs of frames; kept for its room.
    hot: Vec<Run>,
}

impl Tracking {
    /// To be called when a table was added or all of them were replaced.
    pub(super) fn forget_tables(&mut self) {
        self.directories = None;
    }

    /// The pages whose dirty bit is set, and how many they are.
    pub(super) fn find_hot(
        &mut self,
        tables: Tables,
        memory: &PhysicalMemory,
    ) -> io::Result<(&[Run], usize)> {
        self.hot.clear();
        let directories = self.directories.get_or_insert_with(|| tables.directories(memory));
        let mut count = 0;
        for &directory in directories.iter() {
            Tables::for_each_dirty(memory, directory, |frame| {
                count += 1;
                Run::append(&mut self.hot, frame);
            })?;
        }
        Ok((&self.hot, count))
    }
}
