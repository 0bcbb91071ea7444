//! The ordered list of what is to be done.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::io::Output;

/// Rewritten rows are gathered into pieces of about this size, in bytes.
const PIECE_BYTES: usize = 64 * 1024;

/// Outputs in order. What goes to the client and is put together here gathers in one buffer until something else comes.
#[derive(Default)]
pub(super) struct Outbox {
    queue: VecDeque<Output>,
    gathered: BytesMut,
}

impl Outbox {
    /// Anything but bytes that are still gathering.
    pub(super) fn push(&mut self, output: Output) {
        self.flush();
        self.queue.push_back(output);
    }

    /// Bytes for the client that were split off the input.
    pub(super) fn client(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.push(Output::ToClient(bytes));
        }
    }

    /// Bytes for the client that are copied.
    pub(super) fn client_slice(&mut self, bytes: &[u8]) {
        self.client_buffer().extend_from_slice(bytes);
    }

    /// Where whole frames for the client may be written.
    pub(super) fn client_buffer(&mut self) -> &mut BytesMut {
        if self.gathered.len() >= PIECE_BYTES {
            self.flush();
        }
        &mut self.gathered
    }

    /// Bytes for the server.
    pub(super) fn upstream(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.push(Output::ToUpstream(bytes));
        }
    }

    fn flush(&mut self) {
        if !self.gathered.is_empty() {
            self.queue.push_back(Output::ToClient(self.gathered.split().freeze()));
        }
    }

    /// The next output.
    pub(super) fn poll(&mut self) -> Option<Output> {
        if self.queue.is_empty() {
            self.flush();
            if self.gathered.capacity() > 0 && self.queue.is_empty() {
                // Nothing more to say for now: an idle session keeps no buffer.
                self.gathered = BytesMut::new();
            }
        }
        self.queue.pop_front()
    }

    /// Drop everything that has not been taken.
    pub(super) fn clear(&mut self) {
        self.queue.clear();
        self.gathered.clear();
    }
}
