//! Pipes: a guest has one thread, so a pipe only holds what that thread wrote until it reads it
//! back. Shells use this for here-documents, event loops to wake themselves.

use super::{CLOSE_ON_EXEC, Files, NONBLOCK, Object, READ_ONLY, WRITE_ONLY};
use crate::answer::{Answer, Outcome};
use crate::errno::Errno;
use crate::guest::{Arguments, Record};
use crate::personality::Personality;
use ampoule_memory::AddressSpace;
use std::collections::VecDeque;

/// Linux' default size of a pipe.
pub(crate) const PIPE_SIZE: usize = 64 << 10;
/// Linux' `PIPE_BUF`: writes up to this size are not split.
pub(crate) const PIPE_BUF: usize = 4096;
/// Most pipes; bounds the host memory that they can take to 4 MiB.
pub(crate) const PIPES_MAX: usize = 64;

/// Bytes on their way, and which ends are open.
#[derive(Debug, Clone)]
pub(crate) struct Pipe {
    pub(crate) buffer: VecDeque<u8>,
    pub(crate) has_reader: bool,
    pub(crate) has_writer: bool,
}

impl Pipe {
    /// Bytes that can be written now.
    pub(crate) fn room(&self) -> usize {
        PIPE_SIZE.saturating_sub(self.buffer.len())
    }
}

impl Files {
    pub(crate) fn pipe(&mut self, index: usize) -> Result<&mut Pipe, Errno> {
        self.pipes.get_mut(index).and_then(Option::as_mut).ok_or(Errno::EBADF)
    }

    /// Forgets an end of a pipe whose description is gone, and the pipe with its second end.
    pub(crate) fn release_pipe(&mut self, object: Object) {
        let (Object::PipeReader(index) | Object::PipeWriter(index)) = object else { return };
        if let Ok(pipe) = self.pipe(index) {
            match object {
                Object::PipeReader(_) => pipe.has_reader = false,
                _ => pipe.has_writer = false,
            }
            if !pipe.has_reader && !pipe.has_writer {
                self.pipes[index] = None;
            }
        }
    }

    fn make_pipe(&mut self, flags: u32) -> Result<(usize, usize), Errno> {
        let index = match self.pipes.iter().position(Option::is_none) {
            Some(free) => free,
            None if self.pipes.len() < PIPES_MAX => {
                self.pipes.push(None);
                self.pipes.len() - 1
            }
            None => return Err(Errno::ENFILE),
        };
        let pipe = Pipe { buffer: VecDeque::new(), has_reader: true, has_writer: true };
        self.pipes[index] = Some(pipe);
        let reader = self.open(Object::PipeReader(index), flags | READ_ONLY);
        let reader = reader.inspect_err(|_| self.pipes[index] = None)?;
        match self.open(Object::PipeWriter(index), flags | WRITE_ONLY) {
            Ok(writer) => Ok((reader, writer)),
            Err(errno) => {
                self.close(reader)?;
                self.pipes[index] = None;
                Err(errno)
            }
        }
    }
}

fn pipe_with(
    personality: &mut Personality,
    space: &mut AddressSpace,
    address: u64,
    flags: u32,
) -> Outcome {
    let (reader, writer) = personality.files.make_pipe(flags)?;
    let number = |descriptor: usize| u32::try_from(descriptor).unwrap_or(u32::MAX);
    let record = Record::<8>::new().set_u32(0, number(reader)).set_u32(4, number(writer));
    if let Err(errno) = record.store(space, address) {
        personality.files.close(reader)?;
        personality.files.close(writer)?;
        return Err(errno);
    }
    Ok(Answer::ZERO)
}

/// `pipe(int fds[2])`
pub(crate) fn pipe(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    pipe_with(personality, space, arguments.get(0), 0)
}

/// `pipe2(int fds[2], int flags)`
pub(crate) fn pipe2(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    let flags = arguments.uint(1);
    if flags & !(CLOSE_ON_EXEC | NONBLOCK) != 0 {
        return Err(Errno::EINVAL);
    }
    pipe_with(personality, space, arguments.get(0), flags)
}
