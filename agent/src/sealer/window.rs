//! The segments that the collector has not acknowledged, and which to send next: a state machine without I/O.
//!
//! Guarantee: a segment leaves the window only when a position covers it *and* names the digest of our seal
//! there. After a cut, everything from the collector's position on is sent again, in order. A position that
//! cannot be true is a [`Contradiction`], and the window does not move. Not here: memory and sockets
//! (`sealer::outbox`).

use std::collections::VecDeque;

use evidence::digest::Digest;

/// Segments held at once: 3. While one crosses the network and one is being made durable, the next is ready; more would
/// only buffer a slow collector. The whole agent stays below 96 MiB PSS (descriptors count once, wherever mapped):
///
/// | what | MiB |
/// |---|---|
/// | 3 segments (an 8 MiB target plus at most one 1 MiB frame) with their seals in memory files | 3 x (9 + 2) = 33 |
/// | sealer: the segment being made with its records, frame and compressor | 9 + 4 + 3 + 8 = 24 |
/// | reader lanes: a page of small files and a listing each | 8 |
/// | link: TLS and HTTP/2 windows (2 MiB a stream, 4 MiB a connection), one segment's pieces mapped by the kernel | 20 |
/// | warden | 6 |
/// | sum | 91 |
pub(crate) const SEGMENTS_MAX: usize = 3;

/// What the collector said cannot be true. The collection stops, and the endpoint's log records it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Contradiction {
    /// A position past segments that were never sent.
    #[error("the collector claims {claimed} segments; only {sent} were ever sent")]
    Beyond {
        /// The collector's next index.
        claimed: u64,
        /// Our own next index.
        sent: u64,
    },
    /// A position before one it gave earlier: it lost segments that it had called durable, and we no longer
    /// have them.
    #[error("the collector claims {claimed} segments after it had acknowledged {acknowledged}")]
    Behind {
        /// The collector's next index.
        claimed: u64,
        /// The highest index before.
        acknowledged: u64,
    },
    /// The collector has another chain of seals.
    #[error("the collector names another seal at segment {index} than the one made here")]
    OtherSeal {
        /// Which segment.
        index: u64,
    },
}

impl Contradiction {
    /// The index that the contradiction is about, for the endpoint's log.
    pub fn index(self) -> u64 {
        match self {
            Self::Beyond { claimed, .. } | Self::Behind { claimed, .. } => claimed,
            Self::OtherSeal { index } => index,
        }
    }
}

#[derive(Debug)]
struct Held<P> {
    seal: Digest,
    payload: P,
}

/// The window. `P` is the type that holds a segment's bytes.
#[derive(Debug)]
pub struct Window<P> {
    held: VecDeque<Held<P>>,
    /// Everything below is durable at the collector and forgotten here.
    acknowledged: u64,
    /// Digest of the seal before `acknowledged`.
    acknowledged_seal: Option<Digest>,
    /// Next index to send on this connection; `None` until the collector has said where it stands.
    cursor: Option<u64>,
    /// Everything below was sent at least once.
    sent: u64,
}

impl<P> Default for Window<P> {
    fn default() -> Self {
        Self { held: VecDeque::new(), acknowledged: 0, acknowledged_seal: None, cursor: None, sent: 0 }
    }
}

impl<P> Window<P> {
    /// Whether another segment must wait.
    pub(crate) fn is_full(&self) -> bool {
        self.held.len() >= SEGMENTS_MAX
    }

    /// Whether everything that was pushed was sent at least once.
    pub(crate) fn is_all_sent(&self) -> bool {
        self.sent == self.pushed()
    }

    /// Segments pushed so far.
    pub(crate) fn pushed(&self) -> u64 {
        self.acknowledged + self.held.len() as u64
    }

    /// Takes the next segment in and returns its index. Gives the segment back if the window is full.
    pub fn push(&mut self, seal: Digest, payload: P) -> Result<u64, P> {
        if self.is_full() {
            return Err(payload);
        }
        let index = self.pushed();
        self.held.push_back(Held { seal, payload });
        Ok(index)
    }

