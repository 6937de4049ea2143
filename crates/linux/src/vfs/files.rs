//! Files: what a guest reaches through descriptors and paths.
//!
//! A *descriptor* is the guest's number; it refers to an open file *description* (offset and flags),
//! which duplicated descriptors share, as in Linux. A description refers to an [`Object`]: standard
//! streams, nodes of the read-only [`FileSystem`], devices and pipes of this crate. No host file
//! stands behind any of them.

pub(crate) mod state;

use super::flags::{CLOSE_ON_EXEC, DIRECT, NONBLOCK, PATH_ONLY, READ_ONLY, WRITE_ONLY, ends};
use super::pipe::Pipes;
use super::system::{Device, FileSystem, Node};
use crate::errno::Errno;
use std::collections::VecDeque;
use std::sync::Arc;

/// Most descriptors, whatever `RLIMIT_NOFILE` says.
pub(crate) const DESCRIPTORS_MAX: usize = 1024;
/// Default of [`crate::Start::output_high_water`].
pub const OUTPUT_HIGH_WATER: usize = 64 << 10;

/// One of the two streams that a guest writes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputStream {
    /// Descriptor 1.
    Stdout,
    /// Descriptor 2.
    Stderr,
}

/// What an open file description refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Object {
    /// Standard input.
    Input,
    /// Standard output or error.
    Output(OutputStream),
    /// A regular file, or a link opened as such.
    File(Node),
    /// A directory.
    Directory(Node),
    /// A device, and the node it was opened by.
    Device(Device, Node),
    /// A pipe; which end it is stands in the description's access mode.
    Pipe(usize),
}

impl Object {
    /// Whether bytes come and go without a position.
    pub(crate) const fn is_stream(self) -> bool {
        matches!(self, Self::Input | Self::Output(_) | Self::Pipe(_))
    }
}

/// An open file description.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Description {
    pub(crate) object: Object,
    /// Where the next read starts; for a directory the number of the next entry.
    pub(crate) offset: u64,
    /// Access mode and status flags, as `F_GETFL` tells them.
    pub(crate) flags: u32,
    /// Descriptors that refer here.
    references: u32,
}

impl Description {
    pub(crate) const fn is_readable(&self) -> bool {
        ends(self.flags).0
    }

    pub(crate) const fn is_writable(&self) -> bool {
        ends(self.flags).1
    }

    pub(crate) const fn is_nonblocking(&self) -> bool {
        self.flags & NONBLOCK != 0
    }

    /// Whether what is written by one call stays together.
    pub(crate) const fn writes_packets(&self) -> bool {
        self.flags & DIRECT != 0
    }
}

#[derive(Debug, Clone, Copy)]
struct Descriptor {
    /// Index into `Files::descriptions`.
    description: usize,
    close_on_exec: bool,
}

/// Everything that a guest reaches through descriptors.
///
/// Invariant: a descriptor's description exists, and its `references` counts its descriptors.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    pub(crate) system: Arc<dyn FileSystem>,
    descriptors: Vec<Option<Descriptor>>,
    descriptions: Vec<Option<Description>>,
    pub(crate) pipes: Pipes,
    /// The current directory.
    pub(crate) directory: Node,
    /// `RLIMIT_NOFILE`.
    descriptor_limit: usize,
    pub(crate) input: VecDeque<u8>,
    pub(crate) input_ended: bool,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    /// Bytes in both output buffers at which the guest has to wait.
    pub(crate) high_water: usize,
}

impl Files {
    /// The three standard streams, and `/` as the current directory.
    pub(crate) fn new(system: Arc<dyn FileSystem>, high_water: usize) -> Self {
        let directory = system.root();
        let mut files = Self {
            system,
            descriptors: Vec::new(),
            descriptions: Vec::new(),
            pipes: Pipes::default(),
            directory,
            descriptor_limit: DESCRIPTORS_MAX,
            input: VecDeque::new(),
            input_ended: false,
            stdout: Vec::new(),
            stderr: Vec::new(),
            high_water: high_water.max(1),
        };
        let streams = [
            (Object::Input, READ_ONLY),
            (Object::Output(OutputStream::Stdout), WRITE_ONLY),
            (Object::Output(OutputStream::Stderr), WRITE_ONLY),
        ];
        for (index, (object, flags)) in streams.into_iter().enumerate() {
            files.descriptions.push(Some(Description { object, offset: 0, flags, references: 1 }));
            files.descriptors.push(Some(Descriptor { description: index, close_on_exec: false }));
        }
        files
    }

