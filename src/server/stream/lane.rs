//! One side of a session: its stream, what was read and not yet consumed, what waits to be written.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::io::IoSlice;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use prometheus::IntCounter;
use tokio::io::{AsyncReadExt, AsyncWrite};

use super::Stream;

/// Bytes that one read may yield.
const READ_BYTES: usize = 64 * 1024;
/// Room in a buffer below which no read is tried with it.
const ROOM_BYTES_MIN: usize = 16 * 1024;
/// Up to this many unconsumed bytes are copied out, so that the session does not keep a whole read buffer for them.
const REST_BYTES_MAX: usize = 4 * 1024;
/// Waiting pieces of at least this many bytes are not copied out of the read buffer that they are a part of.
const PIECE_BYTES_MIN: usize = 16 * 1024;
/// Pieces that one vectored write takes.
const SLICES_MAX: usize = 64;

thread_local! {
    /// The read buffer of all sessions of a worker. A session has it from a read until the engine has consumed what was
    /// read, so that idle sessions hold none. Always empty while it is in here.
    static READ_BUFFER: RefCell<BytesMut> = RefCell::new(BytesMut::new());
}

/// What a read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Filled {
    /// More bytes in [`Lane::input`].
    Bytes,
    /// The peer closed its end, or the connection broke: there will be no more bytes.
    End,
}

/// Where the memory of [`Lane::input`] comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    /// At most [`REST_BYTES_MAX`] of its own.
    Little,
    /// The worker's read buffer.
    ReadBuffer,
    /// A buffer that grew with a long frame.
    LongFrame,
}

/// Whether the peer is told that nothing more comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finish {
    No,
    /// Once all that waits is written.
    Wanted,
    Done,
}

/// One side of a session.
pub(in crate::server) struct Lane {
    /// The connection.
    pub(in crate::server) stream: Stream,
    /// Bytes read that the engine has not consumed yet.
    pub(in crate::server) input: BytesMut,
    holds: Holds,
    queue: VecDeque<Bytes>,
    queued_bytes: usize,
    /// Pieces at the queue's front that keep no read buffer alive, or not for little.
    detached: usize,
    /// Bytes may be in TLS's own buffer.
    unflushed: bool,
    ended: bool,
    finish: Finish,
    broken: bool,
    received: IntCounter,
    sent: IntCounter,
}

impl Lane {
    /// A lane over a stream. The counters count its bytes.
    pub(in crate::server) fn new(stream: Stream, received: IntCounter, sent: IntCounter) -> Self {
        Self {
            stream,
            input: BytesMut::new(),
            holds: Holds::Little,
            queue: VecDeque::new(),
            queued_bytes: 0,
            detached: 0,
            unflushed: false,
            ended: false,
            finish: Finish::No,
            broken: false,
            received,
            sent,
        }
    }

    /// Bytes that wait to be written.
    pub(in crate::server) fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    /// Whether writing failed: what is put is dropped from then on.
    pub(in crate::server) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Put bytes at the end of what is to be written.
    pub(in crate::server) fn put(&mut self, bytes: Bytes) {
        if !self.broken && !bytes.is_empty() {
            self.queued_bytes = self.queued_bytes.saturating_add(bytes.len());
            self.queue.push_back(bytes);
        }
    }

    /// Nothing more will be put: the peer is told so when it has what waits now. It may say what it has to say.
    pub(in crate::server) fn finish(&mut self) {
        if self.finish == Finish::No {
            self.finish = Finish::Wanted;
        }
    }

    /// Read once. Call [`Lane::settle`] after the engine has had the bytes.
    pub(in crate::server) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Filled> {
        if self.ended {
            return Poll::Ready(Filled::End);
        }
        let own = self.holds != Holds::Little;
        let mut buffer = if own {
            std::mem::take(&mut self.input)
        } else {
            let mut shared = READ_BUFFER.take();
            make_room(&mut shared);
            shared.extend_from_slice(&self.input);
            shared
        };
        if own && make_room(&mut buffer) {
            self.holds = Holds::LongFrame;
        }
        let before = buffer.len();
        let outcome = pin!(self.stream.read_buf(&mut buffer)).poll(cx);
        let Poll::Ready(outcome) = outcome else {
            if own {
                self.input = buffer;
            } else {
                buffer.clear();
                READ_BUFFER.set(buffer);
            }
            return Poll::Pending;
        };
        if !own {
            self.holds = Holds::ReadBuffer;
        }
        self.input = buffer;
        match outcome {
            Ok(1..) => {
                self.received.inc_by(u64::try_from(self.input.len().saturating_sub(before)).unwrap_or(u64::MAX));
                Poll::Ready(Filled::Bytes)
            }
            // a broken connection has no more bytes either
            Ok(0) | Err(_) => {
                self.ended = true;
                Poll::Ready(Filled::End)
            }
        }
    }

