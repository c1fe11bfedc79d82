use super::super::lexicon::BUILT_IN;
use super::*;