    /// Goes back to the state of `from`; output that nobody has taken yet stays.
    pub(crate) fn restore(&mut self, from: &Self) {
        let (stdout, stderr) = (std::mem::take(&mut self.stdout), std::mem::take(&mut self.stderr));
        *self = Self { stdout, stderr, ..from.clone() };
    }

    /// The buffer of an output stream.
    pub(crate) fn output(&mut self, stream: OutputStream) -> &mut Vec<u8> {
        match stream {
            OutputStream::Stdout => &mut self.stdout,
            OutputStream::Stderr => &mut self.stderr,
        }
    }

    /// Drops output that nobody has taken.
    pub(crate) fn forget_output(&mut self) {
        self.stdout = Vec::new();
        self.stderr = Vec::new();
    }

    /// Numbers below this may be opened.
    pub(crate) const fn descriptor_limit(&self) -> usize {
        self.descriptor_limit
    }

    /// Sets `RLIMIT_NOFILE`.
    pub(crate) fn limit_descriptors(&mut self, limit: usize) {
        self.descriptor_limit = limit.min(DESCRIPTORS_MAX);
    }

    /// Bytes that wait to be drained.
    pub(crate) fn pending_output(&self) -> usize {
        self.stdout.len() + self.stderr.len()
    }

    /// Numbers of the open descriptors from `from` on.
    pub(crate) fn open_from(&self, from: usize) -> impl Iterator<Item = usize> {
        let open = self.descriptors.iter().enumerate().skip(from);
        open.filter(|(_, descriptor)| descriptor.is_some()).map(|(number, _)| number)
    }

    /// The number that an `int` argument names.
    ///
    /// # Errors
    /// `EBADF` for a negative one.
    pub(crate) fn number(descriptor: i32) -> Result<usize, Errno> {
        usize::try_from(descriptor).map_err(|_| Errno::EBADF)
    }

    fn descriptor(&self, number: usize) -> Result<Descriptor, Errno> {
        self.descriptors.get(number).copied().flatten().ok_or(Errno::EBADF)
    }

    /// The description behind a descriptor.
    ///
    /// # Errors
    /// `EBADF` when it is not open.
    pub(crate) fn description(&self, number: usize) -> Result<&Description, Errno> {
        let index = self.descriptor(number)?.description;
        self.descriptions.get(index).and_then(Option::as_ref).ok_or(Errno::EBADF)
    }

    /// The description behind an `int` argument.
    ///
    /// # Errors
    /// `EBADF` when it is not open.
    pub(crate) fn description_of(&self, descriptor: i32) -> Result<&Description, Errno> {
        self.description(Self::number(descriptor)?)
    }

    /// As [`Self::description_of`], for calls that do something with the file: one that is only named
    /// (`O_PATH`) is as good as closed to them.
    ///
    /// # Errors
    /// `EBADF`.
    pub(crate) fn usable(&self, descriptor: i32) -> Result<&Description, Errno> {
        let description = self.description_of(descriptor)?;
        if description.flags & PATH_ONLY != 0 { Err(Errno::EBADF) } else { Ok(description) }
    }

    /// As [`Self::description_of`], to change it.
    pub(crate) fn description_mut(&mut self, descriptor: i32) -> Result<&mut Description, Errno> {
        let index = self.descriptor(Self::number(descriptor)?)?.description;
        self.descriptions.get_mut(index).and_then(Option::as_mut).ok_or(Errno::EBADF)
    }

    pub(crate) fn close_on_exec(&self, descriptor: i32) -> Result<bool, Errno> {
        Ok(self.descriptor(Self::number(descriptor)?)?.close_on_exec)
    }

    pub(crate) fn set_close_on_exec(&mut self, descriptor: i32, value: bool) -> Result<(), Errno> {
        let slot = self.descriptors.get_mut(Self::number(descriptor)?);
        slot.and_then(Option::as_mut).ok_or(Errno::EBADF)?.close_on_exec = value;
        Ok(())
    }