    /// Give back memory that the unconsumed bytes do not need.
    pub(in crate::server) fn settle(&mut self) {
        if self.input.len() > REST_BYTES_MAX || (self.holds == Holds::Little && !self.input.is_empty()) {
            return;
        }
        let rest = if self.input.is_empty() { BytesMut::new() } else { BytesMut::from(self.input.as_ref()) };
        let mut buffer = std::mem::replace(&mut self.input, rest);
        if self.holds == Holds::ReadBuffer {
            buffer.clear();
            READ_BUFFER.set(buffer);
        }
        self.holds = Holds::Little;
    }

    /// Write what waits. Ready: nothing waits any more, or the connection is broken.
    pub(in crate::server) fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while !self.queue.is_empty() {
            match self.poll_write(cx) {
                Poll::Ready(Ok(written @ 1..)) => {
                    self.sent.inc_by(u64::try_from(written).unwrap_or(u64::MAX));
                    self.unflushed = true;
                    self.forget(written);
                }
                Poll::Ready(Ok(0) | Err(_)) => {
                    self.give_up_writing();
                    return Poll::Ready(());
                }
                Poll::Pending => {
                    self.detach();
                    return Poll::Pending;
                }
            }
        }
        if self.unflushed {
            match Pin::new(&mut self.stream).poll_flush(cx) {
                Poll::Ready(Ok(())) => self.unflushed = false,
                Poll::Ready(Err(_)) => self.give_up_writing(),
                Poll::Pending => return Poll::Pending,
            }
        }
        if self.finish == Finish::Wanted {
            match Pin::new(&mut self.stream).poll_shutdown(cx) {
                Poll::Ready(Ok(())) => self.finish = Finish::Done,
                Poll::Ready(Err(_)) => self.give_up_writing(),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(())
    }

    /// Write once, as many pieces as one system call takes.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<usize>> {
        let stream = Pin::new(&mut self.stream);
        if let (Some(only), 1) = (self.queue.front(), self.queue.len()) {
            return stream.poll_write(cx, only);
        }
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let mut count = 0;
        for (slice, bytes) in slices.iter_mut().zip(&self.queue) {
            *slice = IoSlice::new(bytes);
            count += 1;
        }
        stream.poll_write_vectored(cx, slices.get(..count).unwrap_or_default())
    }

    /// Copy what has to wait out of the read buffer that it shares with other sessions' bytes: a slow reader would keep
    /// a whole buffer alive for each few bytes.
    fn detach(&mut self) {
        if self.detached == self.queue.len() {
            return;
        }
        let mut small = Vec::new();
        for piece in self.queue.split_off(self.detached) {
            if piece.len() < PIECE_BYTES_MIN {
                small.extend_from_slice(&piece);
                continue;
            }
            if !small.is_empty() {
                self.queue.push_back(Bytes::from(std::mem::take(&mut small)));
            }
            self.queue.push_back(piece);
        }
        if !small.is_empty() {
            self.queue.push_back(Bytes::from(small));
        }
        self.detached = self.queue.len();
    }

    fn forget(&mut self, mut written: usize) {
        self.queued_bytes = self.queued_bytes.saturating_sub(written);
        while let Some(first) = self.queue.front_mut() {
            if first.len() > written {
                first.advance(written);
                break;
            }
            written -= first.len();
            self.queue.pop_front();
            self.detached = self.detached.saturating_sub(1);
        }
        if self.queue.is_empty() && self.queue.capacity() > SLICES_MAX {
            self.queue = VecDeque::new();
        }
    }

    fn give_up_writing(&mut self) {
        self.broken = true;
        self.finish = Finish::Done;
        self.unflushed = false;
        self.queue = VecDeque::new();
        self.detached = 0;
        self.queued_bytes = 0;
    }
}

