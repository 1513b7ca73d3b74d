//! An error and its causes in one line, for a log, a report or a peer.
//!
//! Guarantee: every cause appears once, in order, joined by `": "`. Some libraries end their own text with the text
//! of their source; this function does not print it twice.

use std::error::Error;

/// The text of `error`, then the text of each of its sources.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !line.ends_with(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        next = cause.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Layer {
        text: &'static str,
        source: Option<Box<Self>>,
    }

    fn layers(texts: &[&'static str]) -> Layer {
        let (text, inner) = texts.split_first().unwrap();
        Layer { text, source: (!inner.is_empty()).then(|| Box::new(layers(inner))) }
    }

    #[test]
    fn every_cause_stands_once_in_order() {
        assert_eq!(chain(&layers(&["alone"])), "alone");
        assert_eq!(
            chain(&layers(&["cannot open the store", "cannot list it", "refused"])),
            "cannot open the store: cannot list it: refused"
        );
    }

    #[test]
    fn a_source_that_the_error_already_prints_is_not_printed_again() {
        assert_eq!(
            chain(&layers(&["transport: no route", "no route", "errno 113"])),
            "transport: no route: errno 113"
        );
    }
}