    /// Opens `object` under the lowest free number.
    ///
    /// # Errors
    /// `EMFILE`.
    pub(crate) fn open(&mut self, object: Object, flags: u32) -> Result<usize, Errno> {
        let number = self.free_number(0)?;
        let description = Description { object, offset: 0, flags, references: 0 };
        let index = match self.descriptions.iter().position(Option::is_none) {
            Some(free) => free,
            None => {
                self.descriptions.push(None);
                self.descriptions.len() - 1
            }
        };
        self.descriptions[index] = Some(description);
        if let Object::Pipe(pipe) = object {
            self.pipes.hold(pipe, flags);
        }
        self.refer(number, index, flags & CLOSE_ON_EXEC != 0);
        Ok(number)
    }

    /// Makes the lowest free number from `from` on refer to the description of `descriptor`.
    ///
    /// # Errors
    /// `EBADF`, `EMFILE`.
    pub(crate) fn duplicate(
        &mut self,
        descriptor: usize,
        from: usize,
        close_on_exec: bool,
    ) -> Result<usize, Errno> {
        let index = self.descriptor(descriptor)?.description;
        let number = self.free_number(from)?;
        self.refer(number, index, close_on_exec);
        Ok(number)
    }

    /// Makes `number` refer to the description of `descriptor`, closing what it was before.
    ///
    /// # Errors
    /// `EBADF`, also for a number beyond the limit.
    pub(crate) fn duplicate_to(
        &mut self,
        descriptor: usize,
        number: usize,
        close_on_exec: bool,
    ) -> Result<(), Errno> {
        let index = self.descriptor(descriptor)?.description;
        if number >= self.descriptor_limit {
            return Err(Errno::EBADF);
        }
        if self.descriptor(number).is_ok() {
            self.close(number)?;
        }
        self.refer(number, index, close_on_exec);
        Ok(())
    }

    /// Closes a descriptor, and its description with the last one that refers to it.
    ///
    /// # Errors
    /// `EBADF`.
    pub(crate) fn close(&mut self, number: usize) -> Result<(), Errno> {
        let index = self.descriptor(number)?.description;
        self.descriptors[number] = None;
        if let Some(description) = self.descriptions.get_mut(index).and_then(Option::as_mut) {
            description.references -= 1;
            if description.references == 0 {
                let gone = *description;
                self.descriptions[index] = None;
                self.release(&gone);
            }
        }
        Ok(())
    }

    /// Forgets a description that is gone, and its pipe with the last one of that.
    fn release(&mut self, gone: &Description) {
        let Object::Pipe(pipe) = gone.object else { return };
        // One that is only named may be left.
        let is_used = |used: &Description| used.object == gone.object;
        if self.pipes.release(pipe, gone.flags) && !self.descriptions.iter().flatten().any(is_used)
        {
            self.pipes.remove(pipe);
        }
    }

    /// Makes a pipe, and opens its ends: the reading one, the writing one.
    ///
    /// # Errors
    /// `ENFILE`, `EMFILE`.
    pub(crate) fn make_pipe(&mut self, flags: u32) -> Result<(usize, usize), Errno> {
        let pipe = self.pipes.make()?;
        let reader = self.open(Object::Pipe(pipe), flags | READ_ONLY);
        let reader = reader.inspect_err(|_| self.pipes.remove(pipe))?;
        match self.open(Object::Pipe(pipe), flags | WRITE_ONLY) {
            Ok(writer) => Ok((reader, writer)),
            Err(errno) => {
                self.close(reader)?;
                Err(errno)
            }
        }
    }

    fn refer(&mut self, number: usize, index: usize, close_on_exec: bool) {
        if number >= self.descriptors.len() {
            self.descriptors.resize(number + 1, None);
        }
        self.descriptors[number] = Some(Descriptor { description: index, close_on_exec });
        if let Some(description) = self.descriptions.get_mut(index).and_then(Option::as_mut) {
            description.references += 1;
        }
    }

    /// The lowest free number from `from` on.
    ///
    /// # Errors
    /// `EMFILE`.
    pub(crate) fn free_number(&self, from: usize) -> Result<usize, Errno> {
        let free = (from..self.descriptor_limit).find(|&number| self.descriptor(number).is_err());
        free.ok_or(Errno::EMFILE)
    }
}