/// Make room for a read; whether that changed the buffer's allocation. Memory whose earlier bytes have all been written
/// is used again.
fn make_room(buffer: &mut BytesMut) -> bool {
    let room = buffer.capacity().saturating_sub(buffer.len());
    if room >= READ_BYTES || buffer.try_reclaim(READ_BYTES) || room >= ROOM_BYTES_MIN {
        return false;
    }
    buffer.reserve(READ_BYTES);
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt;
    use tokio::net::UnixStream;

    fn counter() -> IntCounter {
        IntCounter::new("bytes", "bytes").unwrap()
    }

    fn pair() -> (Lane, UnixStream) {
        let (near, far) = UnixStream::pair().unwrap();
        (Lane::new(Stream::Unix(near), counter(), counter()), far)
    }

    async fn fill(lane: &mut Lane) -> Filled {
        std::future::poll_fn(|cx| lane.poll_fill(cx)).await
    }

    fn run<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    #[test]
    fn an_idle_lane_holds_no_buffer() {
        run(async {
            let (mut lane, mut far) = pair();
            far.write_all(b"hello").await.unwrap();
            assert_eq!(fill(&mut lane).await, Filled::Bytes);
            assert_eq!(lane.input.split().as_ref(), b"hello");
            lane.settle();
            assert_eq!(lane.input.capacity(), 0);
        });
    }

    #[test]
    fn the_rest_of_a_read_is_kept_small_and_stays_in_front_of_the_next_read() {
        run(async {
            let (mut lane, mut far) = pair();
            far.write_all(b"one two").await.unwrap();
            fill(&mut lane).await;
            assert_eq!(lane.input.split_to(4).as_ref(), b"one ");
            lane.settle();
            assert!(lane.input.capacity() < 1024, "{}", lane.input.capacity());
            far.write_all(b" three").await.unwrap();
            fill(&mut lane).await;
            assert_eq!(lane.input.as_ref(), b"two three");
            lane.settle();
        });
    }

    #[test]
    fn lanes_that_share_a_buffer_do_not_mix_bytes() {
        run(async {
            let (mut first, mut first_far) = pair();
            let (mut second, mut second_far) = pair();
            first_far.write_all(b"aaaa").await.unwrap();
            second_far.write_all(b"bbbb").await.unwrap();
            fill(&mut first).await;
            let held = first.input.split_to(3).freeze();
            first.settle();
            fill(&mut second).await;
            let other = second.input.split_to(2).freeze();
            second.settle();
            assert_eq!((held.as_ref(), other.as_ref()), (&b"aaa"[..], &b"bb"[..]));
            assert_eq!((first.input.as_ref(), second.input.as_ref()), (&b"a"[..], &b"bb"[..]));
        });
    }

    #[test]
    fn a_long_frame_grows_the_lanes_own_buffer_and_gives_it_back() {
        run(async {
            let (mut lane, mut far) = pair();
            let long: Vec<u8> = (0..1_000_000u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
            let sent = long.clone();
            let writer = tokio::spawn(async move {
                far.write_all(&sent).await.unwrap();
                far
            });
            while lane.input.len() < long.len() {
                assert_eq!(fill(&mut lane).await, Filled::Bytes);
                lane.settle();
            }
            assert_eq!(lane.input.split().as_ref(), long);
            lane.settle();
            assert_eq!(lane.input.capacity(), 0);
            READ_BUFFER.with_borrow(|shared| assert!(shared.capacity() <= 2 * READ_BYTES));
            drop(writer.await.unwrap());
            assert_eq!(fill(&mut lane).await, Filled::End);
        });
    }

    #[test]
    fn what_is_put_arrives_in_order_however_small_the_pieces() {
        run(async {
            let (mut lane, mut far) = pair();
            let mut expected = Vec::new();
            for n in 0..20_000u32 {
                let piece = n.to_string();
                expected.extend_from_slice(piece.as_bytes());
                lane.put(Bytes::from(piece));
            }
            assert_eq!(lane.queued_bytes(), expected.len());
            let reader = tokio::spawn(async move {
                let mut got = Vec::new();
                far.read_to_end(&mut got).await.unwrap();
                got
            });
            std::future::poll_fn(|cx| lane.poll_drain(cx)).await;
            assert_eq!(lane.queued_bytes(), 0);
            drop(lane);
            assert_eq!(reader.await.unwrap(), expected);
        });
    }

    #[test]
    fn what_waits_for_a_slow_reader_keeps_no_read_buffer_alive() {
        run(async {
            let (mut slow, mut slow_far) = pair();
            let (mut busy, mut busy_far) = pair();
            let mut expected = vec![b'-'; 1 << 20];
            slow.put(Bytes::from(expected.clone()));
            for round in 0..100u32 {
                busy_far.write_all(round.to_string().as_bytes()).await.unwrap();
                fill(&mut busy).await;
                expected.extend_from_slice(&busy.input);
                slow.put(busy.input.split().freeze());
                busy.settle();
                let waits = std::future::poll_fn(|cx| Poll::Ready(slow.poll_drain(cx).is_pending())).await;
                assert!(waits);
                READ_BUFFER.with_borrow_mut(|buffer| assert!(buffer.try_reclaim(READ_BYTES), "round {round}"));
            }
            let reader = tokio::spawn(async move {
                let mut got = Vec::new();
                slow_far.read_to_end(&mut got).await.unwrap();
                got
            });
            std::future::poll_fn(|cx| slow.poll_drain(cx)).await;
            drop(slow);
            assert_eq!(reader.await.unwrap(), expected);
        });
    }

    /// What happens to one of three lanes: so many bytes come, the engine consumes so many and holds on to them (or not).
    #[derive(Clone, Debug)]
    struct Turn {
        lane: usize,
        comes: usize,
        consumed: usize,
        held: bool,
    }

    fn turns() -> impl Strategy<Value = Vec<Turn>> {
        let size = || prop_oneof![0..200usize, 3_000..6_000usize, 40_000..150_000usize];
        let turn = (0..3usize, size(), size(), any::<bool>()).prop_map(|(lane, comes, consumed, held)| Turn {
            lane,
            comes,
            consumed,
            held,
        });
        vec(turn, 1..40)
    }

    /// The byte at this place of a lane's stream.
    fn byte(lane: usize, at: usize) -> u8 {
        u8::try_from((at * 7 + at / 251 + lane * 83) % 256).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

        #[test]
        fn no_byte_is_lost_changed_or_another_sessions(turns in turns()) {
            run(async {
                let mut lanes: Vec<_> = (0..3).map(|_| pair()).collect();
                let (mut written, mut consumed) = ([0usize; 3], [0usize; 3]);
                let mut held: Vec<(usize, usize, Bytes)> = Vec::new();
                for turn in turns {
                    let number = turn.lane;
                    let (lane, far) = &mut lanes[number];
                    let sent: Vec<u8> = (written[number]..written[number] + turn.comes).map(|at| byte(number, at)).collect();
                    written[number] += sent.len();
                    let mut unsent = sent.as_slice();
                    while !unsent.is_empty() {
                        if let Ok(length) = far.try_write(unsent) {
                            unsent = &unsent[length..];
                        }
                        assert_eq!(fill(lane).await, Filled::Bytes);
                        lane.settle();
                    }
                    let taken = lane.input.split_to(turn.consumed.min(lane.input.len())).freeze();
                    lane.settle();
                    let start = consumed[number];
                    consumed[number] += taken.len();
                    for (number, start, bytes) in held.iter().map(|(n, s, b)| (*n, *s, b)).chain([(number, start, &taken)]) {
                        assert!(bytes.iter().enumerate().all(|(at, found)| *found == byte(number, start + at)));
                    }
                    if turn.held {
                        held.push((number, start, taken));
                    }
                }
            });
        }
    }

    #[test]
    fn a_peer_that_was_told_the_end_may_still_speak() {
        run(async {
            let (mut lane, mut far) = pair();
            lane.put(Bytes::from_static(b"the end"));
            lane.finish();
            std::future::poll_fn(|cx| lane.poll_drain(cx)).await;
            let mut got = Vec::new();
            far.read_to_end(&mut got).await.unwrap();
            far.write_all(b"goodbye").await.unwrap();
            assert_eq!((got.as_slice(), fill(&mut lane).await), (&b"the end"[..], Filled::Bytes));
            assert_eq!(lane.input.split().as_ref(), b"goodbye");
            lane.settle();
        });
    }

    #[test]
    fn a_peer_that_is_gone_ends_both_directions_without_an_error() {
        run(async {
            let (mut lane, far) = pair();
            drop(far);
            lane.put(Bytes::from_static(b"too late"));
            std::future::poll_fn(|cx| lane.poll_drain(cx)).await;
            assert!(lane.is_broken());
            lane.put(Bytes::from_static(b"dropped"));
            assert_eq!(lane.queued_bytes(), 0);
            assert_eq!(fill(&mut lane).await, Filled::End);
        });
    }
}
