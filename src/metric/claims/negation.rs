//! How far a negator reaches.

use crate::scene::text::Token;

/// Tokens after a negator within which its first mention must stand.
const REACH: usize = 4;

/// The scope of the last negator.
#[derive(Debug, Default)]
pub(super) struct Scope {
    /// The token after the negator; `None` when nothing is denied.
    start: Option<usize>,
    /// Whether something was denied already: then only a list may go on.
    is_used: bool,
}

impl Scope {
    /// A negator ended before token `start`.
    pub(super) fn open(&mut self, start: usize) {
        *self = Self {
            start: Some(start),
            is_used: false,
        };
    }

    pub(super) fn close(&mut self) {
        self.start = None;
    }

    /// A mention: whether it is denied.
    pub(super) fn mention(&mut self) -> bool {
        let is_denied = self.start.is_some();
        self.is_used |= is_denied;
        is_denied
    }

    /// Any other token.
    ///
    /// * `is_link`: it may stand between denied things, like *ou*
    pub(super) fn other(&mut self, at: usize, token: &Token, is_link: bool) {
        let Some(start) = self.start else {
            return;
        };
        let closes = if token.is(";") || token.is(":") {
            true
        } else if self.is_used {
            !is_link && !token.is(",")
        } else {
            token.is(",") || at >= start + REACH
        };
        if closes {
            self.close();
        }
    }
}
