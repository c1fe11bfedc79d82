//! A pull request that could not be judged: what its reviewer reads, and the test pane of a CI
//! service shows.

use quick_junit::{NonSuccessKind, Report as Document, TestCase, TestCaseStatus, TestSuite};

use super::escape::{cut, markdown_block, markdown_text};
use super::junit::xml;
use super::wording::Lang;

/// Notices that are shown.
const MOST_NOTICES: usize = 10;

/// Characters shown of a notice.
const MOST_NOTICE_CHARS: usize = 1_000;

/// Characters shown of the cause; a fence around back-ticks is twice as long again.
const MOST_CAUSE_CHARS: usize = 10_000;

/// Why there is no verdict. Its texts may come from anywhere; renderers escape them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unjudged {
    /// Language of what this program adds.
    pub lang: Lang,
    /// The exit code that goes with it.
    pub exit: u8,
    /// Whether this program is at fault.
    pub is_bug: bool,
    /// What a reviewer has to know beside the cause, such as rules the pull request edits.
    pub notices: Vec<String>,
    /// The error, its causes and the hint, a line each.
    pub cause: String,
}

impl Unjudged {
    /// For a comment on the pull request, whatever the length of its texts.
    pub fn markdown(&self) -> String {
        let mut text = self.told();
        for notice in self.notices() {
            text += &format!("\n\n{}", markdown_text(&notice));
        }
        text + &format!(
            "\n\n{}\n",
            markdown_block(&cut(&self.cause, MOST_CAUSE_CHARS))
        )
    }

    /// One case with an error.
    ///
    /// # Panics
    /// Never: nothing fails to be written to memory.
    pub fn junit(&self) -> Vec<u8> {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
        let kind = if self.is_bug { "internal" } else { "invalid" };
        let lines: Vec<String> = self.notices().chain([self.cause.clone()]).collect();
        status.set_type(kind).set_message(xml(&lines.join("; ")));
        let mut case = TestCase::new("verdict", status);
        case.set_classname("vv-eval");
        let mut suite = TestSuite::new("vv-eval");
        suite.add_test_case(case);
        let mut document = Document::new("vv-eval");
        document.add_test_suite(suite);
        document.to_string().expect("memory takes it").into_bytes()
    }

    fn told(&self) -> String {
        self.lang.not_judged(self.is_bug, self.exit)
    }

    fn notices(&self) -> impl Iterator<Item = String> {
        let shown = self.notices.iter().take(MOST_NOTICES);
        shown.map(|notice| cut(&self.lang.sentence(notice), MOST_NOTICE_CHARS))
    }
}