    /// The connection is gone. Nothing is sent until the next connection's first position.
    pub(crate) fn disconnected(&mut self) {
        self.cursor = None;
    }

    /// The collector says that everything below `next_index` is durable and `seal` is the digest of the seal
    /// before it (`None` at 0). The first position of a connection decides where sending continues.
    ///
    /// # Errors
    /// [`Contradiction`]. Then nothing has changed.
    pub fn position(&mut self, next_index: u64, seal: Option<Digest>) -> Result<(), Contradiction> {
        if next_index > self.sent {
            return Err(Contradiction::Beyond { claimed: next_index, sent: self.sent });
        }
        if next_index < self.acknowledged {
            return Err(Contradiction::Behind { claimed: next_index, acknowledged: self.acknowledged });
        }
        let Ok(forget) = usize::try_from(next_index - self.acknowledged) else {
            return Err(Contradiction::Beyond { claimed: next_index, sent: self.sent });
        };
        let ours = match forget.checked_sub(1) {
            None => self.acknowledged_seal,
            Some(last) => self.held.get(last).map(|held| held.seal),
        };
        if seal != ours {
            // Saturating is correct here: at position 0 there is no previous seal, and the error names
            // segment 0.
            return Err(Contradiction::OtherSeal { index: next_index.saturating_sub(1) });
        }
        self.held.drain(..forget.min(self.held.len()));
        self.acknowledged = next_index;
        self.acknowledged_seal = ours;
        self.cursor = Some(self.cursor.map_or(next_index, |cursor| cursor.max(next_index)));
        Ok(())
    }

    /// The next segment to send on this connection, if there is one. It then counts as sent.
    pub(crate) fn next_to_send(&mut self) -> Option<(u64, &P)> {
        let cursor = self.cursor?;
        let at = usize::try_from(cursor.checked_sub(self.acknowledged)?).ok()?;
        let held = self.held.get(at)?;
        self.cursor = Some(cursor + 1);
        self.sent = self.sent.max(cursor + 1);
        Some((cursor, &held.payload))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seal(index: u64) -> Digest {
        Digest::of(&index.to_le_bytes())
    }

    fn seal_before(index: u64) -> Option<Digest> {
        index.checked_sub(1).map(seal)
    }

    fn with_sent(count: u64) -> Window<u64> {
        let mut window = Window::default();
        window.position(0, None).unwrap();
        for index in 0..count {
            window.push(seal(index), index).unwrap();
        }
        while window.next_to_send().is_some() {}
        window
    }

    #[test]
    fn nothing_is_sent_before_the_collector_said_where_it_is() {
        let mut window = Window::default();
        window.push(seal(0), 0).unwrap();
        assert!(window.next_to_send().is_none());
        window.position(0, None).unwrap();
        assert_eq!(window.next_to_send(), Some((0, &0)));
    }

    #[test]
    fn a_full_window_makes_the_sealer_wait_until_an_acknowledgement() {
        let mut window = with_sent(3);
        assert_eq!(window.push(seal(3), 3), Err(3));
        window.position(1, Some(seal(0))).unwrap();
        assert_eq!(window.push(seal(3), 3), Ok(3));
    }

    #[test]
    fn after_a_cut_only_what_is_not_durable_is_sent_again() {
        let mut window = with_sent(3);
        window.disconnected();
        assert!(window.next_to_send().is_none());
        window.position(1, Some(seal(0))).unwrap();
        let again: Vec<u64> = std::iter::from_fn(|| window.next_to_send().map(|(index, _)| index)).collect();
        assert_eq!(again, [1, 2]);
    }

    #[test]
    fn positions_that_cannot_be_true_are_contradictions_and_move_nothing() {
        let mut window = with_sent(2);
        window.push(seal(2), 2).unwrap();
        for (next, digest, expected) in [
            (3, Some(seal(2)), Contradiction::Beyond { claimed: 3, sent: 2 }),
            (u64::MAX, Some(seal(2)), Contradiction::Beyond { claimed: u64::MAX, sent: 2 }),
            (2, Some(seal(0)), Contradiction::OtherSeal { index: 1 }),
            (1, None, Contradiction::OtherSeal { index: 0 }),
            (0, Some(seal(0)), Contradiction::OtherSeal { index: 0 }),
        ] {
            assert_eq!(window.position(next, digest), Err(expected));
            assert_eq!((window.acknowledged, window.pushed()), (0, 3));
        }
        window.position(2, Some(seal(1))).unwrap();
        assert_eq!(
            window.position(1, Some(seal(0))),
            Err(Contradiction::Behind { claimed: 1, acknowledged: 2 })
        );
        assert_eq!(window.position(2, Some(seal(0))), Err(Contradiction::OtherSeal { index: 1 }));
        window.position(2, Some(seal(1))).unwrap();
    }

    /// An event. Events may come in any order.
    #[derive(Debug, Clone)]
    enum Event {
        Seal,
        Send,
        Deliver,
        Acknowledge,
        DeliverAck,
        Cut,
        Reconnect,
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            3 => Just(Event::Seal),
            4 => Just(Event::Send),
            4 => Just(Event::Deliver),
            2 => Just(Event::Acknowledge),
            3 => Just(Event::DeliverAck),
            1 => Just(Event::Cut),
            2 => Just(Event::Reconnect),
        ]
    }

    /// An honest collector behind a network that is cut at any point: it takes the segment it waits for, ignores what
    /// it has, loses what is in flight.
    #[derive(Default)]
    struct Model {
        stored: Vec<u64>,
        up: VecDeque<u64>,
        down: VecDeque<u64>,
        connected: bool,
    }

    proptest! {
        #[test]
        fn whatever_is_cut_or_doubled_an_honest_collector_gets_every_segment_once_in_order(
            events in prop::collection::vec(event(), 1..400)
        ) {
            let mut window: Window<u64> = Window::default();
            let mut model = Model::default();
            let reconnect = |window: &mut Window<u64>, model: &mut Model| {
                model.connected = true;
                let next = model.stored.len() as u64;
                window.position(next, seal_before(next))
            };
            for event in events {
                match event {
                    Event::Seal => {
                        let index = window.pushed();
                        let full = window.is_full();
                        prop_assert_eq!(window.push(seal(index), index).is_err(), full);
                    }
                    Event::Send if model.connected => {
                        if let Some((index, payload)) = window.next_to_send() {
                            prop_assert_eq!(index, *payload);
                            model.up.push_back(index);
                        }
                    }
                    Event::Deliver if model.connected => {
                        if let Some(index) = model.up.pop_front() {
                            // The collector must never see a gap.
                            prop_assert!(index <= model.stored.len() as u64);
                            if index == model.stored.len() as u64 {
                                model.stored.push(index);
                            }
                        }
                    }
                    Event::Acknowledge if model.connected => model.down.push_back(model.stored.len() as u64),
                    Event::DeliverAck if model.connected => {
                        if let Some(next) = model.down.pop_front() {
                            prop_assert_eq!(window.position(next, seal_before(next)), Ok(()));
                        }
                    }
                    Event::Cut => {
                        model.connected = false;
                        model.up.clear();
                        model.down.clear();
                        window.disconnected();
                    }
                    Event::Reconnect if !model.connected => {
                        prop_assert_eq!(reconnect(&mut window, &mut model), Ok(()));
                    }
                    _ => {}
                }
                // What the window forgot is durable at the collector. What is not durable there is still
                // here.
                prop_assert!(window.acknowledged <= model.stored.len() as u64);
                prop_assert!(window.held.len() <= SEGMENTS_MAX);
            }
            // A last honest connection transfers everything.
            window.disconnected();
            model.up.clear();
            reconnect(&mut window, &mut model).unwrap();
            while let Some((index, _)) = window.next_to_send() {
                if index == model.stored.len() as u64 {
                    model.stored.push(index);
                }
            }
            let all = window.pushed();
            prop_assert_eq!(window.position(all, seal_before(all)), Ok(()));
            prop_assert!(window.held.is_empty());
            prop_assert_eq!(model.stored, (0..all).collect::<Vec<_>>());
        }
    }
}
